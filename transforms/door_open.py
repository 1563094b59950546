"""Open a file's bytes through PyAV, with everything that is not needed forbidden.

Runs inside the child only. What is allowed is named: containers (`FORMATS`), audio decoders
(`DECODERS`; so no video, picture or subtitle decoder can ever run), and one open file. A nested
file or address, which playlists and references in files ask for, is refused three times over: the
playlist formats are not on the list, `io_open` refuses, and no protocol is allowed. The bytes
carry no name, so an extension decides nothing.

AVI stays off the list: its demuxer hands subtitles to other demuxers. SDP, HLS, DASH and concat
are playlists, not audio.
"""

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

from transforms.door_words import (
    MAX_CHANNELS,
    MAX_RATE,
    MIN_RATE,
    MediaError,
)

FORMATS = ("wav", "w64", "aiff", "caf", "flac", "mp3", "ogg", "aac", "mov", "matroska", "mpegts")

# Not 64-bit integers: PyAV cannot give their samples.
DECODERS = frozenset(
    {
        *("mp1float", "mp2float", "mp3float", "mp1", "mp2", "mp3"),
        *("aac", "aac_latm", "vorbis", "opus", "flac", "alac", "speex", "ac3", "eac3"),
        *("amrnb", "amrwb", "gsm", "gsm_ms", "adpcm_ms", "adpcm_ima_wav", "adpcm_ima_qt"),
        *("pcm_u8", "pcm_s8", "pcm_alaw", "pcm_mulaw"),
        *(
            f"pcm_{kind}{bits}{end}"
            for kind in "su"
            for bits in (16, 24, 32)
            for end in ("le", "be")
        ),
        *(f"pcm_f{bits}{end}" for bits in (32, 64) for end in ("le", "be")),
    }
)

ENCRYPTED = frozenset({"drms", "enca"})  # MP4 sample entries of protected audio

_MAGIC = (  # (offset, bytes): what only an allowed container begins with
    *((0, magic) for magic in (b"RIFF", b"RF64", b"BW64", b"riff\x2e", b"FORM", b"caff")),
    *((0, magic) for magic in (b"fLaC", b"OggS", b"ID3", b"\x1a\x45\xdf\xa3")),
    *((4, magic) for magic in (b"ftyp", b"moov", b"mdat")),
)

# Most playlists are recognised and refused by the whitelist; these are recognised by name only.
_PLAYLISTS = (b"#EXTM3U", b"[playlist]", b"<?xpls", b"<MPD", b"<smil")


class Bytes:
    """The one open file, without a name; it remembers why reading it failed."""

    def __init__(self, raw: BinaryIO, size: int) -> None:
        self._raw = raw
        self.size = size
        self.failure: OSError | None = None

    def read(self, count: int) -> bytes:
        try:
            return self._raw.read(count)
        except OSError as error:
            self.failure = error
            raise

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def peek(self, offset: int, count: int) -> bytes:
        """Bytes at an offset; the place of reading stays."""
        place = self._raw.tell()
        self._raw.seek(offset)
        data = self._raw.read(count)
        self._raw.seek(place)
        return data


@dataclasses.dataclass(kw_only=True)
class Track:
    """An opened file and the audio track that was chosen in it."""

    file: Bytes
    container: Any
    stream: Any
    tracks: int
    frames: int = 0  # decoded so far, at the source's rate
    seconds: float = 0.0
    rate: int = 0  # of the first decoded frame
    channels: int = 0
    damage: str = ""  # why decoding stopped before the end

    @property
    def codec(self) -> str:
        return str(self.stream.codec_context.codec.canonical_name)

    @property
    def format(self) -> str:
        return str(self.container.format.name).split(",")[0]


def _refuse(url: str, flags: int, options: dict[str, str]) -> NoReturn:
    raise PermissionError("no other file may be opened")


@contextlib.contextmanager
def opened(file: Bytes) -> Iterator[Track]:
    """The default audio track of a file. Raises `MediaError`."""
    import av

    options = {
        "format_whitelist": ",".join(FORMATS),
        "codec_whitelist": ",".join(sorted(DECODERS)),
        "protocol_whitelist": "none",
    }
    try:
        container = av.open(
            file, "r", options=options, io_open=_refuse, metadata_errors="replace",
            buffer_size=1 << 17,
        )  # fmt: skip
    except MemoryError:
        raise
    except Exception as error:
        _raise_unopened(file, error)
    with container:
        yield _chosen(file, container)


def _raise_unopened(file: Bytes, error: Exception) -> NoReturn:
    import av.error

    words = f"{type(error).__name__}: {error}"
    if file.failure is not None:
        raise MediaError("io", str(file.failure)) from error
    if isinstance(error, av.error.ArgumentError):  # what the format whitelist answers
        raise MediaError("format_not_allowed", words) from error
    if isinstance(error, av.error.DecoderNotFoundError):
        raise MediaError("unsupported_codec", words) from error
    if not isinstance(error, (av.error.FFmpegError, OSError, ValueError, EOFError)):
        raise error  # not what bad bytes do: a bug
    head = file.peek(0, 64)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_PLAYLISTS):
        raise MediaError("format_not_allowed", "a playlist") from error
    known = any(head[at : at + len(magic)] == magic for at, magic in _MAGIC)
    raise MediaError("broken" if known else "not_audio", words) from error


def _chosen(file: Bytes, container: Any) -> Track:
    """Take the default audio track; everything else is not even demuxed."""
    from av.stream import Discard

    audio = [stream for stream in container.streams if stream.type == "audio"]
    if not audio:
        kinds = sorted({stream.type or "unknown" for stream in container.streams})
        raise MediaError("no_audio", f"streams: {', '.join(kinds) or 'none'}")
    stream = container.streams.best("audio") or audio[0]
    context = stream.codec_context
    if context is None or context.codec.name not in DECODERS:
        name = "none" if context is None else context.codec.name
        raise MediaError("unsupported_codec", f"codec {name}")
    if _tag(context) in ENCRYPTED:
        raise MediaError("unsupported_codec", f"encrypted ({_tag(context)})")
    check_shape(context.sample_rate, context.channels)
    for other in container.streams:
        if other.index != stream.index:
            other.discard = Discard.all
    context.thread_count = 1
    return Track(file=file, container=container, stream=stream, tracks=len(audio))


def _tag(context: Any) -> str:
    try:
        return str(context.codec_tag)
    except UnicodeDecodeError:  # PyAV takes all tags for ASCII
        return ""


def check_shape(rate: int | None, channels: int | None) -> None:
    """Refuse rates and channel counts beyond the limits; 0 and None are unknown, so not refused."""
    if rate and not MIN_RATE <= rate <= MAX_RATE:
        raise MediaError("bad_rate", f"{rate} Hz")
    if channels and channels > MAX_CHANNELS:
        raise MediaError("too_many_channels", f"{channels} channels")
