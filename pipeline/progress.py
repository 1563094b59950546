"""What a run says while it works: one live line on a terminal, plain lines elsewhere, a log always.

The log is JSON lines in OUT/logs (`pipeline/run_log.py`). The rate is audio seconds per second of
wall time of the present phase; the time left is an estimate from it.
"""

import json
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TextIO

from pipeline import layout
from pipeline.run_log import RunLog
from schemas.store import Store
from transforms.gather.web.data import NOUNS

PLAIN_SECONDS = 15.0  # between plain lines
LIVE_SECONDS = 0.2


def duration(seconds: float) -> str:
    """Seconds for people: "45 s", "3 min 20 s", "2 h 5 min"."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def parts(number: int) -> str:
    return "1 part" if number == 1 else f"{number} parts"


class Progress:
    """Observes a run. Call it with the events of `pipeline.supervise` and `pipeline.curate`."""

    def __init__(
        self,
        store: Store,
        run: str,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._out = stream or sys.stderr
        self._live = self._out.isatty()
        self._clock = clock
        self._name = layout.log_name(run)
        self._kept = RunLog(store, self._name, clock)
        self._log_failed = False
        self._phase = self._data = ""
        self._planned = self._done = 0.0
        self._parts = self._finished = 0
        self._began = self._shown = self._start = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._clear()
        self._kept.close()
        self._tell_of_log()

    def __call__(self, kind: str, value: Any) -> None:
        if kind == "phase":
            self._end_phase()
            self._phase = value["phase"]
        if kind != "tick":
            self._log(kind, value)
        if kind == "phase":
            self._planned, self._done = value["seconds"], 0.0
            self._parts, self._finished = value["parts"], 0
            self._began = self._shown = self._clock()
            if not self._parts:
                self.say(f"{self._phase:<9} done before")
        elif kind == "data" and value["kind"] != self._data:  # each stream of a recipe tells it
            self._data = value["kind"]
            self.say(f"data      taken for {NOUNS[self._data]}")
        elif kind == "fetch":
            self.say(f"models    fetching {value['model']} from the hub, once")
        elif kind == "committed":
            self._done += value[1]
            self._finished += 1
        elif kind == "died":
            self.say(
                f"{self._phase}: a worker died ({value['how']}); starting it again "
                f"({parts(value['left'])} to be done besides what others do)"
            )
        self._show()
        if kind == "committed" and self._finished >= self._parts:
            self._end_phase()

    def say(self, text: str) -> None:
        """A line that stays."""
        self._clear()
        print(text, file=self._out, flush=True)

    def _log(self, kind: str, value: Any) -> None:
        record = {"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "event": kind}
        elapsed = round(self._clock() - self._start, 3)  # seconds since the run began
        record |= {"elapsed": elapsed, "phase": self._phase, "value": value}
        self._kept.add(json.dumps(record), now=kind == "phase")
        self._tell_of_log()

    def _tell_of_log(self) -> None:
        if self._kept.failed and not self._log_failed:
            self.say(f"the log {self._name} is not complete: {self._kept.failed}")
            self._log_failed = True

    def _line(self) -> str:
        spent = self._clock() - self._began
        rate = self._done / spent if spent > 0 else 0.0
        line = f"{self._phase:<9} {self._finished}/{self._parts} parts"
        if self._planned:
            line += f", {self._done / 3600:.2f} of {self._planned / 3600:.2f} h of audio"
        if rate > 0 and self._done < self._planned:
            line += f", {rate:.0f}x real time, {duration((self._planned - self._done) / rate)} left"
        return line

    def _show(self) -> None:
        now = self._clock()
        wait = LIVE_SECONDS if self._live else PLAIN_SECONDS
        if not self._parts or now - self._shown < wait:
            return
        self._shown = now
        if self._live:
            print(f"\r\x1b[2K{self._line()[:120]}", end="", file=self._out, flush=True)
        else:
            print(self._line(), file=self._out, flush=True)

    def _clear(self) -> None:
        if self._live:
            print("\r\x1b[2K", end="", file=self._out, flush=True)

    def _end_phase(self) -> None:
        if self._parts:
            spent = self._clock() - self._began
            hours = f", {self._planned / 3600:.2f} h of audio" if self._planned else ""
            self.say(f"{self._phase:<9} {parts(self._parts)}{hours} in {duration(spent)}")
            self._parts = 0
