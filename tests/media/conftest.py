"""Fixtures of the media tests: one door for all, a spool, and a way to put bytes through."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from transforms.door import Decoded, Door, Limits
from transforms.spool import FileSpool

Pcm16 = npt.NDArray[np.int16]
Through = Callable[..., tuple[Decoded, list[Pcm16]]]


@pytest.fixture(scope="module")
def door() -> Iterator[Door]:
    with Door(Limits(timeout_seconds=20.0)) as opened:
        yield opened


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[FileSpool]:
    with FileSpool(tmp_path, 16000, 1 << 30) as opened:
        yield opened


@pytest.fixture
def through(door: Door, tmp_path: Path) -> Through:
    """Decode bytes: what the door says, and the samples of each channel."""

    def put(
        data: bytes, rate: int = 16000, channels: str = "mix", by: Door = door
    ) -> tuple[Decoded, list[Pcm16]]:
        path = tmp_path / "media"
        path.write_bytes(data)
        with FileSpool(tmp_path, rate, 1 << 30) as sink:
            decoded = by.decode(path, rate, channels, sink)  # type: ignore[arg-type]
            return decoded, [sink.read(c, 0, sink.length(c)) for c in sink.channels()]

    return put


@pytest.fixture(scope="session")
def corpus() -> Path:
    beside = Path(__file__).resolve().parents[3] / "shared" / "corpus"
    folder = Path(os.environ.get("SPEECHLOOM_CORPUS", beside))
    if not (folder / "manifest.jsonl").exists():
        pytest.skip(f"no corpus at {folder}")
    return folder
