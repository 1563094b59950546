"""augment: other rooms and lines, the same lengths, words and loudness; a function of the ids."""

import hashlib

import numpy as np
import pytest

from tests.synthesize.spoken import SENTENCES, parted, scope_for, sound_of, utterances
from transforms.engines.models import ModelError
from transforms.synthesize.augment import Augment, reverberated
from transforms.synthesize.codec_trip import CODECS, through
from transforms.synthesize.speak import Speak


@pytest.fixture(scope="module")
def stage():
    found = Speak(voices=("en-us", "en-gb")).load()
    yield found
    found.close()


def spoken(stage, folder, scripts: int = 1):
    records = [one for index in range(scripts) for one in utterances(SENTENCES, index=index)]
    scope = scope_for(records, folder)
    clips, drops = parted(list(Speak()(records, stage, scope)))
    assert not drops
    return clips, scope, [sound_of(clip, scope) for clip in clips]


def change(step: Augment, clips, scope):
    items = list(step(clips, step.load(), scope))
    assert [item.id for item in items] == [clip.id for clip in clips]
    return items, [sound_of(item, scope) for item in items]


def rms(sound) -> float:
    return float(np.sqrt(np.mean(np.square(sound.astype(np.float64)))))


QUIET = {"noise": None}  # without the library of noises, which is slow to import


def test_lengths_words_and_loudness_stay(stage, tmp_path):
    clips, scope, before = spoken(stage, tmp_path)
    step = Augment(share=1.0, each=1.0, codecs=("opus-16",), **QUIET)
    items, after = change(step, clips, scope)
    for clip, item, old, new in zip(clips, items, before, after, strict=True):
        assert (item.start, item.end, item.words, item.text) == (
            clip.start,
            clip.end,
            clip.words,
            clip.text,
        )
        assert (
            "room=" in item.transcripts[0].device and "codec=opus-16" in item.transcripts[0].device
        )
        assert item.transcripts[0].device.startswith(clip.transcripts[0].device)
        assert not np.array_equal(old, new)
        assert rms(new) == pytest.approx(rms(old), rel=0.15)


def test_one_script_is_in_one_place_and_others_in_others(stage, tmp_path):
    clips, scope, before = spoken(stage, tmp_path, scripts=12)
    items, after = change(Augment(share=0.5, **QUIET), clips, scope)
    labels = {}
    for item in items:
        labels.setdefault(item.channel, set()).add(item.transcripts[0].device.split("seed=")[1])
    assert all(len(found) == 1 for found in labels.values())
    changed = [
        item.channel
        for item, old, new in zip(items, before, after, strict=True)
        if not np.array_equal(old, new)
    ]
    assert 2 <= len(set(changed)) <= 10
    assert all("=" in next(iter(labels[channel]))[8:] for channel in set(changed))


def test_nothing_is_touched_where_nothing_is_drawn(stage, tmp_path):
    clips, scope, before = spoken(stage, tmp_path)
    for step in (Augment(share=0.0, **QUIET), Augment(room=None, codecs=(), **QUIET)):
        items, after = change(step, clips, scope)
        assert items == clips
        assert all(np.array_equal(old, new) for old, new in zip(before, after, strict=True))


@pytest.mark.slow
def test_noise_is_as_loud_as_drawn_and_the_same_again(stage, tmp_path):
    digests = []
    for _ in range(2):
        clips, scope, before = spoken(stage, tmp_path)
        step = Augment(share=1.0, each=1.0, room=None, codecs=(), noise=(12.0, 12.0))
        _, after = change(step, clips, scope)
        digests.append([hashlib.sha256(sound.tobytes()).hexdigest() for sound in after])
        for old, new in zip(before, after, strict=True):
            gain = float(np.dot(old.astype(float), new) / np.dot(old.astype(float), old))
            noise = new - gain * old.astype(float)
            assert 20 * np.log10(gain * rms(old) / rms(noise)) == pytest.approx(12.0, abs=1.0)
    assert digests[0] == digests[1]


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_a_codec_keeps_length_and_place(name, rate):
    draw = np.random.default_rng(1)
    time = np.arange(rate) / rate
    wave = np.sin(2 * np.pi * 400 * time) * np.interp(
        time, np.linspace(0, 1, 41), draw.uniform(0, 0.5, 41)
    )
    pcm = np.rint(wave * 32767).astype(np.int16)
    out = through(pcm, rate, name)
    assert out.dtype == np.int16 and out.shape == pcm.shape
    assert np.array_equal(out, through(pcm, rate, name))
    envelopes = [np.convolve(np.abs(x.astype(float)), np.ones(rate // 100)) for x in (pcm, out)]
    centred = [one - one.mean() for one in envelopes]
    lag = np.correlate(centred[1], centred[0], "full").argmax() - (len(centred[0]) - 1)
    assert abs(lag) / rate < 0.002
    assert 0.7 < rms(out) / rms(pcm) < 1.3


def test_a_room_decays_by_60_db_in_its_time():
    click = np.zeros(16_000, np.float32)
    click[0] = 0.5
    wave = reverberated(click, 16_000, 0.4, 0.3, seed=3)
    assert len(wave) == len(click)
    assert wave[0] == pytest.approx(0.5, abs=1e-4)
    tail = np.square(wave[40:].astype(np.float64))
    remaining = np.cumsum(tail[::-1])[::-1]  # Schroeder's integral
    fall = 10 * np.log10(remaining[: 16_000 // 4] / remaining[0])
    slope = np.polyfit(np.arange(len(fall)) / 16_000, fall, 1)[0]
    assert -60 / slope == pytest.approx(0.4, rel=0.15)
    assert float(tail.sum()) == pytest.approx(0.3 * 0.25, rel=0.05)


@pytest.mark.parametrize(
    "settings",
    [{"room": (0.5, 0.1)}, {"noise": (10.0, 200.0)}, {"codecs": ("opus-9000",)}, {"share": 2.0}],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError):
        Augment(**settings)


def test_a_missing_library_is_said_before_work(monkeypatch):
    import importlib.util

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModelError, match="speechloom\\[augment\\]"):
        Augment().fingerprint()
    assert "torch" not in Augment(noise=None).fingerprint()
