"""Masking: text, words and sound of personal data; nothing else changes; views and cuts agree."""

import dataclasses
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.phases.shards import document_samples
from schemas.records import AudioRef, Chunk, Clip, Document, Mute, Word, muted_seconds
from schemas.shard import from_json, to_json
from schemas.words import word_ranges
from tests.compose.conftest import RATE, clip, clip_lists
from transforms import flac
from transforms.compose.documents import About
from transforms.compose.interleave import Interleave
from transforms.compose.mask import Mask
from transforms.compose.masking import MaskError
from transforms.compose.policies import Deterministic, WordSpans
from transforms.engines.dmel import DMel
from transforms.engines.tokenizer import encode_document
from transforms.step import registry

ABOUT = About(stream="web", split="train", licence="CC0", source="x.wav")


def spoken(
    text: str, start: int = 0, seconds: float = 4.0, times: str = "measured", **more: Any
) -> Clip:
    """A clip whose words share its time evenly, a tenth of each being pause."""
    tokens = text.split()
    length = round(seconds * RATE)
    one = clip(start, length, words=1, text=text, times=times, **more)
    step = length / max(len(tokens), 1)
    words = tuple(
        Word(
            text=token.strip(".,"),
            start=round(start + i * step) / RATE,
            end=round(start + (i + 0.9) * step) / RATE,
            confidence=0.5,
        )
        for i, token in enumerate(tokens)
    )
    return dataclasses.replace(one, words=words)


def run(
    step: Mask, clips: Sequence[Clip], interleave: Interleave | None = None
) -> tuple[list[Document], list[Any]]:
    ids = {c.id for c in clips}
    given_, masks, drops = step.masked(clips, ids)
    about = dataclasses.replace(ABOUT, masks=masks)
    kept = ids - {d.id for d in drops}
    made = list((interleave or Interleave()).documents(given_, kept, about))
    return [d for d in made if isinstance(d, Document)], drops


def chunk_of(text: str, step: Mask | None = None, **more: Any) -> Chunk:
    documents, drops = run(step or Mask(), [spoken(text, **more)])
    assert not drops
    return documents[0].chunks[0]


def test_text_words_and_sound_of_a_number_are_masked() -> None:
    chunk = chunk_of("call 415 555 2671, yes okay", seconds=6.0, start=RATE)
    assert chunk.text == "call [PHONE], yes okay"
    assert [w.text for w in chunk.words] == ["call", "[PHONE]", "yes", "okay"]
    phone = chunk.words[1]
    assert (phone.start, phone.end, phone.confidence) == (1.0, 3.9, None)
    assert chunk.masked == "phone"
    assert chunk.mutes == (Mute(start=RATE + 14_400, end=RATE + 64_000),)  # 0.1 s around it
    assert chunk.muted == 3.1
    assert word_ranges(chunk.text, chunk.words) == ((0, 4), (5, 12), (14, 17), (18, 22))


def test_spoken_addresses_become_one_word() -> None:
    chunk = chunk_of("mail bob at gmail dot com or not")
    assert chunk.text == "mail [EMAIL] or not"
    assert [w.text for w in chunk.words] == ["mail", "[EMAIL]", "or", "not"]


def test_two_in_one_word_and_marks_around_them_stay_together() -> None:
    one = dataclasses.replace(
        spoken("see (a@example.com/b@example.org) now"),
        words=(
            Word(text="see", start=0.0, end=1.0),
            Word(text="(a@example.com/b@example.org)", start=1.0, end=2.0),
            Word(text="now", start=2.0, end=3.0),
        ),
    )
    (document,), _ = run(Mask(), [one])
    chunk = document.chunks[0]
    assert chunk.text == "see ([EMAIL]/[EMAIL]) now"
    assert [w.text for w in chunk.words] == ["see", "([EMAIL]/[EMAIL])", "now"]
    assert chunk.masked == "email,email"
    assert len(chunk.mutes) == 1


def test_a_margin_stays_inside_the_clip() -> None:
    chunk = chunk_of("415-555-2671", Mask(margin_seconds=2.0), seconds=1.0, start=5 * RATE)
    assert chunk.mutes == (Mute(start=5 * RATE, end=6 * RATE),)
    assert chunk.muted == chunk.end - chunk.start == 1.0


@given(clip_lists())
def test_clips_without_personal_data_are_the_same_to_the_byte(clips: list[Clip]) -> None:
    made = Interleave().documents(clips, {c.id for c in clips}, ABOUT)
    plain = [one for one in made if isinstance(one, Document)]
    masked, drops = run(Mask(), clips)
    assert not drops
    assert masked == plain
    assert [to_json(one) for one in masked] == [to_json(one) for one in plain]


def test_a_number_that_goes_on_in_the_next_clip_is_masked_in_both() -> None:
    first = spoken("my number is 415 555", 0, 2.0)
    second = spoken("2671 thank you", 2 * RATE, 2.0)
    (document,), _ = run(Mask(), [first, second])
    assert [c.text for c in document.chunks] == ["my number is [PHONE]", "[PHONE] thank you"]
    assert all(c.muted > 0 for c in document.chunks)
    late = dataclasses.replace(second)
    (apart,), _ = run(Mask(max_pause=0.0), [first, spoken("2671 thank you", 3 * RATE, 2.0)])
    assert [c.masked for c in apart.chunks] == ["", ""]
    other = dataclasses.replace(late, speaker="spk1")
    (others,), _ = run(Mask(), [first, other])
    assert [c.masked for c in others.chunks] == ["", ""]


def test_dropped_clips_are_not_looked_at() -> None:
    clips = [spoken("my number is 415 555", 0, 2.0), spoken("2671", 2 * RATE, 2.0)]
    _, masks, _ = Mask().masked(clips, {clips[0].id})
    assert masks == {}


@pytest.mark.parametrize("times", ["estimated", "none"])
def test_muting_without_measured_times_is_refused_unless_told_otherwise(times: str) -> None:
    one = spoken("call 415 555 2671 now", times=times)
    said = "only estimated" if times == "estimated" else "it has none"
    with pytest.raises(MaskError, match=f"{said}.*unmeasured: drop"):
        run(Mask(), [one])
    documents, drops = run(Mask(unmeasured="drop"), [one, spoken("fine", 9 * RATE)])
    assert [c.text for d in documents for c in d.chunks] == ["fine"]
    (drop,) = drops
    assert (drop.id, drop.step, drop.reason) == (one.id, "mask", "times_not_measured")
    assert drop.reason in Mask.reasons and "phone" in drop.detail
    chunk = chunk_of("call 415 555 2671 now", Mask(unmeasured="clip"), times=times)
    assert chunk.text == "call [PHONE] now"
    assert chunk.muted == chunk.end - chunk.start
    silent = chunk_of("call 415 555 2671 now", Mask(mute=False), times=times)
    assert (silent.text, silent.muted, silent.mutes) == ("call [PHONE] now", 0.0, ())
    assert silent.masked == "phone"


def test_words_that_are_not_those_of_the_text_are_no_ground_for_muting() -> None:
    one = dataclasses.replace(
        spoken("call 415 555 2671 now"), words=(Word(text="something", start=0.0, end=1.0),)
    )
    with pytest.raises(MaskError, match="cannot be found in its text"):
        run(Mask(), [one])
    (document,), _ = run(Mask(mute=False), [one])
    chunk = document.chunks[0]
    assert (chunk.text, chunk.words, chunk.times) == ("call [PHONE] now", (), "none")


def stored(clips: Sequence[Clip]) -> tuple[Any, np.ndarray]:
    """A FLAC that holds the recording of some clips, and its samples."""
    length = max(c.audio.end for c in clips if c.audio)
    samples = np.random.default_rng(0).integers(-9000, 9000, length).astype(np.int16)
    samples[samples == 0] = 1
    data = flac.encode(samples, RATE)
    return (lambda tar, offset, size: data), samples


def test_the_flac_of_the_shard_is_silent_there_and_nowhere_else() -> None:
    clips = [spoken("call 415 555 2671 now", 0, 5.0), spoken("thank you", 7 * RATE, 2.0)]
    fetch, samples = stored(clips)
    (document,), _ = run(Mask(), clips)
    found = document_samples(document, fetch)
    assert found is not None
    silent = np.zeros(len(found), bool)
    silent[round(0.9 * RATE) : round(4.0 * RATE)] = True  # words 1.0 to 3.9 s, 0.1 s around
    assert (found[silent] == 0).all()
    whole = np.concatenate([samples[: 5 * RATE], samples[7 * RATE : 9 * RATE]])
    assert (found[~silent] == whole[~silent]).all()
    assert sum(c.muted for c in document.chunks) * RATE == silent.sum()


def test_tokens_are_made_of_the_silence() -> None:
    clips = [spoken("call 415 555 2671 now", 0, 5.0)]
    fetch, samples = stored(clips)
    (document,), _ = run(Mask(), clips)
    found = document_samples(document, fetch)
    assert found is not None
    tokenizer = DMel()
    quiet = np.asarray(encode_document(tokenizer, document, found))
    loud = np.asarray(encode_document(tokenizer, document, samples))
    assert (quiet[40:156] == 1).all()  # 40 Hz: 1.0 to 3.9 s; level 1 is digital silence
    assert (loud[40:156] > 1).all()
    assert (quiet[:32] == loud[:32]).all() and (quiet[168:] == loud[168:]).all()


def test_coarse_views_keep_what_was_masked() -> None:
    clips = [
        spoken("call 415 555 2671 now", 0, 5.0),
        spoken("or a@example.com", 5 * RATE, 2.0),
        spoken("bye", 7 * RATE, 1.0),
    ]
    (document,), _ = run(Mask(), clips)
    (merged,) = Interleave(granularity="coarse").view(document.chunks)
    assert merged.text == "call [PHONE] now or [EMAIL] bye"
    assert merged.masked == "phone,email"
    assert merged.muted == sum(c.muted for c in document.chunks)
    assert word_ranges(merged.text, merged.words) is not None


@pytest.mark.parametrize("policy", [WordSpans(), Deterministic()])
def test_a_materialised_interleaving_stays_silent_where_it_must(policy: Any) -> None:
    clips = [
        spoken("call 415 555 2671 now please do", 0, 6.0),
        spoken("or a@example.com at once", 6 * RATE, 4.0),
    ]
    fetch, _ = stored(clips)
    (document,), _ = run(Mask(), clips, Interleave(materialize=True, policy=policy))
    found = document_samples(document, fetch)
    text = to_json(document).decode()
    assert "2671" not in text and "example.com" not in text
    assert from_json(to_json(document), "x").chunks[0].masked
    total = 0.0
    for chunk in document.chunks:
        assert chunk.muted == muted_seconds(chunk.audio, chunk.mutes)
        total += chunk.muted
    assert found is not None
    assert (found == 0).sum() == round(total * RATE)
    assert total > 0


def test_the_json_says_what_was_masked_and_how_long_it_is_silent() -> None:
    (document,), _ = run(Mask(), [spoken("call 415 555 2671 now", 0, 5.0)])
    fields = json.loads(to_json(document))
    assert fields["chunk_masked"] == ["phone"]
    assert fields["chunk_muted"] == [3.1]
    assert "mutes" not in fields


def test_overlapping_mutes_count_once() -> None:
    audio = AudioRef(tar="0" * 64, offset=0, size=1, start=100, end=200, rate=100)
    mutes = (Mute(start=150, end=180), Mute(start=90, end=110), Mute(start=160, end=300))
    assert muted_seconds(audio, mutes) == 0.6
    assert muted_seconds(None, mutes) == 0.0


@given(st.text(max_size=40))
def test_any_text_can_be_masked(text: str) -> None:
    one = dataclasses.replace(spoken("x"), text=text, words=())
    documents, drops = run(Mask(unmeasured="clip"), [one])
    assert not [d for d in drops if d.step == "mask"]
    for document in documents:
        to_json(document)


def test_the_step_is_found_by_its_name() -> None:
    assert registry()["mask"] is Mask
