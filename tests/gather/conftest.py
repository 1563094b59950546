"""Made trees of files: bytes that begin like audio are enough, for nothing here decodes."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from schemas.records import Drop
from transforms.gather.crawl import Crawl
from transforms.gather.listing import find

WAVE = b"RIFF\x24\x00\x00\x00WAVEfmt " + bytes(28)

Outcome = dict[str, str]  # uri -> "" where it is found, else the reason of its drop


@pytest.fixture
def put(tmp_path: Path) -> Callable[..., Path]:
    """Write a file below DATA; its name may be bytes."""

    def put(name: str | bytes, content: bytes | str = WAVE) -> Path:
        path = os.path.join(os.fsencode(tmp_path), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        with open(path, "wb") as stream:
            stream.write(data)
        return Path(os.fsdecode(path))

    return put


@pytest.fixture
def outcome() -> Callable[..., Outcome]:
    """What `find` says of each uri; each must be there once."""

    def outcome(data: Path | str, **settings: object) -> Outcome:
        answers: Outcome = {}
        for item in find(str(data), Crawl(**settings)):  # type: ignore[arg-type]
            assert item.source.uri not in answers
            answers[item.source.uri] = item.drop.reason if item.drop else ""
            if item.drop:
                check_drop(item.drop)
                assert item.drop.root == item.source.id
        return answers

    return outcome


def check_drop(drop: Drop) -> None:
    assert drop.reason in Crawl.reasons
    assert (drop.step, drop.seconds) == (Crawl.name(), 0.0)
    drop.detail.encode("utf-8")  # valid text, whatever the file is called


@pytest.fixture
def nobody() -> Callable[[], AbstractContextManager[None]]:
    """A block without root's right to read everything."""
    return _nobody


@contextmanager
def _nobody() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
