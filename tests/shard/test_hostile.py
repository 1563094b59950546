"""Truncated, altered and hostile tars are refused, and never give half a sample."""

import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.manifest import index_name
from schemas.shard import ShardError, to_json
from schemas.shard_index import IndexRow, read_index
from schemas.shard_reader import (
    Sample,
    file_fetch,
    read_document,
    read_flac,
    read_sample,
    read_shard,
    verify,
)
from schemas.shard_tar import ending, header, padding
from tests.shard.conftest import Shard, document_of, flac_of


def read(data: bytes) -> list[Sample]:
    return list(read_shard(io.BytesIO(data), "x.tar"))


def tar(*members: tuple[str, bytes]) -> bytes:
    """A tar of format 1's headers over any members."""
    body = b"".join(header(name, len(data)) + data + padding(len(data)) for name, data in members)
    return body + ending(len(body))


def sample(number: int) -> tuple[tuple[str, bytes], tuple[str, bytes]]:
    document = document_of(number, chunks=1)
    return (
        (f"{document.id}.flac", flac_of(document)),
        (f"{document.id}.json", to_json(document)),
    )


FIRST, SECOND = sorted((sample(1), sample(2)))


def test_the_made_tar_is_good() -> None:
    assert [s.flac for s in read(tar(*FIRST, *SECOND))] == [FIRST[0][1], SECOND[0][1]]


GOOD = tar(*FIRST, *SECOND)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(GOOD) - 1))
def test_every_cut_is_refused_after_whole_samples_only(cut: int) -> None:
    got = []
    with pytest.raises(ShardError) as caught:
        for found in read_shard(io.BytesIO(GOOD[:cut]), "x.tar"):
            got.append(found)
    assert caught.value.code in ("truncated", "missing_member")
    assert got == read(GOOD)[: len(got)]


@pytest.mark.parametrize("block", range(len(GOOD) // 512))
def test_every_cut_at_a_block_is_refused(block: int) -> None:
    with pytest.raises(ShardError):
        read(GOOD[: block * 512])


def test_tarfile_and_webdataset_accept_a_cut_that_we_refuse() -> None:
    # why the end mark is checked: at a member's border other readers see a shorter, sound shard
    border = GOOD.index(SECOND[0][0].encode())
    with tarfile.open(fileobj=io.BytesIO(GOOD[:border])) as other:
        assert len(other.getmembers()) == 2
    with pytest.raises(ShardError, match="ends inside or before"):
        read(GOOD[:border])


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_lies_in_what_is_carried(place: int, flip: int) -> None:
    data = bytearray(GOOD)
    data[place] ^= flip
    try:
        found = read(bytes(data))
    except ShardError:
        return
    assert [s.document.id for s in found] == [s.document.id for s in read(GOOD)]
    changed = [(a, b) for a, b in zip(found, read(GOOD), strict=True) if a != b]
    assert len(changed) == 1  # one sample's content; its crc32 and the shard's sha256 catch that
    assert (changed[0][0].row.flac_crc32, changed[0][0].row.json_crc32) != (
        changed[0][1].row.flac_crc32,
        changed[0][1].row.json_crc32,
    )


def foreign(change: Callable[[tarfile.TarInfo], None], data: bytes = b"x") -> bytes:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as other:
        info = tarfile.TarInfo("a.json")
        info.size = len(data)
        change(info)
        other.addfile(info, io.BytesIO(data))
    return sink.getvalue()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda i: setattr(i, "name", "../a.json"), "unknown_member"),
        (lambda i: setattr(i, "name", "/etc/a.json"), "unknown_member"),
        (lambda i: setattr(i, "name", "a/b.json"), "unknown_member"),
        (lambda i: setattr(i, "name", "a.b.json"), "unknown_member"),
        (lambda i: setattr(i, "name", "A.json"), "unknown_member"),
        (lambda i: setattr(i, "name", "a.pyd"), "unknown_member"),
        (lambda i: setattr(i, "name", "a.pickle"), "unknown_member"),
        (lambda i: setattr(i, "name", "a.json\n"), "unknown_member"),
        (lambda i: setattr(i, "name", "ä.json"), "unknown_member"),
        (lambda i: setattr(i, "name", "b" * 65 + ".json"), "unknown_member"),
        (lambda i: setattr(i, "name", ""), "unknown_member"),
        (lambda i: (setattr(i, "type", b"2"), setattr(i, "linkname", "/x")), "hostile_member"),
        (lambda i: (setattr(i, "type", b"1"), setattr(i, "linkname", "x")), "hostile_member"),
        (lambda i: setattr(i, "type", b"3"), "hostile_member"),
        (lambda i: setattr(i, "type", b"4"), "hostile_member"),
        (lambda i: setattr(i, "type", b"5"), "hostile_member"),
        (lambda i: setattr(i, "type", b"6"), "hostile_member"),
        (lambda i: setattr(i, "type", b"S"), "hostile_member"),
        (lambda i: setattr(i, "mtime", 1), "bad_header"),
        (lambda i: setattr(i, "uid", 1), "bad_header"),
        (lambda i: setattr(i, "uname", "root"), "bad_header"),
        (lambda i: setattr(i, "mode", 0o4755), "bad_header"),
    ],
)
def test_hostile_and_foreign_members_are_refused(
    change: Callable[[tarfile.TarInfo], None], code: str
) -> None:
    with pytest.raises(ShardError) as caught:
        read(foreign(change))
    assert caught.value.code == code


@pytest.mark.parametrize("kind", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_extended_headers_are_refused(kind: int) -> None:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=kind) as other:
        other.addfile(tarfile.TarInfo("a" * 150 + ".json"))
    with pytest.raises(ShardError) as caught:
        read(sink.getvalue())
    assert caught.value.code == "hostile_member"


def test_a_size_beyond_the_limit_is_refused_before_it_is_read() -> None:
    head = bytearray(header("a.json", 0))
    head[124:135] = b"77777777777"
    with pytest.raises(ShardError, match="at most"):
        read(bytes(head) + ending(512))


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (tar(FIRST[0]), "missing_member"),
        (tar(*FIRST, SECOND[0]), "missing_member"),
        (tar(FIRST[0], *SECOND), "missing_member"),
        (tar(FIRST[0], SECOND[1]), "missing_member"),
        (tar(FIRST[1]), "missing_member"),
        (tar(FIRST[1], FIRST[0]), "missing_member"),
        (tar(*SECOND, *FIRST), "order"),
        (tar(*FIRST, *FIRST), "order"),
        (tar(("a.flac", FIRST[0][1]), ("a.json", FIRST[1][1])), "bad_json"),
        (tar((FIRST[0][0], b"fLaC" + bytes(60)), FIRST[1]), "bad_flac"),
        (tar((FIRST[0][0], SECOND[1][1]), FIRST[1]), "bad_flac"),
        (tar(), "empty"),
        (GOOD + b"\0", "bad_header"),
        (GOOD + GOOD, "bad_header"),
        (b"", "truncated"),
        (b"not a tar" * 200, "hostile_member"),
    ],
)
def test_wrong_contents_are_refused(data: bytes, code: str) -> None:
    with pytest.raises(ShardError) as caught:
        read(data)
    assert caught.value.code == code


def test_a_flac_of_another_length_is_refused() -> None:
    longer = flac_of(document_of(1, chunks=2))
    with pytest.raises(ShardError, match="frames"):
        read(tar((FIRST[0][0], longer), FIRST[1]))


def rows_of(shard: Shard) -> list[IndexRow]:
    return read_index(Path(index_name(str(shard[0]))).read_bytes(), "x.parquet")


def test_samples_are_read_by_the_index(shard: Shard) -> None:
    path, _, documents = shard
    fetch = file_fetch(path)
    for row, document in reversed(list(zip(rows_of(shard), documents, strict=True))):
        assert read_document(fetch, row, "x") == document
        assert read_flac(fetch, row, "x") == flac_of(document)
        assert read_sample(fetch, row, "x").row == row


def test_random_access_refuses_altered_and_short_shards(shard: Shard) -> None:
    path, _, _ = shard
    row = rows_of(shard)[3]
    data = bytearray(path.read_bytes())
    data[row.flac_offset + row.flac_size - 1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ShardError) as caught:
        read_flac(file_fetch(path), row, "x")
    assert caught.value.code == "altered"
    assert read_document(file_fetch(path), row, "x").id == row.key
    path.write_bytes(data[: row.flac_offset + 10])
    with pytest.raises(ShardError) as caught:
        read_flac(file_fetch(path), row, "x")
    assert caught.value.code == "truncated"


@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"\0", lambda d: b"\1" + d[1:]])
def test_a_shard_is_verified_against_its_entry(
    shard: Shard, change: Callable[[bytes], bytes]
) -> None:
    path, entry, _ = shard
    verify(io.BytesIO(path.read_bytes()), entry)
    with pytest.raises(ShardError):
        verify(io.BytesIO(change(path.read_bytes())), entry)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(100) + b"PAR1"])
def test_what_is_no_index_is_refused(data: bytes) -> None:
    with pytest.raises(ShardError) as caught:
        read_index(data, "x.parquet")
    assert caught.value.code == "bad_index"
