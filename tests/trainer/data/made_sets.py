"""Shard sets for the tests of the trainer's data: made by our writer from noise and numbered words,
and two toy tokenizers whose output can be told from the input by eye."""

import dataclasses
import hashlib
import io
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from schemas.ids import digest_of
from schemas.manifest import Manifest, ShardEntry, manifest_files
from schemas.records import Chunk, Document, Word
from schemas.shard_tokens import TokenizerEntry
from schemas.shard_writer import ShardWriter
from schemas.token_frames import FrameGrid

RATE = 8000
GRID = FrameGrid(rate=RATE, hop=200)  # 40 positions a second


class ByteText:
    """Every byte of UTF-8 is a token."""

    size = 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())


class Energy:
    """The mean level of each hop, in 64 steps. One codebook, or the same in several."""

    name = "energy"
    levels = 64
    frames_per_second = GRID.rate_hz

    def __init__(self, codebooks: int = 1) -> None:
        self.codebooks = codebooks
        self.digest = hashlib.sha256(f"energy {codebooks}".encode()).hexdigest()
        self.grid = GRID
        self.heard = 0  # samples

    def encode(self, pcm: npt.NDArray[np.int16], rate: int) -> npt.NDArray[np.uint8]:
        self.heard += len(pcm)
        count = self.grid.positions(len(pcm), rate)
        padded = np.zeros(count * self.grid.hop)
        padded[: len(pcm)] = np.abs(pcm.astype(np.float64))
        level = padded.reshape(count, self.grid.hop).mean(axis=1) / 16
        units = np.minimum(level, 63).astype(np.uint8)
        return np.stack([(units + book) % 64 for book in range(self.codebooks)], axis=1)

    def entry(self) -> TokenizerEntry:
        return TokenizerEntry(
            name=self.name,
            engine="toy",
            digest=self.digest,
            codebooks=self.codebooks,
            levels=self.levels,
            grid=self.grid,
        )


def document_of(
    name: str,
    number: int,
    seconds: Sequence[float],
    *,
    split: str = "train",
    speakers: int = 1,
    words: bool = True,
    modality: str = "both",
) -> Document:
    """A document whose chunk i lasts `seconds[i]` and says so in its words."""
    chunks, at = [], 0
    for place, length in enumerate(seconds):
        samples = max(round(length * RATE), 1)
        end = at if modality == "text" else at + samples
        said = [f"d{number}c{place}w{i}" for i in range(max(1, round(length * 2)))]
        step = (end - at) / len(said)
        timed = tuple(
            Word(
                text=word, start=round(at + i * step) / RATE, end=round(at + (i + 1) * step) / RATE
            )
            for i, word in enumerate(said)
        )
        chunks.append(
            Chunk(
                clip=digest_of("clip", name, number, place),
                start=at / RATE,
                end=end / RATE,
                text=" ".join(said),
                speaker=f"spk{place % speakers}",
                words=timed if words and modality != "text" else (),
                times="measured" if words and modality != "text" else "none",
                modality=modality,  # type: ignore[arg-type]
            )
        )
        at = end
    return Document(
        id=digest_of("document", name, number),
        stream=name,
        split=split,
        recording=digest_of("recording", name, number),
        language="en",
        topic="",
        licence="CC0",
        source=f"made:{name}/{number}",
        rate=RATE,
        quality="given",
        chunks=tuple(chunks),
    )


def pcm_of(document: Document) -> npt.NDArray[np.int16]:
    """Noise whose loudness changes from chunk to chunk."""
    rng = np.random.default_rng(int(document.id[:8], 16))
    parts = []
    for chunk in document.chunks:
        size = round(chunk.end * RATE) - round(chunk.start * RATE)
        parts.append(rng.normal(0, rng.integers(40, 900), size))
    return np.clip(np.concatenate(parts), -32768, 32767).astype(np.int16)


def flac_of(document: Document) -> bytes | None:
    if document.chunks[0].modality == "text":
        return None
    sink = io.BytesIO()
    soundfile.write(sink, pcm_of(document), RATE, format="FLAC")
    return sink.getvalue()


def write_set(
    folder: Path,
    documents: Sequence[Document],
    per_shard: int = 8,
    tokens: Energy | None = None,
    keep_audio: bool = True,
    views: Any = None,
) -> Path:
    """A composition folder of these documents, of any number of streams and splits."""
    kinds: dict[tuple[str, str], list[Document]] = {}
    for document in documents:
        kinds.setdefault((document.split, document.stream), []).append(document)
    entries: list[ShardEntry] = []
    for (split, stream), own in sorted(kinds.items()):
        (folder / split).mkdir(parents=True, exist_ok=True)
        ordered = sorted(own, key=lambda document: document.id)
        for first in range(0, len(ordered), per_shard):
            part = ordered[first : first + per_shard]
            name = f"{split}/{stream}-{part[0].id[:8]}.tar"
            entry = [tokens.entry()] if tokens is not None else []
            with ShardWriter(folder / name, name, entry, keep_audio) as writer:
                for document in part:
                    _add(writer, document, tokens, keep_audio)
            assert writer.entry is not None
            entries.append(writer.entry)
    manifest = Manifest(
        name="made",
        shards=tuple(entries),
        views=views,
        tokenizers=(tokens.entry(),) if tokens is not None else (),
    )
    for name, data in manifest_files(manifest).items():
        (folder / name).write_bytes(data)
    return folder


def _add(writer: ShardWriter, document: Document, tokens: Energy | None, keep_audio: bool) -> None:
    flac = flac_of(document)
    if tokens is None or flac is None:
        writer.add(document, flac)
        return
    pcm = pcm_of(document)
    made = [
        tokens.encode(pcm[round(c.start * RATE) : round(c.end * RATE)], RATE)
        for c in document.chunks
    ]
    writer.add(document, flac if keep_audio else None, {tokens.name: np.concatenate(made)})


def speech_documents(
    name: str, count: int, seed: int = 0, chunks: tuple[int, int] = (1, 12), **about: Any
) -> list[Document]:
    """Documents of chunks of 0.2 to 1.2 s."""
    rng = random.Random(seed)
    return [
        document_of(
            name,
            number,
            [rng.uniform(0.2, 1.2) for _ in range(rng.randint(*chunks))],
            **about,
        )
        for number in range(count)
    ]


def text_documents(name: str, count: int, seed: int = 0) -> list[Document]:
    rng = random.Random(seed)
    return [
        document_of(
            name, n, [rng.uniform(0.5, 4) for _ in range(rng.randint(1, 5))], modality="text"
        )
        for n in range(count)
    ]


def changed(entry: ShardEntry, **values: Any) -> ShardEntry:
    return dataclasses.replace(entry, **values)
