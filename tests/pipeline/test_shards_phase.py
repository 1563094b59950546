"""Documents of a shard are read ahead by threads: in order, and never too many at a time."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.phases import shards


class Length:
    def __init__(self, seconds: float):
        self.seconds = seconds


@given(st.lists(st.floats(0.1, shards.AHEAD_SECONDS), max_size=200))
@settings(max_examples=30, deadline=None)
def test_reading_ahead_keeps_order_and_bounds(lengths: list[float]) -> None:
    items = [Length(seconds) for seconds in lengths]
    held: list[Any] = []
    lock = threading.Lock()

    def read(item: Any) -> Any:
        with lock:
            held.append(item)
            assert sum(one.seconds for one in held[:-1]) <= shards.AHEAD_SECONDS + 1e-6
            assert len(held) <= shards.AHEAD + 1
        return item

    taken = []
    with ThreadPoolExecutor(shards.READERS) as pool:
        for item in shards._ahead(pool, cast(Any, read), cast(Any, items)):
            taken.append(item)
            with lock:
                held.remove(item)
    assert taken == items and not held


def test_what_a_reader_raises_ends_the_shard() -> None:
    def read(item: Any) -> Any:
        raise ValueError("not a sound FLAC")

    with ThreadPoolExecutor(shards.READERS) as pool, pytest.raises(ValueError, match="sound FLAC"):
        list(shards._ahead(pool, cast(Any, read), cast(Any, [Length(1.0)] * 5)))
