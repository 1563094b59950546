"""Documents: every kept clip once or dropped, exact time lines, borders where they belong."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import Chunk, Clip, Document, Drop, frames
from schemas.shard import check, from_json, to_json
from tests.compose.conftest import RATE, RECORDING, TASK, clip, clip_lists
from transforms.compose.chunks import coarse, groups
from transforms.compose.documents import About
from transforms.compose.interleave import Interleave
from transforms.compose.policies import POLICIES, WordSpans, stored
from transforms.step import registry

ABOUT = About(
    stream="web", split="train", licence="CC0-1.0", source="file:///a.wav", topic="", language="fr",
    seed=17,
)  # fmt: skip
S = RATE  # a second


def run(
    clips: Sequence[Clip], kept: Sequence[Clip] | None = None, **options: Any
) -> tuple[list[Document], list[Drop]]:
    ids = {c.id for c in (clips if kept is None else kept)}
    found = list(Interleave(**options).documents(clips, ids, ABOUT))
    return (
        [one for one in found if isinstance(one, Document)],
        [one for one in found if isinstance(one, Drop)],
    )


def shape(documents: Sequence[Document]) -> list[int]:
    return [len(d.chunks) for d in documents]


options = st.fixed_dictionaries(
    {
        "max_seconds": st.floats(1, 40),
        "on_drop": st.sampled_from(["end", "gap"]),
        "max_gap_seconds": st.none() | st.floats(0, 5),
        "min_chunks": st.integers(1, 3),
        "granularity": st.sampled_from(["fine", "coarse"]),
        "materialize": st.booleans(),
        "policy": st.sampled_from(sorted(POLICIES)),
    }
)


@settings(max_examples=200, deadline=None)
@given(clip_lists(), st.data(), options)
def test_each_kept_clip_is_in_exactly_one_document_or_dropped(
    clips: list[Clip], data: st.DataObject, chosen: dict[str, Any]
) -> None:
    kept = [c for c in clips if data.draw(st.booleans())]
    documents, drops = run(clips, kept, **chosen)
    placed = [clip_id for d in documents for clip_id in dict.fromkeys(c.clip for c in d.chunks)]
    assert sorted([*placed, *(d.id for d in drops)]) == sorted(c.id for c in kept)
    assert {d.reason for d in drops} <= set(Interleave.reasons)
    by_id = {c.id: c for c in clips}
    assert all(d.seconds == by_id[d.id].seconds and d.root == TASK for d in drops)
    for document in documents:
        assert check(document) is None
        assert document.seconds <= chosen["max_seconds"]
        bare = dataclasses.replace(
            document,
            chunks=tuple(dataclasses.replace(c, audio=None) for c in document.chunks),
        )
        assert from_json(to_json(document), "x") == bare


@settings(max_examples=100, deadline=None)
@given(clip_lists(channels=1), st.data())
def test_frames_are_conserved_and_places_in_the_recording_can_be_computed(
    clips: list[Clip], data: st.DataObject
) -> None:
    kept = [c for c in clips if data.draw(st.booleans())]
    documents, drops = run(clips, kept, on_drop="gap", max_seconds=30)
    total = sum(frames(d.seconds, RATE) for d in documents)
    total += sum(frames(d.seconds, RATE) for d in drops)
    assert total == sum(frames(c.seconds, RATE) for c in kept)
    by_id = {c.id: c for c in clips}
    for document in documents:
        at = frames(by_id[document.chunks[0].clip].start, RATE)
        for chunk in document.chunks:
            source = by_id[chunk.clip]
            at += frames(chunk.gap, RATE)
            assert at == frames(source.start, RATE)
            assert chunk.audio == source.audio and chunk.text == source.text
            shift = frames(source.start, RATE) - frames(chunk.start, RATE)
            assert [frames(w.start, RATE) + shift for w in chunk.words] == [
                frames(w.start, RATE) for w in source.words
            ]
            at += frames(chunk.end, RATE) - frames(chunk.start, RATE)


@settings(max_examples=100, deadline=None)
@given(clip_lists(), st.data())
def test_the_order_of_the_clips_does_not_matter(clips: list[Clip], data: st.DataObject) -> None:
    assert run(data.draw(st.permutations(clips))) == run(clips)


def test_the_document_says_what_it_is() -> None:
    clips = [clip(0, S, quality="given"), clip(2 * S, S, quality="smoke"), clip(4 * S, S)]
    ((document,), drops) = run(clips)
    assert drops == []
    assert (document.stream, document.split, document.licence) == ("web", "train", "CC0-1.0")
    assert (document.recording, document.rate, document.quality) == (RECORDING, RATE, "smoke")
    assert [(c.start, c.end, c.gap) for c in document.chunks] == [(0, 1, 0), (1, 2, 1), (2, 3, 1)]
    assert document.language == "en"


def test_the_language_is_that_of_most_frames_or_the_default() -> None:
    mixed = [
        clip(0, S, language="de"),
        clip(S, 2 * S, language="it"),
        clip(3 * S, S, language="de"),
    ]
    assert run(mixed)[0][0].language == "de"  # a tie: the first in the alphabet
    assert run([clip(0, S, language=None)])[0][0].language == "fr"


def test_a_dropped_clip_ends_the_document_or_is_a_recorded_gap() -> None:
    clips = [clip(i * S, S) for i in range(5)]
    kept = [clips[0], clips[1], clips[3], clips[4]]
    assert shape(run(clips, kept)[0]) == [2, 2]
    ((document,), _) = run(clips, kept, on_drop="gap")
    assert [(c.gap, c.after_drop) for c in document.chunks] == [
        (0.0, False), (0.0, False), (1.0, True), (0.0, False)
    ]  # fmt: skip


def test_a_clip_dropped_before_the_first_chunk_is_no_gap() -> None:
    clips = [clip(0, S), clip(S, S)]
    ((document,), _) = run(clips, clips[1:], on_drop="gap")
    assert not document.chunks[0].after_drop


def test_documents_end_before_they_grow_too_long() -> None:
    clips = [clip(i * S, S) for i in range(7)]
    assert shape(run(clips, max_seconds=3.0)[0]) == [3, 3, 1]
    assert shape(run(clips, max_seconds=3.5)[0]) == [3, 3, 1]


def test_a_wide_gap_ends_the_document() -> None:
    clips = [clip(0, S), clip(2 * S, S), clip(5 * S, S)]
    assert shape(run(clips, max_gap_seconds=1.0)[0]) == [2, 1]
    assert shape(run(clips, max_gap_seconds=None)[0]) == [3]
    assert shape(run([clip(0, S), clip(S, S), clip(2 * S + 1, S)], max_gap_seconds=0)[0]) == [2, 1]


@pytest.mark.parametrize(
    ("clips", "chosen", "reasons"),
    [
        ([clip(0, 5 * S)], {"max_seconds": 4.0}, ["longer_than_document"]),
        ([clip(0, S, text=" \n")], {}, ["no_text"]),
        ([clip(0, S)], {"min_chunks": 2}, ["too_few_chunks"]),
        (
            [clip(0, S, times="estimated"), clip(S, S)],
            {"materialize": True, "policy": "word_spans"},
            ["times_not_measured"] * 2,
        ),
        (
            [clip(0, S, text="other")],
            {"materialize": True, "policy": "lst_spans"},
            ["words_not_in_text"],
        ),
    ],
)
def test_drops_have_reasons(clips: list[Clip], chosen: dict[str, Any], reasons: list[str]) -> None:
    documents, drops = run(clips, **chosen)
    assert documents == [] and [d.reason for d in drops] == reasons


def test_a_clip_that_leaves_here_breaks_the_document_too() -> None:
    clips = [clip(0, S), clip(S, S, text=""), clip(2 * S, S)]
    assert shape(run(clips)[0]) == [1, 1]


def test_channels_of_a_call_are_interleaved_by_time_and_overlap_is_recorded() -> None:
    clips = [
        clip(0, 2 * S, channel=0),
        clip(S, 2 * S, channel=1),
        clip(4 * S, S, channel=0, speaker="Ada", given=True),
    ]
    ((document,), _) = run(clips)
    assert [(c.speaker, c.start, c.gap) for c in document.chunks] == [
        ("ch0:spk0", 0.0, 0.0), ("ch1:spk0", 2.0, -1.0), ("Ada", 4.0, 1.0)
    ]  # fmt: skip


def test_words_that_stick_out_of_their_clip_are_held_inside_their_chunk() -> None:
    one = clip(S, S, words=1)
    word = dataclasses.replace(one.words[0], start=0.5, end=2.5)
    ((document,), _) = run([dataclasses.replace(one, words=(word,))])
    assert (document.chunks[0].words[0].start, document.chunks[0].words[0].end) == (0.0, 1.0)


@pytest.mark.parametrize("audio", [None, clip(0, S - 1).audio])
def test_clips_without_their_audio_are_a_bug(audio: Any) -> None:
    with pytest.raises(ValueError, match="has audio"):
        run([dataclasses.replace(clip(0, S), audio=audio)])


def test_ids_follow_stream_and_clips() -> None:
    clips = [clip(0, S), clip(S, S)]
    first, second = run(clips)[0][0], run(clips[:1])[0][0]
    assert first.id != second.id
    other = dataclasses.replace(ABOUT, stream="krist")
    (third,) = Interleave().documents(clips, {c.id for c in clips}, other)
    assert third.id != first.id


# views


def chunks_of(clips: Sequence[Clip], **chosen: Any) -> tuple[Chunk, ...]:
    return run(clips, **chosen)[0][0].chunks


@settings(max_examples=100, deadline=None)
@given(clip_lists(), st.floats(0, 3), st.floats(0, 20))
def test_both_views_cover_the_same_audio_and_words(
    clips: list[Clip], gap: float, longest: float
) -> None:
    for document in run(clips, on_drop="gap")[0]:
        fine, merged = document.chunks, coarse(document.chunks, gap, longest)
        assert [i for g in groups(fine, gap, longest) for i in g] == list(range(len(fine)))
        assert merged[0].start == fine[0].start and merged[-1].end == fine[-1].end
        assert all(a.end == b.start for a, b in itertools.pairwise(merged))
        assert [w for c in merged for w in c.words] == [w for c in fine for w in c.words]
        assert " ".join(c.text for c in merged) == " ".join(c.text for c in fine)
        for group, chunk in zip(groups(fine, gap, longest), merged, strict=True):
            assert len({fine[i].speaker for i in group}) == 1
            assert len(group) == 1 or chunk.end - chunk.start <= longest + 1e-9
            assert all(fine[i].gap <= gap + 1e-9 for i in group[1:])


def sizes(
    clips: Sequence[Clip], gap: float = 1.0, longest: float = 3.0, **chosen: Any
) -> list[int]:
    return [len(g) for g in groups(chunks_of(clips, **chosen), gap, longest)]


def test_coarse_merges_up_to_its_bounds() -> None:
    assert sizes([clip(i * S, S) for i in range(7)]) == [3, 3, 1]
    assert sizes([clip(0, S), clip(2 * S, S), clip(4 * S + 1, S)]) == [2, 1]
    assert sizes([clip(0, S), clip(S, S, speaker="spk1"), clip(2 * S, S)]) == [1, 1, 1]
    assert sizes([clip(0, 5 * S), clip(5 * S, S)]) == [1, 1]


def test_coarse_never_merges_across_a_dropped_clip() -> None:
    clips = [clip(0, S), clip(S, 1), clip(S + 1, S)]
    kept = {clips[0].id, clips[2].id}
    (document,) = Interleave(on_drop="gap").documents(clips, kept, ABOUT)
    assert isinstance(document, Document)
    assert len(coarse(document.chunks, max_gap=9, max_chunk=9)) == 2


def test_a_merged_chunk_has_the_least_certain_times() -> None:
    (merged,) = coarse(chunks_of([clip(0, S), clip(S, S, times="estimated")]), 1, 9)
    assert merged.times == "estimated" and len(merged.words) == 6


# materialised


def test_materialised_text_takes_no_time_and_speech_keeps_its_audio() -> None:
    clips = [clip(i * 2 * S, S) for i in range(4)]
    chunks = chunks_of(clips, materialize=True)
    assert [(c.modality, c.start, c.end, c.gap) for c in chunks] == [
        ("speech", 0, 1, 0), ("text", 1, 1, 1), ("speech", 1, 2, 2), ("text", 2, 2, 1)
    ]  # fmt: skip
    assert [c.audio for c in chunks] == [clips[0].audio, None, clips[2].audio, None]
    assert [c.text for c in chunks] == [c.text for c in clips]
    assert [len(c.words) for c in chunks] == [3, 0, 3, 0]


def test_a_coarse_policy_is_materialised_over_fine_chunks() -> None:
    clips = [clip(i * S, S) for i in range(6)]
    chunks = chunks_of(clips, materialize=True, granularity="coarse", coarse_max_chunk=2.0)
    assert [c.modality for c in chunks] == ["speech"] * 2 + ["text"] * 2 + ["speech"] * 2
    chunks = chunks_of(
        clips, materialize=True, granularity="coarse", coarse_max_chunk=3.0, policy="asr"
    )
    assert "".join(c.modality[0] for c in chunks) == "sssttt" * 2


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 6), st.floats(0.1, 0.9), st.integers(0, 1000))
def test_word_spans_are_materialised_without_losing_a_word_or_a_frame(
    count: int, eta: float, start: int
) -> None:
    clips = [clip(start + i * S, S, words=7) for i in range(count)]
    policy = WordSpans(eta=eta, mean_words=2)
    ((document,), _) = run(clips, materialize=True, policy=policy)
    text = " ".join(c.text for c in document.chunks)
    assert text == " ".join(c.text for c in clips)
    spoken = [c for c in document.chunks if c.modality == "speech"]
    assert all(c.audio is not None for c in spoken)
    lengths = [c.audio.end - c.audio.start for c in spoken if c.audio]
    assert lengths == [frames(c.end, RATE) - frames(c.start, RATE) for c in spoken]
    assert [w.text for c in spoken for w in c.words] == [
        w.strip(".") for c in spoken for w in c.text.split()
    ]
    assert len(stored(document.chunks)) == len(document.chunks)
    assert run(clips, materialize=True, policy=policy)[0] == [document]


def test_another_seed_materialises_another_draw() -> None:
    clips = [clip(i * S, S, words=7) for i in range(30)]
    step = Interleave(materialize=True, policy={"stochastic": {}})  # type: ignore[arg-type]
    ids = {c.id for c in clips}
    (first,) = step.documents(clips, ids, ABOUT)
    (second,) = step.documents(clips, ids, dataclasses.replace(ABOUT, seed=18))
    assert isinstance(first, Document) and isinstance(second, Document)
    assert first.id == second.id and first.chunks != second.chunks


def test_text_only_materialises_a_document_without_audio() -> None:
    ((document,), _) = run([clip(0, S), clip(S, S)], materialize=True, policy="text_only")
    assert document.seconds == 0 and {c.audio for c in document.chunks} == {None}


def test_the_step_is_found_by_its_name() -> None:
    assert registry()["interleave"] is Interleave
