"""The breaker: a run stops where failures come in a row, or are most of what it tries.

A bad mount, a codec that is missing or a name server that is down would turn every recording into a
dead letter, one after the other and in good order. Counted are failures of one phase of one run
(`pipeline/failures.py`); what was dropped for its quality is none. Stopping changes no result: what
is committed stays, and the same command goes on. "In a row" is in the order in which workers tell,
so with several of them the stop comes a few records earlier or later.
"""

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence

from pipeline.failures import Failure, Outcome
from pipeline.supervise import RunFailedError

SHOWN = 3  # reasons


class TooManyFailuresError(RunFailedError):
    """A phase was stopped because of what failed in it."""


@dataclasses.dataclass(frozen=True)
class MaxFailures:
    """How many are too many; None: never."""

    in_a_row: int | None = 100  # as energon tolerates
    share: float | None = 0.5  # of what was tried (ours)
    least: int = 200  # tried, before a share says anything (ours)


USUAL = MaxFailures()


def max_failures(text: str) -> MaxFailures:
    """ "100", "50%", "100,50%" or "none". Raises `ValueError`."""
    if text.strip().lower() == "none":
        return MaxFailures(None, None)
    in_a_row, share = None, None
    for part in text.split(","):
        found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(%?)\s*", part)
        number = float(found[1]) if found else 0.0
        if found and found[2] and 0 < number <= 100 and share is None:
            share = number / 100
        elif found and not found[2] and number >= 1 and number.is_integer() and in_a_row is None:
            in_a_row = int(number)
        else:
            raise ValueError(
                f"{text!r} is no number of failures: write 100 (in a row), 50% (of what is tried), "
                "100,50% or none"
            )
    return MaxFailures(in_a_row, share)


class Breaker:
    """Counts what a phase tries; `note` raises where it must stop."""

    def __init__(self, limits: MaxFailures, out: str):
        self._limits, self._out = limits, out
        self.begin("")

    def begin(self, phase: str) -> None:
        """A phase begins, or the next round of the same one."""
        if phase and phase == self._phase:
            return
        self._phase = phase
        self._tried = self._failed = self._row = 0
        self._reasons: Counter[tuple[str, str]] = Counter()
        self._examples: dict[tuple[str, str], Failure] = {}

    _phase = ""

    def note(self, outcomes: Sequence[Outcome]) -> None:
        """Count what became of some records. Raises `TooManyFailuresError`."""
        for one in outcomes:
            self._tried += 1
            if one is None:
                self._row = 0
                continue
            failure = Failure(*one)
            kind = (failure.step, failure.reason)
            self._row += 1
            self._failed += 1
            self._reasons[kind] += 1
            self._examples.setdefault(kind, failure)
            if self._limits.in_a_row is not None and self._row >= self._limits.in_a_row:
                raise self._error(f"{self._row} failures in a row")
            if self._limits.share is not None and self._tried >= self._limits.least:
                share = self._failed / self._tried
                if share >= self._limits.share:
                    raise self._error(f"{100 * share:.0f} % of what was tried failed")

    def _error(self, what: str) -> TooManyFailuresError:
        ranked = sorted(self._reasons.items(), key=lambda pair: (-pair[1], pair[0]))
        lines = [
            f"{self._phase}: stopped, because of {what} ({self._failed} of {self._tried}). "
            "The most frequent reasons:"
        ]
        for kind, count in ranked[:SHOWN]:
            example = self._examples[kind]
            lines.append(f"  {count} {':'.join(kind)}, for example {example.detail or example.id}")
        lines.append(
            "What is committed stays. Mend the cause; then `speechloom retry --dead REASON --out "
            f"{self._out}` takes back what failed for it. --max-failures sets the limit; with none "
            "a run goes on whatever fails"
        )
        return TooManyFailuresError("\n".join(lines))
