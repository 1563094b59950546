"""Run a command and watch it: wall time, processor time and the memory of its whole process tree.

Memory is summed over the command and all its descendants 20 times a second, once as RSS, which
counts a page again for every process of the tree that maps it, and once as PSS, which divides a
page by all processes of the machine that map it: other programs that run at the time make it less.
Peaks shorter than a twentieth of a second can be missed.
"""

import dataclasses
import os
import pathlib
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence

import psutil

from benchmarks import circumstances as on
from benchmarks import run_log

HERTZ = 20.0
_NOT_KEPT = "PYTHONDONTWRITEBYTECODE"  # with it every run would compile our modules anew
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclasses.dataclass
class Watched:
    """What a command took. Bytes are sums over the tree at one moment."""

    code: int = 0
    wall: float = 0.0  # seconds
    cpu: float = 0.0  # seconds of all processes, user and system
    peak: int = 0  # bytes of RSS
    peak_pss: int = 0  # bytes of PSS
    at_peak: list[tuple[str, int]] = dataclasses.field(default_factory=list)  # process, bytes
    doing: str = ""  # at the peak: what `label` said
    samples: int = 0
    output: str = ""

    @property
    def hertz(self) -> float:
        """How often the memory was really read."""
        return self.samples / self.wall if self.wall else 0.0


class CommandFailed(RuntimeError):
    """The command that was to be measured failed."""


def memory_of(pid: int) -> tuple[int, int]:
    """Bytes of one process, as RSS and as PSS; 0 where it is gone.

    Where the kernel does not show the PSS, the RSS stands for it, which is never less.
    """
    try:
        text = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
        fields = dict(line.split(":", 1) for line in text.splitlines()[1:])
        return int(fields["Rss"].split()[0]) * 1024, int(fields["Pss"].split()[0]) * 1024
    except (ProcessLookupError, KeyError):  # it ended, or is about to
        return 0, 0
    except OSError:
        pass
    try:
        pages = int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
    except OSError:
        return 0, 0
    return pages * _PAGE, pages * _PAGE


def _name(process: psutil.Process) -> str:
    try:
        name, words = process.name(), process.cmdline()
    except psutil.Error:
        return "gone"
    if any("door_child" in word for word in words):
        return "decoder"
    if name in ("loom worker", "loom nursery"):
        return name.removeprefix("loom ")
    return "supervisor"


def environment(**more: str) -> dict[str, str]:
    """The environment of what is measured: ours, but compiled modules are kept, as by users."""
    return {name: value for name, value in os.environ.items() if name != _NOT_KEPT} | more


def tree(root: psutil.Process) -> list[psutil.Process]:
    """A process and all its descendants."""
    try:
        return [root, *root.children(recursive=True)]
    except psutil.Error:
        return []


def _sample(root: psutil.Process, into: Watched, label: Callable[[], str]) -> None:
    found = [(process, *memory_of(process.pid)) for process in tree(root)]
    rss, pss = (sum(sizes) for sizes in ([r for _, r, _ in found], [p for _, _, p in found]))
    into.samples += 1
    into.peak_pss = max(into.peak_pss, pss)
    if rss > into.peak:
        into.peak = rss
        into.doing = label()
        into.at_peak = [(_name(process), size) for process, size, _ in found if size]


def watch(
    command: Sequence[str],
    *,
    memory: bool = True,
    cwd: pathlib.Path | None = None,
    more: Mapping[str, str] | None = None,
    label: Callable[[], str] = str,
) -> Watched:
    """Run a command to its end; `label` is asked at every new peak.

    Raises `CommandFailed` with its last words where it fails.
    """
    seen = Watched()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.perf_counter()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
        env=environment(**(more or {})),
    ) as process:
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(process.stdout or ()))
        reader.start()
        if memory:
            root = psutil.Process(process.pid)
            while process.poll() is None:
                moment = time.perf_counter()
                _sample(root, seen, label)
                time.sleep(max(0.0, 1 / HERTZ - (time.perf_counter() - moment)))
        seen.code = process.wait()
        seen.wall = time.perf_counter() - began
        reader.join()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seen.cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    seen.output = "".join(lines)
    if seen.code:
        raise CommandFailed(f"{' '.join(command)} ended with {seen.code}:\n{seen.output[-4000:]}")
    return seen


def curate(
    data: pathlib.Path | str,
    out: pathlib.Path,
    *arguments: str,
    recipe: pathlib.Path | str,
    memory: bool = False,
    more: Mapping[str, str] | None = None,
) -> Watched:
    """`speechloom curate`, watched: what `make curate` runs once the set-up is done."""
    command = [sys.executable, "-m", "pipeline", "curate", "--data", str(data)]
    command += ["--recipe", str(recipe), "--out", str(out), *arguments]
    return watch(command, memory=memory, cwd=on.ROOT, more=more, label=lambda: run_log.now(out))
