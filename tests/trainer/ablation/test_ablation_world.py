"""The hops world: what it promises of its documents, questions and sounds."""

import importlib.util
import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

HOPS = Path(__file__).resolve().parents[3] / "ablations" / "hops"
pytest.importorskip("espeakng_loader", reason="speaks with the wheel espeakng-loader")


def module(name: str):
    sys.path.insert(0, str(HOPS))
    try:
        spec = importlib.util.spec_from_file_location(name, HOPS / f"{name}.py")
        found = importlib.util.module_from_spec(spec)
        sys.modules[name] = found
        spec.loader.exec_module(found)
        return found
    finally:
        sys.path.remove(str(HOPS))


world, voices, make = module("world"), module("voices"), module("make")


@pytest.mark.parametrize("seed", range(4))
def test_the_cycle_goes_through_every_word_once(seed):
    following = world.cycle(seed)
    word, seen = 0, []
    for _ in world.WORDS:
        seen.append(word)
        word = following[word]
    assert word == 0 and sorted(seen) == list(range(32))
    assert following == world.cycle(seed) and following != world.cycle(seed + 1)


def test_documents_walk_the_cycle_in_manners_that_are_not_held_out():
    told = world.stories(0, 2400)
    following = world.cycle(0)
    assert len(set(told)) == len(told) == 2400
    for story in told:
        assert len(story.words) == 16 and story.manner.voice != world.HELD_VOICE
        assert story.manner.speed != world.HELD_SPEED
        assert all(
            b == following[a] for a, b in zip(story.words[:-1], story.words[1:], strict=True)
        )
    with pytest.raises(ValueError, match="2400 different documents"):
        world.stories(0, 2401)
    assert world.stories(0, 10) == told[:10]


def test_questions_are_held_out_and_balanced():
    asked = world.questions(0)
    following = world.cycle(0)
    assert len(asked) == 32 * 11 * 3 and len({q.id for q in asked}) == len(asked)
    for q in asked:
        assert q.manner.voice == world.HELD_VOICE or q.manner.speed == world.HELD_SPEED
        assert q.options[q.answer] == following[q.word] and len(set(q.options)) == 4
        assert q.word not in q.options
    assert set(Counter(q.options[q.answer] for q in asked).values()) == {33}
    assert max(Counter(q.answer for q in asked).values()) < 1056 * 0.3  # places are even


def test_sounds_are_the_same_in_every_process_and_are_what_they_say(tmp_path):
    one, two = voices.bank(tmp_path / "a.npz"), voices.bank(tmp_path / "b.npz")
    assert one.keys() == two.keys() and len(one) == 32 * 36 * 3
    assert all(np.array_equal(one[key], two[key]) for key in one)
    slow, fast = (
        np.mean([len(one[voices.name(w, "en-us", speed, 50)]) for w in world.WORDS])
        for speed in (130, 230)
    )
    assert slow > 1.4 * fast
    assert all(abs(int(np.abs(pcm.astype(int)).max()) - 16_384) < 3 for pcm in one.values())


@pytest.mark.slow
def test_the_same_arguments_give_the_same_files(tmp_path):
    for name in "ab":
        assert make.main([str(tmp_path / name), "--documents", "90"]) == 0
    names = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*.*"))
    assert len(names) > 350
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    cues = (tmp_path / "a" / "cues" / "r0002.vtt").read_text().count("-->")
    assert cues == 10 * 16  # 90 documents: 40, 40 and 10
    pcm, rate = soundfile.read(tmp_path / "a" / "audio" / "r0002.flac", dtype="int16")
    assert rate == 16_000 and 10 * 6 < len(pcm) / rate < 10 * 14
    line = json.loads((tmp_path / "a" / "heard" / "items.jsonl").read_text().splitlines()[0])
    assert line["kind"] == "cloze" and line["question"]["audio"].startswith("audio/")


def test_times_are_written_as_webvtt_has_them():
    assert make.clock(0) == "00:00:00.000" and make.clock(16 * 3_725_041) == "01:02:05.041"
