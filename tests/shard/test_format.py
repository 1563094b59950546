"""The JSON of a sample: exact round trips, one schema, and refusal of everything else."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import digest_of
from schemas.records import Chunk, Document, Word
from schemas.shard import (
    PER_CHUNK,
    PER_WORD,
    PLAIN,
    ShardError,
    check,
    from_json,
    plan_shards,
    to_json,
)
from tests.shard.conftest import document_of

# any text that UTF-8 holds, with what breaks careless code
texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.sampled_from(["", "\0", 'a"\\/', "\u202eabc", "\u2028", "🎧 née", "</script>", "a.b/../c"]),
)
RATES = (8000, 16000, 22050, 24000, 44100)


@st.composite
def documents(draw: st.DrawFn) -> Document:
    rate = draw(st.sampled_from(RATES))
    chunks, at = [], 0
    for place in range(draw(st.integers(1, 5))):
        modality = draw(st.sampled_from(["both", "speech", "text"]))
        length = 0 if modality == "text" else draw(st.integers(0, 10**7))
        borders = sorted(draw(st.lists(st.integers(0, length), max_size=8)))
        words = tuple(
            Word(
                text=draw(texts),
                start=(at + a) / rate,
                end=(at + b) / rate,
                confidence=draw(st.none() | st.floats(0, 1)),
            )
            for a, b in zip(borders[::2], borders[1::2], strict=False)
        )
        chunks.append(
            Chunk(
                clip=digest_of("clip", place),
                start=at / rate,
                end=(at + length) / rate,
                text=draw(texts),
                speaker=draw(texts),
                words=words,
                times=draw(st.sampled_from(["measured", "estimated"])) if words else "none",
                gap=draw(st.integers(-(10**6), 10**6)) / rate,
                after_drop=draw(st.booleans()),
                modality=modality,
                masked=draw(st.sampled_from(["", "email", "phone,national_id"])),
                muted=draw(st.integers(0, length)) / rate,
            )
        )
        at += length
    plain = {
        name: draw(texts) for name in ("split", "language", "topic", "licence", "source", "quality")
    }
    number = draw(st.integers(0, 10**6))
    return Document(
        id=digest_of("d", number),
        recording=digest_of("r", number),
        stream="web",
        rate=rate,
        chunks=tuple(chunks),
        **plain,
    )


@given(documents())
def test_documents_come_back_exactly(document: Document) -> None:
    assert from_json(to_json(document), "x") == document


@given(documents())
def test_every_field_is_always_there_with_its_type(document: Document) -> None:
    fields = json.loads(to_json(document))
    assert list(fields) == [*PLAIN, *PER_CHUNK, *PER_WORD]
    assert all(type(fields[name]) is kind for name, kind in PLAIN.items())
    for name, kind in (PER_CHUNK | PER_WORD).items():
        assert fields[name], f"{name} is empty: its type cannot be told"
        assert {type(item) for item in fields[name]} == {kind}


def test_the_json_is_pinned() -> None:
    ids = (digest_of("document", 1), digest_of("recording", 1), digest_of("clip", 1, 0))
    text = to_json(document_of(1, chunks=1)).decode()
    for name, value in zip(("<document>", "<recording>", "<clip>"), ids, strict=True):
        text = text.replace(value, name)
    assert text == PINNED


PINNED = (
    '{"format":1,"id":"<document>","stream":"web","split":"train","language":"de","topic":"",'
    '"licence":"CC0-1.0","source":"file:///data/1.wav","quality":"given",'
    '"recording":"<recording>","rate":8000,"seconds":0.1,"audio":"flac","chunk_start":[0.0],'
    '"chunk_end":[0.1],"chunk_text":["Grüße, wörld"],"chunk_speaker":["spk0"],'
    '"chunk_clip":["<clip>"],"chunk_modality":["both"],"chunk_times":["measured"],'
    '"chunk_gap":[0.0],"chunk_after_drop":[false],"chunk_masked":[""],"chunk_muted":[0.0],'
    '"word_chunk":[0,0],'
    '"word_text":["Grüße,","wörld"],"word_start":[0.0,0.05],"word_end":[0.04,0.1],'
    '"word_first":[0,7],"word_last":[6,12],"word_confidence":[0.5,-1.0]}'
)


def test_lone_surrogates_become_replacement_characters() -> None:
    document = dataclasses.replace(document_of(1), topic="a\ud800b")
    assert from_json(to_json(document), "x").topic == "a\ufffdb"


def test_text_that_looks_like_an_escaped_surrogate_is_kept() -> None:
    document = dataclasses.replace(document_of(1), topic="\\ud800")
    assert from_json(to_json(document), "x").topic == "\\ud800"


def changed(document: Document, **chunk: Any) -> Document:
    first, *rest = document.chunks
    return dataclasses.replace(document, chunks=(dataclasses.replace(first, **chunk), *rest))


@pytest.mark.parametrize(
    ("chunk", "problem"),
    [
        ({"end": 0.2}, "the one before ends"),
        ({"start": 0.01}, "the one before ends"),
        ({"modality": "text"}, "takes"),
        ({"modality": "video"}, "modality"),
        ({"gap": float("nan")}, "gap"),
        ({"words": (Word(text="x", start=0.0, end=0.11),)}, "outside"),
        ({"words": (Word(text="x", start=0.0, end=0.1, confidence=1.5),)}, "confidence"),
    ],
)
def test_documents_that_break_the_format_are_not_written(
    chunk: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ShardError, match=problem):
        to_json(changed(document_of(1), **chunk))


def test_times_off_the_grid_of_the_rate_are_refused() -> None:
    document = changed(document_of(1, chunks=1, words=False), end=0.10001)
    assert "not at a frame" in str(check(document))


def fields_of(document: Document) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(to_json(document))
    return found


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": True},
        {"rate": 8000.0},
        {"rate": "8000"},
        {"seconds": 0},
        {"seconds": 7.0},
        {"audio": "none"},
        {"extra": 1},
        {"topic": None},
        {"topic": "\ud800"},
        {"id": "../../etc/passwd"},
        {"stream": "a/b"},
        {"recording": "x"},
        {"chunk_text": []},
        {"chunk_text": ["a"]},
        {"chunk_text": ["a", None]},
        {"chunk_start": [0, 0.1]},
        {"chunk_end": [0.1, 1e400]},
        {"chunk_times": ["guessed", "none"]},
        {"chunk_after_drop": [0, 1]},
        {"chunk_masked": ["", "E-mail"]},
        {"chunk_masked": ["", "email,"]},
        {"chunk_muted": [0.0, 0.11]},
        {"chunk_muted": [0.0, -0.1]},
        {"word_chunk": [0, 0, 1, 2]},
        {"word_chunk": [1, 0, 1, 0]},
        {"word_last": [6, 12, 6, 13]},
    ],
)
def test_any_other_json_is_refused(change: dict[str, Any]) -> None:
    fields = fields_of(document_of(1)) | change
    with pytest.raises(ShardError):
        from_json(json.dumps(fields).encode(), "x")


@pytest.mark.parametrize("name", [*PLAIN, *PER_CHUNK, *PER_WORD])
def test_a_missing_field_is_refused(name: str) -> None:
    fields = fields_of(document_of(1))
    del fields[name]
    with pytest.raises(ShardError, match=name if name != "format" else "None"):
        from_json(json.dumps(fields).encode(), "x")


def test_shards_from_before_masking_are_read_as_unmasked() -> None:
    fields = fields_of(document_of(1))
    del fields["chunk_masked"], fields["chunk_muted"]
    assert from_json(json.dumps(fields).encode(), "x") == document_of(1)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"null",
        b"\xff",
        b'{"format":1,"format":1}',
        b'{"seconds":NaN}',
        b"[" * 10**5,
        b'{"format":1} x',
    ],
)
def test_what_is_no_json_object_is_refused(data: bytes) -> None:
    with pytest.raises(ShardError, match="x: "):
        from_json(data, "x")


def test_shards_are_planned_by_content_and_named_after_their_first_id() -> None:
    documents = [(digest_of(n), 300.0) for n in range(200)]
    plans = plan_shards("web", documents, 3600.0)
    assert [i for plan in plans for i in plan.ids] == sorted(i for i, _ in documents)
    assert all(plan.name == f"web-{plan.ids[0][:8]}" for plan in plans)
    assert all(plan.seconds <= 7200 for plan in plans) and len(plans) > 5


def test_shards_whose_first_ids_share_eight_digits_have_distinct_names() -> None:
    ids = [f"{'0' * 8}{n:024x}" for n in range(4)]
    plans = plan_shards("web", [(i, 5000.0) for i in ids], 1000.0)
    assert [plan.name for plan in plans] == [f"web-{i}" for i in ids]


def test_a_stream_that_cannot_be_a_name_is_refused() -> None:
    with pytest.raises(ShardError, match="web/x"):
        plan_shards("web/x", [])
