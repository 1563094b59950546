"""The device class: what must be equal for results to be equal, bit for bit.

Floating-point kernels differ between instruction sets, so the level is found once, pinned for
every library that picks kernels at run time, and made part of the phase keys. A worker of another
class refuses to start instead of mixing results (architecture: law 2).
"""

import functools
import os
import platform
from pathlib import Path

_LEVELS = (
    ("x86-64-v4", {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"}),
    ("x86-64-v3", {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}),
    ("x86-64-v2", {"cx16", "popcnt", "sse4_1", "sse4_2", "ssse3"}),
)

# How each library spells "no wider than this".
_PINS = {
    "x86-64-v4": {
        "ATEN_CPU_CAPABILITY": "avx512",
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE",
        "CT2_FORCE_CPU_ISA": "AVX512",
        "MKL_ENABLE_INSTRUCTIONS": "AVX512",
        "OPENBLAS_CORETYPE": "SkylakeX",
    },
    "x86-64-v3": {
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "CT2_FORCE_CPU_ISA": "AVX2",
        "MKL_ENABLE_INSTRUCTIONS": "AVX2",
        "OPENBLAS_CORETYPE": "Haswell",
    },
}

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


class DeviceClassError(RuntimeError):
    """A worker runs on another device class than the one its phase key was made for."""


@functools.cache
def instruction_set() -> str:
    """The x86-64 level of this processor, or the bare architecture elsewhere."""
    machine = platform.machine()
    if machine != "x86_64":
        return machine
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return "x86-64"
    flags: set[str] = set()
    for line in text.splitlines():
        if line.startswith("flags"):
            flags = set(line.split(":", 1)[1].split())
            break
    for level, needed in _LEVELS:
        if needed <= flags:
            return level
    return "x86-64"


def device_class(accelerator: str = "cpu") -> str:
    """What results depend on besides settings and libraries: "cpu/x86-64-v4/1-thread"."""
    return f"{accelerator}/{instruction_set()}/1-thread"


def pins() -> dict[str, str]:
    """Environment variables that hold a process to its device class; set before any import.

    Also one thread per model, and no telemetry from any dependency.
    """
    return {
        **_PINS.get(instruction_set(), {}),
        **dict.fromkeys(_THREADS, "1"),
        "PYANNOTE_METRICS_ENABLED": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "DO_NOT_TRACK": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONHASHSEED": "0",
    }


def pin() -> None:
    """Pin this process and its children."""
    os.environ.update(pins())


def require(expected: str) -> None:
    """Refuse to work for a phase that was keyed for another device class."""
    actual = device_class()
    if actual != expected:
        raise DeviceClassError(
            f"this worker is of device class {actual}, the phase was planned for {expected}: "
            "mixing them would mix results. Run all workers of a phase on one kind of machine, "
            "or plan on this one"
        )


def require_pinned() -> None:
    """Refuse to work in a process that was not started with the pins: its libraries may already
    have chosen other kernels, or more threads."""
    wrong = sorted(name for name, value in pins().items() if os.environ.get(name) != value)
    if wrong:
        raise DeviceClassError(
            f"this worker was started without {', '.join(wrong[:3])}, so its results may be "
            "others. Start workers by `python -m pipeline.runners.pool`, or containers by the "
            "entry point of containers/"
        )
