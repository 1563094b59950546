"""Every allowed format comes out as the tones that went in, at the right length."""

import hashlib

import numpy as np
import pytest

from tests.media import made_media as media
from tests.media.conftest import Through
from transforms.door import Door, MediaError

# encoders that pad: frames at 16 kHz that may come out beyond what went in
PADDED = {"wav-adpcm": 384, "m4a": 1024, "mp4": 1024, "mkv-aac": 1024, "adts": 2048, "mpegts": 2048}
LOSSLESS = {
    "wav-s16", "wav-s24", "wav-s32", "wav-f32", "wav-f64", "w64", "caf", "aiff", "flac", "flac24",
    "alac", "mkv-flac",
}  # fmt: skip
CODECS = {
    "wav-s16": ("pcm_s16le", "wav"),
    "aiff": ("pcm_s16be", "aiff"),
    "flac24": ("flac", "flac"),
    "mp3": ("mp3", "mp3"),
    "vorbis": ("vorbis", "ogg"),
    "opus": ("opus", "ogg"),
    "webm": ("opus", "matroska"),
    "m4a": ("aac", "mov"),
    "mp4": ("aac", "mov"),
    "adts": ("aac", "aac"),
}


def strongest(pcm: np.ndarray, rate: int) -> float:
    """The frequency that rules the middle second, in hertz."""
    middle = pcm[len(pcm) // 2 - rate // 2 :][:rate].astype(float)
    return float(np.argmax(np.abs(np.fft.rfft(middle * np.hanning(len(middle))))))


@pytest.mark.parametrize("kind", sorted(media.KINDS))
def test_each_format_keeps_its_channels_and_length(kind: str, through: Through) -> None:
    source_rate = 48000 if "opus" in media.KINDS[kind][1] else 16000
    data = media.write(kind, media.tones(2.0, source_rate, 2), source_rate)
    decoded, channels = through(data, channels="split")
    assert 32000 <= decoded.length <= 32000 + PADDED.get(kind, 0)
    assert (decoded.source_rate, decoded.source_channels) == (source_rate, 2)
    assert not decoded.partial
    found = [strongest(pcm, 16000) for pcm in channels]
    assert found == pytest.approx([300.0, 400.0], abs=5)  # the Vorbis encoder strays
    assert (decoded.codec, decoded.container) == CODECS.get(
        kind, (decoded.codec, decoded.container)
    )
    if kind in LOSSLESS:
        wanted = np.rint(media.tones(2.0, 16000, 2) * 32768).astype(np.int16)
        assert np.array_equal(np.stack(channels), wanted)
    assert decoded.sha256 == tuple(hashlib.sha256(pcm.tobytes()).hexdigest() for pcm in channels)


@pytest.mark.parametrize("kind", ["wav-u8", "wav-alaw", "wav-mulaw", "wav-adpcm", "mp3", "vorbis"])
def test_lossy_formats_stay_close(kind: str, through: Through) -> None:
    tone = media.tone(2.0, 16000)
    stereo = np.stack([tone, tone])  # the Vorbis encoder takes nothing else
    _, (pcm,) = through(media.write(kind, stereo, 16000))
    error = pcm[1000:31000] / 32768 - tone[1000:31000]
    assert np.sqrt(np.mean(error**2)) < 0.02  # of a tone of 0.35 RMS


@pytest.mark.parametrize("kind", ["mp4", "mkv-aac", "mpegts"])
def test_the_audio_track_of_a_video_is_taken(kind: str, through: Through) -> None:
    data = media.write(kind, media.tones(2.0, 16000, 1), 16000, video=True)
    decoded, (pcm,) = through(data)
    assert decoded.track == 1 and decoded.tracks == 1
    assert strongest(pcm, 16000) == 300.0
    assert not decoded.partial


def test_cover_art_is_passed_over(through: Through) -> None:
    plain = media.write("mp3", media.tones(2.0, 16000, 1), 16000)
    covered = media.write("mp3", media.tones(2.0, 16000, 1), 16000, cover=True)
    assert b"PNG" in covered and b"PNG" not in plain
    assert through(covered)[0].sha256 == through(plain)[0].sha256


@pytest.mark.parametrize("kind", ["mkv-flac", "mp4"])
def test_of_several_tracks_the_default_one_is_taken_and_named(kind: str, through: Through) -> None:
    other = media.tone(2.0, 16000, 2000.0)[None]
    data = media.write(kind, media.tones(2.0, 16000, 1), 16000, extra=other)
    decoded, (pcm,) = through(data)
    assert (decoded.track, decoded.tracks) == (0, 2)
    assert strongest(pcm, 16000) == 300.0


def test_surround_is_mixed_with_equal_weights(through: Through) -> None:
    samples = media.tones(1.0, 48000, 6)
    decoded, (pcm,) = through(media.write("wav-f32", samples, 48000))
    assert (decoded.length, decoded.source_channels) == (16000, 6)
    wanted = np.mean([media.tone(1.0, 16000, 300.0 + 100 * i) for i in range(6)], axis=0)
    assert np.abs(pcm[200:-200] / 32768 - wanted[200:-200]).max() < 1e-4


def test_stereo_halves_stay_apart_and_the_mix_is_their_mean(through: Through) -> None:
    left, right = media.tone(1.0, 16000, 300.0), np.zeros(16000)
    data = media.write("wav-s16", np.stack([left, right]), 16000)
    decoded, apart = through(data, channels="split")
    _, (mixed,) = through(data)
    assert decoded.length == 16000 and len(apart) == 2
    assert not apart[1].any()
    assert np.array_equal(mixed, np.rint(apart[0] / 2).astype(np.int16))


@pytest.mark.parametrize("target", [16000, 24000])
@pytest.mark.parametrize(
    "rate", [4000, 8000, 11025, 16000, 22050, 24000, 32000, 44100, 44101, 48000, 96000, 192000,
             384000]
)  # fmt: skip
def test_any_rate_becomes_the_target_without_drift(
    rate: int, target: int, through: Through
) -> None:
    frames = rate * 3 + 137
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(frames) / rate)
    decoded, (pcm,) = through(media.write("wav-f32", tone[None], rate), rate=target)
    assert decoded.source_frames == frames
    assert abs(decoded.length - frames * target / rate) <= 1
    wanted = 0.5 * np.sin(2 * np.pi * 440 * np.arange(len(pcm)) / target)
    assert np.abs(pcm / 32768 - wanted)[target // 20 : -target // 20].max() < 1e-4


@pytest.mark.parametrize("rate", [22050, 44100, 48000, 192000])
def test_what_lies_above_half_the_target_rate_is_gone(rate: int, through: Through) -> None:
    above = media.tone(2.0, rate, 9500.0)
    _, (pcm,) = through(media.write("wav-f32", above[None], rate))
    assert np.abs(pcm[800:-800]).max() <= 1  # -90 dB: the last bit


def test_ten_minutes_do_not_drift(through: Through) -> None:
    """44.1 to 16 kHz is 160/441: rounding per block would show after 400 blocks."""
    tone = media.tone(600.0, 44100)
    decoded, (pcm,) = through(media.write("wav-s16", tone[None], 44100))
    assert decoded.length == 9_600_000
    last = np.arange(9_584_000, 9_599_000)
    wanted = 0.5 * np.sin(2 * np.pi * 440 * last / 16000)
    assert np.abs(pcm[last] / 32768 - wanted).max() < 1e-3


def test_the_same_bytes_give_the_same_samples(through: Through) -> None:
    data = media.write("opus", media.tones(2.0, 48000, 2), 48000)
    assert through(data)[0] == through(data)[0]


def test_probing_reads_the_header(door: Door, tmp_path) -> None:
    path = tmp_path / "media"
    path.write_bytes(media.write("flac", media.tones(2.0, 44100, 2), 44100))
    claims = door.probe(path)
    assert claims.seconds == 2.0
    assert (claims.rate, claims.channels, claims.codec, claims.container) == (
        44100, 2, "flac", "flac",
    )  # fmt: skip


def test_probing_does_not_repeat_a_lie(door: Door, tmp_path) -> None:
    path = tmp_path / "media"
    path.write_bytes(media.wav(b"\1\0" * 32000, rate=16000, claimed=2**32 - 1))
    assert door.probe(path).seconds == 2.0
    path.write_bytes(b"not a header")
    with pytest.raises(MediaError, match="not_audio"):
        door.probe(path)
