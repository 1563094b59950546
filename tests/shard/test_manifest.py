"""The manifest and the validator: every way a set can be wrong is found and named."""

import dataclasses
import hashlib
import io
import json
import shutil
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from schemas.manifest import (
    NAME,
    Manifest,
    ShardEntry,
    index_name,
    manifest_files,
    read_manifest,
)
from schemas.records import Document
from schemas.shard import ShardError
from schemas.shard_index import index_bytes, read_index
from schemas.shard_validate import validate
from tests.shard.conftest import document_of, write


def decode(flac: bytes) -> tuple[int, int]:
    samples, rate = soundfile.read(io.BytesIO(flac), dtype="int16")
    return len(samples), rate


def entry(number: int, name: str | None = None) -> ShardEntry:
    return ShardEntry(
        name=name or f"train/web-{number:08x}.tar",
        sha256=f"{number:064x}",
        bytes=10240,
        index_sha256=f"{number:064x}",
        stream="web",
        split="train",
        audio="flac",
        documents=3,
        chunks=6,
        seconds=0.1 * number,
        characters=40,
        words=8,
    )


def manifest_of(*entries: ShardEntry) -> Manifest:
    return Manifest(
        name="web-speech",
        shards=entries,
        recipe={"seed": 17, "name": "é"},
        views={"web": {"granularity": "fine", "policy": "deterministic"}},
        versions={"pyarrow": "1"},
        licences={"CC0-1.0": {"documents": 3, "seconds": 1.5}},
        funnel=[{"step": "filter", "kept": 3, "dropped": {"snr": 1}}],
        keys={"hear": "ab"},
    )


def test_a_manifest_comes_back_and_its_bytes_do_not_depend_on_order() -> None:
    manifest = manifest_of(*(entry(n) for n in range(5)))
    files = manifest_files(manifest)
    assert list(files) == [NAME]
    assert read_manifest(files.__getitem__) == manifest
    shuffled = dataclasses.replace(manifest, shards=manifest.shards[::-1])
    assert manifest_files(shuffled) == files


def test_a_large_manifest_is_a_tree_whose_top_is_last() -> None:
    manifest = manifest_of(*(entry(n) for n in range(25)))
    files = manifest_files(manifest, part=10)
    assert list(files) == [*(f"manifest-{n:05d}.json" for n in range(3)), NAME]
    assert "shards" not in json.loads(files[NAME])
    assert read_manifest(files.__getitem__) == manifest


def test_the_totals_are_sums_by_split_and_stream() -> None:
    entries = [entry(1), entry(2), dataclasses.replace(entry(3), split="test")]
    totals = manifest_of(*entries).totals()
    assert list(totals) == ["train/web", "test/web"]
    assert totals["train/web"]["shards"] == 2 and totals["train/web"]["documents"] == 6
    assert totals["test/web"]["seconds"] == pytest.approx(0.3)


def altered(files: dict[str, bytes], name: str, old: bytes, new: bytes) -> dict[str, bytes]:
    assert old in files[name]
    return files | {name: files[name].replace(old, new, 1)}


@pytest.mark.parametrize(
    ("name", "old", "new", "code"),
    [
        ("manifest-00000.json", b'"documents": 3', b'"documents": 4', "altered"),
        (NAME, b"manifest-00001.json", b"manifest-00000.json", "altered"),
        (NAME, b"manifest-00001.json", b"../../etc/passwd", "bad_manifest"),
        (NAME, b'"format": 1', b'"format": 2', "wrong_format"),
        (NAME, b'"chunks": 150', b'"chunks": 151', "bad_manifest"),
        (NAME, b'"funnel"', b'"tunnel"', "bad_manifest"),
        (NAME, b"{", b"", "bad_manifest"),
    ],
)
def test_an_altered_manifest_is_refused(name: str, old: bytes, new: bytes, code: str) -> None:
    files = manifest_files(manifest_of(*(entry(n) for n in range(25))), part=10)
    with pytest.raises(ShardError) as caught:
        read_manifest(altered(files, name, old, new).__getitem__)
    assert caught.value.code == code


@pytest.mark.parametrize(
    "name", ["../x.tar", "/etc/x.tar", "a/../x.tar", "x", "pipe:ls.tar", "A.tar", "a//b.tar"]
)
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(ShardError) as caught:
        manifest_files(manifest_of(entry(1, name)))
    assert caught.value.code == "bad_name"
    files = altered(
        manifest_files(manifest_of(entry(1))), NAME, b"train/web-00000001.tar", name.encode()
    )
    with pytest.raises(ShardError) as caught:
        read_manifest(files.__getitem__)
    assert caught.value.code == "bad_name"


def test_a_shard_named_twice_is_refused() -> None:
    with pytest.raises(ShardError, match="twice"):
        manifest_files(manifest_of(entry(1), entry(1)))


Set = dict[str, list[Document]]


def make(folder: Path, shards: Set) -> list[ShardEntry]:
    entries = []
    for name, documents in shards.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        entries.append(write(path, documents, name))
    seal(folder, entries)
    return entries


def seal(folder: Path, entries: list[ShardEntry]) -> None:
    for name, data in manifest_files(manifest_of(*entries)).items():
        (folder / name).write_bytes(data)


A, B, TEXT = "train/web-0000000a.tar", "test/web-0000000b.tar", "train/text-00.tar"
GOOD: Set = {
    A: [document_of(1), document_of(2)],
    B: [document_of(3, split="test")],
    TEXT: [dataclasses.replace(document_of(4, modality="text"), stream="text")],
}


def codes(folder: Path, **more: Callable[[bytes], tuple[int, int]]) -> set[tuple[str, str]]:
    return {(p.where.split(":")[0], p.code) for p in validate(folder, **more)}


def test_a_sound_set_has_no_problems(tmp_path: Path) -> None:
    make(tmp_path, GOOD)
    assert validate(tmp_path, decode=decode) == []
    assert validate(tmp_path / NAME) == []


def flip(path: Path, place: int) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("harm", "expected"),
    [
        (lambda f: (f / A).unlink(), {(A, "missing")}),
        (lambda f: (f / index_name(A)).unlink(), {(index_name(A), "missing")}),
        (
            lambda f: shutil.copy(f / A, f / "train/web-0000000c.tar"),
            {("train/web-0000000c.tar", "extra")},
        ),
        (lambda f: (f / A).write_bytes((f / A).read_bytes()[:2048]), {(A, "truncated")}),
        (lambda f: flip(f / A, 600), {(A, "altered"), (index_name(A), "index_disagrees")}),
        (lambda f: flip(f / A, 0), {(A, "altered"), (A, "bad_header")}),
        (
            lambda f: shutil.copy(f / index_name(B), f / index_name(A)),
            {(index_name(A), "altered"), (index_name(A), "index_disagrees")},
        ),
        (lambda f: (f / index_name(A)).write_bytes(b"x"), {(index_name(A), "bad_index")}),
    ],
)
def test_harm_to_files_is_found(
    tmp_path: Path, harm: Callable[[Path], object], expected: set[tuple[str, str]]
) -> None:
    make(tmp_path, GOOD)
    harm(tmp_path)
    assert codes(tmp_path) == expected


def test_an_index_that_disagrees_is_found_even_when_its_digest_is_right(tmp_path: Path) -> None:
    entries = make(tmp_path, GOOD)
    path = tmp_path / index_name(A)
    rows = read_index(path.read_bytes(), "x")
    data = index_bytes([dataclasses.replace(rows[0], seconds=9.0), *rows[1:]])
    path.write_bytes(data)
    digest = hashlib.sha256(data).hexdigest()
    seal(tmp_path, [dataclasses.replace(entries[0], index_sha256=digest), *entries[1:]])
    assert codes(tmp_path) == {(index_name(A), "index_disagrees")}


def test_counts_that_disagree_are_found(tmp_path: Path) -> None:
    entries = make(tmp_path, GOOD)
    seal(tmp_path, [dataclasses.replace(entries[0], characters=1), *entries[1:]])
    assert codes(tmp_path) == {(A, "count_disagrees")}


def test_a_document_in_two_shards_is_found(tmp_path: Path) -> None:
    make(tmp_path, {A: [document_of(1)], "train/web-0000000d.tar": [document_of(1)]})
    assert codes(tmp_path) == {("train/web-0000000d.tar", "duplicate")}


def test_a_recording_in_two_splits_is_found(tmp_path: Path) -> None:
    same = document_of(1).recording
    make(tmp_path, {A: [document_of(1)], B: [document_of(2, split="test", recording=same)]})
    assert {code for _, code in codes(tmp_path)} == {"leak"}


def test_a_shard_whose_entry_lies_about_its_split_is_found(tmp_path: Path) -> None:
    entries = make(tmp_path, {A: [document_of(1)]})
    seal(tmp_path, [dataclasses.replace(entries[0], split="valid")])
    assert codes(tmp_path) == {(A, "mixed")}


def test_audio_that_cannot_be_decoded_is_found_only_with_a_decoder(tmp_path: Path) -> None:
    entries = make(tmp_path, {A: [document_of(1)]})
    path = tmp_path / A
    row = read_index((tmp_path / index_name(A)).read_bytes(), "x")[0]
    data = bytearray(path.read_bytes())
    middle = row.flac_offset + 100
    data[middle : row.flac_offset + row.flac_size] = bytes(row.flac_size - 100)
    path.write_bytes(data)
    rows = [
        dataclasses.replace(
            row, flac_crc32=zlib.crc32(data[row.flac_offset : row.flac_offset + row.flac_size])
        )
    ]
    (tmp_path / index_name(A)).write_bytes(index_bytes(rows))
    entries = [
        dataclasses.replace(
            entries[0],
            sha256=hashlib.sha256(data).hexdigest(),
            index_sha256=hashlib.sha256(index_bytes(rows)).hexdigest(),
        )
    ]
    seal(tmp_path, entries)
    assert codes(tmp_path) == set()
    assert codes(tmp_path, decode=decode) == {(A, "bad_flac")}


def test_a_folder_without_a_manifest_is_one_problem(tmp_path: Path) -> None:
    (problem,) = validate(tmp_path)
    assert problem.code == "missing" and problem.where.endswith(NAME)
