"""Policies: the papers' statistics, and content that is dealt out exactly once."""

import dataclasses
import itertools
import random
from collections.abc import Sequence
from typing import Any

import jsonschema
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import digest_of
from schemas.records import Chunk, Word
from transforms.compose.policies import (
    POLICIES,
    Asr,
    Continuation,
    Deterministic,
    LstSpans,
    MixedSpans,
    Piece,
    Policy,
    PolicyError,
    SpeechOnly,
    Stochastic,
    TextOnly,
    Tts,
    WordSpans,
    pieces,
    stored,
)

RATE = 16000
LENGTH = 3200  # frames of a word


def chunks_of(*counts: int, times: str = "measured") -> list[Chunk]:
    """Chunks of so many words each, end to end."""
    found, at = [], 0
    for place, count in enumerate(counts):
        words = tuple(
            Word(
                text=f"c{place}w{i}",
                start=(at + i * LENGTH) / RATE,
                end=(at + i * LENGTH + LENGTH - 400) / RATE,
            )
            for i in range(count)
        )
        found.append(
            Chunk(
                clip=digest_of(place),
                start=at / RATE,
                end=(at + count * LENGTH) / RATE,
                text=" ".join(f"{w.text}," for w in words),
                speaker="spk0",
                words=words,
                times=times,
            )
        )
        at += count * LENGTH
    return found


def deal(chunks: Sequence[Chunk], policy: Any, seed: int = 0, epoch: int = 0) -> tuple[Piece, ...]:
    return pieces(chunks, policy, random.Random(seed), RATE, epoch)


def sides(found: Sequence[Piece]) -> str:
    return "".join("A" if piece.side == "speech" else "T" for piece in found)


def runs(found: Sequence[Piece]) -> list[tuple[str, int]]:
    """Runs of one side over chunk borders, with their words."""
    merged: list[tuple[str, int]] = []
    for piece in found:
        assert piece.words is not None
        count = piece.words[1] - piece.words[0]
        if merged and merged[-1][0] == piece.side:
            merged[-1] = (piece.side, merged[-1][1] + count)
        else:
            merged.append((piece.side, count))
    return merged


def test_deterministic_alternates_from_audio_in_every_epoch() -> None:
    chunks = chunks_of(1, 1, 1, 1, 1)
    for epoch in range(3):
        assert sides(deal(chunks, Deterministic(), epoch=epoch)) == "ATATA"


@pytest.mark.parametrize(
    ("count", "prefix", "shown"),
    [(1, 0.5, "A"), (2, 0.5, "AT"), (5, 0.5, "AATTT"), (4, 0.01, "ATTT"), (3, 0.99, "AAT")],
)
def test_a_continuation_is_heard_first_and_read_then(count: int, prefix: float, shown: str) -> None:
    """Some is heard and, of several chunks, some is read; the same in every epoch."""
    chunks = chunks_of(*[1] * count)
    for epoch in range(2):
        assert sides(deal(chunks, Continuation(prefix=prefix), epoch=epoch)) == shown


def test_text_between_speech_is_text_under_every_policy() -> None:
    """The others are dealt as if they stood alone: a span that is spoken stays so."""
    chunks = chunks_of(2, 3, 2, 1)
    chunks[1] = dataclasses.replace(
        chunks[1], modality="text", words=(), times="none", end=chunks[1].start
    )
    assert sides(deal(chunks, Deterministic())) == "ATTA"
    assert sides(deal(chunks, SpeechOnly())) == "ATAA"
    found = deal(chunks, WordSpans(eta=1.0))
    assert [(p.chunk, p.side) for p in found if p.chunk == 1] == [(1, "text")]
    assert [piece.chunk for piece in found] == sorted(piece.chunk for piece in found)
    spoken = dataclasses.replace(chunks[0], modality="speech")
    with pytest.raises(PolicyError, match="fixed when it was written"):
        deal([spoken, *chunks[1:]], Deterministic())


def test_alternate_shows_both_sides_in_two_epochs() -> None:
    chunks, policy = chunks_of(1, 1, 1, 1), Deterministic(start="alternate")
    assert [sides(deal(chunks, policy, epoch=e)) for e in range(3)] == ["ATAT", "TATA", "ATAT"]


@pytest.mark.parametrize(("count", "switches"), [(2, 0.5), (10, 4.5), (50, 24.5)])
def test_stochastic_starts_with_audio_and_switches_half_the_time(
    count: int, switches: float
) -> None:
    chunks = chunks_of(*[1] * count)
    drawn = [sides(deal(chunks, Stochastic(), seed)) for seed in range(2000)]
    assert {d[0] for d in drawn} == {"A"}
    mean = sum(a != b for d in drawn for a, b in itertools.pairwise(d)) / len(drawn)
    assert mean == pytest.approx(switches, abs=0.06 * count**0.5)


@pytest.mark.parametrize(("p", "expected"), [(0.0, "ATTTT"), (1.0, "AAAAA")])
def test_the_chance_of_speech_at_its_ends(p: float, expected: str) -> None:
    assert sides(deal(chunks_of(1, 1, 1, 1, 1), Stochastic(p=p))) == expected


@pytest.mark.parametrize(
    ("policy", "expected"),
    [(SpeechOnly(), "AAA"), (TextOnly(), "TTT"), (Asr(), "ATATAT"), (Tts(), "TATATA")],
)
def test_fixed_policies(policy: Any, expected: str) -> None:
    found = deal(chunks_of(2, 1, 3), policy)
    assert sides(found) == expected
    if len(expected) == 6:
        assert [piece.chunk for piece in found] == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("eta", "share", "speech", "text", "segments"),
    [(0.2, 0.205, 9.8, 36.9, 42), (0.3, 0.305, 9.75, 21.8, 63), (0.4, 0.404, 9.6, 14.0, 84)],
)
def test_word_spans_have_the_published_statistics(
    eta: float, share: float, speech: float, text: float, segments: float
) -> None:
    chunks = chunks_of(*[25] * 40)  # 1000 words
    drawn = [runs(deal(chunks, WordSpans(eta=eta, mean_words=10), seed)) for seed in range(300)]
    spans = {side: [n for d in drawn for s, n in d if s == side] for side in ("speech", "text")}
    assert sum(spans["speech"]) / 300_000 == pytest.approx(share, abs=0.002)
    assert sum(spans["speech"]) / len(spans["speech"]) == pytest.approx(speech, abs=0.25)
    assert sum(spans["text"]) / len(spans["text"]) == pytest.approx(text, rel=0.03)
    assert sum(map(len, drawn)) / 300 == pytest.approx(segments, rel=0.02)


def test_mixed_spans_have_the_authors_lengths_and_tail() -> None:
    """Text 4 to 10 words, speech 2 to 5; the last span takes what is left below 6 words."""
    drawn = [runs(deal(chunks_of(*[25] * 40), MixedSpans(), seed)) for seed in range(60)]
    limits = {"text": (4, 10), "speech": (2, 5)}
    for spans in drawn:
        for side, length in spans[:-1]:
            assert limits[side][0] <= length <= limits[side][1]
        assert spans[-1][1] <= 10
        assert all(a != b for (a, _), (b, _) in itertools.pairwise(spans))
    counted = {side: [n for spans in drawn for s, n in spans[:-1] if s == side] for side in limits}
    for side, (least, most) in limits.items():
        assert sum(counted[side]) / len(counted[side]) == pytest.approx(
            (least + most) / 2, rel=0.02
        )
        assert set(counted[side]) == set(range(least, most + 1))
    assert {spans[0][0] for spans in drawn} == {"text", "speech"}
    for seed in range(10):
        assert sides(deal(chunks_of(5), MixedSpans(), seed)) == "T"
    with pytest.raises(pydantic.ValidationError, match="shortest and a longest"):
        MixedSpans(text=(5, 4))


def test_lst_spans_give_half_as_many_words_to_speech() -> None:
    chunks = chunks_of(*[25] * 40)
    drawn = [runs(deal(chunks, LstSpans(), seed)) for seed in range(100)]
    speech = sum(n for d in drawn for s, n in d if s == "speech")
    text = sum(n for d in drawn for s, n in d if s == "text")
    assert speech / text == pytest.approx(0.5, abs=0.01)
    inner = [n for d in drawn for s, n in d[1:-1] if s == "text"]
    assert set(inner) == set(range(4, 11))
    assert {d[0][0] for d in drawn} == {"speech", "text"}


def test_lst_spans_never_leave_a_document_without_speech() -> None:
    for seed in range(200):
        assert "A" in sides(deal(chunks_of(1, 2), LstSpans(), seed))


counts = st.lists(st.integers(1, 12), min_size=1, max_size=8)
policies: st.SearchStrategy[Any] = st.one_of(
    st.just(Deterministic()),
    st.builds(Stochastic, p=st.floats(0, 1)),
    st.builds(WordSpans, eta=st.floats(0, 1), mean_words=st.floats(0.5, 30)),
    st.builds(LstSpans, ratio=st.floats(0.1, 3)),
    st.builds(MixedSpans),
    st.just(SpeechOnly()),
    st.just(TextOnly()),
)


@given(counts, policies, st.integers(0, 10**6))
def test_every_character_and_frame_is_dealt_exactly_once(
    words: list[int], policy: Any, seed: int
) -> None:
    chunks = chunks_of(*words)
    found = deal(chunks, policy, seed)
    for place, chunk in enumerate(chunks):
        own = [piece for piece in found if piece.chunk == place]
        assert "".join(chunk.text[slice(*p.characters)] for p in own) == chunk.text
        assert [own[0].start, *(p.end for p in own)] == [*(p.start for p in own), chunk.end]
        assert own[0].start == chunk.start
        assert all(round(p.end * RATE) / RATE == p.end for p in own)
    assert [p.chunk for p in found] == sorted(p.chunk for p in found)


@given(counts, policies, st.integers(0, 10**6))
def test_a_draw_depends_on_the_generator_alone(words: list[int], policy: Any, seed: int) -> None:
    state = random.getstate()
    assert deal(chunks_of(*words), policy, seed) == deal(chunks_of(*words), policy, seed)
    assert random.getstate() == state


@given(counts, st.floats(0.01, 1), st.integers(0, 10**6))
def test_word_spans_reach_their_share_or_run_out_of_room(
    words: list[int], eta: float, seed: int
) -> None:
    found = runs(deal(chunks_of(*words), WordSpans(eta=eta, mean_words=3), seed))
    spoken = sum(n for side, n in found if side == "speech")
    if spoken < eta * sum(words):  # no word is left that does not touch a span
        assert all(n <= 2 for side, n in found if side == "text")


def test_a_piece_of_words_is_cut_in_the_middle_of_the_pauses() -> None:
    chunks = chunks_of(20)
    first, second, *_ = deal(chunks, LstSpans(), seed=1)
    assert first.words is not None
    place = first.words[1]
    assert second.start == first.end == (place * LENGTH - 200) / RATE
    assert chunks[0].text[slice(*first.characters)].split() == [f"c0w{i}," for i in range(place)]


@pytest.mark.parametrize("times", ["estimated", "none"])
def test_words_without_measured_times_are_not_cut(times: str) -> None:
    chunks = chunks_of(3, 3, times=times)
    with pytest.raises(PolicyError, match="allow_estimated") as caught:
        deal(chunks, WordSpans())
    assert caught.value.code == "times_not_measured"
    assert deal(chunks, Deterministic())


def test_estimated_times_are_cut_when_allowed() -> None:
    assert deal(chunks_of(3, 3, times="estimated"), WordSpans(allow_estimated=True))
    with pytest.raises(PolicyError):
        deal(chunks_of(0, 3), WordSpans(allow_estimated=True))


def test_words_that_are_not_in_the_text_are_not_cut() -> None:
    (chunk,) = chunks_of(3)
    other = Chunk(
        clip=chunk.clip, start=0, end=chunk.end, text="a b", speaker="s", words=chunk.words,
        times="measured",
    )  # fmt: skip
    with pytest.raises(PolicyError) as caught:
        deal([other], WordSpans())
    assert caught.value.code == "words_not_in_text"


def one_sided(*modalities: str) -> list[Chunk]:
    return [
        Chunk(clip=digest_of(i), start=0, end=0, text="a", speaker="s", modality=m)
        for i, m in enumerate(modalities)
    ]


def test_stored_interleavings_are_read_as_stored_and_no_other_way() -> None:
    chunks = one_sided("speech", "text", "text")
    assert sides(stored(chunks)) == "ATT"
    with pytest.raises(PolicyError) as caught:
        deal(chunks, Deterministic())
    assert caught.value.code == "already_materialised"
    with pytest.raises(PolicyError) as caught:
        stored(chunks_of(1))
    assert caught.value.code == "not_materialised"


@given(policies)
def test_text_only_documents_are_text_under_every_policy(policy: Any) -> None:
    assert sides(deal(one_sided("text", "text"), policy)) == "TT"


class Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(strict=True, extra="forbid")
    policy: Policy


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_is_named_in_three_ways(name: str) -> None:
    expected = POLICIES[name]()
    for written in (name, {name: {}}, {name: None}, {"kind": name}, expected):
        assert Settings(policy=written).policy == expected  # type: ignore[arg-type]
    assert Settings(**Settings(policy=name).model_dump()).policy == expected  # type: ignore[arg-type]


def test_settings_are_read_and_an_int_may_stand_for_a_float() -> None:
    found = Settings(policy={"word_spans": {"eta": 0.2, "mean_words": 8}})  # type: ignore[arg-type]
    assert found.policy == WordSpans(eta=0.2, mean_words=8.0)


@pytest.mark.parametrize(
    ("written", "place", "message"),
    [
        ("determinstic", (), "did you mean 'deterministic'"),
        ({"word_spans": {"eta": 2}}, ("word_spans", "eta"), "less than or equal to 1"),
        ({"word_spans": {"etta": 0.2}}, ("word_spans", "etta"), "not permitted"),
        ({"word_spans": {"eta": "0.2"}}, ("word_spans", "eta"), "valid number"),
        ({"lst_spans": {"least": 5, "most": 2}}, ("lst_spans",), "above most"),
        ({"asr": {}, "tts": {}}, (), "here are 2 keys"),
        ({"asr": 3}, (), "mapping"),
        (3, (), "valid dictionary"),
    ],
)
def test_errors_name_the_place(written: Any, place: tuple[str, ...], message: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        Settings(policy=written)
    (error,) = caught.value.errors()
    assert error["loc"] == ("policy", *place)
    assert message in error["msg"]


def test_the_json_schema_knows_the_short_forms() -> None:
    schema = Settings.model_json_schema()
    for good in ("asr", {"word_spans": {"eta": 0.2}}, {"kind": "stochastic", "p": 0.1}):
        jsonschema.validate({"policy": good}, schema)
    for bad in ("asrr", {"word_spans": {"etta": 0.2}}, {"word_spans": {}, "asr": {}}, 3):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({"policy": bad}, schema)


@pytest.mark.parametrize(
    ("policy", "expected"), [(Stochastic(), "ATT"), (WordSpans(), "TAAT"), (LstSpans(), "ATTATTA")]
)
def test_draws_are_pinned(policy: Any, expected: str) -> None:
    # a changed draw changes every run that anyone repeats
    assert sides(deal(chunks_of(9, 9, 9), policy, seed=17)) == expected
