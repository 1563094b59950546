"""Stored tokens as they are read: by columns of the index, mapped or not, all of a step at once."""

import dataclasses
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.ids import bytes_digest
from schemas.manifest import manifest_files, read_manifest
from schemas.shard import ShardError
from schemas.shard_index import (
    IndexRow,
    TokenMember,
    check_rows,
    index_bytes,
    index_table,
    read_index,
)
from schemas.shard_tokens import npy_bytes
from tests.trainer.data.made_sets import (
    ByteText,
    Energy,
    document_of,
    speech_documents,
    write_set,
)
from tests.trainer.data.reading import assert_same, flip, opened, packs_of, settings_of
from trainer.data import Data, DataError, Given, open_data
from trainer.index_columns import PLAIN, read_rows
from trainer.orders import ordered
from trainer.pack import PADDING

ZEROS: dict[str, Any] = dict.fromkeys(PLAIN[1:], 0)


def tar_of(folder: Path) -> Path:
    return next((folder / "train").glob("*.tar"))


def index_of(folder: Path) -> list[IndexRow]:
    return read_index(tar_of(folder).with_suffix(".parquet").read_bytes(), "")


def reading(folder: Path, books: int, order: Any = "parallel", **values: Any) -> Data:
    about = {"shards": folder, "epochs": 1, "policy": "speech_only"}
    run = settings_of(talk=about, last="keep", packs=2, **values)
    return open_data(run, ByteText(), ordered(Energy(books), order))


def raised(folder: Path, number: int, at: int) -> IndexRow:
    """One code of a document above the levels of its tokenizer, all checksums as they should be."""
    row, tar = index_of(folder)[number], tar_of(folder)
    member = row.tokens[0]
    data = bytearray(tar.read_bytes())
    place = member.offset + member.size - 1 - at
    data[place] = 64
    tar.write_bytes(bytes(data))
    crc = zlib.crc32(data[member.offset : member.offset + member.size])
    rows = [
        one
        if one.key != row.key
        else dataclasses.replace(one, tokens=(dataclasses.replace(member, crc32=crc),))
        for one in index_of(folder)
    ]
    index = index_bytes(rows)
    tar.with_suffix(".parquet").write_bytes(index)
    manifest = read_manifest(lambda name: (folder / name).read_bytes())
    entry = dataclasses.replace(manifest.shards[0], index_sha256=bytes_digest(index))
    for name, text in manifest_files(dataclasses.replace(manifest, shards=(entry,))).items():
        (folder / name).write_bytes(text)
    return row


@pytest.mark.parametrize(("books", "order"), [(1, "parallel"), (3, "parallel"), (3, "delay")])
def test_a_code_above_the_levels_is_found_and_named(tmp_path: Path, books: int, order: str) -> None:
    folder = write_set(tmp_path, speech_documents("talk", 6, seed=1), tokens=Energy(books))
    whole = packs_of(reading(folder, books, order))
    bad = raised(folder, 3, at=0)
    with pytest.raises(DataError, match=rf"{bad.key}: energy has 64 levels, there is 64") as caught:
        packs_of(reading(folder, books, order))
    assert caught.value.code == "bad_tokens"
    found = list(reading(folder, books, order, on_bad_shard="skip").batches())
    lost = [one for each in found for one in each.lost]
    assert {one.code for one in lost} == {"bad_tokens"}
    packs = [pack for each in found for pack in each.batch.packs]
    heard = sum(pack.seconds for pack in packs) + sum(one.seconds for one in lost)
    assert heard == pytest.approx(sum(pack.seconds for pack in whole))
    kept = {name for pack in packs for name in pack.documents}
    others = {row.key for row in index_of(folder)} - {bad.key}
    assert others <= kept
    for pack in packs:
        assert int(pack.codes.max(initial=0)) < 64 + (order == "delay")
        assert (pack.piece < 0).tolist() == (pack.modality == PADDING).tolist()


def test_only_the_piece_with_the_bad_code_is_lost(tmp_path: Path) -> None:
    long = document_of("talk", 1, [0.5] * 30)
    folder = write_set(tmp_path, [long], tokens=Energy(3))
    whole = packs_of(reading(folder, 3))
    assert len(whole) > 1
    raised(folder, 0, at=0)  # in the last chunk
    found = list(reading(folder, 3, on_bad_shard="skip").batches())
    lost = [one for each in found for one in each.lost]
    assert len(lost) == 1
    packs = [pack for each in found for pack in each.batch.packs]
    spans = [span for pack in packs for span in pack.chunks]
    assert sum(b - a for a, b in spans) + lost[0].chunks == 30
    assert not any(a <= 29 < b for a, b in spans)


def both_ways(folder: Path, books: int, patch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    found = []
    for large in (0, 1 << 40):  # all is mapped, nothing is
        patch.setattr("trainer.shard_places.LARGE", large)
        found.append(list(reading(folder, books).batches()))
    return found[0], found[1]


@pytest.mark.parametrize("audio", [True, False])
def test_mapped_or_read_tokens_are_the_same(
    tmp_path: Path, audio: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    documents = [*speech_documents("talk", 9, seed=4), document_of("talk", 99, [0.4] * 40)]
    folder = write_set(tmp_path, documents, 4, Energy(3), audio)
    one, other = both_ways(folder, 3, monkeypatch)
    assert assert_same(one, other) > 1


@pytest.mark.parametrize("large", [0, 1 << 40])
@pytest.mark.parametrize("member", ["tokens", "json"])
def test_what_was_altered_is_found_mapped_or_read(
    tmp_path: Path, large: int, member: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.shard_places.LARGE", large)
    folder = write_set(tmp_path, speech_documents("talk", 3, seed=1), tokens=Energy(3))
    row = index_of(folder)[1]
    at = row.tokens[0].offset + 130 if member == "tokens" else row.json_offset + row.json_size - 2
    flip(tar_of(folder), at)
    with pytest.raises(ShardError, match=row.key) as caught:
        packs_of(reading(folder, 3))
    assert caught.value.code == "altered"


def test_a_shard_cut_off_after_it_was_opened_is_an_error(tmp_path: Path) -> None:
    folder = write_set(tmp_path, speech_documents("talk", 12, seed=1), tokens=Energy(3))
    steps = reading(folder, 3).batches()
    next(steps)
    tar = tar_of(folder)
    with tar.open("r+b") as file:
        file.truncate(1024)
    with pytest.raises(ShardError) as caught:
        list(steps)
    assert caught.value.code == "truncated"


def test_packs_of_a_step_are_those_of_packs_alone(token_set: Path) -> None:
    """Written together, padded, with pieces of several documents: nothing of a pack's neighbours
    is in it."""

    def given_by(packs: int) -> list[Given]:
        about = {"shards": token_set, "policy": "stochastic", "epochs": 1}
        return list(opened(settings_of(talk=about, packs=packs, last="keep")).batches())

    alone = [pack for each in given_by(1) for pack in each.batch.packs]
    together = [pack for each in given_by(7) for pack in each.batch.packs]
    assert len(alone) == len(together) > 7
    for one, other in zip(alone, together, strict=True):
        for name in ("ids", "codes", "modality", "piece", "place"):
            assert np.array_equal(getattr(one, name), getattr(other, name)), name
        assert (one.documents, one.chunks, one.seconds) == (
            other.documents, other.chunks, other.seconds,
        )  # fmt: skip


def row_of(key: str, spans: list[tuple[int, int]], tokens: int, flac: bool) -> IndexRow:
    """A row whose members, in their order, lie at `spans` of (offset, size)."""
    own = iter(spans)
    members = tuple(
        TokenMember(name=f"t{n}", offset=a, size=s, crc32=n, positions=n)
        for n, (a, s) in zip(range(tokens), own, strict=False)
    )
    about = dict(ZEROS)
    if flac:
        about["flac_offset"], about["flac_size"] = next(own)
    about["json_offset"], about["json_size"] = next(own)
    return IndexRow(key=key, **about, tokens=members)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.booleans(),
            st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4)), min_size=4, max_size=4),
        ),
        max_size=5,
    ),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 40), st.integers(-3, 3)), max_size=2),
    st.permutations(range(5)),
    st.booleans(),
)
@settings(deadline=None, max_examples=200)
def test_rows_in_order_are_those_that_check_rows_takes(
    made: list[tuple[int, bool, list[tuple[int, int]]]],
    alike: bool,
    moved: list[tuple[int, int]],
    names: list[int],
    shuffled: bool,
) -> None:
    rows, at = [], 0
    for number, (tokens, flac, gaps) in enumerate(made):
        if alike:
            tokens, flac = made[0][0], made[0][1]
        spans: list[tuple[int, int]] = []
        for gap, size in gaps[: tokens + flac + 1]:
            spans.append((at + gap, max(size, 1) if len(spans) == tokens and flac else size))
            at = sum(spans[-1])
        key = f"{names[number] if shuffled else number}"
        row = row_of(key, spans, tokens, flac)
        for which, by in moved:
            if which == number:
                row = dataclasses.replace(row, json_offset=row.json_offset + by)
            elif which == number + 10:
                row = dataclasses.replace(row, json_size=row.json_size + 2 * by)
            elif which == number + 20 and row.tokens:
                first = dataclasses.replace(row.tokens[0], offset=row.tokens[0].offset + by)
                row = dataclasses.replace(row, tokens=(first, *row.tokens[1:]))
        rows.append(row)
    table = index_table(index_bytes(rows))
    try:
        check_rows(rows, "x")
    except ShardError as error:
        with pytest.raises(ShardError) as caught:
            read_rows(table, "x")
        assert str(caught.value) == str(error)
        return
    found = read_rows(table, "x")
    assert list(found) == rows
    assert found[1:] == rows[1:] and (not rows or found[-1] == rows[-1])
    if len({len(row.tokens) for row in rows}) < 2:
        assert found.in_order()
    for name in ("t0", "t1", "gone"):
        own = [row.token_member(name) for row in rows]
        expected = [(-1,) * 4 if m is None else (m.offset, m.size, m.crc32, m.positions)
                    for m in own]  # fmt: skip
        assert found.members(name) == expected
    assert found.heard().tolist() == [bool(row.flac_size or row.tokens) for row in rows]


def test_a_column_with_gaps_is_no_index() -> None:
    table = index_table(index_bytes([IndexRow(key="a", **ZEROS)]))
    place = table.column_names.index("words")
    for broken in (
        table.set_column(place, "words", pa.array([None], pa.int64())),
        table.set_column(place, "words", pa.array(["many"])),
        table.drop_columns("words"),
    ):
        with pytest.raises(ShardError) as caught:
            read_rows(broken, "x")
        assert caught.value.code == "bad_index"


def test_headers_are_compared_to_the_byte(tmp_path: Path) -> None:
    """Of the right size and checksum, but Fortran's order: refused, not misread."""
    folder = write_set(tmp_path, [document_of("talk", 1, [0.5])], tokens=Energy(3))
    row, tar = index_of(folder)[0], tar_of(folder)
    member = row.tokens[0]
    data = bytearray(tar.read_bytes())
    old = data[member.offset : member.offset + member.size]
    units = np.frombuffer(old, np.uint8, offset=member.size - 3 * member.positions)
    assert npy_bytes(units.reshape(-1, 3)) == bytes(old)
    new = bytes(old).replace(b"'fortran_order': False", b"'fortran_order': True ")
    data[member.offset : member.offset + member.size] = new
    tar.write_bytes(bytes(data))
    changed = dataclasses.replace(member, crc32=zlib.crc32(new))
    index = index_bytes([dataclasses.replace(row, tokens=(changed,))])
    tar.with_suffix(".parquet").write_bytes(index)
    manifest = read_manifest(lambda name: (folder / name).read_bytes())
    entry = dataclasses.replace(manifest.shards[0], index_sha256=bytes_digest(index))
    for name, text in manifest_files(dataclasses.replace(manifest, shards=(entry,))).items():
        (folder / name).write_bytes(text)
    with pytest.raises(ShardError, match="no array of tokens") as caught:
        packs_of(reading(folder, 3))
    assert caught.value.code == "bad_tokens"
