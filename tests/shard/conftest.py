"""Documents and FLACs for the tests of shards, made from nothing but numbers."""

import dataclasses
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from schemas.ids import digest_of
from schemas.manifest import ShardEntry
from schemas.records import Chunk, Document, Word
from schemas.shard_writer import ShardWriter

RATE = 8000


def flac_of(document: Document) -> bytes:
    """Noise of the document's length, seeded by its id."""
    length = round(document.seconds * document.rate)
    noise = np.random.default_rng(int(document.id[:8], 16)).integers(-900, 900, length)
    sink = io.BytesIO()
    soundfile.write(sink, noise.astype(np.int16), document.rate, format="FLAC")
    return sink.getvalue()


def timed_words(start: float, end: float) -> tuple[Word, ...]:
    return (
        Word(text="Grüße,", start=start, end=start + 0.04, confidence=0.5),
        Word(text="wörld", start=start + 0.05, end=end),
    )


def document_of(
    number: int,
    *,
    chunks: int = 2,
    words: bool = True,
    modality: str = "both",
    split: str = "train",
    recording: str | None = None,
) -> Document:
    made = []
    for place in range(chunks):
        start, end = place * 800 / RATE, (place + 1) * 800 / RATE
        if modality == "text":
            start = end = 0.0
        timed = () if modality == "text" or not words else timed_words(start, end)
        made.append(
            Chunk(
                clip=digest_of("clip", number, place),
                start=start,
                end=end,
                text="Grüße, wörld",
                speaker=f"spk{place % 2}",
                words=timed,
                times="measured" if timed else "none",
                gap=0.25 * place,
                modality=modality,
            )
        )
    return Document(
        id=digest_of("document", number),
        stream="web",
        split=split,
        recording=recording or digest_of("recording", number),
        language="de",
        topic="",
        licence="CC0-1.0",
        source=f"file:///data/{number}.wav",
        rate=RATE,
        quality="given",
        chunks=tuple(made),
    )


def write(path: Path, documents: list[Document], name: str | None = None) -> ShardEntry:
    """A shard of documents in the order of their ids."""
    with ShardWriter(path, name=name) as writer:
        for document in sorted(documents, key=lambda d: d.id):
            audio = document.chunks[-1].modality != "text"
            writer.add(document, flac_of(document) if audio else None)
    assert writer.entry is not None
    return writer.entry


Shard = tuple[Path, ShardEntry, list[Document]]


@pytest.fixture
def shard(tmp_path: Path) -> Shard:
    """Seven documents, the first few without words: types must not depend on the first samples."""
    documents = sorted((document_of(n) for n in range(7)), key=lambda d: d.id)
    bare = [document_of_like(d) for d in documents[:6]]
    documents = [*bare, documents[6]]
    path = tmp_path / "web-00000000.tar"
    return path, write(path, documents), documents


def document_of_like(document: Document) -> Document:
    """The same document without its words."""
    chunks = tuple(dataclasses.replace(c, words=(), times="none") for c in document.chunks)
    return dataclasses.replace(document, chunks=chunks)
