"""What a figure was measured on: command, machine, versions and date, as lines of Markdown.

A figure without its circumstances cannot be compared with the next one, so every script of this
folder prints these lines above its table.
"""

import os
import pathlib
import platform
import shlex
import sys
import time

from pipeline.summary import versions

ROOT = pathlib.Path(__file__).resolve().parents[1]
CORPUS = pathlib.Path(os.environ.get("SPEECHLOOM_CORPUS", ROOT.parent / "shared" / "corpus"))


def processor() -> str:
    """The model of the processor, as the kernel names it."""
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(found, platform.machine())


def memory_gb() -> float:
    """Memory of the machine in 10^9 bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def load() -> float:
    """Runnable processes in the last minute: above the number of cores, times are too long."""
    return os.getloadavg()[0]


def circumstances() -> str:
    """The lines that stand above a table. The command is given relative to the repository."""
    script = pathlib.Path(sys.argv[0])
    if script.is_absolute() and script.is_relative_to(ROOT):
        script = script.relative_to(ROOT)
    named = ", ".join(f"{name} {version}" for name, version in versions())
    return "\n".join(
        (
            f"    python {shlex.join([str(script), *sys.argv[1:]])}",
            "",
            f"{time.strftime('%Y-%m-%d %H:%M', time.gmtime())} UTC; "
            f"{len(os.sched_getaffinity(0))} cores of {processor()}, {memory_gb():.0f} GB; "
            f"load {load():.1f} at the start; Python {platform.python_version()}, {named}.",
            "",
        )
    )


def row(*cells: object) -> str:
    """One row of a Markdown table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def head(*names: str) -> str:
    """The first two rows of a Markdown table."""
    return row(*names) + "\n|" + "---|" * len(names)
