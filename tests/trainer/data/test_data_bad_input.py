"""Shards that are not what their manifest says, and settings that ask for what is not there."""

import dataclasses
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pydantic
import pytest

from schemas.manifest import manifest_files, read_manifest
from schemas.shard import ShardError
from schemas.shard_index import index_bytes, read_index
from tests.trainer.data.made_sets import ByteText, Energy, document_of, text_documents, write_set
from tests.trainer.data.reading import flip, opened, packs_of, positions, settings_of
from trainer.data import DataError, Given, SetSettings, StoredOnly, open_data
from trainer.pack import check


@pytest.fixture
def copy(talk_set: Path, tmp_path: Path) -> Path:
    return shutil.copytree(talk_set, tmp_path / "copy")


def tar_of(folder: Path) -> Path:
    return sorted((folder / "train").glob("*.tar"))[3]


def resealed(folder: Path, tar: Path, index: bytes) -> None:
    """Write another index and a manifest that names it, as a careless tool would."""
    from schemas.ids import bytes_digest

    manifest = read_manifest(lambda name: (folder / name).read_bytes())
    tar.with_suffix(".parquet").write_bytes(index)
    shards = tuple(
        dataclasses.replace(entry, index_sha256=bytes_digest(index))
        if entry.name.endswith(tar.name)
        else entry
        for entry in manifest.shards
    )
    for name, data in manifest_files(dataclasses.replace(manifest, shards=shards)).items():
        (folder / name).write_bytes(data)


def truncate(folder: Path) -> None:
    tar = tar_of(folder)
    tar.write_bytes(tar.read_bytes()[:-20_000])


def empty(folder: Path) -> None:
    tar_of(folder).write_bytes(b"")


def remove(folder: Path) -> None:
    tar_of(folder).unlink()


def lengthen(folder: Path) -> None:
    with tar_of(folder).open("ab") as file:
        file.write(bytes(512))


def remove_index(folder: Path) -> None:
    tar_of(folder).with_suffix(".parquet").unlink()


def alter_index(folder: Path) -> None:
    flip(tar_of(folder).with_suffix(".parquet"), 60)


def alter_json(folder: Path) -> None:
    tar = tar_of(folder)
    rows = read_index(tar.with_suffix(".parquet").read_bytes(), "")
    flip(tar, rows[2].json_offset + 100)


def index_of_other_documents(folder: Path) -> None:
    """Rows exchanged: each leads to a sound member of another document."""
    tar = tar_of(folder)
    rows = read_index(tar.with_suffix(".parquet").read_bytes(), "")
    first = dataclasses.replace(rows[0], key="0" * 32)
    resealed(folder, tar, index_bytes([first, *rows[1:]]))


def index_with_fewer_rows(folder: Path) -> None:
    tar = tar_of(folder)
    rows = read_index(tar.with_suffix(".parquet").read_bytes(), "")
    resealed(folder, tar, index_bytes(rows[:-1]))


def index_with_other_seconds(folder: Path) -> None:
    tar = tar_of(folder)
    rows = read_index(tar.with_suffix(".parquet").read_bytes(), "")
    resealed(folder, tar, index_bytes([dataclasses.replace(row, seconds=9.0) for row in rows]))


def index_beyond_the_tar(folder: Path) -> None:
    tar = tar_of(folder)
    rows = read_index(tar.with_suffix(".parquet").read_bytes(), "")
    last = dataclasses.replace(rows[-1], json_size=rows[-1].json_size + 10**6)
    resealed(folder, tar, index_bytes([*rows[:-1], last]))


def index_that_is_a_pickle(folder: Path) -> None:
    resealed(folder, tar_of(folder), pickle.dumps({"rows": []}))


FAULTS: list[tuple[Callable[[Path], None], str, int]] = [
    (truncate, "truncated", 8),
    (empty, "truncated", 8),
    (remove, "missing_shard", 8),
    (lengthen, "altered", 8),
    (remove_index, "missing_index", 8),
    (alter_index, "altered", 8),
    (alter_json, "altered", 1),
    (index_of_other_documents, "bad_json", 1),
    (index_with_fewer_rows, "index_disagrees", 8),
    (index_with_other_seconds, "index_disagrees", 8),
    (index_beyond_the_tar, "index_disagrees", 8),
    (index_that_is_a_pickle, "bad_index", 8),
]


def once(folder: Path, **values: str) -> list[Given]:
    about = {"shards": folder, "epochs": 1, "policy": "speech_only"}
    return list(opened(settings_of(talk=about, packs=1, **values)).batches())


@pytest.mark.parametrize(
    ("fault", "code", "documents"), FAULTS, ids=lambda v: getattr(v, "__name__", "")
)
def test_a_bad_shard_is_an_error_or_a_counted_loss(
    copy: Path, talk_set: Path, fault: Callable[[Path], None], code: str, documents: int
) -> None:
    whole = once(talk_set)
    fault(copy)
    with pytest.raises(ShardError) as caught:
        once(copy)
    assert caught.value.code == code
    assert tar_of(talk_set).stem in str(caught.value) or code == "bad_json"
    given = once(copy, on_bad_shard="skip")
    lost = [one for each in given for one in each.lost]
    assert sum(one.documents for one in lost) == documents
    assert {one.code for one in lost} == {code}
    names = {n for each in given for pack in each.batch.packs for n in pack.documents}
    assert len(names) == 60 - documents
    heard = sum(pack.seconds for each in given for pack in each.batch.packs)
    before = sum(pack.seconds for each in whole for pack in each.batch.packs)
    if fault is not index_with_other_seconds:
        assert heard + sum(one.seconds for one in lost) == pytest.approx(before)


def test_a_damaged_flac_is_found_where_it_is_read(copy: Path, talk_set: Path) -> None:
    rows = read_index(tar_of(copy).with_suffix(".parquet").read_bytes(), "")
    flip(tar_of(copy), rows[1].flac_offset + rows[1].flac_size // 2)
    with pytest.raises(ShardError, match=rows[1].key) as caught:
        once(copy)
    assert caught.value.code == "altered"
    given = once(copy, on_bad_shard="skip")
    lost = [one for each in given for one in each.lost]
    assert sum(one.documents for one in lost) == 1
    assert sum(one.chunks for one in lost) == rows[1].chunks
    assert sum(one.seconds for one in lost) == pytest.approx(rows[1].seconds)
    data = opened(settings_of(talk=talk_set))
    for each in given:
        for pack in each.batch.packs:
            check(pack, data.vocabulary, 256)


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_and_losses_come_through_workers(copy: Path, workers: int) -> None:
    alter_json(copy)
    about = {"shards": copy, "epochs": 1}
    with pytest.raises(DataError, match="not those of the index") as caught:
        list(opened(settings_of(talk=about)).batches(workers=workers))
    assert caught.value.code == "altered"
    skipping = settings_of(talk=about, on_bad_shard="skip")
    given = list(opened(skipping).batches(workers=workers))
    assert sum(one.documents for each in given for one in each.lost) == 1


def test_losses_are_not_told_twice_after_going_on(copy: Path) -> None:
    alter_json(copy)
    about = {"shards": copy, "epochs": 1}
    settings = settings_of(talk=about, on_bad_shard="skip", packs=1)
    whole = list(opened(settings).batches())
    at = next(n for n, each in enumerate(whole) if each.lost)
    rest = list(opened(settings).batches(whole[at].state))
    assert not any(each.lost for each in rest)
    assert len(rest) == len(whole) - at - 1


def test_a_set_that_is_all_bad_is_an_error_also_when_skipping(copy: Path) -> None:
    for path in (copy / "train").glob("*.tar"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="a whole pass gave not one pack"):
        packs_of(opened(settings_of(talk=copy, on_bad_shard="skip")), steps=1)


def test_a_manifest_that_was_changed_is_refused(copy: Path) -> None:
    path = copy / "manifest.json"
    value = json.loads(path.read_text())
    value["shards"][0]["name"] = "../../etc/passwd.tar"
    path.write_text(json.dumps(value))
    with pytest.raises(ShardError, match="cannot be a shard"):
        opened(settings_of(talk=copy))
    path.write_bytes(pickle.dumps(value))
    with pytest.raises(ShardError, match="not JSON"):
        opened(settings_of(talk=copy))


def test_missing_and_empty_sets_are_named(talk_set: Path, page_set: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"set 'gone'.*is it a curated OUT") as caught:
        opened(settings_of(talk=talk_set, gone=tmp_path / "nowhere"))
    assert caught.value.code == "missing_manifest"
    with pytest.raises(DataError, match=r"no shards of split 'valid'.*train/talk"):
        opened(settings_of(talk={"shards": talk_set, "split": "valid"}))
    with pytest.raises(DataError, match=r"streams \['pages'\].*train/page"):
        opened(settings_of(page={"shards": page_set, "streams": ["pages"]}))
    with pytest.raises(DataError, match="no document fits its cap"):
        opened(settings_of(talk={"shards": talk_set, "max_seconds": 0.001}))
    with pytest.raises(pydantic.ValidationError, match="sets"):
        settings_of()


def test_unknown_settings_are_refused(talk_set: Path) -> None:
    with pytest.raises(pydantic.ValidationError, match="max_hours"):
        SetSettings.model_validate({"shards": str(talk_set), "max_hours": 3})
    with pytest.raises(pydantic.ValidationError, match="there is no policy"):
        SetSettings.model_validate({"shards": str(talk_set), "policy": "determinstic"})


def test_tokens_of_another_tokenizer_are_refused(token_set: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Use the one they were made with") as caught:
        opened(settings_of(talk=token_set), codebooks=2)
    assert caught.value.code == "other_tokenizer"
    alone = write_set(tmp_path, [document_of("talk", 1, [0.5])], tokens=Energy(2), keep_audio=False)
    with pytest.raises(DataError, match="Use the one they were made with"):
        opened(settings_of(talk=alone))
    ignored = settings_of(talk={"shards": token_set, "tokens": "ignore"})
    assert len(packs_of(opened(ignored, codebooks=2), steps=1)) == 4


def test_insisting_on_tokens_that_are_not_there(talk_set: Path) -> None:
    with pytest.raises(DataError, match="stores tokens of no tokenizer"):
        opened(settings_of(talk={"shards": talk_set, "tokens": "require"}))


def test_a_tokenizer_known_by_name_alone_cannot_encode(talk_set: Path) -> None:
    data = open_data(settings_of(talk=talk_set), ByteText(), StoredOnly(Energy().entry()))
    with pytest.raises(ValueError, match="stored tokens alone"):
        packs_of(data, steps=1)


def test_a_tokenizer_that_breaks_its_promise_is_named(talk_set: Path) -> None:
    class Short(Energy):
        def encode(self, pcm, rate):  # type: ignore[no-untyped-def]
            return super().encode(pcm, rate)[:-1]

    class High(Energy):
        def encode(self, pcm, rate):  # type: ignore[no-untyped-def]
            return super().encode(pcm, rate) + 64

    with pytest.raises(ValueError, match="tokenizer energy gave uint8"):
        packs_of(open_data(settings_of(talk=talk_set), ByteText(), Short()), steps=1)
    with pytest.raises(ValueError, match="it has 64 levels"):
        packs_of(open_data(settings_of(talk=talk_set), ByteText(), High()), steps=1)


def test_speech_without_a_tokenizer(talk_set: Path, page_set: Path) -> None:
    with pytest.raises(DataError, match="no speech tokenizer was given"):
        packs_of(open_data(settings_of(talk=talk_set), ByteText()), steps=1)
    read = settings_of(talk={"shards": talk_set, "policy": "text_only"}, page=page_set)
    packs = packs_of(open_data(read, ByteText()), steps=4)
    assert positions(packs)["speech"] == 0
    assert positions(packs)["text"] > 1000


def test_a_chunk_longer_than_a_pack_is_an_error_or_left_out(tmp_path: Path) -> None:
    long = document_of("talk", 1, [0.5, 9.0, 0.5, 9.0, 0.5])
    folder = write_set(tmp_path, [long, document_of("talk", 2, [0.5, 0.5])])
    about = {"shards": folder, "policy": "speech_only", "epochs": 1}
    with pytest.raises(DataError, match=rf"{long.id}, chunk 1 \(9\.0 s.*on_long_chunk") as caught:
        packs_of(opened(settings_of(talk=about, packs=1)))
    assert caught.value.code == "longer_than_pack"
    data = opened(settings_of(talk=about, packs=1, on_long_chunk="drop"))
    given = list(data.batches())
    lost = [one for each in given for one in each.lost]
    assert [(one.code, one.chunks, one.seconds) for one in lost] == [
        ("longer_than_pack", 1, 9.0)
    ] * 2
    packs = [pack for each in given for pack in each.batch.packs]
    seen = [(n, c) for p in packs for n, c in zip(p.documents, p.chunks, strict=True)]
    assert sorted(c for n, c in seen if n == long.id) == [(0, 1), (2, 3), (4, 5)]


def test_ranks_that_cannot_share_a_batch(talk_set: Path) -> None:
    for rank, ranks in ((0, 3), (2, 2), (-1, 2)):
        with pytest.raises(ValueError, match="cannot share 4 packs"):
            opened(settings_of(talk=talk_set), rank=rank, ranks=ranks)
    with pytest.raises(ValueError, match="use drop"):
        opened(settings_of(talk=talk_set, last="keep"), rank=0, ranks=2)


def test_documents_with_an_unsuited_policy_are_named(tmp_path: Path) -> None:
    documents = text_documents("page", 3)
    folder = write_set(tmp_path / "a", documents)
    found = packs_of(opened(settings_of(page={"shards": folder, "policy": "word_spans"})), steps=1)
    assert positions(found)["text"] > 0
    untimed = document_of("talk", 3, [0.5], words=False)
    folder = write_set(tmp_path / "b", [untimed])
    with pytest.raises(DataError, match=untimed.id):
        packs_of(opened(settings_of(talk={"shards": folder, "policy": "word_spans"})), steps=1)
