"""Samples kept on the worker's disk while their parent is worked on, and read by range.

`FileSpool` is what `decode` fills; `StoredAudio` reads what hear has stored. Both hold raw
little-endian PCM16 in files that have no name (unlinked at once), so that a killed worker leaves
nothing behind, and hold nothing in memory: ten hours of mono 16 kHz are 1.2 GB of disk.
"""

import bisect
import contextlib
import dataclasses
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from schemas.records import AudioRef, Clip, Segment, frames
from transforms import flac
from transforms.step import AudioRangeError, Pcm16, ScratchFull


class _RawFile:
    """Frames appended to an unlinked file, and read by offset."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        self.length = 0

    def append(self, block: Pcm16) -> None:
        view = np.ascontiguousarray(block, "<i2").data.cast("B")
        at = 2 * self.length
        try:
            while view:
                wrote = os.pwrite(self._file.fileno(), view, at)
                at, view = at + wrote, view[wrote:]
        except OSError as error:
            raise OSError(
                error.errno, f"{error.strerror}: cannot spool decoded audio in", str(self._folder)
            ) from error
        self.length += len(block)

    def read(self, start: int, end: int) -> Pcm16:
        out = np.empty(end - start, "<i2")
        view = out.data.cast("B")
        at = 2 * start
        while view:
            got = os.preadv(self._file.fileno(), [view], at)
            if not got:
                raise AudioRangeError(f"frames {start}..{end} are beyond {self.length}")
            at, view = at + got, view[got:]
        return out

    def close(self) -> None:
        self._file.close()


class _Closing:
    """`with` for what has files to give back."""

    def close(self) -> None:
        raise NotImplementedError(f"{type(self).__name__} must define close")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class FileSpool(_Closing):
    """The decoded channels of one recording: `AudioSink` while decoding, `Audio` afterwards."""

    def __init__(self, folder: Path, rate: int, cap_bytes: int) -> None:
        """Spool under `folder` (which must exist), at most `cap_bytes` for all channels."""
        self._folder = Path(folder)
        self._rate = rate
        self._cap = cap_bytes
        self._bytes = 0
        self._files: dict[int, _RawFile] = {}

    @property
    def rate(self) -> int:
        return self._rate

    def channels(self) -> Sequence[int]:
        return sorted(self._files)

    def length(self, channel: int) -> int:
        return self._files[channel].length

    def append(self, channel: int, frames: Pcm16) -> None:
        """Add int16 `[n]` to the end of a channel. Raises `ScratchFull` past the cap."""
        self._bytes += 2 * len(frames)
        if self._bytes > self._cap:
            raise ScratchFull(f"more than {self._cap} bytes of decoded audio in {self._folder}")
        if channel not in self._files:
            self._files[channel] = _RawFile(self._folder)
        self._files[channel].append(frames)

    def read(self, channel: int, start: int, end: int) -> Pcm16:
        file = self._files.get(channel)
        length = 0 if file is None else file.length
        if file is None or not 0 <= start <= end <= length:
            raise AudioRangeError(f"channel {channel} holds 0..{length}, not {start}..{end}")
        return file.read(start, end)

    @contextlib.contextmanager
    def relaid(self) -> Iterator["FileSpool"]:
        """An empty spool, whose samples take the place of these when the block ends well.

        For steps that lay a channel anew from what they read of it (verify, augment).
        """
        fresh = FileSpool(self._folder, self._rate, self._cap)
        try:
            yield fresh
        except BaseException:
            fresh.close()
            raise
        self.close()
        self._files, self._bytes = fresh._files, fresh._bytes

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}


@dataclasses.dataclass(frozen=True)
class _Piece:
    """Frames [start, end) of a channel lie in a member, from its frame `at` on."""

    start: int
    end: int
    ref: AudioRef
    at: int


class StoredAudio(_Closing):
    """The stored speech of one parent, addressed by its place in the recording.

    Serves annotate (segments), measure and compose (clips, whose refs are ranges of the same
    members). A member is fetched and decoded when first read, once, to the spool on disk.
    """

    def __init__(
        self,
        spans: Iterable[Segment | Clip],
        fetch: Callable[[AudioRef], bytes],
        folder: Path,
    ) -> None:
        """`fetch` gives the bytes of a ref's whole FLAC member.

        Raises `ValueError` where rates differ, or a span has no audio or audio of another length.
        """
        self._fetch = fetch
        self._folder = Path(folder)
        held = list(spans)
        rates = {span.rate for span in held}
        if len(rates) != 1:
            raise ValueError(f"spans of one rate are needed, these have {sorted(rates)}")
        (self._rate,) = rates
        by_channel: dict[int, list[_Piece]] = {}
        for span in held:
            by_channel.setdefault(span.channel, []).append(_piece(span))
        self._pieces = {channel: _disjoint(by_channel[channel]) for channel in sorted(by_channel)}
        self._members: dict[tuple[str, int], tuple[int, int]] = {}  # first frame and length in raw
        self._raw: _RawFile | None = None

    @property
    def rate(self) -> int:
        return self._rate

    def channels(self) -> Sequence[int]:
        return list(self._pieces)

    def length(self, channel: int) -> int:
        """The end of the last stored stretch: what lies after it is not known here."""
        return self._pieces[channel][-1].end

    def read(self, channel: int, start: int, end: int) -> Pcm16:
        pieces = self._pieces.get(channel, [])
        if not 0 <= start <= end:
            raise AudioRangeError(f"no range: {start}..{end}")
        parts: list[Pcm16] = []
        index = bisect.bisect_right(pieces, start, key=lambda piece: piece.start) - 1
        at = start
        while at < end:
            if not 0 <= index < len(pieces) or not pieces[index].start <= at < pieces[index].end:
                raise AudioRangeError(f"channel {channel}: {start}..{end} is not stored from {at}")
            piece = pieces[index]
            until = min(end, piece.end)
            parts.append(self._member_read(piece, at, until))
            at, index = until, index + 1
        return np.concatenate(parts) if parts else np.zeros(0, np.int16)

    def close(self) -> None:
        if self._raw is not None:
            self._raw.close()
        self._raw, self._members = None, {}

    def _member_read(self, piece: _Piece, start: int, end: int) -> Pcm16:
        first, length = self._member(piece.ref)
        offset = piece.at - piece.start
        if end + offset > length:
            raise AudioRangeError(
                f"member {piece.ref.tar}@{piece.ref.offset} holds {length} frames, "
                f"{end + offset} are needed"
            )
        assert self._raw is not None
        return self._raw.read(first + start + offset, first + end + offset)

    def _member(self, ref: AudioRef) -> tuple[int, int]:
        key = (ref.tar, ref.offset)
        if key not in self._members:
            if self._raw is None:
                self._raw = _RawFile(self._folder)
            first = self._raw.length
            for block in flac.blocks(self._fetch(ref)):
                self._raw.append(block)
            self._members[key] = (first, self._raw.length - first)
        return self._members[key]


def _piece(span: Segment | Clip) -> _Piece:
    start, end = frames(span.start, span.rate), frames(span.end, span.rate)
    ref = span.audio
    if ref is None or ref.rate != span.rate or ref.end - ref.start != end - start:
        raise ValueError(f"{span.id} has no stored audio of its {end - start} frames: {ref}")
    return _Piece(start, end, ref, ref.start)


def _disjoint(pieces: list[Any]) -> list[_Piece]:
    """Pieces in order without overlap; where two hold a frame (the same samples), one is left."""
    out: list[_Piece] = []
    covered = 0
    for piece in sorted(pieces, key=lambda piece: (piece.start, -piece.end, piece.ref.tar)):
        if piece.end <= max(covered, piece.start):
            continue
        cut = max(covered - piece.start, 0)
        out.append(_Piece(piece.start + cut, piece.end, piece.ref, piece.at + cut))
        covered = piece.end
    return out
