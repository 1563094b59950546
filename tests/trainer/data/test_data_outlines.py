"""Reading by the index's outlines gives, batch by batch, what reading every JSON gives."""

import dataclasses
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.ids import bytes_digest
from schemas.manifest import manifest_files, read_manifest
from schemas.records import Document
from schemas.shard import ShardError
from schemas.shard_index import IndexRow, TokenMember, index_bytes, index_table, read_index
from schemas.shard_reader import read_tokens
from schemas.shard_tokens import npy_bytes
from schemas.shard_validate import validate
from tests.trainer.data.made_sets import (
    ByteText,
    Energy,
    document_of,
    speech_documents,
    text_documents,
    write_set,
)
from tests.trainer.data.reading import assert_same, flip, opened, packs_of, settings_of
from trainer.data import Data, open_data
from trainer.drawing import Drawing
from trainer.encoding import Positions
from trainer.index_columns import PLAIN, read_rows
from trainer.orders import ORDERS, ordered
from trainer.outlines import outlines_of
from trainer.pack import PADDING
from trainer.packing import fill

POLICIES: list[Any] = [
    "deterministic",
    {"kind": "deterministic", "start": "alternate"},
    "stochastic",
    "speech_only",
    "text_only",
    "asr",
    "tts",
    {"kind": "word_spans", "mean_words": 2.0},
    {"kind": "lst_spans", "least": 1, "most": 4},
]
COARSE = {"granularity": "coarse", "coarse_max_gap": 2.0, "coarse_max_chunk": 2.5}
FINE = {"granularity": "fine"}


def resealed(folder: Path, change: Any) -> None:
    """Other rows in every index, and a manifest that names them."""
    manifest = read_manifest(lambda name: (folder / name).read_bytes())
    shards = []
    for entry in manifest.shards:
        path = (folder / entry.name).with_suffix(".parquet")
        data = index_bytes([change(row) for row in read_index(path.read_bytes(), "")])
        path.write_bytes(data)
        shards.append(dataclasses.replace(entry, index_sha256=bytes_digest(data)))
    for name, data in manifest_files(dataclasses.replace(manifest, shards=tuple(shards))).items():
        (folder / name).write_bytes(data)


def without_outline(row: IndexRow) -> IndexRow:
    return dataclasses.replace(row, outline=None)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Sets by name: as they are written now, and with indexes of the first days."""
    talks = speech_documents("talk", 16, seed=1)
    talks.append(document_of("talk", 99, [0.4] * 40))
    kinds: dict[str, tuple[Sequence[Document], Energy | None, bool]] = {
        "flac": (talks, None, True),
        "stored": (talks, Energy(3), False),
        "page": (text_documents("page", 30, seed=2), None, True),
        "fixed": ([materialised(one) for one in speech_documents("fix", 20, seed=3)], None, True),
    }
    found = {}
    for name, (documents, tokens, audio) in kinds.items():
        new = write_set(tmp_path_factory.mktemp(name) / "new", documents, 8, tokens, audio)
        old = shutil.copytree(new, new.parent / "old")
        resealed(old, without_outline)
        found[name] = (new, old)
    return found


def materialised(document: Document) -> Document:
    """Every second chunk as text, which takes no time."""
    chunks, at = [], 0
    for place, chunk in enumerate(document.chunks):
        frames = 0 if place % 2 else round((chunk.end - chunk.start) * document.rate)
        side = "text" if place % 2 else "speech"
        times = {"start": at / document.rate, "end": (at + frames) / document.rate}
        more = {"words": (), "times": "none", "modality": side}
        chunks.append(dataclasses.replace(chunk, **times, **more))  # type: ignore[arg-type]
        at += frames
    return dataclasses.replace(document, chunks=tuple(chunks))


def data_of(folder: Path, about: dict[str, Any], books: int, order: Any) -> Data:
    length = 256 if order in ("parallel", "first") else 2048
    run = settings_of(a={"shards": folder, "epochs": 2, **about}, length=length, last="keep")
    return open_data(run, ByteText(), ordered(Energy(books), order))


@given(
    st.sampled_from(["flac", "stored", "page"]),
    st.sampled_from(POLICIES),
    st.sampled_from([FINE, COARSE]),
    st.sampled_from(ORDERS),
)
@settings(deadline=None, max_examples=16)
def test_outlines_and_draws_of_lengths_change_nothing(
    pairs: dict[str, tuple[Path, Path]], name: str, policy: Any, view: Any, order: Any
) -> None:
    new, old = pairs[name]
    about = {"policy": policy, **view}
    steps = 3
    one = data_of(new, about, 3, order).batches(steps=steps)
    with pytest.MonkeyPatch.context() as patch:  # every document parsed, every chunk drawn
        patch.setattr(Drawing, "sides", lambda *_: None)
        other = list(data_of(old, about, 3, order).batches(steps=steps))
    assert assert_same(one, other) > 0


def test_fixed_interleavings_are_read_as_they_stand(pairs: dict[str, tuple[Path, Path]]) -> None:
    new, old = pairs["fixed"]
    for view in (FINE, COARSE):
        about = {"policy": None, **view}
        one = data_of(new, about, 1, "parallel").batches(steps=6)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Drawing, "sides", lambda *_: None)
            other = list(data_of(old, about, 1, "parallel").batches(steps=6))
        assert assert_same(one, other) == 6
    with pytest.raises(ShardError, match="read it as stored") as caught:
        packs_of(data_of(new, {"policy": "speech_only"}, 1, "parallel"))
    assert caught.value.code == "already_materialised"


def test_no_json_is_parsed(pairs: dict[str, tuple[Path, Path]]) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError("a JSON was parsed")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("trainer.set_reader.read_document", refuse)
        assert packs_of(data_of(pairs["stored"][0], {}, 3, "parallel"), steps=3)
        with pytest.raises(AssertionError, match="parsed"):
            packs_of(data_of(pairs["stored"][1], {}, 3, "parallel"), steps=3)


def test_rows_by_columns_are_the_rows(pairs: dict[str, tuple[Path, Path]]) -> None:
    for new, old in pairs.values():
        for path in [*sorted(new.rglob("*-*.parquet")), *sorted(old.rglob("*-*.parquet"))]:
            rows = read_index(path.read_bytes(), "")
            found = read_rows(index_table(path.read_bytes()), "")
            assert list(found) == [without_outline(row) for row in rows]
            assert found.in_order() and found.end == rows[-1].json_offset + rows[-1].json_size


def test_positions_of_many_chunks_are_those_of_each() -> None:
    chance = np.random.default_rng(0)
    for tokenizer in (Energy(), Plain()):
        counts = Positions(tokenizer)
        samples = chance.integers(0, 9000, 200)
        samples[:5] = 0, 1, 199, 200, 201
        rates = chance.choice([8000, 16000, 22050], 200)
        pairs = zip(samples.tolist(), rates.tolist(), strict=True)
        assert counts.each(samples, rates) == [counts.of(size, rate) for size, rate in pairs]


class Plain(Energy):
    grid = None  # type: ignore[assignment]

    def __init__(self) -> None:
        self.codebooks = 1

    def frames(self, samples: int, rate: int) -> int:
        return -(-samples * 40 // rate)


def test_indexes_of_the_first_days_are_sound(pairs: dict[str, tuple[Path, Path]]) -> None:
    for new, old in pairs.values():
        assert validate(new) == []
        assert validate(old) == []


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"end": ()}, "another length"),
    ({"end": (8000, 4000)}, "make no sense"),
    ({"rate": 0}, "make no sense"),
    ({"modality": ("both", "noise")}, "make no sense"),
    ({"modality": ("both", "text")}, "takes time"),
    ({"text": ("one",)}, "another length"),
]


@pytest.mark.parametrize(("values", "match"), BROKEN)
def test_outlines_that_make_no_sense(tmp_path: Path, values: dict[str, Any], match: str) -> None:
    folder = write_set(tmp_path, [document_of("talk", 1, [0.5, 0.5])])
    resealed(folder, lambda row: changed(row, values))
    with pytest.raises(ShardError, match=match) as caught:
        packs_of(opened(settings_of(talk=folder)), steps=1)
    assert caught.value.code == "bad_index"


def changed(row: IndexRow, values: dict[str, Any]) -> IndexRow:
    assert row.outline is not None
    return dataclasses.replace(row, outline=dataclasses.replace(row.outline, **values))


def test_an_outline_that_differs_from_its_document_is_found(tmp_path: Path) -> None:
    folder = write_set(tmp_path, [document_of("talk", 1, [0.5, 0.5])])
    resealed(folder, lambda row: changed(row, {"text": ("another", "text")}))
    assert {problem.code for problem in validate(folder)} == {"index_disagrees"}
    resealed(folder, lambda row: changed(row, {"end": (4000, 7000)}))
    assert {problem.code for problem in validate(folder)} == {"index_disagrees"}
    with pytest.raises(ShardError, match="the index says") as caught:
        packs_of(opened(settings_of(talk=folder)), steps=1)
    assert caught.value.code == "index_disagrees"


def test_an_altered_json_is_found_though_it_is_not_parsed(tmp_path: Path) -> None:
    folder = write_set(tmp_path, [document_of("talk", 1, [0.5])], tokens=Energy())
    tar = next((folder / "train").glob("*.tar"))
    row = read_index(tar.with_suffix(".parquet").read_bytes(), "")[0]
    flip(tar, row.json_offset + row.json_size - 3)
    with pytest.raises(ShardError, match="not those of the index") as caught:
        packs_of(opened(settings_of(talk=folder)), steps=1)
    assert caught.value.code == "altered"


def test_an_index_without_rows_has_no_outlines() -> None:
    assert outlines_of(index_table(index_bytes([])), "") is None
    assert fill([], 10).packs == []


def test_codes_take_the_least_room(pairs: dict[str, tuple[Path, Path]]) -> None:
    pack = packs_of(data_of(pairs["stored"][0], {}, 3, "parallel"), steps=1)[0]
    assert pack.codes.dtype == np.uint8
    wide = Energy(3)
    wide.levels = 257
    data = open_data(settings_of(a={"shards": pairs["flac"][0]}), ByteText(), wide)
    assert packs_of(data, steps=1)[0].codes.dtype == np.uint16


@pytest.mark.parametrize("books", [1, 3])
def test_a_pack_that_lost_all_of_its_pieces_is_padding(tmp_path: Path, books: int) -> None:
    folder = write_set(tmp_path, [document_of("talk", 1, [0.5])], tokens=Energy(books))
    tar = next((folder / "train").glob("*.tar"))
    row = read_index(tar.with_suffix(".parquet").read_bytes(), "")[0]
    flip(tar, row.tokens[0].offset + row.tokens[0].size - 1)
    about = {"shards": folder, "epochs": 1, "policy": "speech_only"}
    run = settings_of(talk=about, packs=1, last="keep", on_bad_shard="skip")
    found = list(opened(run, codebooks=books).batches())
    assert [one.code for one in found[0].lost] == ["altered"]
    pack = found[0].batch.packs[0]
    assert (pack.modality == PADDING).all() and (pack.piece == -1).all()
    assert not pack.codes.any() and not pack.ids.any()


@given(st.integers(0, 2**31 - 1), st.sampled_from([(1, 16), (3, 16), (2, 300), (1, 70_000)]))
@settings(deadline=None, max_examples=25)
def test_tokens_are_read_as_they_were_written(seed: int, shape: tuple[int, int]) -> None:
    books, levels = shape
    chance = np.random.default_rng(seed)
    entry = dataclasses.replace(Energy(books).entry(), levels=levels)
    count = int(chance.integers(0, 50))
    units = chance.integers(0, levels, (count, books)).astype(entry.dtype)
    data = npy_bytes(units)
    member = TokenMember(
        name=entry.name, offset=0, size=len(data), crc32=zlib.crc32(data), positions=count
    )
    row = IndexRow(key="k", **dict.fromkeys(PLAIN[1:], 0), tokens=(member,))  # type: ignore[arg-type]
    for whole in (data, np.frombuffer(data, np.uint8)):
        found = read_tokens(lambda a, n: whole[a : a + n], row, entry, "x")  # type: ignore[misc]  # noqa: B023
        assert np.array_equal(found, units) and found.dtype == entry.dtype
    for wrong in ({"positions": count + 1}, {"positions": -1}, {"size": len(data) - 1}):
        other = dataclasses.replace(row, tokens=(dataclasses.replace(member, **wrong),))
        with pytest.raises(ShardError):
            read_tokens(lambda a, n: data[a : a + n], other, entry, "x")
