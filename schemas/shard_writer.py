"""Writes one shard and its index, document by document, never holding more than one.

The bytes are a pure function of the documents and their FLACs. Files are written where the caller
says, under a name that is not yet the final one if others may look: committing is the store's
business. A writer that is left by an exception removes what it wrote.
"""

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from schemas.checksums import crc32
from schemas.manifest import ShardEntry, index_name
from schemas.records import Document, frames
from schemas.shard import ShardError, document_counts, has_audio, key_of, to_json
from schemas.shard_flac import flac_info
from schemas.shard_index import IndexRow, TokenMember, index_bytes, outline_of
from schemas.shard_tar import ending, header, padding
from schemas.shard_tokens import TokenizerEntry, Units, check_units, npy_bytes


class ShardWriter:
    """`with ShardWriter(path, name="train/web-0a1b2c3d.tar") as writer: writer.add(...)`.

    `path` is a local file that must not exist; the index goes beside it, ending in `.parquet`.
    `name` is the shard's path below the manifest. Documents come in the order of their ids, all
    of one stream and split, all with speech or all without. `entry` is there once it is closed.
    `tokenizers`: whose tokens every document with speech brings; `keep_audio` False: they stand
    instead of the FLACs, not beside them.
    """

    def __init__(
        self,
        path: Path,
        name: str | None = None,
        tokenizers: Sequence[TokenizerEntry] = (),
        keep_audio: bool = True,
    ) -> None:
        self._tokenizers = {entry.name: entry for entry in sorted(tokenizers, key=_name)}
        self._keep_audio = keep_audio
        if len(self._tokenizers) != len(tokenizers) or not (tokenizers or keep_audio):
            raise ValueError(f"two tokenizers of one name, or nothing to store: {tokenizers}")
        self.path = path
        self.name = name if name is not None else path.name
        self.entry: ShardEntry | None = None
        self._rows: list[IndexRow] = []
        self._sha256 = hashlib.sha256()
        self._size = 0
        self._kind: tuple[str, str, bool] | None = None
        self._file: BinaryIO = path.open("xb")

    @property
    def index_path(self) -> Path:
        return Path(
            index_name(str(self.path)) if self.path.suffix == ".tar" else f"{self.path}.parquet"
        )

    def add(
        self, document: Document, flac: bytes | None, tokens: Mapping[str, Units] | None = None
    ) -> None:
        """Append one document with its tokens by tokenizer. Raises `ShardError` where it does not
        belong, where its FLAC does not have its rate, one channel and its length to the frame, or
        where its tokens are not as many as its chunks' times ask for."""
        key = key_of(document)
        kind = (document.stream, document.split, has_audio(document))
        if self._rows and key <= self._rows[-1].key:
            raise ShardError("order", f"{key} after {self._rows[-1].key}: ids must ascend")
        if self._kind not in (None, kind):
            raise ShardError("mixed", f"document {key} is {kind}, this shard holds {self._kind}")
        self._check_speech(document, flac, tokens or {})
        self._kind = kind
        data = to_json(document, tokens_only=not self._keep_audio)
        stored = tuple(
            self._tokens(key, name, units) for name, units in sorted((tokens or {}).items())
        )
        flac_offset = self._member(f"{key}.flac", flac) if flac is not None else 0
        json_offset = self._member(f"{key}.json", data)
        self._rows.append(
            IndexRow(
                key=key,
                flac_offset=flac_offset,
                flac_size=len(flac or b""),
                flac_crc32=crc32(flac) if flac is not None else 0,
                json_offset=json_offset,
                json_size=len(data),
                json_crc32=crc32(data),
                seconds=document.seconds,
                **document_counts(document),
                tokens=stored,
                outline=outline_of(document),
            )
        )

    def _check_speech(
        self, document: Document, flac: bytes | None, tokens: Mapping[str, Units]
    ) -> None:
        if self._keep_audio or flac is not None:
            check_flac(document, flac)
        if flac is not None and not self._keep_audio:
            raise ShardError(
                "bad_flac", f"document {document.id} has a FLAC; tokens alone are kept"
            )
        wanted = set(self._tokenizers) if has_audio(document) else set()
        if set(tokens) != wanted:
            raise ShardError(
                "bad_tokens",
                f"document {document.id} brings tokens of {sorted(tokens)}, not {sorted(wanted)}",
            )
        for name, units in tokens.items():
            check_units(document, self._tokenizers[name], units, f"document {document.id}")

    def _tokens(self, key: str, name: str, units: Units) -> TokenMember:
        data = npy_bytes(units)
        return TokenMember(
            name=name,
            offset=self._member(f"{key}.{name}.npy", data),
            size=len(data),
            crc32=crc32(data),
            positions=len(units),
        )

    def close(self) -> ShardEntry:
        """Finish both files and say what they hold. An empty shard is refused."""
        if self._kind is None:
            raise ShardError("empty", f"{self.name}: a shard holds at least one document")
        self._write(ending(self._size))
        self._file.close()
        index = index_bytes(self._rows)
        with self.index_path.open("xb") as file:
            file.write(index)
        stream, split, audio = self._kind
        self.entry = ShardEntry(
            name=self.name,
            sha256=self._sha256.hexdigest(),
            bytes=self._size,
            index_sha256=hashlib.sha256(index).hexdigest(),
            stream=stream,
            split=split,
            audio="flac" if audio and self._keep_audio else "none",
            documents=len(self._rows),
            chunks=sum(row.chunks for row in self._rows),
            seconds=math.fsum(row.seconds for row in self._rows),
            characters=sum(row.characters for row in self._rows),
            words=sum(row.words for row in self._rows),
        )
        return self.entry

    def abort(self) -> None:
        """Remove what was written."""
        self._file.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.entry is not None:
            return
        if error is not None:
            self.abort()
            return
        try:
            self.close()
        except BaseException:
            self.abort()
            raise

    def _member(self, name: str, data: bytes) -> int:
        self._write(header(name, len(data)) + data + padding(len(data)))
        return self._size - len(data) - len(padding(len(data)))

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self._sha256.update(data)
        self._size += len(data)


def _name(entry: TokenizerEntry) -> str:
    return entry.name


def check_flac(document: Document, flac: bytes | None) -> None:
    """Raise `ShardError` where a FLAC is not, by its header, the audio of a document."""
    if not has_audio(document):
        if flac is not None:
            raise ShardError("bad_flac", f"document {document.id} is text only and has a FLAC")
        return
    if flac is None:
        raise ShardError("bad_flac", f"document {document.id} has speech and no FLAC")
    info = flac_info(flac, document.id)
    expected = (document.rate, 1, frames(document.seconds, document.rate))
    if (info.rate, info.channels, info.frames) != expected:
        raise ShardError(
            "bad_flac",
            f"document {document.id} has (rate, channels, frames) {expected}, its FLAC says "
            f"{(info.rate, info.channels, info.frames)}",
        )
