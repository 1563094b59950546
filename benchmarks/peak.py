"""The peak memory of this process alone.

`getrusage` would count the parent's as well: its figure is carried over when a program is started.
"""

import pathlib


def peak_mb() -> float:
    """The most memory that was resident since this program began, in 10^6 bytes (Linux)."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise OSError("the kernel does not tell VmHWM: this figure needs Linux")
