"""The step: one Waveform per channel, or one Drop that says why; never both, never neither."""

import hashlib
import os
from pathlib import Path

import numpy as np
import pydantic
import pytest

from schemas.records import Drop, Recording, Waveform
from tests.media import hostile
from tests.media import made_media as media
from transforms.door import CODES, Door
from transforms.hear.decode import Decode
from transforms.spool import FileSpool
from transforms.step import Scope, registry


def decode(data: bytes, folder: Path, step: Decode, door: Door, **claims) -> tuple[list, FileSpool]:
    path = folder / "bytes"
    path.write_bytes(data)
    recording = Recording(
        id=hashlib.sha256(data).hexdigest(), uri="file:bytes",
        **{"size": len(data), "seconds": 1.5, **claims},
    )  # fmt: skip
    spool = FileSpool(folder, step.rate, claims.pop("cap", 1 << 30))
    scope = Scope(root=recording, seed=0, sink=spool, path=str(path))
    return list(step([recording], door, scope)), spool


def test_it_is_found_by_its_name() -> None:
    assert registry()["decode"] is Decode
    assert Decode.name() == "decode"


def test_a_mix_is_one_waveform(door: Door, tmp_path: Path) -> None:
    data = media.write("flac", media.tones(2.0, 44100, 2), 44100)
    (waveform,), spool = decode(data, tmp_path, Decode(), door)
    pcm = spool.read(0, 0, 32000)
    assert waveform == Waveform(
        recording=hashlib.sha256(data).hexdigest(), channel=0, rate=16000, length=32000,
        source_rate=44100, source_channels=2, codec="flac", container="flac",
        pcm_sha256=hashlib.sha256(pcm.tobytes()).hexdigest(),
    )  # fmt: skip
    assert list(spool.channels()) == [0]


def test_a_call_is_split_at_24_khz(door: Door, tmp_path: Path) -> None:
    data = media.write("wav-s16", media.tones(1.0, 8000, 2), 8000)
    waves, spool = decode(data, tmp_path, Decode(rate=24000, channels="split"), door)
    assert [(wave.channel, wave.rate, wave.length) for wave in waves] == [
        (0, 24000, 24000), (1, 24000, 24000),
    ]  # fmt: skip
    for wave in waves:
        pcm = spool.read(wave.channel, 0, wave.length)
        assert wave.pcm_sha256 == hashlib.sha256(pcm.tobytes()).hexdigest()
    assert waves[0].pcm_sha256 != waves[1].pcm_sha256


def test_what_was_clipped_and_what_broke_off_is_said(door: Door, tmp_path: Path) -> None:
    loud = np.full(16000, 1.5, "<f4")
    data = media.wav(loud.tobytes(), rate=16000, bits=32, tag=3)
    assert decode(data, tmp_path, Decode(), door)[0][0].clipped == 16000
    (cut,), _ = decode(media.small("flac")[:27375], tmp_path, Decode(), door)
    assert (cut.partial, cut.length) == (True, 20736)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"<html>" * 100, "not_audio"),
        (b"#EXTM3U\nother.wav\n", "format_not_allowed"),
        (media.wav(b"", rate=16000), "zero_samples"),
        (media.wav(bytes(32000), rate=2**31 - 1), "bad_rate"),
        (hostile.silence(480), "bomb"),
    ],
)
def test_a_refusal_is_one_drop_of_the_claimed_seconds(
    data: bytes, reason: str, door: Door, tmp_path: Path
) -> None:
    (drop,), _ = decode(data, tmp_path, Decode(), door)
    assert isinstance(drop, Drop)
    identity = hashlib.sha256(data).hexdigest()
    assert (drop.id, drop.root, drop.step, drop.reason) == (identity, identity, "decode", reason)
    assert drop.seconds == 1.5
    assert reason in Decode.reasons
    (unknown,), _ = decode(data, tmp_path, Decode(), door, seconds=0.0)
    assert unknown.seconds == 0.0


def test_limits_come_from_the_settings(tmp_path: Path) -> None:
    data = media.wav(b"\5\0" * 16000 * 3, rate=16000)
    for step, reason in (
        (Decode(max_hours=2 / 3600), "too_long"),
        (Decode(min_seconds=4.0), "too_short"),
    ):
        door = step.load()
        try:
            (drop,), _ = decode(data, tmp_path, step, door)
        finally:
            door.close()
        assert drop.reason == reason


def test_a_file_that_changed_since_it_was_found(door: Door, tmp_path: Path) -> None:
    (drop,), spool = decode(media.small("flac"), tmp_path, Decode(), door, size=5)
    assert drop.reason == "changed"
    assert not spool.channels()


def test_other_bytes_of_the_same_size_and_time_are_noticed(door: Door, tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(media.wav(b"\5\0" * 16000, rate=16000))
    recording = Recording(
        id=hashlib.sha256(path.read_bytes()).hexdigest(), uri="x",
        size=path.stat().st_size, seconds=1.0,
    )  # fmt: skip
    state = path.stat()
    path.write_bytes(media.wav(b"\6\0" * 16000, rate=16000))
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    with FileSpool(tmp_path, 16000, 1 << 20) as spool:
        scope = Scope(root=recording, seed=0, sink=spool, path=str(path))
        (drop,) = Decode()([recording], door, scope)
        assert not spool.channels()
    assert (drop.reason, drop.seconds) == ("changed", 1.0)


def test_a_file_that_is_written_to_while_it_is_decoded_is_dropped(
    door: Door, tmp_path: Path
) -> None:
    class Meddled:
        def decode(self, path: str, *more: object) -> object:
            decoded = door.decode(path, *more)
            with open(path, "r+b") as file:
                file.seek(100)
                file.write(b"\7\0")
            return decoded

    data = media.wav(b"\5\0" * 16000, rate=16000)
    (drop,), _ = decode(data, tmp_path, Decode(), Meddled())
    assert (drop.reason, drop.detail) == ("changed", "it was written to while it was decoded")


def test_a_recording_beyond_the_scratch_is_dropped(door: Door, tmp_path: Path) -> None:
    data = media.wav(b"\5\0" * 16000, rate=16000)
    recording = Recording(id=hashlib.sha256(data).hexdigest(), uri="x", size=len(data), seconds=1.0)
    (tmp_path / "x").write_bytes(data)
    with FileSpool(tmp_path, 16000, 1000) as spool:
        scope = Scope(root=recording, seed=0, sink=spool, path=str(tmp_path / "x"))
        (drop,) = Decode()([recording], door, scope)
    assert (drop.reason, drop.seconds) == ("scratch_full", 1.0)


def test_settings_are_strict_and_every_reason_is_explained() -> None:
    for wrong in ({"rate": 44100}, {"channels": "left"}, {"max_hours": 0.0}, {"memory_mb": 8}):
        with pytest.raises(pydantic.ValidationError):
            Decode(**wrong)
    assert set(CODES) < set(Decode.reasons)
    assert all(Decode.reasons.values())
    assert all(field.description for field in Decode.model_fields.values())


def test_the_fingerprint_names_decoder_and_resampler() -> None:
    found = Decode().fingerprint()
    assert set(found) == {"av", "ffmpeg", "soxr"}
    assert found["av"].count(".") == 2 and len(found["ffmpeg"]["libavcodec"]) == 3
