"""Runs the cells of a study, each in a process of its own, and keeps what is done.

A cell is done when its `done.json` is there; everything else is begun again. One process at a time
may run a study in an OUT. Two cells at once on one thread each cost less than one cell on two
threads; a cell's result does not depend on which others run.
"""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.ablation.cell import CELL, DONE
from trainer.failures import BusyError, TrainingError

Cell = tuple[str, int]  # arm, seed
LOG = "cell.log"


def folder_of(out: Path, cell: Cell) -> Path:
    return out / "cells" / f"{cell[0]}-{cell[1]}"


def done(out: Path, cell: Cell) -> dict[str, Any] | None:
    """What a cell gave, or None where it is not done."""
    try:
        found: dict[str, Any] = json.loads((folder_of(out, cell) / DONE).read_text("utf-8"))
    except FileNotFoundError:
        return None
    return found


@contextlib.contextmanager
def locked(out: Path) -> Iterator[None]:
    """Raises `BusyError` where another process runs this study."""
    out.mkdir(parents=True, exist_ok=True)
    with (out / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BusyError(
                f"another process runs a study in {out}; wait, or choose another OUT"
            ) from error
        yield


def run_cells(
    out: Path,
    cells: Sequence[Cell],
    task: Callable[[Cell], Mapping[str, Any]],
    jobs: int,
    say: Callable[[str], None],
) -> None:
    """Run the cells that are not done, `jobs` at a time, in their order.

    Raises `TrainingError` for the first that fails, with the end of its log; the others that run
    are waited for, so that their work is kept.
    """
    waiting = [cell for cell in cells if done(out, cell) is None]
    say(f"{len(cells) - len(waiting)} of {len(cells)} cells are done; {jobs} at a time")
    running: dict[Cell, subprocess.Popen[bytes]] = {}
    failed: list[tuple[Cell, int]] = []
    begun, finished = time.monotonic(), 0
    try:
        while running or (waiting and not failed):
            while waiting and len(running) < jobs and not failed:
                cell = waiting.pop(0)
                running[cell] = _started(out, cell, task(cell))
            ended = [cell for cell, process in running.items() if process.poll() is not None]
            if not ended:
                time.sleep(0.1)
                continue
            for cell in ended:
                code = running.pop(cell).returncode
                if code or done(out, cell) is None:
                    failed.append((cell, code))
                    continue
                finished += 1
                left = len(waiting) + len(running)
                rate = (time.monotonic() - begun) / finished
                say(f"{cell[0]}, seed {cell[1]}: {_short(out, cell)}; {left} left, "
                    f"about {left * rate / 60:.0f} min")  # fmt: skip
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait()
    if failed:
        cell, code = failed[0]
        log = folder_of(out, cell) / LOG
        tail = "\n".join(log.read_text("utf-8", "replace").strip().splitlines()[-8:])
        raise TrainingError(
            f"arm {cell[0]} with seed {cell[1]} failed (exit code {code}); the end of {log}:\n"
            f"{tail}\nWhat is done is kept: the same command goes on"
        )


def _started(out: Path, cell: Cell, task: Mapping[str, Any]) -> subprocess.Popen[bytes]:
    folder = folder_of(out, cell)
    before = folder / CELL
    text = json.dumps(task, indent=1, sort_keys=True) + "\n"
    if before.is_file() and before.read_text("utf-8") != text:
        shutil.rmtree(folder)  # begun where data lay elsewhere: nothing of it is done
    folder.mkdir(parents=True, exist_ok=True)
    before.write_text(text, "utf-8")
    threads = str(task["threads"])
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    with (folder / LOG).open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "trainer.ablation.cell", str(folder), str(os.getpid())],
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **dict.fromkeys(names, threads)},
        )


def _short(out: Path, cell: Cell) -> str:
    found = done(out, cell)
    assert found is not None
    return f"{found['cpu_seconds']:.0f} s of CPU"
