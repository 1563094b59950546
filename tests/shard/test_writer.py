"""The writer: the same bytes everywhere, an entry and an index that agree, nothing half-written."""

import dataclasses
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from schemas.manifest import index_name
from schemas.shard import ShardError
from schemas.shard_index import read_index
from schemas.shard_reader import read_shard
from schemas.shard_writer import ShardWriter
from tests.shard.conftest import Shard, document_of, flac_of, write

ROOT = Path(__file__).resolve().parents[2]


def test_the_entry_and_the_index_say_what_the_shard_holds(shard: Shard) -> None:
    path, entry, documents = shard
    index = Path(index_name(str(path))).read_bytes()
    assert entry.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert entry.index_sha256 == hashlib.sha256(index).hexdigest()
    assert entry.bytes == path.stat().st_size and entry.bytes % 10240 == 0
    assert (entry.name, entry.stream, entry.split, entry.audio) == (
        path.name,
        "web",
        "train",
        "flac",
    )
    assert (entry.documents, entry.chunks, entry.words) == (7, 14, 28)
    assert entry.characters == 14 * len("Grüße, wörld")
    assert entry.seconds == pytest.approx(sum(d.seconds for d in documents), abs=1e-12)
    with path.open("rb") as stream:
        assert read_index(index, "x") == [s.row for s in read_shard(stream, "x")]


SCRIPT = """
import locale, sys, time
from pathlib import Path
from tests.shard.conftest import document_of, write
locale.setlocale(locale.LC_ALL, "")
documents = {document_of(n) for n in range(5)}  # a set: its order follows the hash seed
print(write(Path(sys.argv[1]), list(documents)))
"""


@pytest.mark.slow
def test_bytes_do_not_depend_on_time_zone_locale_or_hash_seed(tmp_path: Path) -> None:
    found = []
    for number, (zone, language, seed) in enumerate(
        [("UTC", "C", "0"), ("Asia/Kathmandu", "C.UTF-8", "1"), ("America/Lima", "POSIX", "77")]
    ):
        path = tmp_path / str(number) / "web-0.tar"
        path.parent.mkdir()
        settings = {"TZ": zone, "LC_ALL": language, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(path)],
            env=os.environ | settings,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        index = path.with_suffix(".parquet").read_bytes()
        found.append((path.read_bytes(), index, done.stdout))
        path.touch()
    assert found[0] == found[1] == found[2]


def test_text_only_shards_hold_only_json(tmp_path: Path) -> None:
    path = tmp_path / "text-0.tar"
    entry = write(path, [document_of(n, modality="text") for n in range(3)])
    assert (entry.audio, entry.seconds, entry.documents) == ("none", 0.0, 3)
    with path.open("rb") as stream:
        samples = list(read_shard(stream, "x"))
    assert [s.flac for s in samples] == [None] * 3
    assert [s.row.flac_size for s in samples] == [0] * 3


def test_documents_come_in_order_and_once(tmp_path: Path) -> None:
    first, second = sorted((document_of(1), document_of(2)), key=lambda d: d.id)
    for wrong in (first, second):
        path = tmp_path / f"{wrong.id}.tar"
        with pytest.raises(ShardError, match="ascend"), ShardWriter(path) as writer:
            writer.add(second, flac_of(second))
            writer.add(wrong, flac_of(wrong))
        assert list(tmp_path.iterdir()) == []


def test_streams_splits_and_text_only_documents_do_not_mix(tmp_path: Path) -> None:
    first, second = sorted((document_of(1), document_of(2)), key=lambda d: d.id)
    for other in (
        dataclasses.replace(second, split="test"),
        dataclasses.replace(second, stream="krist"),
    ):
        path = tmp_path / "web.tar"
        with pytest.raises(ShardError, match="this shard holds"), ShardWriter(path) as writer:
            writer.add(first, flac_of(first))
            writer.add(other, flac_of(other))
    assert list(tmp_path.iterdir()) == []


def test_a_flac_that_is_not_the_documents_is_refused(tmp_path: Path) -> None:
    document = document_of(1)
    text = document_of(1, modality="text")
    for number, (wrong, flac) in enumerate(
        [
            (document, None),
            (document, b"RIFF" + bytes(100)),
            (document, flac_of(document_of(1, chunks=3))),
            (document, flac_of(dataclasses.replace(document, rate=16000))),
            (text, flac_of(document)),
        ]
    ):
        with pytest.raises(ShardError) as caught, ShardWriter(tmp_path / f"{number}.tar") as writer:
            writer.add(wrong, flac)
        assert caught.value.code == "bad_flac"
    assert list(tmp_path.iterdir()) == []


def test_an_empty_shard_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="at least one"), ShardWriter(tmp_path / "x.tar"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_bug_in_the_middle_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyError), ShardWriter(tmp_path / "x.tar") as writer:
        writer.add(document_of(1), flac_of(document_of(1)))
        raise KeyError("a bug")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "x.tar").write_bytes(b"mine")
    with pytest.raises(FileExistsError):
        ShardWriter(tmp_path / "x.tar")
    assert (tmp_path / "x.tar").read_bytes() == b"mine"
