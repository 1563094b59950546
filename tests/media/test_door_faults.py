"""Each fault of the catalogue has one right outcome: a code, or what can be kept."""

import os
import socket
from pathlib import Path

import numpy as np
import pytest

from tests.media import hostile
from tests.media import made_media as media
from tests.media.conftest import Through
from transforms.door import CODES, Door, Limits, MediaError
from transforms.spool import FileSpool

SECOND = b"\x10\0" * 16000


def flac_with_total(data: bytes, total: int) -> bytes:
    """A FLAC whose header states another number of samples (36 bits of STREAMINFO)."""
    lied = bytearray(data)
    lied[21] = lied[21] & 0xF0 | total >> 32
    lied[22:26] = (total & 0xFFFFFFFF).to_bytes(4, "big")
    return bytes(lied)


def floats(values: object, dtype: str = "<f4", **header: int) -> bytes:
    samples = np.asarray(values, dtype)
    return media.wav(samples.tobytes(), rate=16000, bits=8 * samples.itemsize, tag=3, **header)


def with_one(bad: float, dtype: str = "<f4") -> bytes:
    samples = np.full(16000, 0.1)
    samples[12345] = bad
    return floats(samples, dtype)


CENC = {
    "encryption_scheme": "cenc-aes-ctr",
    "encryption_key": "00112233445566778899aabbccddeeff",
    "encryption_kid": "ffeeddccbbaa99887766554433221100",
}

REFUSED: dict[str, tuple[bytes, str]] = {
    "no bytes": (b"", "empty"),
    "one byte": (b"x", "not_audio"),
    "a web page": (b"<!DOCTYPE html><html><body>" + b"<p>404</p>" * 300, "not_audio"),
    "text": (b"hello\n" * 500, "not_audio"),
    "noise": (bytes(range(256)) * 40, "not_audio"),
    "zeros": (bytes(10000), "not_audio"),
    "header only": (media.wav(b"", rate=16000), "zero_samples"),
    "a blink": (media.wav(SECOND[:800], rate=16000), "too_short"),
    "NIST SPHERE": (b"NIST_1A\n   1024\n" + bytes(4000), "format_not_allowed"),
    "an image": (b"\x89PNG\r\n\x1a\n" + bytes(500), "format_not_allowed"),
    "AVI": (b"RIFF\x10\x02\0\0AVI LIST" + bytes(512), "format_not_allowed"),
    "rate 2^31-1": (media.wav(SECOND, rate=2**31 - 1), "bad_rate"),
    "rate 3999": (media.wav(SECOND, rate=3999), "bad_rate"),
    "rate 384001": (media.wav(SECOND * 30, rate=384001), "bad_rate"),
    "rate 1": (media.wav(SECOND, rate=1), "bad_rate"),
    "33 channels": (media.wav(SECOND * 33, rate=16000, channels=33), "too_many_channels"),
    "no channels": (media.wav(SECOND, rate=16000, channels=0), "broken"),
    "NaN": (with_one(float("nan")), "non_finite"),
    "NaN in a double": (with_one(float("nan"), "<f8"), "non_finite"),
    "infinity": (with_one(float("inf")), "non_finite"),
    "a double beyond float32": (with_one(1e300, "<f8"), "non_finite"),
    "unknown codec": (media.wav(SECOND, rate=16000, tag=0x9999), "unsupported_codec"),
    "64-bit integers": (media.wav(SECOND * 4, rate=16000, bits=64), "unsupported_codec"),
    "a codec not allowed": (media.wav(SECOND, rate=16000, tag=0x161), "unsupported_codec"),
    "protected MP4": (media.small("m4a").replace(b"mp4a", b"drms"), "unsupported_codec"),
    "encrypted MP4": (
        media.write("mp4", media.tones(2.0, 16000, 2), 16000, options=CENC), "unsupported_codec"),
    "MP4 without its index": (media.small("m4a").replace(b"moov", b"xxxx"), "broken"),
    "MP4 cut before its index": (media.small("m4a")[:12000], "broken"),
    "silence beyond the ratio": (hostile.silence(480), "bomb"),
    "FLAC cut early": (media.small("flac")[:9000], "broken"),
    "WAV cut early": (media.wav(SECOND[:8000], rate=16000, claimed=64000), "broken"),
    "Matroska cut early": (media.small("mkv-flac")[:9000], "broken"),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_refused_with_its_code(name: str, through: Through, door: Door) -> None:
    data, code = REFUSED[name]
    restarts = door.restarts
    with pytest.raises(MediaError) as caught:
        through(data)
    assert caught.value.code == code
    assert code in CODES
    assert door.restarts == restarts  # refused by rule, not by a crash


def test_video_without_sound(through: Through) -> None:
    import io

    import av

    target = io.BytesIO()
    with av.open(target, "w", format="mp4") as container:
        media._put_video(container, media._video_stream(container))
    with pytest.raises(MediaError) as caught:
        through(target.getvalue())
    assert caught.value.code == "no_audio"


KEPT: dict[str, tuple[bytes, int, bool]] = {  # bytes, frames at 16 kHz, partial
    "WAV that claims 4 GB and holds 0.1 s": (
        media.wav(SECOND[:3200], rate=16000, claimed=2**32 - 1), 1600, False),
    "WAV that claims nothing": (media.wav(SECOND * 2, rate=16000, claimed=0), 32000, False),
    "WAV that claims ten seconds of two": (
        media.wav(SECOND * 2, rate=16000, claimed=320000), 32000, True),
    "WAV cut at three quarters": (media.small("wav-s16")[:96044], 24000, True),
    "FLAC cut at three quarters": (media.small("flac")[:27375], 20736, True),
    "FLAC that states twice as much": (
        flac_with_total(media.small("flac"), 64000), 32000, True),
    "FLAC that states 2^36 samples": (
        flac_with_total(media.small("flac"), 2**36 - 1), 32000, True),
    "FLAC that states nothing": (flac_with_total(media.small("flac"), 0), 32000, False),
    "AIFF cut": (media.small("aiff")[:96040], 23996, True),
    "digital silence": (media.wav(bytes(32000), rate=16000), 16000, False),
    "half a minute of silence": (hostile.silence(30), 480000, False),
    "8 kHz": (media.wav(SECOND, rate=8000), 32000, False),
    "192 kHz": (media.wav(SECOND * 12, rate=192000), 16000, False),
    "384 kHz": (media.wav(SECOND * 24, rate=384000), 16000, False),
    "32 channels": (media.wav(SECOND * 32, rate=16000, channels=32), 16000, False),
    "double precision": (floats(np.full(16000, 0.1), "<f8"), 16000, False),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(KEPT))
def test_kept_as_what_it_holds(name: str, through: Through) -> None:
    data, frames, partial = KEPT[name]
    decoded, (pcm,) = through(data)
    assert (decoded.length, len(pcm), decoded.partial) == (frames, frames, partial)
    assert bool(decoded.detail) == partial


def test_a_kept_prefix_is_the_start_of_the_whole(through: Through) -> None:
    whole = media.small("flac")
    _, (full,) = through(whole)
    for share in (0.7, 0.75, 0.8, 0.9, 0.99):
        decoded, (prefix,) = through(whole[: int(share * len(whole))])
        assert decoded.partial and 16000 <= len(prefix) < 32000
        assert np.array_equal(prefix, full[: len(prefix)])


def test_spliced_mp3_goes_on_behind_the_seam(through: Through) -> None:
    """Podcasts put advertisements in by joining files, tags included."""
    one = media.small("mp3")
    decoded, _ = through(one + b"ID3\x04\0\0\0\0\x0f\x76" + bytes(2038) + one)
    assert decoded.seconds > 4.0
    assert decoded.partial and "1 packet" in decoded.detail


def test_chained_ogg_goes_on(through: Through) -> None:
    assert through(media.small("opus") * 3)[0].length == 3 * 32000


def test_beyond_full_scale_is_clipped_and_counted(through: Through) -> None:
    samples = np.zeros(16000)
    samples[:5] = [2.0, -2.0, 1.0, -1.0, 1.5]
    decoded, (pcm,) = through(floats(samples))
    assert pcm[:6].tolist() == [32767, -32768, 32767, -32768, 32767, 0]
    assert decoded.clipped == (3,)  # full scale itself is no clipping


def test_too_long_and_the_ratio_are_limits_one_can_set(tmp_path: Path) -> None:
    path = tmp_path / "media"
    path.write_bytes(media.wav(SECOND * 3, rate=16000))
    for limits, code in (
        (Limits(max_seconds=2.5), "too_long"),
        (Limits(max_ratio=0.5, ratio_floor_bytes=0), "bomb"),
        (Limits(min_seconds=3.5), "too_short"),
    ):
        with Door(limits) as door, FileSpool(tmp_path, 16000, 1 << 30) as spool:
            with pytest.raises(MediaError) as caught:
                door.decode(path, 16000, "mix", spool)
            assert caught.value.code == code


def test_what_cannot_be_read_says_so(door: Door, spool: FileSpool, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "missing", tmp_path, tmp_path / "pipe", Path("/dev/zero"), "a\0b"):
        with pytest.raises(MediaError) as caught:
            door.decode(path, 16000, "mix", spool)
        assert caught.value.code == "io"


@pytest.mark.parametrize("disguise", ["", "ID3", "BOM"])
@pytest.mark.parametrize("kind", sorted(hostile.PLAYLISTS))
def test_playlists_open_nothing(
    kind: str, disguise: str, door: Door, spool: FileSpool, tmp_path: Path
) -> None:
    """The neighbour is a sound file that decodes; no spelling of its name may bring it in."""
    from tests.media.fuzz import canary

    (tmp_path / "canary.wav").write_bytes(canary())
    before = {"": b"", "ID3": b"ID3\x04\0\0\0\0\0\0", "BOM": b"\xef\xbb\xbf"}[disguise]
    here = tmp_path / "canary.wav"
    for name in ("canary.wav", str(here), f"file:{here}", f"file://{here}", "./canary.wav"):
        path = tmp_path / "song.mp3"
        path.write_bytes(before + hostile.PLAYLISTS[kind](name).encode())
        with pytest.raises(MediaError) as caught:
            door.decode(path, 16000, "mix", spool)
        allowed = {"format_not_allowed", "not_audio"} | ({"broken"} if disguise == "ID3" else set())
        assert caught.value.code in allowed
        assert not spool.channels()
    if kind in {"m3u8", "ffconcat", "sdp"} and not disguise:
        assert caught.value.code == "format_not_allowed"


def test_a_playlist_of_an_address_calls_nobody(
    door: Door, spool: FileSpool, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.3)
        port = server.getsockname()[1]
        for kind in hostile.PLAYLISTS:
            path = tmp_path / "song.mp3"
            path.write_bytes(hostile.PLAYLISTS[kind](f"http://127.0.0.1:{port}/x.mp3").encode())
            with pytest.raises(MediaError):
                door.decode(path, 16000, "mix", spool)
        with pytest.raises(TimeoutError):
            server.accept()


def test_the_name_decides_nothing(door: Door, tmp_path: Path) -> None:
    data = media.small("flac")
    digests = set()
    for name in ("a.flac", "a.m3u8", "a.mp3", "http:x", "concat:a|b", "noextension"):
        path = tmp_path / name
        path.write_bytes(data)
        with FileSpool(tmp_path, 16000, 1 << 30) as spool:
            digests.add(door.decode(path, 16000, "mix", spool).sha256)
    assert len(digests) == 1
