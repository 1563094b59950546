"""Runs of the command line under way: start them, watch them by their log, end them."""

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from pipeline.locks import process_birth
from tests.laws import runs


def start(arguments: list[str], env: dict[str, str] | None = None) -> "subprocess.Popen[str]":
    """Start a command as the leader of a process group of its own, as a shell does."""
    return subprocess.Popen(
        arguments,
        cwd=runs.ROOT,
        env=env or runs.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_heed_interrupts,
    )


def _heed_interrupts() -> None:
    """As a shell leaves its foreground: one that runs in the background ignores Ctrl-C, and so
    would all that it starts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def events_of(out: Path, known: set[Path]) -> list[dict[str, Any]]:
    """What the run that is under way has logged so far."""
    if not set((out / "logs").glob("*.jsonl")) - known:
        return []
    return runs.log_events(out)[len(known)]


def wait_for_parts(
    process: "subprocess.Popen[str]", out: Path, known: set[Path], parts: int
) -> bool:
    """Wait until a run has begun so many parts. False where it ended before."""
    until = time.monotonic() + 90
    while time.monotonic() < until:
        if process.poll() is not None:
            return False
        begun = sum(event["event"] == "begin" for event in events_of(out, known))
        if begun >= parts:
            return True
        time.sleep(0.005)
    raise AssertionError("the run does not get on")


def family(process: "subprocess.Popen[str]") -> dict[int, str]:
    """A process and all that descend from it (decoders too, which have a session of their own)."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text(errors="replace").rsplit(")", 1)[1].split()
                parents[int(entry.name)] = int(fields[1])
    found = {process.pid}
    while grown := {child for child, parent in parents.items() if parent in found} - found:
        found |= grown
    return {pid: process_birth(pid) for pid in found}


def all_gone(members: dict[int, str], seconds: float = 5.0) -> bool:
    """Whether processes end within some seconds; a number that was given anew does not count."""
    until = time.monotonic() + seconds
    while alive := [pid for pid, born in members.items() if process_birth(pid) == born]:
        if time.monotonic() > until:
            print("still there:", alive)
            return False
        time.sleep(0.05)
    return True


def stop_all(process: "subprocess.Popen[str]") -> None:
    """kill -9 of the run with its workers; nothing of it may live on."""
    members = family(process)
    assert len(members) > 1
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert all_gone(members)
