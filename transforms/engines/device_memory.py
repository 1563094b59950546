"""When an accelerator has no room left: the same work once more on a freed device, then it fails.

Never in a smaller batch: another batch would give other low bits, and results would depend on
what else was on the device that day.
"""

import gc
import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# How CTranslate2, PyTorch and cuBLAS say it.
_SAID = ("out of memory", "alloc_failed", "failed to allocate")


class NoRoomError(RuntimeError):
    """The device had no room for this work, twice."""


def twice(work: Callable[[], T], free: Callable[[], None]) -> T:
    """`work()`; where the device is full: `free()`, then `work()` once more.

    Raises `NoRoomError` when the second attempt finds no room either, anything else as it is.
    """
    for attempt in (1, 2):
        try:
            return work()
        except RuntimeError as error:
            if not any(said in str(error).lower() for said in _SAID):
                raise
            if attempt == 2:
                raise NoRoomError(str(error)) from error
        free()  # outside the handler: the error's frames hold tensors
    raise AssertionError("unreachable")


def free_caches() -> None:
    """Give back what Python and PyTorch keep for later."""
    gc.collect()
    torch = sys.modules.get("torch")  # never loaded for this
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
