import dataclasses
import json
from pathlib import Path

import pytest

from pipeline.report.content import RunSummary
from pipeline.report.croissant import CONFORMS_TO, render_croissant


def test_shards_are_files_with_size_and_digest(run: RunSummary) -> None:
    value = json.loads(render_croissant(run))
    assert value["conformsTo"] == CONFORMS_TO and value["@type"] == "sc:Dataset"
    files = [f for f in value["distribution"] if f["@type"] == "cr:FileObject"]
    assert [(f["contentUrl"], f["sha256"], f["contentSize"]) for f in files] == [
        (row.path, row.sha256, f"{row.size} B") for row in run.shards
    ]
    assert {f["encodingFormat"] for f in files} == {"application/x-tar"}
    assert value["license"] == ["CC-BY-4.0", "CC0"]
    assert "datePublished" not in value


def test_every_reference_has_its_object(run: RunSummary) -> None:
    value = json.loads(render_croissant(run))
    known = {f["@id"] for f in value["distribution"]}
    (files,) = [f for f in value["distribution"] if f["@type"] == "cr:FileSet"]
    assert {c["@id"] for c in files["containedIn"]} == {row.path for row in run.shards}
    fields = value["recordSet"][0]["field"]
    assert {f["source"]["fileSet"]["@id"] for f in fields} <= known
    assert len({f["@id"] for f in fields}) == len(fields)


def test_smoke_text_is_a_stated_limitation(run: RunSummary) -> None:
    assert "Smoke-quality text" in json.loads(render_croissant(run))["rai:dataLimitations"]


def test_no_shards_no_references(run: RunSummary) -> None:
    value = json.loads(render_croissant(dataclasses.replace(run, shards=())))
    assert value["distribution"] == [] and value["recordSet"] == []


def test_the_reference_reader_accepts_it(run: RunSummary, tmp_path: Path) -> None:
    reader = pytest.importorskip("mlcroissant")
    path = tmp_path / "croissant.json"
    path.write_text(render_croissant(run), encoding="utf-8")
    dataset = reader.Dataset(jsonld=str(path))
    assert dataset.metadata.name == "harbour-demo"
    assert list(dataset.metadata.ctx.issues.errors) == []
    assert {o.id for o in dataset.metadata.file_objects} == {row.path for row in run.shards}
