"""What a run's log says: the phases with their wall time, and the steps with their compute time."""

import dataclasses
import json
import pathlib
from collections import Counter


@dataclasses.dataclass
class PhaseTime:
    """One phase of a run."""

    phase: str
    parts: int
    seconds: float  # wall
    compute: Counter[str] = dataclasses.field(default_factory=Counter)  # by step, all workers

    @property
    def steps(self) -> float:
        return sum(self.compute.values())


@dataclasses.dataclass
class RunTime:
    """The phases of a run in their order, and how long it took before and after them."""

    phases: list[PhaseTime]
    total: float  # seconds from the opening of the log to its last line

    def wall(self, first: str, last: str) -> float:
        """Seconds from the beginning of one phase to the end of another."""
        names = [phase.phase for phase in self.phases]
        chosen = self.phases[names.index(first) : len(names) - names[::-1].index(last)]
        return sum(phase.seconds for phase in chosen)


def newest(out: pathlib.Path) -> pathlib.Path:
    """The log of the newest run of an OUT."""
    return max(out.glob("logs/*.jsonl"), key=lambda path: path.stat().st_mtime_ns)


def now(out: pathlib.Path) -> str:
    """The phase that the newest run of an OUT is in; "" before the first."""
    try:
        lines = newest(out).read_text(encoding="utf-8").splitlines()
        last = json.loads(lines[-1])
    except (OSError, ValueError, IndexError):  # no log yet, or a line half written
        return ""
    return str(last["value"]["phase"] if last["event"] == "phase" else last["phase"])


def read(path: pathlib.Path) -> RunTime:
    """Read a log. A phase ends with its last commit; what comes after is planning of the next.

    So that no second is lost, the time between two phases is counted to the one before.
    """
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    phases: list[PhaseTime] = []
    began: list[float] = []
    committed = 0.0
    for event in events:
        if event["event"] == "phase":
            value = event["value"]
            phases.append(PhaseTime(value["phase"], value["parts"], 0.0))
            began.append(event["elapsed"])
        elif event["event"] == "step":
            name, seconds = event["value"]
            phases[-1].compute[name] += seconds
        elif event["event"] == "committed":
            committed = event["elapsed"]
    ends = [*began[1:], max([committed, *began[-1:]])]
    for phase, start, end in zip(phases, began, ends, strict=True):
        phase.seconds = end - start
    return RunTime(phases, events[-1]["elapsed"] if events else 0.0)
