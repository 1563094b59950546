"""What a person at a terminal sees of a run: one live line, and a summary at the end."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from trainer import journal
from trainer.loop import Result

QUIET = 10.0  # seconds between lines where the last one cannot be written over


class Progress:
    """Called with each line of the log. On a terminal, one line that changes; else one at times."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self._live = stream, stream.isatty()
        self._told = self._width = 0.0
        self._begun: tuple[float, int] | None = None

    def __call__(self, line: Mapping[str, Any]) -> None:
        now = time.monotonic()
        if self._begun is None:
            self._begun = (now - line["seconds"], line["step"] - 1)
        done = line["step"] - self._begun[1]
        left = (now - self._begun[0]) / done * (line["steps"] - line["step"])
        text = progress_line(line, left)
        if self._live:
            print(f"\r{text:<{int(self._width)}}", end="", file=self._stream, flush=True)
            self._width = len(text)
        elif line["step"] == line["steps"] or now - self._told >= QUIET:
            print(text, file=self._stream, flush=True)
            self._told = now

    def close(self) -> None:
        if self._live and self._width:
            print(file=self._stream, flush=True)


def progress_line(line: Mapping[str, Any], left: float) -> str:
    """One line of the log in a line for people; `left`: seconds to the end."""
    parts = [f"step {line['step']}/{line['steps']}", f"loss {_losses(line)}"]
    parts.append(f"{line['positions_per_second']:,.0f} positions/s")
    parts.append(f"waiting {line['wait']:.0%}")
    if line["mfu"] is not None:
        parts.append(f"MFU {line['mfu']:.0%}")
    return " | ".join([*parts, f"{duration(left)} left"])


def summary(result: Result, out: Path) -> str:
    """What was done, how the losses moved, and where everything is."""
    ends = {
        "done": "done",
        "data": "stopped: the data had no more (sets have their epochs), the schedule is not over",
        "signal": "stopped by a signal; the same command goes on",
        "paused": "paused; the same command goes on",
    }
    totals = result.totals
    lines = [f"{ends[result.stopped]}: step {result.step} of {result.steps}"]
    steps = [one for one in journal.read(out) if one["event"] == "step"]
    if steps:
        lines.append(f"loss         {_losses(steps[0])} at first, {_losses(steps[-1])} at last")
        passes = ", ".join(f"{name} {n:.2f}" for name, n in steps[-1]["passes"].items())
        lines.append(
            f"read         {totals['text_tokens']:,.0f} text tokens, "
            f"{totals['speech_positions']:,.0f} speech positions "
            f"({duration(totals['speech_seconds'])} of speech); passes: {passes}"
        )
    lines += [
        f"checkpoint   {result.checkpoint or 'none'}",
        f"log          {out / journal.NAME}",
        f"settings     {out / 'config.yaml'}",
    ]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _losses(line: Mapping[str, Any]) -> str:
    if line["loss"] is None:
        return "none"
    own = [
        f"{name} {line[f'loss_{name}']:.3f}"
        for name in ("text", "speech")
        if line.get(f"loss_{name}") is not None
    ]
    return f"{line['loss']:.3f}" + (f" ({', '.join(own)})" if own else "")
