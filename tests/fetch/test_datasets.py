"""Hugging Face datasets as DATA: rows to recordings, each once, each told; nothing is decoded."""

import io
import json
import os
import shutil
import signal
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from pipeline import dataset_library
from pipeline.__main__ import main
from pipeline.dataset_library import Unit, named, opened
from pipeline.phases import dataset_rows
from pipeline.phases.dataset_rows import located
from pipeline.recipe import load_recipe
from tests.laws.runs import RECIPE, ROOT, Ran, curate, run_command
from transforms.gather.dataset_columns import Columns, DatasetSettings, chosen, said
from transforms.gather.found import DataError

datasets = pytest.importorskip("datasets")
datasets.disable_progress_bars()
SAMPLES = ROOT / "samples"
NAMES = ("monologue.opus", "podcast.mp3", "station.m4a")
FEATURES = {
    "audio": datasets.Audio(),
    "text": datasets.Value("string"),
    "speaker": datasets.Value("int64"),
    "pages": datasets.Value("float32"),
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


def body(name: str) -> bytes:
    return (SAMPLES / name).read_bytes()


def row(audio: Any, text: str | None = None, speaker: int | None = None) -> dict[str, Any]:
    return {"audio": audio, "text": text, "speaker": speaker, "pages": 0.5}


def held(name: str) -> dict[str, Any]:
    return {"bytes": body(name), "path": name}


def made(rows: list[dict[str, Any]], features: dict[str, Any] | None = None) -> Any:
    """A data set of rows, whose audio is written as it is, and read as audio."""
    kinds = dict(features or FEATURES)
    plain = {
        name: datasets.Audio(decode=False) if isinstance(kind, datasets.Audio) else kind
        for name, kind in kinds.items()
    }
    columns = {name: [one[name] for one in rows] for name in kinds}
    found = datasets.Dataset.from_dict(columns, features=datasets.Features(plain))
    for name, kind in kinds.items():
        if isinstance(kind, datasets.Audio):
            found = found.cast_column(name, kind)
    return found


def parquet(path: Path, rows: list[dict[str, Any]], **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    found = made(rows, **more)
    table = found.data.table.replace_schema_metadata(found.features.arrow_schema.metadata)
    pq.write_table(table, path)
    return path.parent


def run(data: Path, out: Path, *overrides: str, **more: Any) -> Ran:
    return curate(data, out, overrides, kind="dataset", **more)


def became(ran: Ran) -> dict[str, str]:
    census = ran.result.streams[0].census
    pairs = zip(census.dropped, census.drops, strict=True)
    told = {s.provenance: d.reason for s, d in pairs}
    return dict(sorted((told | {s.provenance: "" for s in census.sources}).items()))


def recordings(ran: Ran) -> set[str]:
    return set(ran.result.streams[0].census.recordings)


def test_a_saved_set_gives_what_its_files_give_and_its_text_is_given(tmp_path: Path) -> None:
    rows = [row(held(name), f"words of {name}", place) for place, name in enumerate(NAMES)]
    made(rows).save_to_disk(str(tmp_path / "saved"))
    ran = run(tmp_path / "saved", tmp_path / "out")
    assert became(ran) == {f"saved:{place}": "" for place in range(3)}
    told = {
        ran.result.streams[0].census.holds[s.id]: (s.text, s.speaker)
        for s in ran.result.streams[0].census.sources
    }
    assert sorted(told.values()) == [(f"words of {n}", str(p)) for p, n in enumerate(NAMES)]
    files = tmp_path / "files"
    files.mkdir()
    for name in NAMES:
        shutil.copy(SAMPLES / name, files)
    lines = [{"audio": n, "text": f"words of {n}", "speaker": str(p)} for p, n in enumerate(NAMES)]
    table = files / "table.jsonl"
    table.write_text("".join(json.dumps(line) + "\n" for line in lines))
    other = curate(table, tmp_path / "other")
    assert recordings(ran) == recordings(other)
    a, b = ran.result.streams[0], other.result.streams[0]
    assert a.heard.done.keys() == b.heard.done.keys()
    assert a.annotated.done.keys() == b.annotated.done.keys()
    assert ("data", {"kind": "dataset"}) in ran.events
    (event,) = [value for kind, value in ran.events if kind == "dataset"]
    assert event["ignored"] == ["pages"]
    assert event["columns"] == {"audio": "audio", "text": "text", "speaker": "speaker"}


def test_parquet_splits_grow_without_being_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "set"
    parquet(data / "train-0.parquet", [row(held(NAMES[0]), "one")])
    parquet(data / "test-0.parquet", [row(held(NAMES[1]), "two")])
    read: list[tuple[str, int]] = []
    real = dataset_rows.read_rows

    def counted(unit: Unit, start: int, cache: str) -> Iterator[dict[str, Any]]:
        for place, one in enumerate(real(unit, start, cache), start):
            read.append((unit.uri, place))
            yield one

    monkeypatch.setattr(dataset_rows, "read_rows", counted)
    ran = run(data, tmp_path / "out")
    assert became(ran) == {"set:test:0": "", "set:train:0": ""}
    assert sorted(read) == [("set/test-0.parquet", 0), ("set/train-0.parquet", 0)]
    again = run(data, tmp_path / "out")
    assert again.result.compose_key == ran.result.compose_key and len(read) == 2
    parquet(data / "train-1.parquet", [row(held(NAMES[2])), row(held(NAMES[1]))])
    grown = run(data, tmp_path / "out")
    assert became(grown) == {
        f"set:{one}": "" for one in ("test:0", *map("train:{}".format, [0, 1, 2]))
    }
    assert read[2:] == [("set/train-1.parquet", 0), ("set/train-1.parquet", 1)]
    assert recordings(ran) < recordings(grown)
    one = run(data, tmp_path / "one", "crawl.dataset.split=test")
    assert became(one) == {"set:test:0": ""}


def test_rows_that_cannot_be_taken_are_drops_with_their_reasons(tmp_path: Path) -> None:
    data = tmp_path / "set"
    (tmp_path / "private.mp3").write_bytes(body(NAMES[1]))
    data.mkdir()
    shutil.copy(SAMPLES / NAMES[1], data / "near.mp3")
    (data / "link.mp3").symlink_to(tmp_path / "private.mp3")

    def at(path: str) -> dict[str, Any]:
        return {"bytes": None, "path": path}

    rows = [
        *(row(at("near.mp3")), row(None), row({"bytes": b"", "path": "x.mp3"})),
        *(row(at("gone.mp3")), row(at(str(tmp_path / "private.mp3")))),
        *(row(at("../private.mp3")), row(at("link.mp3")), row(at("http://127.0.0.1:1/a.mp3"))),
        *(row(held(NAMES[1]), "x" * 200_000), row({"bytes": b"\0" * 3_000_000, "path": "big"})),
    ]
    parquet(data / "train.parquet", rows)
    ran = run(data, tmp_path / "out", "crawl.max_bytes=2000000")
    reasons = ["", "no_audio", "empty", "missing", *["link_out"] * 4, "bad_cell", "too_large"]
    assert became(ran) == {f"set:train:{place}": why for place, why in enumerate(reasons)}
    assert len(list((tmp_path / "out" / "fetch").rglob("bodies/*/*"))) == 1
    assert not any((tmp_path / "out" / "fetch").rglob("scratch/*"))


def test_audiofolders_and_tars_are_read_and_columns_can_be_chosen(tmp_path: Path) -> None:
    folder = tmp_path / "af"
    (folder / "train").mkdir(parents=True)
    for name in NAMES[:2]:
        shutil.copy(SAMPLES / name, folder / "train")
    lines = [{"file_name": name, "sentence": f"of {name}"} for name in NAMES[:2]]
    (folder / "train" / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    ran = run(folder, tmp_path / "out", "crawl.dataset.text=sentence")
    assert became(ran) == {"af:train:0": "", "af:train:1": ""}
    texts = {s.text for s in ran.result.streams[0].census.sources}
    assert texts == {f"of {name}" for name in NAMES[:2]}
    tars = tmp_path / "tars"
    tars.mkdir()
    with tarfile.open(tars / "train-0.tar", "w") as tar:
        for name, data in (("a.mp3", body(NAMES[1])), ("a.json", b'{"said": "hello you"}')):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    packed = run(tars, tmp_path / "tar-out", "crawl.dataset.text=json.said")
    (source,) = packed.result.streams[0].census.sources
    assert source.text == "hello you" and recordings(packed) < recordings(ran)


DYING = """
import os, signal, sys
from pathlib import Path
from pipeline.phases import dataset_rows
from tests.laws.runs import curate
real = dataset_rows.read_rows
def dying(unit, start, cache):
    for place, one in enumerate(real(unit, start, cache), start):
        if place == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        yield one
dataset_rows.read_rows = dying
dataset_rows.CHUNK_ROWS = 1
curate(sys.argv[1], Path(sys.argv[2]), kind="dataset")
"""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_behind_what_it_committed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [row(held(name), f"words of {name}") for name in NAMES]
    data = parquet(tmp_path / "set" / "train.parquet", rows)
    killed = run_command([sys.executable, "-c", DYING, str(data), str(tmp_path / "out")])
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    starts: list[int] = []
    real = dataset_rows.read_rows

    def watched(unit: Unit, start: int, cache: str) -> Iterator[dict[str, Any]]:
        starts.append(start)
        return real(unit, start, cache)

    monkeypatch.setattr(dataset_rows, "read_rows", watched)
    ran = run(data, tmp_path / "out")
    assert starts == [2] and len(became(ran)) == 3 and not any(became(ran).values())
    assert ran.digests == run(data, tmp_path / "whole").digests


def test_a_file_that_breaks_off_is_told_and_a_failing_one_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = parquet(tmp_path / "set" / "train.parquet", [row(held(name)) for name in NAMES])
    real = dataset_rows.read_rows
    errors: list[Exception] = [OSError(5, "Input/output error"), ValueError("not a Parquet page")]

    def failing(unit: Unit, start: int, cache: str) -> Iterator[dict[str, Any]]:
        rows = real(unit, start, cache)
        if start == 0:
            yield next(rows)
            raise errors[0]
        yield next(rows)
        raise errors[1]

    monkeypatch.setattr(dataset_rows, "read_rows", failing)
    first = run(data, tmp_path / "out")
    assert became(first) == {"set/train.parquet": "unreadable", "set:train:0": ""}
    second = run(data, tmp_path / "out")
    assert became(second) == {"set:train:0": "", "set:train:1": "", "set:train:2": "broken"}
    third = run(data, tmp_path / "out")
    assert became(third) == became(second)


def test_a_limit_takes_the_first_rows_and_the_rest_later(tmp_path: Path) -> None:
    data = parquet(tmp_path / "set" / "train.parquet", [row(held(name)) for name in NAMES])
    few = run(data, tmp_path / "out", "crawl.web.max_items=2")
    assert became(few) == {"set:train:0": "", "set:train:1": ""}
    assert len(became(run(data, tmp_path / "out"))) == 3


def test_plan_reads_nothing_and_tells_what_was_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    data = parquet(tmp_path / "set" / "train.parquet", [row(held(NAMES[1]))])
    out = tmp_path / "out"
    plan = ["plan", "--data", str(data), "--out", str(out), "--recipe", str(RECIPE)]

    def never(*_: object) -> None:
        raise AssertionError("plan reads nothing")

    with monkeypatch.context() as closed:
        closed.setattr(dataset_library, "library", never)
        assert main([*plan, "--kind", "dataset"]) == 0
        assert "waiting" in capsys.readouterr().out
    run(data, out)
    with monkeypatch.context() as closed:
        closed.setattr(dataset_library, "library", never)
        assert main([*plan, "--kind", "dataset"]) == 0
        assert "waiting" not in capsys.readouterr().out
        parquet(data / "train-1.parquet", [row(held(NAMES[0]))])
        assert main([*plan, "--kind", "dataset"]) == 0
        assert "waiting" in capsys.readouterr().out


def test_what_is_forgotten_is_not_kept_again(tmp_path: Path) -> None:
    data = tmp_path / "set"
    parquet(data / "train.parquet", [row(held(name), "secret words") for name in NAMES[:2]])
    ran = run(data, tmp_path / "out")
    census = ran.result.streams[0].census
    source = next(one for one in census.sources if one.provenance == "set:train:1")
    name = census.holds[source.id]
    assert main(["forget", name, "--out", str(tmp_path / "out"), "--yes", "--purge"]) == 0
    assert became(run(data, tmp_path / "out"))["set:train:1"] == "suppressed"
    parquet(data / "train-1.parquet", [row(held(NAMES[1]))])
    assert became(run(data, tmp_path / "out"))["set:train:2"] == "suppressed"
    assert name not in {path.name for path in (tmp_path / "out").rglob("*")}


def crawl(*overrides: str) -> Any:
    return load_recipe(RECIPE, list(overrides)).streams["web"][0]


def test_audio_columns_are_found_by_type_or_chosen(tmp_path: Path) -> None:
    two = {"a": datasets.Audio(), "b": datasets.Audio()}
    parquet(
        tmp_path / "two" / "train.parquet",
        [{"a": held(NAMES[0]), "b": held(NAMES[1])}],
        features=two,
    )
    ask = str(tmp_path / "two")
    with pytest.raises(DataError, match="several columns of audio: a, b"):
        opened(named(ask, crawl()), crawl())
    one = run(tmp_path / "two", tmp_path / "out", "crawl.dataset.audio=b")
    assert recordings(one) == recordings(curate(SAMPLES / NAMES[1], tmp_path / "file"))
    none = {"text": datasets.Value("string")}
    parquet(tmp_path / "none" / "train.parquet", [{"text": "words"}], features=none)
    with pytest.raises(DataError, match="no column of audio among text"):
        opened(named(str(tmp_path / "none"), crawl()), crawl())
    with pytest.raises(DataError, match=r"no split 'dev'.*There are train"):
        opened(named(ask, crawl("crawl.dataset.split=dev")), crawl("crawl.dataset.audio=a"))


@pytest.mark.parametrize("files", ["../else/*.parquet", "/etc/*", "http://127.0.0.1:1/a.parquet"])
def test_a_readme_cannot_lead_out_of_its_set(tmp_path: Path, files: str) -> None:
    data = parquet(tmp_path / "set" / "train.parquet", [row(held(NAMES[1]))])
    card = f"---\nconfigs:\n- config_name: x\n  data_files: {files}\n---\n"
    (data / "README.md").write_text(card)
    with pytest.raises(DataError, match="names data outside of it"):
        opened(named(str(data), crawl()), crawl())


def test_without_the_package_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(DataError, match=r"speechloom\[datasets\]"):
        curate("hf://owner/name", tmp_path / "out")


def test_a_hub_that_may_not_be_asked_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(DataError, match=r"cannot be opened as a data set .*nobody/none"):
        curate("hf://nobody/none", tmp_path / "out")
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"


@pytest.mark.parametrize(
    ("data", "place", "revision", "config", "split"),
    [
        ("hf://a/b", "a/b", None, None, None),
        ("hf://datasets/a/b-c.d@v1", "a/b-c.d", "v1", None, None),
        ("hf://a/b:en", "a/b", None, "en", None),
        ("hf://a/b@refs/pr/1:en:train", "a/b", "refs/pr/1", "en", "train"),
        ("hf://a/b::train", "a/b", None, None, "train"),
    ],
)
def test_names_on_the_hub(
    data: str, place: str, revision: str | None, config: str | None, split: str | None
) -> None:
    found = named(data, crawl())
    assert (found.place, found.revision, found.config, found.split) == (
        *(place, revision, config, split),
    )
    assert found.remote


@pytest.mark.parametrize("data", ["hf://a", "hf://", "hf://a/b/c", "hf://a/b:c:d:e", "hf://../b c"])
def test_what_is_no_name_on_the_hub_is_refused(data: str) -> None:
    with pytest.raises(DataError, match="names no data set"):
        named(data, crawl())


HUB = "hf://datasets/a/b@1234"


@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("x/a.mp3", f"{HUB}/x/a.mp3"),
        (f"{HUB}/x.mp3", f"{HUB}/x.mp3"),
        (f"zip://a.mp3::{HUB}/x.zip", f"zip://a.mp3::{HUB}/x.zip"),
        ("hf://datasets/a/other@1/x.mp3", None),
        (f"{HUB}5/x.mp3", None),
        (f"{HUB}/../../c/d@1/x.mp3", None),
        ("file:///etc/passwd", None),
        ("http://127.0.0.1/a.mp3", None),
        (f"filecache://x::{HUB}/x.mp3", None),
        (f"zip://a::https://elsewhere.example/::{HUB}/x.zip", None),
    ],
)
def test_paths_in_rows_of_the_hub_stay_in_their_set(path: str, leads: str | None) -> None:
    if leads is not None:
        assert located(path, HUB) == leads
        return
    with pytest.raises(dataset_rows._Lost) as caught:
        located(path, HUB)
    assert caught.value.reason == "link_out"


def test_cells_become_what_a_source_says() -> None:
    kinds: Any = {"audio": "audio", "text": "string", "speaker": "label", "license": "string"}
    names = {"speaker": ("ann", "ben")}
    columns = chosen("x", kinds, names, DatasetSettings(), ())
    row = {"text": " ", "speaker": 1, "license": "CC0-1.0"}
    assert said("x", row, columns) == {"text": None, "speaker": "ben", "licence": "CC0-1.0"}
    assert said("x", {**row, "speaker": -1}, columns)["speaker"] is None
    with pytest.raises(DataError, match="no label"):
        said("x", {**row, "speaker": 2}, columns)
    with pytest.raises(DataError, match="mean the same"):
        chosen("x", {**kinds, "licence": "string"}, names, DatasetSettings(), ())
    with pytest.raises(DataError, match="holds no string"):
        chosen("x", {**kinds, "text": "other"}, names, DatasetSettings(), ())
    assert chosen("x", {**kinds, "text": "other"}, names, DatasetSettings(), ("text",)).ignored == (
        "text",
    )
    with pytest.raises(DataError, match="'txet', which is not there"):
        chosen("x", kinds, names, DatasetSettings(text="txet"), ())
    assert isinstance(columns, Columns)
