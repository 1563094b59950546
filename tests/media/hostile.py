"""Hostile media, made by a seed: the faults that strangers' files have, and those they put there.

`item(seed, index)` is a pure function, so a failure is found again by its two numbers. Each item
may say what must become of it; None means that any declared outcome will do.
"""

import dataclasses
import functools
import io
import random
from collections.abc import Callable, Iterator

import numpy as np

from tests.media import made_media as media

BASES = (
    "wav-s16", "wav-f32", "wav-adpcm", "aiff", "flac", "mp3", "vorbis", "opus", "m4a", "adts",
    "webm", "mkv-flac", "mpegts", "caf", "w64", "alac",
)  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Item:
    """One hostile file: its bytes, how it was made, and the outcomes that are right for it."""

    index: int
    fault: str
    data: bytes
    right: frozenset[str] | None  # codes, or "kept"


@dataclasses.dataclass(frozen=True)
class Made:
    data: bytes
    right: frozenset[str] | None = None


def items(seed: int, count: int) -> Iterator[Item]:
    for index in range(count):
        yield item(seed, index)


def item(seed: int, index: int) -> Item:
    """The item of a seed and an index. Every fault has its turn; details are drawn."""
    names = sorted(FAULTS)
    fault = names[index % len(names)]
    made = FAULTS[fault](random.Random(f"{seed}:{index}"))
    return Item(index, fault, made.data, made.right)


def only(*codes: str) -> frozenset[str]:
    return frozenset(codes)


def _base(draw: random.Random) -> bytes:
    return media.small(draw.choice(BASES))


def cut(draw: random.Random) -> Made:
    data = _base(draw)
    return Made(data[: len(data) * draw.randrange(1, 100) // 100])


def bit_flips(draw: random.Random) -> Made:
    data = bytearray(_base(draw))
    for _ in range(draw.choice([1, 3, 10, 100])):
        data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return Made(bytes(data))


def header_flips(draw: random.Random) -> Made:
    data = bytearray(_base(draw))
    for _ in range(draw.choice([1, 4, 16])):
        data[draw.randrange(min(len(data), 256))] = draw.choice([0, 1, 0x7F, 0x80, 0xFF])
    return Made(bytes(data))


def splice(draw: random.Random) -> Made:
    one, two = _base(draw), _base(draw)
    return Made(one[: draw.randrange(len(one))] + two[draw.randrange(len(two)) :])


def hole(draw: random.Random) -> Made:
    data = bytearray(_base(draw))
    start = draw.randrange(len(data))
    size = min(draw.choice([16, 500, 5000]), len(data) - start)
    data[start : start + size] = draw.choice([bytes(size), draw.randbytes(size), b"\xff" * size])
    return Made(bytes(data))


def garbage(draw: random.Random) -> Made:
    return Made(draw.randbytes(draw.choice([1, 10, 1000, 60000])))


def magic_and_garbage(draw: random.Random) -> Made:
    magic = draw.choice(
        [b"RIFF\x10\0\0\0WAVE", b"fLaC", b"OggS", b"ID3\x04\0\0", b"\x1a\x45\xdf\xa3", b"FORM",
         b"\0\0\0\x20ftypM4A ", b"\xff\xfb\x90\x64", b"\xff\xf1\x50\x80", b"caff\0\x01", b"riff"]
    )  # fmt: skip
    return Made(magic + draw.randbytes(draw.choice([0, 50, 4000])))


def wav_lies(draw: random.Random) -> Made:
    rate = draw.choice([0, 1, 3999, 4000, 8000, 16000, 384000, 384001, 2**31 - 1, 2**32 - 1])
    channels = draw.choice([0, 1, 2, 32, 33, 255, 65535])
    bits = draw.choice([0, 1, 8, 12, 16, 24, 32, 64, 65535])
    tag = draw.choice([1, 1, 1, 3, 6, 7, 2, 0x11, 0x31, 0x55, 0xFF, 0x161, 0xFFFE, 0xFFFF])
    claimed = draw.choice([None, 0, 1, 2**31, 2**32 - 1])
    if not bits * channels // 8:
        bits, channels = 16, 1
    header = {"rate": rate, "channels": channels, "bits": bits, "tag": tag, "claimed": claimed}
    return Made(media.wav(draw.randbytes(32000), **header))


def bad_rate(draw: random.Random) -> Made:
    rate = draw.choice([1, 100, 3999, 384001, 10**6, 2**31 - 1])
    return Made(media.wav(bytes(64000), rate=rate), only("bad_rate"))


def many_channels(draw: random.Random) -> Made:
    channels = draw.choice([33, 64, 255])
    return Made(
        media.wav(bytes(channels * 2000), rate=16000, channels=channels),
        only("too_many_channels"),
    )


def claims_gigabytes(draw: random.Random) -> Made:
    frames = draw.choice([16000, 20000, 48000])
    data = media.wav(b"\x01\x02" * frames, rate=16000, claimed=draw.choice([2**32 - 1, 2**32 - 37]))
    return Made(data, only("kept"))


@functools.cache
def silence(seconds: int) -> bytes:
    """Silence in FLAC: 700 bytes of samples per byte of file."""
    import soundfile

    target = io.BytesIO()
    soundfile.write(target, np.zeros(seconds * 16000, np.int16), 16000, format="FLAC")
    return target.getvalue()


def bomb(draw: random.Random) -> Made:
    """Eight minutes of silence in 22 kB are a bomb; half a minute may be a pause."""
    if draw.random() < 0.5:
        return Made(silence(480), only("bomb"))
    return Made(silence(30), only("kept"))


def non_finite(draw: random.Random) -> Made:
    kind, width, tag = draw.choice([("<f4", 32, 3), ("<f8", 64, 3)])
    samples = np.full(20000, 0.1, kind)
    samples[draw.randrange(20000)] = draw.choice([float("nan"), float("inf"), float("-inf")])
    channels = draw.choice([1, 2])
    data = media.wav(samples.tobytes(), rate=16000, bits=width, tag=tag, channels=channels)
    return Made(data, only("non_finite"))


def over_range(draw: random.Random) -> Made:
    samples = np.full(20000, draw.choice([2.0, -5.0, 1e30, -3e38]), "<f4")
    return Made(media.wav(samples.tobytes(), rate=16000, bits=32, tag=3), only("kept"))


def double_beyond_float(draw: random.Random) -> Made:
    samples = np.full(20000, draw.choice([1e300, -1e39]), "<f8")
    return Made(media.wav(samples.tobytes(), rate=16000, bits=64, tag=3), only("non_finite"))


def odd_shapes(draw: random.Random) -> Made:
    rate, channels = draw.choice([(8000, 1), (192000, 2), (384000, 1), (44100, 6), (4000, 1)])
    samples = draw.randbytes(2 * rate * channels // 2)
    return Made(media.wav(samples, rate=rate, channels=channels), only("kept"))


def nothing(draw: random.Random) -> Made:
    return Made(b"", only("empty"))


def no_samples(draw: random.Random) -> Made:
    return Made(media.wav(b"", rate=16000, channels=draw.choice([1, 2])), only("zero_samples"))


def a_blink(draw: random.Random) -> Made:
    frames = draw.randrange(1, 1500)
    return Made(media.wav(b"\x05\0" * frames, rate=16000), only("too_short"))


def web_page(draw: random.Random) -> Made:
    text = "<!DOCTYPE html><html><head><title>404</title></head><body>" + "<p>gone</p>" * 200
    return Made(text.encode(), only("not_audio", "format_not_allowed"))


PLAYLISTS: dict[str, Callable[[str], str]] = {
    "m3u8": lambda name: f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{name}\n#EXT-X-ENDLIST\n",
    "m3u8-map": lambda name: f'#EXTM3U\n#EXT-X-MAP:URI="{name}"\n#EXTINF:9,\n{name}\n',
    "ffconcat": lambda name: f"ffconcat version 1.0\nfile '{name}'\n",
    "sdp": lambda name: (
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        "m=audio 5004 RTP/AVP 0\na=rtpmap:0 PCMU/8000\n"
    ),
    "dash": lambda name: (
        '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011"><Period><AdaptationSet>'
        f"<Representation><BaseURL>{name}</BaseURL></Representation></AdaptationSet></Period></MPD>"
    ),
    "pls": lambda name: f"[playlist]\nFile1={name}\nNumberOfEntries=1\n",
    "srt": lambda name: f"1\n00:00:00,000 --> 00:00:09,000\n{name}\n\n",
    "vtt": lambda name: f"WEBVTT\n\n00:00.000 --> 00:09.000\n{name}\n",
    "ffmetadata": lambda name: f";FFMETADATA1\ntitle={name}\n",
    "imf": lambda name: f"<CompositionPlaylist><Id>{name}</Id></CompositionPlaylist>",
}


def playlist(draw: random.Random) -> Made:
    name = draw.choice(["canary.wav", "/etc/passwd", "file:canary.wav", "http://127.0.0.1:9/x"])
    text = PLAYLISTS[draw.choice(sorted(PLAYLISTS))](name)
    return Made(text.encode(), only("format_not_allowed", "not_audio"))


def playlist_in_disguise(draw: random.Random) -> Made:
    text = PLAYLISTS[draw.choice(sorted(PLAYLISTS))]("canary.wav").encode()
    before = draw.choice(
        [b"ID3\x04\0\0\0\0\0\0", b"\xef\xbb\xbf", b"\n\n", media.small("mp3")[:400]]
    )
    return Made(before + text)


def forbidden_format(draw: random.Random) -> Made:
    data = draw.choice(
        [b"NIST_1A\n   1024\n" + bytes(3000), b"\x89PNG\r\n\x1a\n" + bytes(500),
         b"FLV\x01\x05\0\0\0\x09" + bytes(500), b"\x30\x26\xb2\x75\x8e\x66\xcf\x11" + bytes(500),
         b"RIFF\x10\0\0\0AVI LIST" + bytes(500), b"\x7fELF" + bytes(500),
         b"PK\x03\x04" + bytes(500), b"%PDF-1.7\n" + bytes(500), b"GIF89a" + bytes(500),
         b"#!AMR\n" + bytes(500)]
    )  # fmt: skip
    return Made(data, only("format_not_allowed", "not_audio", "broken", "zero_samples"))


def huge_tag(draw: random.Random) -> Made:
    size = draw.choice([2**28 - 1, 2**20])
    coded = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    return Made(b"ID3\x04\0\0" + coded + b"APIC" + b"\x7f\xff\xff\xff\0\0" + media.small("mp3"))


def huge_atom(draw: random.Random) -> Made:
    data = bytearray(media.small("m4a"))
    for name in (b"stsz", b"stts", b"stco", b"stsc"):
        at = data.find(name)
        if at > 0 and draw.random() < 0.7:
            count = draw.choice([2**31 - 1, 2**28, 2**20]).to_bytes(4, "big")
            place = at + (12 if name == b"stsz" else 8)
            data[place : place + 4] = count
    return Made(bytes(data))


def bad_text(draw: random.Random) -> Made:
    """Tags that are not UTF-8: what makes a careless reader raise UnicodeDecodeError."""
    title = b"TIT2" + (20).to_bytes(4, "big") + b"\0\0\x03" + b"\xff\xfe\xc3\x28\xed\xa0\x80" * 2
    body = title + bytes(40)
    return Made(b"ID3\x03\0\0\0\0\0" + bytes([len(body)]) + body + media.small("mp3"), only("kept"))


def chained(draw: random.Random) -> Made:
    kind = draw.choice(["opus", "vorbis", "mp3", "adts"])
    return Made(media.small(kind) * draw.choice([2, 5]))


FAULTS: dict[str, Callable[[random.Random], Made]] = {
    fault.__name__: fault
    for fault in (
        cut, bit_flips, header_flips, splice, hole, garbage, magic_and_garbage, wav_lies, bad_rate,
        many_channels, claims_gigabytes, bomb, non_finite, over_range, double_beyond_float,
        odd_shapes, nothing, no_samples, a_blink, web_page, playlist, playlist_in_disguise,
        forbidden_format, huge_tag, huge_atom, bad_text, chained,
    )
}  # fmt: skip
