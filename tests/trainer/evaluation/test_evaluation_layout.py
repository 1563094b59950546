"""The layout on disk: what is read, and that every fault is told with its file and line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.evaluation.toy_models import cloze, flac, lines
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.items import plain
from trainer.evaluation.layout import read_set, write_set

GOOD: dict[str, dict[str, Any]] = {
    "cloze": {
        "kind": "cloze",
        "id": "q1",
        "group": "page",
        "engine": "espeak-ng",
        "voice": "en-gb",
        "question": {"text": "Which?", "audio": "audio/a.flac"},
        "options": ["this", "that", "neither", "both"],
        "answer": 2,
    },
    "pairs": {
        "kind": "pairs",
        "id": "p1",
        "positive": {"audio": "audio/a.flac"},
        "negative": {"audio": "audio/b.flac"},
    },
    "endings": {
        "kind": "endings",
        "id": "h1",
        "prompt": {"text": "He sat", "audio": "audio/a.flac"},
        "endings": [{"text": "down"}, {"text": "blue"}],
        "answer": 0,
    },
    "text": {"kind": "text", "id": "t1", "text": ["A chunk.", "Another."]},
    "gap": {
        "kind": "gap",
        "id": "g1",
        "speaker": "s1",
        "chunks": [{"text": "one", "audio": "audio/a.flac"}, {"text": "two"}],
    },
}
MODES = {
    "cloze": ("S-to-T", "T-to-T"),
    "pairs": ("S",),
    "endings": ("S-to-T", "T-to-T"),
    "text": ("T",),
    "gap": ("gap",),
}


@pytest.mark.parametrize("kind", GOOD)
def test_a_sound_set_is_read(tmp_path: Path, kind: str) -> None:
    found = read_set(lines(tmp_path / "mine", GOOD[kind]))
    assert (found.name, found.kind, found.modes) == ("mine", kind, MODES[kind])
    dumped = found.items[0].model_dump(mode="json", exclude_none=True)
    assert dumped == GOOD[kind]


def changed(of: str, **fields: Any) -> dict[str, Any]:
    return {key: value for key, value in (GOOD[of] | fields).items() if value is not ...}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (changed("cloze", qestion=1), "qestion: unknown field; did you mean question"),
        (changed("cloze", kind="close"), "kind is 'close'; did you mean cloze"),
        (changed("cloze", kind=...), "kind is None"),
        (changed("cloze", kind=["cloze"]), r"kind is \['cloze'\]"),
        (changed("cloze", answer=4), "answer is 4; options have the places 0 to 3"),
        (changed("cloze", answer=-1), "answer: "),
        (changed("cloze", answer="2"), "answer: "),
        (changed("cloze", answer=True), "answer: "),
        (changed("cloze", answer=...), "answer: Field required"),
        (changed("cloze", options=["this"], answer=0), "options: "),
        (changed("cloze", options=["a", " "], answer=0), "options.1: "),
        (changed("cloze", options=["A  b", "a B"], answer=0), "options 0 and 1 are equal"),
        (changed("cloze", question={}), "question: needs text, audio or both"),
        (changed("cloze", question={"sound": "x"}), "question.sound: unknown field"),
        (changed("cloze", id=""), "id: "),
        (changed("cloze", id="a\nb"), "id: "),
        (changed("cloze", group=""), "group: "),
        (changed("cloze", question={"audio": "a.flac"}), "must be a path below audio/"),
        (changed("cloze", question={"audio": "/etc/passwd"}), "must be a path below audio/"),
        (changed("cloze", question={"audio": "audio/../x.flac"}), "must be a path below audio/"),
        (changed("cloze", question={"audio": "audio/no.flac"}), "no such file"),
        (changed("pairs", negative={"text": "x"}), "all of them need text, or none"),
        (changed("pairs", negative={"audio": "audio/a.flac"}), "two name the same audio"),
        (changed("endings", prompt={"text": "x"}, endings=[{"audio": "audio/a.flac"},
            {"audio": "audio/b.flac"}]), "no mode is possible"),
        (changed("endings", endings=[{"text": "x"}, {"text": "X"}]), "endings 0 and 1 are equal"),
        (changed("text", text=""), "text"),
        (changed("text", text=[]), "text"),
        (changed("gap", chunks=[{"text": "one"}, {"text": "two"}]), "chunks.0 needs text and aud"),
        (changed("gap", chunks=[{"text": "one", "audio": "audio/a.flac"}]), "chunks: "),
        (changed("gap", speaker=...), "speaker: Field required"),
        ('{"kind": "text", "id": "a", "id": "b", "text": "x"}', "'id' stands twice"),
        ('{"kind": "text", "id": "a", "text": NaN}', "NaN is no number"),
        ('{"kind": "text", ', "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "list, not an object"),
        ("", "an empty line"),
        (json.dumps(GOOD["text"] | {"text": "x" * (1 << 20)}), "characters, more than"),
    ],
)  # fmt: skip
def test_faults_are_told_with_file_and_line(tmp_path: Path, row: Any, message: str) -> None:
    kind = str(row.get("kind")) if isinstance(row, dict) else "text"
    before = GOOD.get(kind, GOOD["text"]) | {"id": "before"}
    folder = lines(tmp_path / "s", before, row)
    with pytest.raises(EvaluationError, match=rf"items\.jsonl:2: .*{message}"):
        read_set(folder)


def test_faults_of_a_whole_set(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="an evaluation set is a folder"):
        read_set(tmp_path)
    (tmp_path / "items.jsonl").write_text("")
    with pytest.raises(EvaluationError, match="no items"):
        read_set(tmp_path)
    (tmp_path / "items.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(EvaluationError, match="not UTF-8"):
        read_set(tmp_path)
    twice = lines(tmp_path / "a", GOOD["text"], GOOD["text"])
    with pytest.raises(EvaluationError, match=r":2: the id 't1' stands in line 1"):
        read_set(twice)
    mixed = lines(tmp_path / "b", GOOD["text"], GOOD["gap"])
    with pytest.raises(EvaluationError, match=r":2: 'gap' in a set of kind 'text'"):
        read_set(mixed)
    half = lines(tmp_path / "c", GOOD["cloze"], changed("cloze", id="q2", question={"text": "x"}))
    with pytest.raises(EvaluationError, match=r":2: 'q2' can be asked in T-to-T, 'q1' in S-to-T,"):
        read_set(half)


@pytest.mark.parametrize("bad", ["stereo", "empty", "ogg", "noise", "link"])
def test_audio_that_cannot_be_heard_is_refused(tmp_path: Path, bad: str) -> None:
    folder = lines(tmp_path / "s", changed("cloze", question={"audio": "audio/x.flac"}))
    file = folder / "audio" / "x.flac"
    if bad == "stereo":
        soundfile.write(file, np.zeros((50, 2), np.int16), 8000, format="FLAC")
    elif bad == "empty":
        soundfile.write(file, np.zeros(0, np.int16), 8000, format="WAV")
    elif bad == "ogg":
        soundfile.write(file, np.zeros(500, np.int16), 8000, format="OGG")
    elif bad == "noise":
        file.write_bytes(b"no sound at all")
    else:
        outside = tmp_path / "outside.flac"
        outside.write_bytes(flac(1))
        file.symlink_to(outside)
    with pytest.raises(EvaluationError, match=r"items\.jsonl:1: audio 'audio/x\.flac'"):
        read_set(folder)


def test_a_set_is_known_by_its_content(tmp_path: Path) -> None:
    one = read_set(lines(tmp_path / "one", GOOD["pairs"]))
    two = read_set(lines(tmp_path / "two", GOOD["pairs"]))
    assert one.digest == two.digest
    (tmp_path / "two" / "audio" / "b.flac").write_bytes(flac(9))
    assert read_set(tmp_path / "two").digest != one.digest
    assert read_set(lines(tmp_path / "three", GOOD["pairs"] | {"id": "p2"})).digest != one.digest


def test_writing_leaves_nothing_half_done(tmp_path: Path) -> None:
    out = tmp_path / "set"
    with pytest.raises(EvaluationError, match="answer is 9"):
        write_set(out, [cloze(0, ["a", "b"], 9)], {"audio/0.flac": flac(0)})
    assert not out.exists()
    made = write_set(out, [cloze(0, ["a", "b"], 1)], {"audio/0.flac": flac(0)})
    assert made == read_set(out)
    with pytest.raises(EvaluationError, match="never written over"):
        write_set(out, [cloze(0, ["a", "b"], 1)], {"audio/0.flac": flac(0)})
    with pytest.raises(EvaluationError, match="below audio/"):
        write_set(tmp_path / "other", [], {"audio/../../x": b""})
    assert not (tmp_path / "x").exists()


@given(st.text(), st.text())
def test_equal_options_are_those_that_differ_in_case_and_spaces(one: str, two: str) -> None:
    assert plain(one) == plain(f"  {one.replace(' ', '   ')}\n")
    if one.split() != two.split() and one.casefold().split() != two.casefold().split():
        assert plain(one) != plain(two)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(
    inner) | st.dictionaries(st.sampled_from(["kind", "id", "text", "question", "options", "x"]),
    inner)))  # fmt: skip
def test_any_json_is_an_item_or_an_error_with_its_line(
    tmp_path_factory: pytest.TempPathFactory, value: Any
) -> None:
    folder = tmp_path_factory.mktemp("any")
    (folder / "items.jsonl").write_text(json.dumps(value) + "\n")
    try:
        read_set(folder)
    except EvaluationError as error:
        assert "items.jsonl" in str(error)
