"""Media files made by code: tones, in any container and codec that PyAV can write.

Bit exact: the muxers' random serials and dates are off, so that the same call gives the same bytes.
"""

import functools
import io
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# name -> (muxer, encoder, sample format)
KINDS: dict[str, tuple[str, str, str]] = {
    "wav-u8": ("wav", "pcm_u8", "u8"),
    "wav-s16": ("wav", "pcm_s16le", "s16"),
    "wav-s24": ("wav", "pcm_s24le", "s32"),
    "wav-s32": ("wav", "pcm_s32le", "s32"),
    "wav-f32": ("wav", "pcm_f32le", "flt"),
    "wav-f64": ("wav", "pcm_f64le", "dbl"),
    "wav-alaw": ("wav", "pcm_alaw", "s16"),
    "wav-mulaw": ("wav", "pcm_mulaw", "s16"),
    "wav-adpcm": ("wav", "adpcm_ms", "s16"),
    "w64": ("w64", "pcm_s16le", "s16"),
    "caf": ("caf", "pcm_s16be", "s16"),
    "aiff": ("aiff", "pcm_s16be", "s16"),
    "flac": ("flac", "flac", "s16"),
    "flac24": ("flac", "flac", "s32"),
    "mp3": ("mp3", "libmp3lame", "fltp"),
    "vorbis": ("ogg", "vorbis", "fltp"),
    "opus": ("ogg", "libopus", "flt"),
    "m4a": ("ipod", "aac", "fltp"),
    "alac": ("ipod", "alac", "s16p"),
    "adts": ("adts", "aac", "fltp"),
    "webm": ("webm", "libopus", "flt"),
    "mkv-flac": ("matroska", "flac", "s16"),
    "mkv-aac": ("matroska", "aac", "fltp"),
    "mpegts": ("mpegts", "aac", "fltp"),
    "mp4": ("mp4", "aac", "fltp"),
}
LAYOUTS = {1: "mono", 2: "stereo", 4: "quad", 6: "5.1", 8: "7.1"}
_DTYPES = {"u8": np.uint8, "s16": np.int16, "s32": np.int32, "flt": np.float32, "dbl": np.float64}


def tone(seconds: float, rate: int, hertz: float = 440.0, level: float = 0.5) -> Floats:
    """A sine, `[frames]`."""
    return level * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def tones(seconds: float, rate: int, channels: int) -> Floats:
    """A tone of its own per channel (300, 400, 500 ... Hz), `[channels, frames]`."""
    return np.stack([tone(seconds, rate, 300.0 + 100 * index) for index in range(channels)])


def as_format(samples: Floats, name: str) -> npt.NDArray[np.generic]:
    """Floats `[channels, frames]` as PyAV wants them for a sample format."""
    planar = name.endswith("p")
    kind = _DTYPES[name.rstrip("p")]
    if np.issubdtype(kind, np.floating):
        cast = samples.astype(kind)
    elif kind is np.uint8:
        cast = np.clip(np.rint(samples * 128 + 128), 0, 255).astype(np.uint8)
    else:
        info = np.iinfo(kind)
        cast = np.clip(np.rint(samples * -float(info.min)), info.min, info.max).astype(kind)
    return np.ascontiguousarray(cast if planar else cast.T.reshape(1, -1))


def write(
    kind: str,
    samples: Floats,
    rate: int,
    *,
    video: bool = False,
    cover: bool = False,
    extra: Floats | None = None,
    options: dict[str, str] | None = None,
) -> bytes:
    """The bytes of a file of `kind` with `samples` `[channels, frames]`.

    `video` adds two seconds of moving grey, `cover` an attached picture, `extra` a second audio
    track (not the default one), `options` are the muxer's.
    """
    muxer, encoder, sample_format = KINDS[kind]
    target = io.BytesIO()
    settings = {"fflags": "bitexact", **(options or {})}
    with av.open(target, "w", format=muxer, options=settings) as container:
        moving = _video_stream(container) if video else None
        tracks = [_audio_stream(container, encoder, sample_format, samples, rate)]
        if extra is not None:
            tracks.append(_audio_stream(container, encoder, sample_format, extra, rate))
            tracks[1].disposition = av.stream.Disposition(0)
            tracks[0].disposition = av.stream.Disposition.default
        picture = _cover_stream(container) if cover else None
        container.start_encoding()
        if picture is not None:
            _put_cover(container, picture)
        if moving is not None:
            _put_video(container, moving)
        for track, content in zip(tracks, [samples, extra], strict=False):
            _put_audio(container, track, content, sample_format, rate)
    return target.getvalue()


def _audio_stream(container, encoder, sample_format, samples, rate):
    stream = container.add_stream(encoder, rate=rate, layout=LAYOUTS[len(samples)])
    stream.codec_context.format = sample_format
    stream.codec_context.flags |= av.codec.context.Flags.bitexact
    stream.codec_context.thread_count = 1
    if encoder == "vorbis":
        stream.codec_context.options = {"strict": "experimental"}  # it is marked so
    return stream


def _put_audio(container, stream, samples, sample_format, rate):
    step = stream.codec_context.frame_size or 4096
    for start in range(0, samples.shape[1], step):
        block = as_format(samples[:, start : start + step], sample_format)
        frame = av.AudioFrame.from_ndarray(block, sample_format, LAYOUTS[len(samples)])
        frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _video_stream(container):
    stream = container.add_stream("mpeg4", rate=10)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    return stream


def _put_video(container, stream):
    for index in range(20):
        picture = np.full((96, 64), index * 10, np.uint8)
        frame = av.VideoFrame.from_ndarray(picture, "yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, 10)
        container.mux(stream.encode(frame))
    container.mux(stream.encode(None))


def _cover_stream(container):
    stream = container.add_stream("png", rate=1)
    stream.width = stream.height = 16
    stream.pix_fmt = "rgb24"
    stream.disposition = av.stream.Disposition.attached_pic
    return stream


def _put_cover(container, stream):
    frame = av.VideoFrame.from_ndarray(np.full((16, 16, 3), 200, np.uint8), "rgb24")
    for packet in [*stream.encode(frame), *stream.encode(None)]:
        packet.pts = packet.dts = 0
        container.mux(packet)


@functools.cache
def small(kind: str) -> bytes:
    """Two seconds of two tones at 16 kHz (48 for Opus), for mutants."""
    rate = 48000 if "opus" in KINDS[kind][1] else 16000
    return write(kind, tones(2.0, rate, 2), rate)


def wav(data: bytes, *, rate: int, channels: int = 1, bits: int = 16, tag: int = 1,
        claimed: int | None = None) -> bytes:  # fmt: skip
    """A WAV file with any header one likes: `claimed` bytes of data, whatever there is."""
    size = len(data) if claimed is None else claimed
    align = channels * bits // 8
    form = b"".join(
        value.to_bytes(width, "little")
        for value, width in [
            (tag, 2), (channels, 2), (rate, 4), (min(rate * align, 2**32 - 1), 4),
            (min(align, 65535), 2), (bits, 2),
        ]
    )  # fmt: skip
    riff = min(36 + size, 2**32 - 1).to_bytes(4, "little")
    return (
        b"RIFF" + riff + b"WAVEfmt \x10\0\0\0" + form
        + b"data" + size.to_bytes(4, "little") + data
    )  # fmt: skip
