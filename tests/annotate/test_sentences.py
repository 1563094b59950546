"""Clips cut between sentences: where, and that every frame and every character stays."""

import dataclasses
import hashlib
import itertools
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.work import _lost
from schemas.records import AudioRef, Clip, Task, Transcript, Word, clip_id, frames, task_id
from transforms.annotate.cutting import borders_of, character_before
from transforms.annotate.sentences import Sentences, merged, parted, sentence_starts
from transforms.step import Scope, registry

RATE = 8_000
RECORDING = "cd" * 32
TASK = Task(id=task_id(RECORDING, None, None, None, None), recording=RECORDING)


class Tape:
    """A minute of noise: every stretch has its own digest."""

    rate = RATE

    def __init__(self) -> None:
        noise = np.random.default_rng(5).integers(-9_000, 9_000, 60 * RATE)
        self.samples = noise.astype(np.int16)

    def channels(self) -> Sequence[int]:
        return (0, 1)

    def length(self, channel: int) -> int:
        return len(self.samples)

    def read(self, channel: int, start: int, end: int) -> np.ndarray:
        assert 0 <= start <= end <= len(self.samples)
        return self.samples[start:end]


TAPE = Tape()
SCOPE = Scope(root=TASK, seed=1, audio=TAPE)


def clip_of(
    text: str,
    start: float = 0.0,
    *,
    pace: float = 0.5,
    tail: float = 0.1,
    times: str = "measured",
    pauses: dict[int, float] | None = None,
    channel: int = 0,
    language: str | None = "en",
    **more,
) -> Clip:
    """A clip whose words last `pace` less `tail` seconds each; `pauses` come before some words."""
    at, words = start, []
    for place, word in enumerate(text.split()):
        at += (pauses or {}).get(place, 0.0)
        words.append(Word(text=word, start=at, end=at + pace - tail))
        at += pace
    first, last = frames(start, RATE), frames(at, RATE)
    return Clip(
        id=clip_id(TASK.id, channel, first, last, RATE, "spk0"),
        task=TASK.id,
        recording=RECORDING,
        channel=channel,
        index=0,
        start=first / RATE,
        end=last / RATE,
        rate=RATE,
        speaker="spk0",
        text=text,
        quality="normal",
        language=language,
        times=times,
        words=tuple(words),
        audio=AudioRef(
            tar="ef" * 32, offset=7, size=99, start=1000, end=1000 + last - first, rate=RATE
        ),
        **more,
    )


def run(step: Sentences, *clips: Clip) -> list[Clip]:
    return list(step(clips, step.load(), SCOPE))


def texts(clips: Sequence[Clip]) -> list[str]:
    return [clip.text for clip in clips]


# -- where ----------------------------------------------------------------------------------


def test_a_clip_is_cut_between_sentences_in_the_middle_of_the_pause():
    one = clip_of("Mr. Fox is here now. He eats a big goose! Does she mind him?", 2.0)
    parts = run(Sentences(), one)
    assert texts(parts) == ["Mr. Fox is here now.", "He eats a big goose!", "Does she mind him?"]
    # word 5 begins at 4.5 s, word 4 ends at 4.4 s
    assert [(p.start, p.end) for p in parts] == [(2.0, 4.45), (4.45, 6.95), (6.95, 9.0)]
    assert [p.index for p in parts] == [0, 1, 2]
    assert [[w.text for w in p.words] for p in parts] == [t.split() for t in texts(parts)]
    assert tuple(w for p in parts for w in p.words) == one.words


def test_ids_audio_and_digests_are_those_of_the_parts():
    parts = run(Sentences(), clip_of("He eats a goose. She does not mind.", 2.0))
    for part in parts:
        start, end = frames(part.start, RATE), frames(part.end, RATE)
        assert part.id == clip_id(TASK.id, 0, start, end, RATE, "spk0")
        assert (part.audio.start, part.audio.end) == (1000 + start - 16_000, 1000 + end - 16_000)
        samples = TAPE.samples[start:end].astype("<i2").tobytes()
        assert part.pcm_sha256 == hashlib.sha256(samples).hexdigest()
    assert len({part.pcm_sha256 for part in parts}) == 2


@pytest.mark.parametrize(
    ("language", "marked"),
    [
        ("de", "Er kam am 3. Mai zu Dr. Fuchs.|Dann ging er."),
        ("hi", "यह एक घर है।|वह वहाँ रहता है।"),
        ("es", "¿Dónde está mi casa?|¡No lo sé yo!"),
        (None, "He said no thing.|“Yes it is,” said she."),
        ("tlh", "Qapla batlh je now.|Nuq neH SoH now."),
    ],
)
def test_sentences_end_as_the_language_ends_them(language, marked):
    one = clip_of(marked.replace("|", " "), language=language)
    assert texts(run(Sentences(), one)) == marked.split("|")


def test_signs_without_blanks_are_cut_too():
    text = "今天天气很好。我们去公园。"
    words = tuple(
        Word(text=sign, start=0.3 * place, end=0.3 * place + 0.3)
        for place, sign in enumerate(sign for sign in text if sign.isalpha())
    )
    one = dataclasses.replace(
        clip_of("a b c d e f g h i j k", pace=0.3), text=text, words=words, language="zh"
    )
    assert texts(run(Sentences(), one)) == ["今天天气很好。", "我们去公园。"]


def test_short_sentences_stay_with_their_shorter_neighbour():
    text = "He eats a very big goose. No. She does not mind."
    assert texts(run(Sentences(min_seconds=1.0), clip_of(text))) == [
        "He eats a very big goose.",
        "No. She does not mind.",
    ]
    assert len(run(Sentences(min_seconds=0), clip_of(text))) == 3
    assert texts(run(Sentences(min_seconds=5), clip_of(text))) == [text]


def test_a_long_sentence_is_cut_at_its_longest_pause():
    text = "one two three, four five six seven eight nine ten"
    pauses = {3: 0.4, 7: 0.2}
    long = clip_of(text, pauses=pauses)  # 5.6 s
    assert texts(run(Sentences(max_seconds=5), long)) == [
        "one two three,",
        "four five six seven eight nine ten",
    ]
    assert texts(run(Sentences(max_seconds=3), long)) == [
        "one two three,",
        "four five six seven",
        "eight nine ten",
    ]
    assert texts(run(Sentences(max_seconds=None), long)) == [text]


def test_what_cannot_be_cut_without_slivers_stays():
    assert texts(run(Sentences(max_seconds=4, min_seconds=2), clip_of("aaa bbb", pace=3))) == [
        "aaa",
        "bbb",
    ]
    lopsided = clip_of("one two three", pace=0.2, pauses={1: 9.0})
    assert len(run(Sentences(max_seconds=8, min_seconds=4), lopsided)) == 2
    assert len(run(Sentences(max_seconds=8, min_seconds=1), clip_of("one", pace=12))) == 1


# -- what passes whole ----------------------------------------------------------------------


TWO = "He eats a goose. She does not mind."


@pytest.mark.parametrize(
    "whole",
    [
        clip_of(TWO, times="estimated"),
        dataclasses.replace(clip_of(TWO, times="none"), words=()),
        dataclasses.replace(clip_of(TWO), text="Something else. It is not there."),
        dataclasses.replace(clip_of(TWO), text=""),
        clip_of("Hello."),
        clip_of("He eats a goose"),
    ],
)
def test_a_clip_that_cannot_be_cut_passes_as_it_is(whole):
    (same,) = run(Sentences(), whole)
    assert same == whole


def test_estimated_times_are_used_only_where_allowed():
    parts = run(Sentences(allow_estimated=True), clip_of(TWO, times="estimated"))
    assert texts(parts) == ["He eats a goose.", "She does not mind."]
    assert {part.times for part in parts} == {"estimated"}


def test_a_border_inside_a_word_is_none():
    assert sentence_starts([(0, 4), (5, 8)], ["e.", "g. you"], "e.g. you") == {}
    assert sentence_starts([(0, 2), (3, 5)], ["ab ", "cd"], "ab cd") == {1: 3}
    assert sentence_starts([(0, 2), (3, 5)], ["ab", "cd"], "ab cd") == {}  # not end to end


# -- order, overlap, other answers ----------------------------------------------------------


def test_clips_are_numbered_by_channel_and_time():
    late, early = clip_of(TWO, 20.0), clip_of(TWO, 4.0)
    other = clip_of("Hello.", 1.0, channel=1)
    parts = run(Sentences(), other, late, early)
    assert [(p.channel, p.start) for p in parts] == sorted((p.channel, p.start) for p in parts)
    assert [p.index for p in parts] == [0, 1, 2, 3, 4]
    assert [p.channel for p in parts] == [0, 0, 0, 0, 1]


def test_overlap_is_shared_by_duration_and_the_rest_holds_for_each_part():
    one = clip_of(TWO, overlap_seconds=1.0, disagreement=0.25, language_probability=0.9)
    first, second = run(Sentences(), one)
    assert first.overlap_seconds == pytest.approx(first.seconds / one.seconds)
    assert first.overlap_seconds + second.overlap_seconds == pytest.approx(1.0)
    assert {(p.disagreement, p.language_probability, p.quality) for p in (first, second)} == {
        (0.25, 0.9, "normal")
    }


def test_other_answers_are_cut_at_the_same_moments():
    one = clip_of(TWO)
    own = Transcript(engine="own", text=one.text, words=one.words, times="measured")
    slow = tuple(dataclasses.replace(w, start=w.start + 0.1, end=w.end + 0.1) for w in one.words)
    other = Transcript(
        engine="other", text="He ate a goose; she did not mind.", words=slow, times="measured"
    )
    untimed = Transcript(engine="untimed", text="a b c d e f g h")
    half = Transcript(engine="half", text="Goose", words=(slow[3],), times="measured")
    odd = Transcript(engine="odd", text="?", words=slow[:1] + slow[5:], times="measured")
    first, second = run(
        Sentences(), dataclasses.replace(one, transcripts=(own, other, untimed, half, odd))
    )
    assert [(t.engine, t.text) for t in first.transcripts] == [
        ("own", "He eats a goose."),
        ("other", "He ate a goose;"),
        ("untimed", "a b c d"),
        ("half", "Goose"),
        ("odd", "He"),
    ]
    assert [(t.engine, t.text) for t in second.transcripts] == [
        ("own", "She does not mind."),
        ("other", "she did not mind."),
        ("untimed", "e f g h"),
        ("odd", "does not mind."),
    ]
    assert first.transcripts[0].words == first.words
    for part in (first, second):
        for answer in part.transcripts:
            assert all(part.start <= w.start <= w.end <= part.end for w in answer.words)


def test_words_that_run_into_each_other_end_at_the_cut():
    one = clip_of("He eats a goose. She does not mind.", tail=-0.2)
    first, second = run(Sentences(), one)
    assert first.end == second.start == first.words[-1].end == second.words[0].start


# -- invariants -----------------------------------------------------------------------------


@st.composite
def clips(draw):
    count = draw(st.integers(1, 14))
    words = draw(
        st.lists(
            st.sampled_from(
                ["Yes.", "no", "He", "goose!", "“Well,”", "Dr.", "3.5", "a", "?", "なに。"]
            ),
            min_size=count,
            max_size=count,
        )
    )
    steps = draw(st.lists(st.floats(0, 1.5), min_size=2 * count, max_size=2 * count))
    at, spoken = 0.0, []
    for place, word in enumerate(words):
        start = at + steps[2 * place] - draw(st.sampled_from([0, 0, 0.3]))
        start = max(start, 0.0)
        spoken.append(Word(text=word, start=start, end=start + steps[2 * place + 1]))
        at = max(at, spoken[-1].end)
    spoken.sort(key=lambda word: word.start)
    text = draw(st.sampled_from([" ", "  ", "\n"])).join(word.text for word in spoken)
    last = max(frames(at, RATE), 1)
    base = clip_of("x")
    return dataclasses.replace(
        base,
        id=clip_id(TASK.id, 0, 0, last, RATE, "spk0"),
        end=last / RATE,
        text=text,
        words=tuple(spoken),
        transcripts=(Transcript(engine="e", text=text, words=tuple(spoken), times="measured"),),
        audio=dataclasses.replace(base.audio, end=1000 + last),
    )


@given(
    whole=clips(),
    least=st.sampled_from([0.0, 0.3, 1.0, 2.0]),
    most=st.sampled_from([None, 4.0, 9.0]),
)
def test_every_frame_word_and_letter_stays(whole, least, most):
    parts = run(Sentences(min_seconds=least, max_seconds=most), whole)
    assert parts[0].start == whole.start and parts[-1].end == whole.end
    for before, after in itertools.pairwise(parts):
        assert before.end == after.start and before.audio.end == after.audio.start
    assert sum(frames(p.seconds, RATE) for p in parts) == frames(whole.seconds, RATE)
    assert "".join("".join(texts(parts)).split()) == "".join(whole.text.split())
    assert all(part.text in whole.text for part in parts)
    assert [w.text for p in parts for w in p.words] == [w.text for w in whole.words]
    assert _lost([whole], parts) == set()
    assert len({part.id for part in parts}) == len(parts)
    if len(parts) > 1:
        assert all(frames(p.seconds, RATE) >= max(1, frames(least, RATE)) for p in parts)
        assert all(p.start <= w.start <= w.end <= p.end for p in parts for w in p.words)
        assert all(p.transcripts[0].text == p.text for p in parts if p.transcripts)
    again = run(Sentences(min_seconds=least, max_seconds=most), whole)
    assert again == parts


def test_a_clip_that_was_not_cut_end_to_end_is_lost():
    whole = clip_of(TWO)
    parts = run(Sentences(), whole)
    assert _lost([whole], parts) == set()
    assert (
        _lost([whole], parts[:1]) == _lost([whole], parts[1:]) == _lost([whole], []) == {whole.id}
    )
    assert _lost([whole], [parts[0], dataclasses.replace(parts[1], channel=1)]) == {whole.id}


@given(
    lengths=st.lists(st.integers(0, 50), min_size=1, max_size=30),
    inner=st.sets(st.integers(1, 29)),
    least=st.integers(1, 40),
    pauses=st.lists(st.integers(-5, 9), min_size=30, max_size=30),
)
def test_edges_keep_their_ends_and_their_bounds(lengths, inner, least, pauses):
    borders = [0, *itertools.accumulate(lengths)]
    edges = [0, *sorted(p for p in inner if p < len(lengths)), len(lengths)]
    kept = merged(edges, borders, least)
    assert set(kept) <= set(edges) and kept[0] == 0 and kept[-1] == len(lengths)
    if len(kept) > 2:
        assert min(borders[b] - borders[a] for a, b in itertools.pairwise(kept)) >= least
    more = parted(kept, borders, pauses, least, 2 * least)
    assert set(kept) <= set(more) and more == sorted(set(more))


def test_borders_and_characters():
    one = clip_of("One, “two” three")
    ranges = [(0, 3), (6, 9), (11, 16)]
    assert [character_before(one.text, ranges, place) for place in (1, 2)] == [5, 11]
    assert borders_of(one) == (0, frames(0.45, RATE), frames(0.95, RATE), frames(1.5, RATE))


# -- settings -------------------------------------------------------------------------------


def test_it_is_a_step_that_drops_nothing():
    assert registry()["sentences"] is Sentences
    assert Sentences.reasons == {}
    assert set(Sentences().fingerprint()) == {"sentencex"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_seconds": -1.0}, "greater than or equal"),
        ({"max_seconds": 0.0}, "greater than 0"),
        ({"max_seconds": 1.5}, "below twice min_seconds"),
        ({"language": "english"}, "match pattern"),
        ({"allow_estimated": 1}, "valid boolean"),
    ],
)
def test_wrong_settings_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        Sentences(**wrong)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ("align, sentences, transcribe", "stands before transcribe, whose answers it needs"),
        ("transcribe, sentences, align", "stands before align, whose answers it needs"),
        ("transcribe, align, sentences", None),
    ],
)
def test_a_recipe_has_the_steps_in_the_order_of_their_needs(tmp_path, order, said):
    from pipeline.recipe import load_recipe
    from schemas.settings import SettingsError

    path = tmp_path / "recipe.yaml"
    path.write_text(
        "name: order\nseed: 1\nstreams: {web: [crawl, decode, segment, diarize, "
        f"{order}, interleave]}}\n"
    )
    if said is None:
        assert [s.name() for s in load_recipe(path).streams["web"]][4:7] == order.split(", ")
    else:
        with pytest.raises(SettingsError, match=said):
            load_recipe(path)
