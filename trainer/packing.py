"""Fills packs of a fixed length with pieces of documents, so that nothing is cropped or lost.

A document that fits is one piece. One that does not is cut at chunk borders, where the room of a
pack asks for it: its rest goes on in another pack, as a piece of its own. A block of documents is
filled together: longest first, then always the longest rest that fits whole, and only where more
than `slack` would stay empty the beginning of a document, of those that must be cut before others.
Cutting only what is too long, greedily, leaves about half a chunk of every pack empty; cutting
everything in a row fills all and tears every document. Nothing here is drawn by chance.
"""

import bisect
import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, Protocol

from trainer.drawing import EDGES

CANDIDATES = 64  # documents tried for the room at the end of a pack
LEAST = 2  # chunks of a piece that only fills room, so that it can hold both sides


class Cuttable(Protocol):
    """A document as the packer sees it: `count` chunks, and the positions of pieces of them."""

    @property
    def name(self) -> str: ...
    @property
    def count(self) -> int: ...
    @property
    def steady(self) -> bool:
        """Whether a shorter piece is the beginning of a longer one: `exact` is in `prefixes`."""
        ...

    def prefixes(self, first: int) -> list[int]: ...
    def exact(self, first: int, last: int) -> int: ...


class Cut(NamedTuple):
    """A piece: chunks [first, last) of item `item`, so many positions long."""

    item: int
    first: int
    last: int
    positions: int


@dataclasses.dataclass(frozen=True, slots=True)
class Filled:
    """The packs of a block, and the chunks (item, chunk) that are longer than a pack by themselves,
    as they were drawn."""

    packs: list[list[Cut]]
    long: list[tuple[int, int]]


def fill(items: Sequence[Cuttable], length: int, slack: float = 0.01) -> Filled:
    """Packs of at most `length` positions that hold every chunk of every item once, but `long`."""
    block = _Block(items, length)
    packs = []
    while block.rests:
        room = length
        pack: list[Cut] = []
        while room > EDGES:
            cut = block.whole(room) if pack else block.longest()
            if cut is None and room > slack * length:
                cut = block.part(room)
            if cut is None:
                break
            pack.append(cut)
            room -= cut.positions
        if pack:
            packs.append(pack)
    return Filled(packs, block.long)


class _Block:
    """What is left of each item, by length: `rests` ascends in (positions, -item).

    `_leasts` stands beside it: the positions of each rest's shortest piece that may fill room, so
    that where none would fit, which is the rule in short packs, nobody is asked.
    """

    def __init__(self, items: Sequence[Cuttable], length: int) -> None:
        self._items, self._length = items, length
        self._firsts = [0] * len(items)
        self._prefixes: list[list[int]] = [[]] * len(items)  # of the rest of each steady item
        self._least = [0] * len(items)
        self.long: list[tuple[int, int]] = []
        self.rests: list[tuple[int, int]] = [
            rest for item in range(len(items)) if (rest := self._rest(item))
        ]
        self.rests.sort()
        self._leasts = [self._least[-item] for _, item in self.rests]

    def longest(self) -> Cut | None:
        """The longest rest, or as much of it as a pack holds."""
        positions, item = self.rests[-1]
        if positions > self._length:
            return self._taken(-item, self._fitting(-item, self._length))
        return self._whole(len(self.rests) - 1)

    def whole(self, room: int) -> Cut | None:
        """The longest rest that fits whole."""
        place = bisect.bisect_right(self.rests, (room, len(self._items)))
        if not place:
            return None
        return self._whole(place - 1)

    def _whole(self, place: int) -> Cut:
        positions, item = self.rests.pop(place)
        del self._leasts[place]
        first, last = self._firsts[-item], self._items[-item].count
        self._firsts[-item] = last
        return Cut(-item, first, last, positions)

    def part(self, room: int) -> Cut | None:
        """The beginning of a rest that leaves least of the room, of those that must be cut
        first."""
        must = bisect.bisect_right(self.rests, (self._length, len(self._items)))
        least = self._least
        for low, high in ((must, len(self.rests)), (0, must)):
            best: tuple[int, int, int] | None = None
            low = max(low, high - CANDIDATES)
            if min(self._leasts[low:high], default=room + 1) > room:
                continue
            for item in [-item for _, item in self.rests[low:high] if least[-item] <= room]:
                first, last = self._firsts[item], self._fitting(item, room)
                if last - first < LEAST:
                    continue
                known = self._prefixes[item]
                left = room - (
                    known[last - first - 1] if known else self._items[item].exact(first, last)
                )
                if best is None or left < best[0]:
                    best = (left, item, last)
                    if not left:
                        break
            if best is not None:
                return self._taken(best[1], best[2])
        return None

    def _fitting(self, item: int, room: int) -> int:
        """Where the longest piece of an item that fits ends; where it begins, if none does."""
        source, first, known = self._items[item], self._firsts[item], self._prefixes[item]
        if known:
            return first + bisect.bisect_right(known, room)
        count = bisect.bisect_right(source.prefixes(first), room)
        while count and source.exact(first, first + count) > room:
            count -= 1
        return first + count

    def _taken(self, item: int, last: int) -> Cut:
        first, known = self._firsts[item], self._prefixes[item]
        if known:
            positions, total = known[last - first - 1], known[-1]
        else:
            positions = self._items[item].exact(first, last)
            total = self._items[item].prefixes(first)[-1]
        place = bisect.bisect_left(self.rests, (total, -item))
        del self.rests[place], self._leasts[place]
        self._firsts[item] = last
        rest = self._rest(item)
        if rest is not None:  # put what is left back
            place = bisect.bisect_right(self.rests, rest)
            self.rests.insert(place, rest)
            self._leasts.insert(place, self._least[item])
        return Cut(item, first, last, positions)

    def _rest(self, item: int) -> tuple[int, int] | None:
        """What is left of an item, without chunks that no pack can hold; None: nothing."""
        source = self._items[item]
        self._prefixes[item], self._least[item] = [], 0
        while self._firsts[item] < source.count:
            found = source.prefixes(self._firsts[item])
            if source.steady:
                self._prefixes[item] = found
                self._least[item] = found[min(LEAST, len(found)) - 1]
            total = found[-1]
            if total <= self._length or self._fitting(item, self._length) > self._firsts[item]:
                return total, -item
            self.long.append((item, self._firsts[item]))
            self._firsts[item] += 1
        return None
