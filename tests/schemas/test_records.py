import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.records import (
    AudioRef,
    Chunk,
    Clip,
    Document,
    Drop,
    RecordError,
    Recording,
    Source,
    Task,
    Waveform,
    Word,
    clip_id,
    document_id,
    frames,
    segment_id,
    source_id,
    task_id,
)

ID, SHA = "0" * 32, "a" * 64


def clip(**changes: Any) -> Clip:
    given = {
        "id": ID,
        "task": ID,
        "recording": SHA,
        "channel": 0,
        "index": 0,
        "start": 0.0,
        "end": 1.0,
        "rate": 16000,
        "speaker": "spk0",
    }
    return Clip(**{**given, **changes})


@given(st.integers(0, 16_000 * 3600 * 100), st.sampled_from([8000, 16000, 24000, 44100, 48000]))
def test_times_on_the_grid_are_exact_for_a_hundred_hours(frame: int, rate: int) -> None:
    assert frames(frame / rate, rate) == frame


@given(st.integers(0, 10**8), st.integers(0, 10**8))
def test_seconds_are_counted_in_frames(one: int, other: int) -> None:
    start, end = sorted((one, other))
    made = clip(start=start / 16000, end=end / 16000)
    assert frames(made.seconds, 16000) == end - start


def test_records_are_never_changed_only_succeeded() -> None:
    made = clip()
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.text = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Word("a", 0.0, 1.0)  # type: ignore[misc]
    assert dataclasses.replace(made, text="x").text == "x" and made.text == ""


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: clip(id="xyz"), "is not 32 or 64 hex digits"),
        (lambda: clip(recording=ID.upper().replace("0", "A")), "is not 32 or 64 hex digits"),
        (lambda: clip(start=2.0), "needs 0 <= start <= end"),
        (lambda: clip(start=-0.1), "needs 0 <= start <= end"),
        (lambda: clip(end=math.nan), "needs 0 <= start <= end"),
        (lambda: clip(end=math.inf), "needs 0 <= start <= end"),
        (lambda: Source(id=ID, uri=""), "uri is empty"),
        (lambda: Source(id=ID, uri="a", channel=-1), "channel is negative"),
        (lambda: Recording(id=SHA, uri="a", size=-1, seconds=0), "not negative"),
        (lambda: Drop(id=ID, root=ID, step="", reason="x", seconds=0), "step and reason"),
        (lambda: Drop(id=ID, root=ID, step="s", reason="x", seconds=-1), "seconds is negative"),
        (lambda: Drop(id=ID, root=ID, step="s", reason="x", seconds=math.nan), "negative"),
        (lambda: AudioRef(tar=SHA, offset=0, size=1, start=5, end=4, rate=1), "start <= end"),
        (lambda: AudioRef(tar=SHA, offset=-1, size=1, start=0, end=4, rate=1), "negative range"),
        (lambda: document(chunks=()), "at least one chunk"),
    ],
)
def test_what_cannot_be_is_refused(make: Any, says: str) -> None:
    with pytest.raises(RecordError, match=says):
        make()


def document(chunks: tuple[Chunk, ...]) -> Document:
    return Document(
        id=ID,
        stream="web",
        split="train",
        recording=SHA,
        language="",
        topic="",
        licence="",
        source="a.wav",
        rate=16000,
        quality="given",
        chunks=chunks,
    )


def test_a_reference_is_cut_inside_itself() -> None:
    whole = AudioRef(tar=SHA, offset=512, size=99, start=100, end=200, rate=16000)
    part = whole.cut(10, 30)
    assert (part.start, part.end, part.offset, part.size) == (110, 130, 512, 99)
    assert part.cut(5, 5).start == part.cut(5, 5).end == 115
    for start, end in ((0, 101), (-1, 5), (30, 20)):
        with pytest.raises(RecordError, match="cannot cut"):
            whole.cut(start, end)


def test_a_waveform_knows_its_length_in_seconds() -> None:
    wave = Waveform(
        recording=SHA,
        channel=0,
        rate=16000,
        length=24000,
        source_rate=8000,
        source_channels=1,
        codec="pcm",
        container="wav",
        pcm_sha256=SHA,
    )
    assert wave.seconds == 1.5


def test_ids_follow_from_what_makes_a_record_itself() -> None:
    assert task_id(SHA, None, "a", None, None) != task_id(SHA, None, None, "a", None)
    assert task_id(SHA, 0, None, None, None) != task_id(SHA, None, None, None, None)
    assert source_id("a.wav") != source_id("a.wav", "t.csv:1")
    assert segment_id(SHA, 0, 1, 2, 16000) != segment_id(SHA, 1, 1, 2, 16000)
    assert clip_id(ID, 0, 0, 5, 16000, "a") != clip_id(ID, 0, 0, 5, 16000, "b")
    assert document_id("web", (ID, "1" * 32)) != document_id("web", ("1" * 32, ID))
    made = Task(id=task_id(SHA, None, "t", "s", "en"), recording=SHA, text="t", seconds=3.0)
    assert dataclasses.replace(made, seconds=4.0).id == made.id  # planning is no part of it
