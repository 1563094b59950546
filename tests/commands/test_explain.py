"""explain walks items of every kind, and says so where it cannot."""

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pipeline.listed import read_sources
from pipeline.pointers import read_pointers
from pipeline.view import View
from schemas.store import Store
from tests.commands.made import OVERRIDE, Made, Said, speechloom


def explain(made: Made, query: str, *more: str) -> Said:
    return speechloom("explain", "--out", made.out, *more, "--", query)


@pytest.fixture(scope="module")
def view(made: Made) -> View:
    store = Store(made.out)
    (pointer,) = read_pointers(store)
    return View(store, pointer, "web")


def source(view: View, uri: str) -> dict[str, str]:
    row = next(s for s in view.sources if s.uri == uri)
    return {"id": row.id, "recording": row.recording or "", "task": row.task or ""}


def test_every_source_is_listed_with_what_it_became(made: Made, view: View) -> None:
    rows = read_sources(Store(made.out), view.pointer.compose, "web")
    assert [(row.uri, row.reason, bool(row.recording)) for row in rows] == [
        ("a/broken.wav", None, True),
        ("a/gone.wav", "missing", False),
        ("a/notes.txt", "not_audio", False),
        ("a/s0.wav", None, True),
        ("a/s1.wav", None, True),
        ("a/s2.wav", None, True),
        ("b/s0.wav", None, True),
    ]
    assert rows[3].licence == "CC0-1.0" and rows[3].speaker == "ann"
    assert rows[3].provenance == "table.csv:2"


def test_a_clip_that_was_filtered(made: Made, view: View) -> None:
    (clip,) = view.clips(source(view, "b/s0.wav")["task"])
    said = explain(made, clip.id)
    assert said.code == 0, said.err
    lines = [" ".join(line.split()) for line in said.out.splitlines()]
    assert lines[0] == f"clip {clip.id}"
    assert "b/s0.wav (table.csv:5)" in lines
    assert "licence CC-BY-4.0" in lines
    assert 'given (given): "one"' in lines
    assert "text_rate.words 1" in lines
    assert any(re.fullmatch(r"snr\.snr_db [0-9.]+", line) for line in lines)
    (drop,) = [line for line in lines if line.startswith("DROPPED by filter")]
    assert drop.startswith("DROPPED by filter: too_few_words, 1.160 s; score 1, threshold 2")
    assert "too_few_words: The text has fewer words than `min_words`." in lines


def test_a_clip_that_was_kept_leads_to_its_bytes(made: Made, view: View) -> None:
    clip = view.clips(source(view, "a/s0.wav")["task"])[1]
    said = explain(made, clip.id[:12])
    assert said.code == 0, said.err
    assert "chunk 2 of 2" in said.out
    shard = re.search(r"in (\S+\.tar)\n", said.out)
    offset = re.search(r"FLAC at byte ([0-9]+) \(([0-9]+) bytes\)", said.out)
    assert shard and offset
    at, size = int(offset[1]), int(offset[2])
    with Path(shard[1]).open("rb") as file:
        file.seek(at)
        data = file.read(size)
    assert data[:4] == b"fLaC"
    index = pq.read_table(Path(shard[1]).with_suffix(".parquet")).to_pylist()
    assert (at, size) in {(row["flac_offset"], row["flac_size"]) for row in index}


def test_a_source_by_path_a_recording_a_task_and_a_document(made: Made, view: View) -> None:
    ids = source(view, "a/s1.wav")
    (document,) = view.documents(ids["task"])
    heads = {}
    for query in ("a/s1.wav", "data/a/s1.wav", ids["id"], ids["recording"], ids["task"]):
        said = explain(made, query)
        assert said.code == 0, said.err
        heads[query] = said.out.splitlines()[0]
        assert f"document {document.id}" in said.out
        assert said.out.count("DROPPED by segment: non_speech") == 3
    assert list(heads.values()) == [
        *[f"source {ids['id']}"] * 3,
        f"recording {ids['recording']}",
        f"task {ids['task']}",
    ]
    said = explain(made, document.id)
    assert said.out.startswith(f"document {document.id}\n")
    assert [c.clip in said.out for c in document.chunks] == [True, True]


def test_a_segment_and_a_part(made: Made, view: View) -> None:
    ids = source(view, "a/s2.wav")
    segment = view.segments(ids["recording"])[0]
    said = explain(made, segment.id)
    assert said.code == 0 and said.out.startswith(f"segment {segment.id}\n")
    clip = view.clips(ids["task"])[0]
    assert f"clip {clip.id}" in said.out
    part = Path(view.heard.done[ids["recording"]]).stem
    said = explain(made, part)
    assert said.code == 0 and said.out.startswith(f"part {part}\n")
    assert "5 records" in said.out and ids["recording"] in said.out


def test_sources_that_left_at_once_and_at_decode(made: Made) -> None:
    gone = explain(made, "a/gone.wav")
    assert "DROPPED by crawl: missing" in gone.out
    assert "there is no such file" in gone.out
    notes = explain(made, "notes.txt")
    assert "DROPPED by crawl: not_audio (.txt)" in notes.out
    broken = explain(made, "broken.wav")
    assert re.search(r"DROPPED by decode: \w+, 0\.000 s", broken.out)


def test_what_is_unknown_names_what_is_near(made: Made, view: View) -> None:
    said = explain(made, "a/s7.wav")
    assert (said.code, said.out) == (2, "")
    assert "nothing in" in said.err and "a/s1.wav" in said.err
    known = source(view, "a/s0.wav")["task"]
    wrong = known[:20] + ("0" if known[20] != "0" else "1") + known[21:]
    said = explain(made, wrong)
    assert said.code == 2 and known in said.err


def test_what_fits_several_names_them_all(made: Made) -> None:
    said = explain(made, "s0.wav")
    assert (said.code, said.out) == (2, "")
    assert "a/s0.wav" in said.err and "b/s0.wav" in said.err


def test_too_little_of_an_id_is_not_searched(made: Made, view: View) -> None:
    assert explain(made, source(view, "a/s0.wav")["id"][:3]).code == 2


def test_data_cannot_drive_the_terminal(made: Made, view: View) -> None:
    clip = view.clips(source(view, "a/s0.wav")["task"])[0]
    assert OVERRIDE in clip.text
    said = explain(made, "a/s0.wav")
    assert "recording 0 has a text" in said.out
    assert OVERRIDE not in said.out
    said = explain(made, "\x1b[31mred\x9b")
    assert said.code == 2
    assert not set(said.err) & {"\x1b", "\x9b"}


def test_all_recipes_or_the_named_one(grown: Made) -> None:
    both = explain(grown, "a/s0.wav")
    assert both.code == 0, both.err
    assert re.findall(r"recipe (\w+), stream web", both.out) == ["other", "fast"]
    one = explain(grown, "a/s0.wav", "--recipe-name", "fast")
    assert re.findall(r"recipe (\w+), stream web", one.out) == ["fast"]
    none = explain(grown, "a/s0.wav", "--recipe-name", "slow")
    assert none.code == 2 and "fast, other" in none.err


def test_an_out_without_runs(tmp_path: Path, made: Made) -> None:
    said = explain(Made(made.table, made.recipe, tmp_path / "none"), "a/s0.wav")
    assert said.code == 2 and "no finished run" in said.err
    assert list(tmp_path.iterdir()) == []


def test_a_pointer_that_is_no_pointer_is_named(tmp_path: Path, made: Made) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/fast.json").write_text(json.dumps({"run": "x"}))
    said = explain(Made(made.table, made.recipe, tmp_path), "a/s0.wav")
    assert said.code == 1 and "runs/fast.json" in said.err
