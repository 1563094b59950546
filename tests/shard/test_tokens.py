"""Tokens in shards: exact round trips, random access without the FLAC, and what is refused."""

import dataclasses
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from schemas.manifest import Manifest, index_name, manifest_files, read_manifest
from schemas.records import Document
from schemas.shard import ShardError, from_json, to_json
from schemas.shard_index import read_index
from schemas.shard_reader import file_fetch, read_document, read_sample, read_shard, read_tokens
from schemas.shard_tar import ending, header, padding
from schemas.shard_tokens import TokenizerEntry, Units, check_units, npy_bytes, read_npy
from schemas.shard_validate import validate
from schemas.shard_writer import ShardWriter
from schemas.token_frames import FrameGrid, Timeline
from tests.shard.conftest import Shard, document_of, document_of_like, flac_of, write

GRID = FrameGrid(rate=8000, hop=80)
ONE = TokenizerEntry(
    name="km-one", engine="kmeans", digest="1" * 64, codebooks=1, levels=500, grid=GRID
)
MANY = TokenizerEntry(
    name="km",
    engine="codec",
    digest="2" * 64,
    codebooks=3,
    levels=16,
    grid=dataclasses.replace(GRID, stack=4, centred=True),
)


def units_of(document: Document, entry: TokenizerEntry) -> Units:
    shape = (Timeline(document, entry.grid).total, entry.codebooks)
    made = np.random.default_rng(int(document.id[:8], 16)).integers(0, entry.levels, shape)
    return made.astype(entry.dtype)


def tokens_of(document: Document) -> dict[str, Units]:
    return {entry.name: units_of(document, entry) for entry in (ONE, MANY)}


DOCUMENTS = sorted(
    (document_of(n, chunks=1 + n % 3, words=n > 5) for n in range(7)), key=lambda d: d.id
)


def token_set(folder: Path, keep_audio: bool = True, name: str = "train/web-00000000.tar") -> Path:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    with ShardWriter(folder / name, name, (ONE, MANY), keep_audio) as writer:
        for document in DOCUMENTS:
            writer.add(document, flac_of(document) if keep_audio else None, tokens_of(document))
    assert writer.entry is not None
    manifest = Manifest(name="x", shards=(writer.entry,), tokenizers=(ONE, MANY))
    for file, data in manifest_files(manifest).items():
        (folder / file).write_bytes(data)
    return folder / name


@pytest.mark.parametrize("keep_audio", [True, False])
def test_tokens_come_back(tmp_path: Path, keep_audio: bool) -> None:
    path = token_set(tmp_path, keep_audio)
    index = read_index(Path(index_name(str(path))).read_bytes(), "x")
    with path.open("rb") as stream:
        samples = list(read_shard(stream, "x"))
    assert [s.row for s in samples] == index
    assert [s.document for s in samples] == DOCUMENTS
    fetch = file_fetch(path)
    for document, sample in zip(DOCUMENTS, samples, strict=True):
        wanted = tokens_of(document)
        assert list(sample.tokens) == ["km", "km-one"]
        assert sample.flac == (flac_of(document) if keep_audio else None)
        again = read_sample(fetch, sample.row, "x")
        assert again.document == read_document(fetch, sample.row, "x") == document
        for entry in (ONE, MANY):
            for found in (
                sample.tokens[entry.name],
                again.tokens[entry.name],
                read_tokens(fetch, sample.row, entry, "x"),
            ):
                assert found.dtype == entry.dtype
                assert np.array_equal(found, wanted[entry.name])


def test_tokens_are_read_without_touching_the_flac(tmp_path: Path) -> None:
    path = token_set(tmp_path)
    index = read_index(Path(index_name(str(path))).read_bytes(), "x")
    asked = []

    def fetch(offset: int, size: int) -> bytes:
        asked.append((offset, size))
        return file_fetch(path)(offset, size)

    read_tokens(fetch, index[2], MANY, "x")
    member = index[2].token_member("km")
    assert member is not None and asked == [(member.offset, member.size)]


def test_the_same_bytes_whatever_the_order_of_tokenizers(tmp_path: Path) -> None:
    first = token_set(tmp_path / "a").read_bytes()
    path = tmp_path / "b.tar"
    with ShardWriter(path, None, (MANY, ONE)) as writer:
        for document in DOCUMENTS:
            tokens = dict(reversed(tokens_of(document).items()))
            writer.add(document, flac_of(document), tokens)
    assert path.read_bytes() == first
    assert (tmp_path / "b.parquet").read_bytes() == (
        tmp_path / "a" / "train" / "web-00000000.parquet"
    ).read_bytes()


def test_shards_without_tokens_know_nothing_of_them(shard: Shard, tmp_path: Path) -> None:
    path, entry, _ = shard
    table = pq.read_table(index_name(str(path)))
    assert table.column_names == [
        *("key", "flac_offset", "flac_size", "flac_crc32"),
        *("json_offset", "json_size", "json_crc32"),
        *("seconds", "chunks", "characters", "words", "outline"),
    ]
    files = manifest_files(Manifest(name="x", shards=(entry,)))
    assert "tokenizers" not in json.loads(files["manifest.json"])
    assert read_manifest(files.__getitem__).tokenizers == ()


def test_text_documents_have_no_tokens(tmp_path: Path) -> None:
    path = tmp_path / "text-0.tar"
    with ShardWriter(path, None, (ONE,), keep_audio=False) as writer:
        for number in sorted(range(3), key=lambda n: document_of(n).id):
            writer.add(document_of(number, modality="text"), None)
    plain = write(tmp_path / "plain.tar", [document_of(n, modality="text") for n in range(3)])
    assert writer.entry is not None and writer.entry.sha256 == plain.sha256


def test_the_json_says_that_the_audio_is_not_there() -> None:
    document = document_of(1)
    data = to_json(document, tokens_only=True)
    assert json.loads(data) == {**json.loads(to_json(document)), "audio": "none"}
    assert from_json(data, "x", tokens_only=True) == document
    for alone in (True, False):
        with pytest.raises(ShardError, match="audio is"):
            from_json(to_json(document, tokens_only=alone), "x", tokens_only=not alone)


@settings(deadline=None)
@given(
    arrays.arrays(
        st.sampled_from([np.uint8, np.uint16, np.uint32]),
        st.tuples(st.integers(0, 9), st.integers(1, 5)),
    )
)
def test_arrays_are_npy_files_that_numpy_reads(units: npt.NDArray[Any]) -> None:
    data = npy_bytes(units)
    plain = np.load(io.BytesIO(data), allow_pickle=False)
    assert plain.dtype == units.dtype
    assert np.array_equal(plain, units[:, 0] if units.shape[1] == 1 else units)
    found = read_npy(data, "x")
    assert found.dtype == units.dtype and np.array_equal(found, units)


def npy(array: npt.NDArray[Any], **options: Any) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array, **options)
    return sink.getvalue()


GOOD = npy_bytes(np.arange(12, dtype=np.uint8).reshape(4, 3))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:-1],
        GOOD + b"\0",
        GOOD[:100],
        GOOD.replace(b"(4, 3)", b"(3, 4)") + b"x",
        GOOD.replace(b"(4, 3)", b"(9, 9)"),
        GOOD.replace(b"(4, 3)", b"(4, 1)"),
        GOOD.replace(b"|u1", b"|i1"),
        GOOD.replace(b"False", b"True "),
        npy(np.zeros((2, 2))),
        npy(np.zeros((2, 2, 2), np.uint8)),
        npy(np.array([{"a": 1}], dtype=object), allow_pickle=True),
        npy(np.asfortranarray(np.zeros((2, 3), np.uint8))),
        npy(np.zeros((2, 3), ">u2")),
    ],
)
def test_other_arrays_are_refused(data: bytes) -> None:
    with pytest.raises(ShardError) as caught:
        read_npy(data, "x.npy")
    assert caught.value.code == "bad_tokens"
    assert "x.npy" in str(caught.value)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_a_value(place: int, change: int) -> None:
    data = bytearray(GOOD)
    data[place] ^= change
    try:
        found = read_npy(bytes(data), "x")
    except ShardError:
        return
    assert place >= len(GOOD) - 12 and found.shape == (4, 3)


def test_the_writer_refuses_tokens_that_do_not_fit(tmp_path: Path) -> None:
    document = document_of(1)
    good = tokens_of(document)
    wrong: list[dict[str, Any]] = [
        {},
        {"km": good["km"]},
        {**good, "other": good["km"]},
        {**good, "km": good["km"][:-1]},
        {**good, "km": good["km"][:, :2]},
        {**good, "km": good["km"].astype(np.uint16)},
        {**good, "km": good["km"] | np.uint8(16)},
        {**good, "km-one": good["km-one"].astype(np.uint32)},
    ]
    for number, tokens in enumerate(wrong):
        path = tmp_path / f"{number}.tar"
        with pytest.raises(ShardError) as caught, ShardWriter(path, None, (ONE, MANY)) as writer:
            writer.add(document, flac_of(document), tokens)
        assert caught.value.code == "bad_tokens", number
    with (
        pytest.raises(ShardError, match="tokens alone"),
        ShardWriter(tmp_path / "f.tar", None, (ONE, MANY), keep_audio=False) as writer,
    ):
        writer.add(document, flac_of(document), good)
    with (
        pytest.raises(ShardError, match="no FLAC"),
        ShardWriter(tmp_path / "g.tar", None, (ONE, MANY)) as writer,
    ):
        writer.add(document, None, good)
    assert list(tmp_path.iterdir()) == []
    for entries, keep_audio in (((ONE, ONE), True), ((), False)):
        with pytest.raises(ValueError, match="nothing to store"):
            ShardWriter(tmp_path / "x.tar", None, entries, keep_audio)
    assert list(tmp_path.iterdir()) == []


def members_of(document: Document, **changed: bytes | None) -> list[tuple[str, bytes]]:
    made: dict[str, bytes | None] = {
        f"{name}.npy": npy_bytes(units) for name, units in sorted(tokens_of(document).items())
    }
    made |= {"flac": flac_of(document), "json": to_json(document)}
    made |= {name.replace("_", "."): data for name, data in changed.items()}
    return [(f"{document.id}.{kind}", data) for kind, data in made.items() if data is not None]


def tar(members: list[tuple[str, bytes]]) -> bytes:
    body = b"".join(header(name, len(data)) + data + padding(len(data)) for name, data in members)
    return body + ending(len(body))


def read(members: list[tuple[str, bytes]]) -> list[Any]:
    return list(read_shard(io.BytesIO(tar(members)), "x.tar"))


def test_the_reader_refuses_samples_of_other_members() -> None:
    first, second = DOCUMENTS[:2]
    good = members_of(first)
    assert len(read([*good, *members_of(second)])) == 2
    swapped = [good[1], good[0], *good[2:]]
    wrong = [
        [*good, *members_of(second, km_npy=None)],
        [*good, *members_of(second, flac=None, json=to_json(second, tokens_only=True))],
        swapped,
        [good[0], *good],
        good[:-1],
        good[:1],
        [*good[:2], (f"{second.id}.json", to_json(second))],
        members_of(first, flac=None),
        members_of(first, json=to_json(first, tokens_only=True)),
    ]
    for members in wrong:
        with pytest.raises(ShardError) as caught:
            read(members)
        assert caught.value.code in ("missing_member", "bad_json", "order")
    for name in ("x" * 25, "Km", "k.m", "1k", ""):
        with pytest.raises(ShardError) as caught:
            header(f"{first.id}.{name}.npy", 1)
        assert caught.value.code == "bad_name"


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_cut_is_refused_after_whole_samples_only(data: st.DataObject) -> None:
    whole = tar([*members_of(DOCUMENTS[0]), *members_of(DOCUMENTS[1])])
    cut = data.draw(st.integers(0, len(whole) - 1))
    got = []
    with pytest.raises(ShardError) as caught:
        for sample in read_shard(io.BytesIO(whole[:cut]), "x"):
            got.append(sample)
    assert caught.value.code in ("truncated", "bad_header")
    for sample, document in zip(got, DOCUMENTS, strict=False):
        assert np.array_equal(sample.tokens["km"], tokens_of(document)["km"])


def test_random_access_refuses_other_tokens(tmp_path: Path) -> None:
    path = token_set(tmp_path)
    row = read_index(Path(index_name(str(path))).read_bytes(), "x")[0]
    fetch = file_fetch(path)
    with pytest.raises(ShardError, match="no tokens of other"):
        read_tokens(fetch, row, dataclasses.replace(ONE, name="other"), "x")
    for entry in (
        dataclasses.replace(MANY, codebooks=2),
        dataclasses.replace(MANY, levels=300),
    ):
        with pytest.raises(ShardError) as caught:
            read_tokens(fetch, row, entry, "x")
        assert caught.value.code == "bad_tokens"
    member = row.tokens[0]
    data = bytearray(path.read_bytes())
    data[member.offset + member.size - 1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ShardError) as caught:
        read_tokens(fetch, row, MANY, "x")
    assert caught.value.code == "altered"


def test_the_manifest_names_the_tokenizers(tmp_path: Path) -> None:
    token_set(tmp_path)
    data = json.loads((tmp_path / "manifest.json").read_bytes())
    assert [row["name"] for row in data["tokenizers"]] == ["km", "km-one"]
    assert data["tokenizers"][0] == {
        "name": "km",
        "engine": "codec",
        "digest": "2" * 64,
        "codebooks": 3,
        "levels": 16,
        "grid": {"rate": 8000, "hop": 80, "stack": 4, "centred": True},
        "deduplicated": False,
        "rate_hz": 25.0,
        "dtype": "uint8",
    }
    found = read_manifest(lambda name: (tmp_path / name).read_bytes())
    assert found.tokenizers == (MANY, ONE)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "../x"},
        {"digest": "2" * 63},
        {"codebooks": 0},
        {"codebooks": "3"},
        {"levels": 1},
        {"rate_hz": 24.0},
        {"dtype": "uint16"},
        {"deduplicated": True},
        {"grid": {"rate": 8000, "hop": 0, "stack": 4, "centred": True}},
        {"grid": {"rate": 8000, "hop": 80, "stack": 4, "centred": 1}},
        {"grid": None},
        {"extra": 1},
    ],
)
def test_a_tokenizer_that_contradicts_itself_is_refused(change: dict[str, Any]) -> None:
    files = manifest_files(Manifest(name="x", shards=(), tokenizers=(MANY,)))
    top = json.loads(files["manifest.json"])
    top["tokenizers"][0] |= change
    with pytest.raises(ShardError) as caught:
        read_manifest({"manifest.json": json.dumps(top).encode()}.__getitem__)
    assert caught.value.code == "bad_manifest"


def test_two_tokenizers_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="named twice"):
        manifest_files(Manifest(name="x", shards=(), tokenizers=(MANY, MANY)))


@pytest.mark.parametrize("keep_audio", [True, False])
def test_a_good_set_is_valid(tmp_path: Path, keep_audio: bool) -> None:
    token_set(tmp_path, keep_audio)
    assert validate(tmp_path) == []


def rewritten(folder: Path, **changed: Any) -> list[str]:
    """Codes of the problems of a set whose manifest says something else."""
    manifest = read_manifest(lambda name: (folder / name).read_bytes())
    files = manifest_files(dataclasses.replace(manifest, **changed))
    (folder / "manifest.json").write_bytes(files["manifest.json"])
    return sorted({problem.code for problem in validate(folder)})


def test_tokens_that_are_not_the_manifests_are_found(tmp_path: Path) -> None:
    token_set(tmp_path)
    slower = dataclasses.replace(MANY, grid=dataclasses.replace(MANY.grid, stack=2))
    assert rewritten(tmp_path, tokenizers=(ONE, slower)) == ["bad_tokens"]
    assert rewritten(tmp_path, tokenizers=(ONE,)) == ["bad_tokens"]
    assert rewritten(tmp_path, tokenizers=(ONE, dataclasses.replace(MANY, levels=9))) == [
        "bad_tokens"
    ]
    manifest = read_manifest(lambda name: (tmp_path / name).read_bytes())
    shard = dataclasses.replace(manifest.shards[0], audio="none")
    assert rewritten(tmp_path, tokenizers=(ONE, MANY), shards=(shard,)) == ["mixed"]


def test_a_level_that_is_none_is_found() -> None:
    document = document_of(1)
    units = units_of(document, MANY).copy()
    check_units(document, MANY, units, "x")
    units[0, 0] = 16
    with pytest.raises(ShardError, match="there is 16"):
        check_units(document, MANY, units, "x")


def test_webdataset_groups_the_members(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    path = token_set(tmp_path)
    found = list(webdataset.WebDataset(str(path), shardshuffle=False))
    assert [s["__key__"] for s in found] == [d.id for d in DOCUMENTS]
    for sample, document in zip(found, DOCUMENTS, strict=True):
        assert {name for name in sample if not name.startswith("__")} == {
            *("km.npy", "km-one.npy", "flac", "json")
        }
        wanted = tokens_of(document)
        assert np.array_equal(np.load(io.BytesIO(sample["km.npy"])), wanted["km"])
        assert np.array_equal(np.load(io.BytesIO(sample["km-one.npy"])), wanted["km-one"][:, 0])
        assert hashlib.sha256(sample["flac"]).digest() == hashlib.sha256(flac_of(document)).digest()


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("keep_audio", [True, False])
def test_datasets_loads_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streaming: bool, keep_audio: bool
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    datasets = pytest.importorskip("datasets")
    path = token_set(tmp_path / "set", keep_audio)
    files = {"data_files": {"train": [str(path)]}, "split": "train"}
    features = datasets.load_dataset("webdataset", streaming=True, **files).features
    if keep_audio:
        features["flac"] = datasets.Value("binary")
    found = datasets.load_dataset(
        "webdataset",
        streaming=streaming,
        features=features,
        cache_dir=str(tmp_path / "cache"),
        **files,
    )
    for row, document in zip(found, DOCUMENTS, strict=True):
        wanted = tokens_of(document)
        assert np.asarray(row["km.npy"]).tolist() == wanted["km"].tolist()
        assert np.asarray(row["km-one.npy"]).tolist() == wanted["km-one"][:, 0].tolist()
        assert row["json"] == json.loads(to_json(document, tokens_only=not keep_audio))


def test_documents_without_words_have_tokens_too() -> None:
    document = document_of_like(document_of(2, chunks=3))
    timeline = Timeline(document, GRID)
    assert timeline.total == 30 and timeline.words(1) == ()
