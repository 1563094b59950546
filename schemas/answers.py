"""Requests to object stores, repeated until they are answered.

obstore repeats requests by itself, but gives up at once after some broken connections.
"""

import datetime
import re
import time
from collections.abc import Callable
from typing import Any, TypeVar

from obstore.exceptions import GenericError

R = TypeVar("R")

_PATIENCE = datetime.timedelta(seconds=60)  # with a place that does not answer
_FIRST_PAUSE = datetime.timedelta(milliseconds=100)
_LONGEST_PAUSE = datetime.timedelta(seconds=5)
# obstore's own base of 2 with its jitter gives up on a refused connection after 2 s (measured)
RETRIES: Any = {
    "max_retries": 100,
    "retry_timeout": _PATIENCE,
    "backoff": {"init_backoff": _FIRST_PAUSE, "max_backoff": _LONGEST_PAUSE, "base": 3},
}
_ANSWER_LOST = re.compile(
    r"HTTP error:|Error getting .* response body|Got invalid .* response|Server returned .* 5\d\d"
)


def until_answered(once: Callable[[], R]) -> R:
    """A request, tried until its answer arrives; after `_PATIENCE` raises what its last try did.

    obstore repeats requests too, but gives up at once where a connection of its pool is reset: a
    conditional put 17 of 60 times, a HEAD now and then.
    """
    until = time.monotonic() + _PATIENCE.total_seconds()
    pause = _FIRST_PAUSE.total_seconds()
    while True:
        try:
            return once()
        except GenericError as error:
            if _ANSWER_LOST.search(str(error)) is None or time.monotonic() + pause > until:
                raise
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE.total_seconds())
