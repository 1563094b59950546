"""Evaluation files: what is read of them, and every way in which one can be wrong."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.select.evaluation_sets import EvaluationSetError, files_of, read_set


def written(path: Path, *rows: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_an_item_is_its_texts_and_the_question_with_the_right_answer(tmp_path: Path) -> None:
    row = {"id": "q7", "question": "Who?", "options": ["me", "you"], "answer": 1}
    (item,) = read_set(written(tmp_path / "quiz.jsonl", row))
    assert (item.set, item.id) == ("quiz", "q7")
    assert item.texts == ("Who?", "me", "you", "Who? you")


def test_an_answer_may_be_a_text_and_ids_are_rows_where_there_are_none(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", {"question": "Who?", "answer": "Ada"}, "", {"text": "b"})
    one, other = read_set(file)
    assert one.texts == ("Who?", "Ada", "Who? Ada") and one.id == "0"
    assert other.texts == ("b",) and other.id == "1"


def test_the_trainers_layout_is_named_after_its_folder_and_has_sides(tmp_path: Path) -> None:
    folder = tmp_path / "cloze"
    sound = folder / "audio" / "x.flac"
    row = {
        "kind": "endings",
        "id": "x",
        "prompt": {"text": "She opened", "audio": "audio/x.flac"},
        "endings": [{"text": "the door"}, {"text": "a can"}],
        "answer": 0,
    }
    file = written(folder / "items.jsonl", row)
    with pytest.raises(EvaluationSetError, match=r"items\.jsonl:1: the audio 'audio/x.flac' does"):
        read_set(file)
    sound.parent.mkdir()
    sound.write_bytes(b"x")
    (item,) = read_set(file)
    assert item.set == "cloze" and item.sounds == (sound.resolve(),)
    assert item.texts == ("She opened", "the door", "a can", "She opened the door")


def test_parquet_says_the_same_as_json_lines(tmp_path: Path) -> None:
    rows = [{"id": 3, "question": "Who?", "options": {"A": "me", "B": "you"}, "answer": "me"}]
    table = pa.Table.from_pylist(rows)
    pq.write_table(table, tmp_path / "p.parquet")
    (item,) = read_set(tmp_path / "p.parquet")
    (other,) = read_set(written(tmp_path / "p.jsonl", *rows))
    assert item == other and item.id == "3" and item.texts == ("Who?", "me", "you", "Who? me")


def test_columns_have_other_names_when_told(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", {"query": "Who?", "choices": ["me"], "label": 0})
    columns = {"question": "query", "options": "choices", "answer": "label"}
    (item,) = read_set(file, columns)
    assert item.texts == ("Who?", "me", "Who? me")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{"query": "Who?"}], r"a\.jsonl:1: has none of the columns question.*holds 'query'"),
        ([{"question": "a"}, {"question": None}], r"a\.jsonl:2: has none of the columns"),
        ([{"question": 7}], r"a\.jsonl:1: column 'question' holds 7, a int"),
        ([{"question": "a"}, "{nope"], r"a\.jsonl:2: is not JSON"),
        (["[1]"], r"a\.jsonl:1: is not an object"),
        (
            [{"question": "a", "options": ["b"], "answer": 3}],
            r"answer is 3; options have .* 0 to 0",
        ),
        ([{"id": "x", "text": "a"}, {"id": "x", "text": "b"}], r"'x' stands here and at .*:1"),
        ([{"id": "", "text": "a"}], r"a\.jsonl:1: id is ''"),
        ([{"text": "a", "audio": 5}], r"a\.jsonl:1: audio is 5"),
        ([{"text": "a", "audio": {"bytes": "AA"}}], r"a\.jsonl:1: audio holds no path"),
        ([""], r"a\.jsonl:1: holds no item"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, rows: list[Any], said: str) -> None:
    with pytest.raises(EvaluationSetError, match=said):
        read_set(written(tmp_path / "a.jsonl", *rows))


def test_a_named_column_that_is_not_there_is_told_with_the_nearest(tmp_path: Path) -> None:
    file = written(tmp_path / "a.jsonl", {"query": "Who?"})
    with pytest.raises(EvaluationSetError, match=r"no column 'qeury'.*nearest is 'query'"):
        read_set(file, {"question": "qeury"})


def test_what_is_no_utf8_and_no_parquet_is_told(tmp_path: Path) -> None:
    bad = tmp_path / "a.jsonl"
    bad.write_bytes(b'{"text": "a"}\n{"text": "\xff"}\n')
    with pytest.raises(EvaluationSetError, match=r"a\.jsonl:2: is not JSON in UTF-8"):
        read_set(bad)
    (tmp_path / "a.parquet").write_bytes(b"PAR0")
    with pytest.raises(EvaluationSetError, match="cannot be read as Parquet"):
        read_set(tmp_path / "a.parquet")


def test_a_byte_order_mark_and_lone_surrogates_are_read(tmp_path: Path) -> None:
    file = tmp_path / "a.jsonl"
    file.write_bytes(b'\xef\xbb\xbf{"text": "\\ud800 caf\\u00e9"}\r\n')
    (item,) = read_set(file)
    assert item.texts == ("\ud800 caf\u00e9",)


def test_globs_start_from_the_folder_and_missing_files_are_errors(tmp_path: Path) -> None:
    one = written(tmp_path / "evals" / "a.jsonl", {"text": "a"})
    two = written(tmp_path / "evals" / "deep" / "b.jsonl", {"text": "b"})
    assert files_of(["evals/*.jsonl"], tmp_path) == (one,)
    assert files_of(["evals/**/*.jsonl", str(one)], tmp_path) == (one, two)
    with pytest.raises(EvaluationSetError, match=r"'evals/\*.csv' matches no file"):
        files_of(["evals/*.csv"], tmp_path)
    (tmp_path / "x.csv").write_text("a")
    with pytest.raises(EvaluationSetError, match=r"x\.csv cannot be read"):
        files_of(["x.csv"], tmp_path)


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    written(tmp_path / "a" / "test.jsonl", {"text": "a"})
    written(tmp_path / "b" / "test.jsonl", {"text": "b"})
    with pytest.raises(EvaluationSetError, match="would both be the set 'test'"):
        files_of(["*/test.jsonl"], tmp_path)
