"""Which set each pack is of: shares of packs, and so of positions, exact to one pack at any time.

A coin per pack would be right on average and wrong by the square root of the run. This is the
chairman assignment (Tijdeman, 1980): of the sets whose count may not wait, the one with the nearest
deadline. After every pack each set's count is within 1 - 1/(2n - 2) of its exact share, in whole
numbers, so nothing drifts. The seed only decides between equal sets.
"""

import hashlib
import math
from collections.abc import Mapping
from fractions import Fraction

SMALLEST = 10**6  # shares are taken to six digits


class Mixture:
    """Sets by name with their shares; only their proportions count."""

    def __init__(self, shares: Mapping[str, float], seed: int) -> None:
        def tie(name: str) -> bytes:
            return hashlib.sha256(f"{seed}/{name}".encode()).digest()

        self.names = tuple(sorted(shares, key=tie))
        exact = [Fraction(shares[name]).limit_denominator(SMALLEST) for name in self.names]
        if not exact or min(exact) <= 0:
            raise ValueError(f"shares are above 0: {dict(shares)}")
        scale = math.lcm(*(share.denominator for share in exact))
        whole = [int(share * scale) for share in exact]
        common = math.gcd(*whole)
        self._whole = {n: w // common for n, w in zip(self.names, whole, strict=True)}
        self._total = sum(self._whole.values())

    def next(self, counts: Mapping[str, int]) -> str:
        """The set of the pack after `counts` packs of each set, as this gave them one by one."""
        if len(self.names) == 1:
            return self.names[0]
        turn = sum(counts[name] for name in self.names) + 1
        slots = 2 * len(self.names) - 2
        best, nearest = "", None
        for name in self.names:
            whole = self._whole[name]
            behind = slots * (whole * turn - self._total * counts[name])
            if behind < self._total:
                continue
            deadline = Fraction(self._total * (slots - 1) - behind, whole)
            if nearest is None or deadline < nearest:
                best, nearest = name, deadline
        return best

    def share(self, name: str) -> Fraction:
        return Fraction(self._whole[name], self._total)


def sequence(mixture: Mixture, length: int) -> list[str]:
    """The sets of the first packs of a run: a function of shares and seed."""
    counts = dict.fromkeys(mixture.names, 0)
    found = []
    for _ in range(length):
        found.append(mixture.next(counts))
        counts[found[-1]] += 1
    return found
