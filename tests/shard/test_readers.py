"""Shards open in webdataset, datasets (streaming and not) and plain tarfile, with equal values."""

import json
import tarfile
from pathlib import Path

import pytest

from schemas.shard import to_json
from schemas.shard_reader import read_shard
from tests.shard.conftest import Shard, document_of, flac_of, write


def test_tarfile_reads_two_members_per_document_in_order(shard: Shard) -> None:
    path, _, documents = shard
    with tarfile.open(path) as tar:
        infos = tar.getmembers()
        assert [i.name for i in infos] == [
            f"{d.id}.{kind}" for d in documents for kind in ("flac", "json")
        ]
        assert {(i.mtime, i.uid, i.gid, i.uname, i.gname, i.mode, i.type) for i in infos} == {
            (0, 0, 0, "", "", 0o644, tarfile.REGTYPE)
        }
        for document in documents:
            flac, text = (tar.extractfile(f"{document.id}.{k}") for k in ("flac", "json"))
            assert flac is not None and flac.read() == flac_of(document)
            assert text is not None and text.read() == to_json(document)


def test_the_reader_gives_back_the_documents(shard: Shard) -> None:
    path, _, documents = shard
    with path.open("rb") as stream:
        samples = list(read_shard(stream, path.name))
    assert [s.document for s in samples] == documents
    assert [s.flac for s in samples] == [flac_of(d) for d in documents]


def test_webdataset_groups_the_members(shard: Shard) -> None:
    webdataset = pytest.importorskip("webdataset")
    path, _, documents = shard
    found = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [s["__key__"] for s in found] == [d.id for d in documents]
    for sample, document in zip(found, documents, strict=True):
        assert sample["flac"] == flac_of(document)
        assert sample["json"] == to_json(document)


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("text_only", [False, True])
def test_datasets_loads_every_field(
    tmp_path: Path, shard: Shard, monkeypatch: pytest.MonkeyPatch, streaming: bool, text_only: bool
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    path, _, documents = shard
    if text_only:
        documents = sorted((document_of(n, modality="text") for n in range(7)), key=lambda d: d.id)
        path = tmp_path / "text-00000000.tar"
        write(path, documents)
    files = {"data_files": {"train": [str(path)]}, "split": "train"}
    # types as datasets infers them from the first five samples; the FLAC as bytes, because its
    # Audio type needs torchcodec even to store what it is given
    features = datasets.load_dataset("webdataset", streaming=True, **files).features
    if not text_only:
        features["flac"] = datasets.Value("binary")
    found = datasets.load_dataset(
        "webdataset",
        streaming=streaming,
        features=features,
        cache_dir=str(tmp_path / "cache"),
        **files,
    )
    rows = list(found)
    assert [row["__key__"] for row in rows] == [d.id for d in documents]
    for row, document in zip(rows, documents, strict=True):
        assert row["json"] == json.loads(to_json(document))
        if not text_only:
            assert row["flac"] == flac_of(document)
