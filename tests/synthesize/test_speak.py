"""speak: utterances become clips, whatever their text; the same ones wherever they are spoken."""

import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from schemas.records import Clip, frames
from tests.synthesize.spoken import (
    SENTENCES,
    Told,
    parted,
    scope_for,
    sound_of,
    stage_of,
    tone,
    utterances,
)
from transforms.engines.models import ModelError
from transforms.engines.synth_contract import Sound, Unspoken
from transforms.synthesize.speak import Speak
from transforms.synthesize.takes import FADE


@pytest.fixture(scope="module")
def stage():
    found = Speak().load()
    yield found
    found.close()


def speak(stage, records, folder: Path, step: Speak | None = None, seed: int = 3):
    scope = scope_for(records, folder, seed)
    return list((step or Speak())(records, stage, scope)), scope


def digests(items, scope) -> list[tuple]:
    clips, drops = parted(items)
    found = [(c, hashlib.sha256(sound_of(c, scope).tobytes()).hexdigest()) for c in clips]
    return [*found, *drops]


def test_each_utterance_becomes_a_clip_end_to_end(stage, tmp_path):
    records = utterances(SENTENCES, spoken=(True, False, True))
    items, scope = speak(stage, records, tmp_path)
    clips, drops = parted(items)
    assert not drops
    assert [clip.text for clip in clips] == list(SENTENCES)
    assert [clip.index for clip in clips] == [0, 1, 2]
    assert {clip.channel for clip in clips} == {0}
    assert clips[0].start == 0 and clips[1].start == clips[1].end == clips[0].end == clips[2].start
    assert frames(clips[2].end, 16_000) == scope.samples().length(0)
    assert len({clip.id for clip in clips}) == 3
    first, written, last = clips
    assert first.speaker == last.speaker != ""
    assert first.speaker.startswith("espeak-ng/en-") and first.speaker_given
    assert (written.speaker, written.words, written.times) == ("", (), "none")
    assert [word.text for word in last.words] == SENTENCES[2].split()
    assert all(last.start <= w.start <= w.end <= last.end for w in last.words)
    assert last.source_rate == 22_050


def test_how_it_was_read_stays_on_the_clip(stage, tmp_path):
    (record,) = utterances(["It grew by 5 %."])
    ((clip,), _) = parted(speak(stage, [record], tmp_path)[0])
    (read,) = clip.transcripts
    assert clip.text == "It grew by 5 %."
    assert read.text == "It grew by five percent."
    assert read.engine == clip.speaker
    assert dict(part.split("=") for part in read.device.split()).keys() == {
        "speed",
        "pitch",
        "seed",
    }
    ((raw,), _) = parted(speak(stage, [record], tmp_path, Speak(normalise=False))[0])
    assert raw.transcripts[0].text == clip.text


def test_what_the_script_wants_said_is_said(stage, tmp_path):
    import dataclasses

    (record,) = utterances(["CO2"])
    record = dataclasses.replace(record, said="carbon dioxide")
    ((clip,), _) = parted(speak(stage, [record], tmp_path)[0])
    assert (clip.text, clip.transcripts[0].text) == ("CO2", "carbon dioxide")
    assert [word.text for word in clip.words] == ["CO2"]
    assert clip.times == "estimated"


def test_roles_have_voices_of_their_own(stage, tmp_path):
    texts = [*SENTENCES, "So it is."]
    roles = ("asker", "answerer", "asker", "answerer")
    for index in range(8):
        records = utterances(texts, roles=roles, index=index)
        clips, _ = parted(speak(stage, records, tmp_path)[0])
        by_role = [{clips[0].speaker, clips[2].speaker}, {clips[1].speaker, clips[3].speaker}]
        assert [len(voices) for voices in by_role] == [1, 1]
        assert by_role[0] != by_role[1]


def test_scripts_of_a_page_lie_on_channels_of_their_own(stage, tmp_path):
    records = [*utterances(SENTENCES[:2]), *utterances(SENTENCES[1:], index=1)]
    clips, _ = parted(speak(stage, records, tmp_path)[0])
    assert [(clip.channel, clip.index) for clip in clips] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert clips[2].start == 0


def test_neither_order_nor_what_came_before_changes_a_document(stage, tmp_path):
    scripts = [utterances(SENTENCES[at:], index=at) for at in range(3)]
    forward = [digests(*speak(stage, records, tmp_path)) for records in scripts]
    backward = [digests(*speak(stage, records, tmp_path)) for records in reversed(scripts)]
    assert forward == backward[::-1]
    assert digests(*speak(stage, scripts[0], tmp_path, seed=4)) != forward[0]


_ONE = """
import hashlib, json, sys, tempfile
from pathlib import Path
from tests.synthesize.spoken import SENTENCES, parted, scope_for, sound_of, utterances
from transforms.synthesize.speak import Speak
stage = Speak().load()
found = {}
for index in map(int, sys.argv[1:]):
    records = utterances(SENTENCES, index=index, roles=("asker", "answerer", "asker"))
    scope = scope_for(records, Path(tempfile.mkdtemp()))
    clips, _ = parted(list(Speak()(records, stage, scope)))
    found[index] = [
        [c.id, c.speaker, c.end, hashlib.sha256(sound_of(c, scope).tobytes()).hexdigest()]
        for c in clips
    ]
stage.close()
print(json.dumps(found))
"""


def test_one_process_or_two_give_the_same(root):
    def run(*indexes: int) -> dict:
        done = subprocess.run(
            [sys.executable, "-c", _ONE, *map(str, indexes)],
            cwd=root,
            capture_output=True,
            text=True,
            timeout=100,
            check=True,
        )
        return json.loads(done.stdout)

    assert run(0, 1, 2) == {**run(2, 0), **run(1)}


@pytest.mark.parametrize("language", ["xx", None, "fo"])
def test_a_language_without_a_voice_leaves_whole(stage, tmp_path, language):
    records = utterances(SENTENCES, language=language, spoken=(True, False, True))
    clips, drops = parted(speak(stage, records, tmp_path)[0])
    assert not clips
    assert [drop.id for drop in drops] == [record.id for record in records]
    assert {drop.reason for drop in drops} == {"language_without_voice"}
    assert {drop.seconds for drop in drops} == {0.0}


def test_a_language_may_be_set_where_none_is_known(stage, tmp_path):
    records = utterances(["Es war still im Hafen."], language=None)
    ((clip,), _) = parted(speak(stage, records, tmp_path, Speak(language="de"))[0])
    assert clip.speaker.startswith("espeak-ng/de")


def test_two_roles_need_two_voices(stage, tmp_path):
    step = Speak(voices=("en-us",))
    records = utterances(SENTENCES[:2], roles=("asker", "answerer"))
    found = step.load()
    _, drops = parted(speak(found, records, tmp_path, step)[0])
    found.close()
    assert [drop.reason for drop in drops] == ["language_without_voice"] * 2
    assert "none is left for answerer" in drops[0].detail


ODD = {
    "empty": ("", "en"),
    "blank": (" \n\t ", "en"),
    "marks": ("?!... --- ***", "en"),
    "emoji": ("\U0001f600\U0001f680", "en"),
    "hebrew": ("\u202bהנמל היה שקט.\u202c", "he"),
    "arabic": ("كان الميناء هادئا", "ar"),
    "mandarin": ("港口很安静。", "zh"),
    "code": ("for (i = 0; i < n; i++) { a[i] = b[i] * 0x1F; }", "en"),
    "long word": ("a" * 10_000, "en"),
    "long number": ("9" * 3_000, "en"),
    "controls": ("The \x00\x07harbour\x1b[31m was\u2028quiet.", "en"),
    "combining": ("e" + "\u0301" * 3_000, "en"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_text_is_spoken_or_leaves_with_a_reason(stage, tmp_path, name):
    text, language = ODD[name]
    before, after = SENTENCES[:2]
    records = utterances([before, text, after], language=language)
    items, scope = speak(stage, records, tmp_path)
    clips, drops = parted(items)
    assert len(clips) + len(drops) == 3
    assert {drop.id for drop in drops} <= {records[1].id}
    assert {drop.reason for drop in drops} <= {"silent", "too_long", "refused"}
    for clip in clips:
        assert np.abs(sound_of(clip, scope)).max() > 500
        assert clip.seconds < 301
    if name in ("empty", "blank"):
        assert [drop.reason for drop in drops] == ["silent"]
    if name in ("hebrew", "arabic", "mandarin", "controls"):
        assert not drops


# with an engine that does as it is told


def told(tmp_path, made, texts, step=None, voices=("a", "b")):
    engine = Told(made, voices)
    records = utterances(texts)
    step = step or Speak(loudness=None, normalise=False)
    items, scope = speak(stage_of(engine), records, tmp_path, step)
    return engine, items, scope


def test_long_text_is_said_in_pieces_and_joined_without_clicks(tmp_path):
    text = " ".join(SENTENCES * 8)
    engine, items, scope = told(tmp_path, lambda text, voice: tone(0.8), [text])
    ((clip,), _) = parted(items)
    assert len(engine.said) > 2
    assert "".join(said for said, _, _ in engine.said) == text
    assert max(len(said) for said, _, _ in engine.said) <= 400
    sound = sound_of(clip, scope).astype(np.float64) / 32768
    # The steepest step of the tone itself, and what a fade of 5 ms adds to it.
    steepest = 0.3 * 2 * np.pi * 200 / 16_000 + 0.3 * np.pi / 2 / (FADE * 16_000)
    assert np.abs(np.diff(sound)).max() < steepest
    assert abs(sound[0]) < 0.001
    assert clip.seconds > len(engine.said) * 0.8 + (len(engine.said) - 1) * 0.12


def test_silent_ends_are_cut_to_an_edge(tmp_path):
    def made(text, voice):
        silence = np.zeros(8_000, np.int16)
        return Sound(pcm=np.concatenate([silence, tone(1.0).pcm, silence]), rate=16_000)

    step = Speak(loudness=None, normalise=False, pause=(0.0, 0.0), turn_pause=(0.0, 0.0))
    _, items, _ = told(tmp_path, made, ["Say it now."], step)
    ((clip,), _) = parted(items)
    assert 1.0 <= clip.seconds <= 1.1


def test_pauses_belong_to_the_clip_before_them(tmp_path):
    step = Speak(loudness=None, normalise=False, pause=(0.3, 0.3), turn_pause=(0.7, 0.7))
    _, items, scope = told(tmp_path, lambda text, voice: tone(1.0), ["Say it."], step)
    ((clip,), _) = parted(items)
    assert clip.seconds == pytest.approx(1.7, abs=0.001)
    assert not sound_of(clip, scope)[-11_000:].any()
    assert clip.words[-1].end <= 1.0


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (lambda text, voice: Sound(pcm=np.zeros(0, np.int16), rate=16_000), "silent"),
        (lambda text, voice: Sound(pcm=np.zeros(1_600_000, np.int16), rate=16_000), "silent"),
        (lambda text, voice: tone(30.0), "too_long"),
        (lambda text, voice: tone(301.0), "too_long"),
        (lambda text, voice: Unspoken(reason="crashed", detail="it ended"), "crashed"),
        (lambda text, voice: Unspoken(reason="timeout", detail="too slow"), "timeout"),
    ],
)
def test_what_cannot_be_used_leaves_with_its_reason(tmp_path, made, reason):
    def answer(text, voice):
        return made(text, voice) if "odd" in text else tone(1.0)

    _, items, _ = told(tmp_path, answer, ["One thing.", "An odd one.", "The last."])
    clips, (drop,) = parted(items)
    assert [clip.index for clip in clips] == [0, 2]
    assert drop.reason == reason
    assert drop.reason in Speak.reasons
    assert clips[1].start == clips[0].end


def test_minutes_of_silence_around_a_word_are_no_speech(tmp_path):
    def made(text, voice):
        gap = np.zeros(16_000 * 60, np.int16)
        return Sound(pcm=np.concatenate([tone(0.3).pcm, gap, tone(0.3).pcm]), rate=16_000)

    _, items, _ = told(tmp_path, made, ["word " * 60], Speak(max_characters=2000))
    _, (drop,) = parted(items)
    assert drop.reason == "silent"
    assert drop.score > drop.threshold == 0.7
    assert drop.seconds == pytest.approx(60.6, abs=0.1)


def test_a_full_spool_is_said(tmp_path):
    from schemas.records import Drop
    from tests.synthesize.spoken import page_of
    from transforms.spool import FileSpool
    from transforms.step import Scope

    spool = FileSpool(tmp_path, 16_000, 100_000)
    scope = Scope(root=page_of("x"), seed=1, audio=spool, sink=spool)
    engine = Told(lambda text, voice: tone(2.0))
    items = list(Speak()(utterances(SENTENCES), stage_of(engine), scope))
    assert [type(item) for item in items] == [Clip, Drop, Drop]
    assert {item.reason for item in items[1:]} == {"scratch_full"}


# settings


def test_loudness_is_one_and_peaks_stay_below_full_scale(stage, tmp_path):
    import pyloudnorm

    meter = pyloudnorm.Meter(16_000)
    step = Speak(voices=("en-us", "en-gb+f4", "en-029+m3"), pause=(0, 0), turn_pause=(0, 0))
    found = step.load()
    levels = []
    for index in range(4):
        items, scope = speak(found, utterances(SENTENCES, index=index), tmp_path, step)
        for clip in parted(items)[0]:
            sound = sound_of(clip, scope)
            levels.append(meter.integrated_loudness(sound.astype(np.float64) / 32768))
            assert np.abs(sound.astype(np.int32)).max() <= 32767 * 10 ** (-1 / 20) + 1
    found.close()
    assert max(levels) - min(levels) < 0.4
    assert np.mean(levels) == pytest.approx(-23, abs=0.2)


def test_a_loud_target_gives_way_to_the_peaks(stage, tmp_path):
    items, scope = speak(stage, utterances(SENTENCES), tmp_path, Speak(loudness=0.0))
    peaks = [np.abs(sound_of(clip, scope).astype(int)).max() for clip in parted(items)[0]]
    assert all(29_100 < peak <= 29_206 for peak in peaks)


def test_accents_are_drawn_alike_and_weights_count(stage, tmp_path):
    ensemble = Speak(accents=("en-us", "en-gb", "en-029"), weights={"en-us": 2.0}).ensemble()
    scope = scope_for([], tmp_path)
    parts = [ensemble.draw("en", scope.rng("speak", f"{n:032x}")) for n in range(2000)]
    counts = Counter(part.voice.accent for part in parts)
    assert counts["en-us"] == pytest.approx(1000, abs=90)
    assert counts["en-gb"] == pytest.approx(500, abs=80)
    assert len({part.voice.name for part in parts}) > 30
    assert all(0.9 <= part.manner.speed <= 1.1 for part in parts)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"voices": ("klingon*",)}, "no voice of the engine fits 'klingon\\*'"),
        ({"accents": ("en-xx",)}, "accent 'en-xx'"),
        ({"weights": {"en-us": 1.0, "nobody": 2.0}}, "weights names what cannot be drawn: nobody"),
    ],
)
def test_a_voice_that_is_missing_is_said_before_work(settings, wrong):
    with pytest.raises(ModelError, match=wrong):
        Speak(**settings).fingerprint()


@pytest.mark.parametrize(
    "settings",
    [
        {"engine": "espeak"},
        {"speed": (1.2, 0.8)},
        {"speed": (0.1, 1.0)},
        {"pause": (0.1, 100.0)},
        {"weights": {"en-us": -1.0}},
        {"rate": 22_050},
        {"language": "english"},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings):
    with pytest.raises(ValueError):
        Speak(**settings)


def test_an_endpoint_that_moves_changes_no_key():
    from pipeline.keys import step_key

    here, there = (
        Speak(endpoint={"base_url": f"http://127.0.0.1:{port}/v1"}) for port in (8001, 8002)
    )
    assert step_key(here) == step_key(there)
    assert step_key(here) != step_key(Speak(loudness=-20.0))


_HOUR = """
import resource, sys, tempfile
from pathlib import Path
from tests.synthesize.spoken import SENTENCES, parted, scope_for, utterances
from transforms.synthesize.speak import Speak

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

step = Speak()
stage = step.load()
def run(count):
    records = utterances([f"{n}. {SENTENCES[n % 3]}" for n in range(count)])
    scope = scope_for(records, Path(tempfile.mkdtemp()))
    kept = sum(clip.seconds for clip in parted(list(step(records, stage, scope)))[0])
    scope.samples().close()
    return kept
run(5)
before = peak()
print(run(1000) / 60, peak() - before)
stage.close()
"""


@pytest.mark.slow
def test_a_page_of_an_hour_is_not_held_in_memory(root):
    done = subprocess.run(
        [sys.executable, "-c", _HOUR],
        cwd=root,
        capture_output=True,
        text=True,
        timeout=110,
        check=True,
    )
    minutes, grown = map(float, done.stdout.split())
    assert minutes > 55
    assert grown < 40  # MB; its samples are 110 MB
