"""Digests are right, remembered only for files that did not change, and stored exactly."""

import hashlib
import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from transforms.gather import digests
from transforms.gather.digests import DigestMemory, DigestsUnreadable, FileChanged

OLD = 1_600_000_000_000_000_000  # ns


def aged(path, mtime_ns=OLD):
    os.utime(path, ns=(mtime_ns, mtime_ns))
    return str(path)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (2 << 20) + 5])
def test_the_digest_is_that_of_the_bytes(size, put):
    data = bytes(range(256)) * (size // 256 + 1)
    assert DigestMemory().digest(str(put("a", data[:size]))) == (sha(data[:size]), size)


def test_an_unchanged_file_is_not_read_again(put):
    path = put("a.wav", b"first")
    memory = DigestMemory()
    memory.digest(aged(path))
    with open(path, "r+b") as stream:  # same inode, size and (restored) time: the known blind spot
        stream.write(b"other")
    assert memory.digest(aged(path)) == (sha(b"first"), 5)
    assert DigestMemory().digest(str(path)) == (sha(b"other"), 5)  # what --rehash does


@pytest.mark.parametrize("change", ["time", "size", "inode", "path"])
def test_any_mark_of_change_is_enough(change, put, tmp_path):
    path = put("a.wav", b"first")
    memory = DigestMemory()
    memory.digest(aged(path))
    if change == "time":
        path.write_bytes(b"other")
        aged(path, OLD + 1)
    elif change == "size":
        path.write_bytes(b"more than first")
        aged(path)
    elif change == "inode":
        path.rename(tmp_path / "kept")  # so that the inode is not given out again
        aged(put("a.wav", b"other"))
    else:
        path = put("b.wav", b"other")
        aged(path)
    assert memory.digest(str(path))[0] == sha(path.read_bytes()) != sha(b"first")


def test_a_file_just_written_is_not_remembered(put):
    memory = DigestMemory()
    memory.digest(str(put("a.wav", b"now")))
    assert len(memory) == 0
    memory.digest(aged(put("a.wav", b"old")))
    assert len(memory) == 1


def test_a_stale_memory_is_dropped(put):
    memory = DigestMemory()
    path = put("a.wav", b"old")
    memory.digest(aged(path))
    path.write_bytes(b"new")
    memory.digest(str(path))
    assert len(memory) == 0 and len(memory.learned()) == 0


def test_stored_and_loaded(put):
    memory = DigestMemory()
    for name in (b"b.wav", b"a.wav", b"caf\xe9.wav"):
        memory.digest(aged(put(name, name)))
    loaded = DigestMemory.from_bytes(memory.to_bytes())
    assert loaded.to_bytes() == memory.to_bytes()
    assert len(loaded) == 3 and len(loaded.learned()) == 0
    other = DigestMemory()
    for name in (b"caf\xe9.wav", b"a.wav", b"b.wav"):  # the order of learning leaves no trace
        other.digest(aged(put(name, name)))
    assert len(other.learned()) == 3
    again = DigestMemory()
    again.update(other.learned())
    stored = pq.read_table(pa.BufferReader(again.to_bytes())).column("path").to_pylist()
    assert stored == sorted(stored) and len(stored) == 3
    empty = DigestMemory().to_bytes()
    assert DigestMemory.from_bytes(empty).to_bytes() == empty


def test_what_is_no_memory_is_refused():
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"path": [b"x"]}), sink)
    good = DigestMemory().to_bytes()
    for data in (b"", b"PAR1", good[:-10], bytes(sink.getvalue())):
        with pytest.raises(DigestsUnreadable):
            DigestMemory.from_bytes(data)


@pytest.mark.parametrize("change", ["grows", "shrinks", "is rewritten", "is replaced", "goes"])
def test_a_change_while_reading_is_noticed(change, put, tmp_path, monkeypatch):
    path = put("a.wav", bytes(3 << 20))
    aged(path)

    def disturb() -> None:
        if change == "grows":
            with open(path, "ab") as stream:
                stream.write(b"x")
        elif change == "shrinks":
            os.truncate(path, 2 << 20)
        elif change == "is rewritten":
            with open(path, "r+b") as stream:
                stream.write(b"x")
        elif change == "is replaced":
            put("new.wav", bytes(3 << 20)).rename(path)
        else:
            path.unlink()

    class Disturbing:
        """A sha256 during whose first block somebody else touches the file."""

        def __init__(self) -> None:
            self.digest = hashlib.sha256()
            self.calls = 0

        def update(self, block: bytes) -> None:
            self.calls += 1
            if self.calls == 1:
                disturb()
            self.digest.update(block)

        def hexdigest(self) -> str:
            return self.digest.hexdigest()

    monkeypatch.setattr(digests, "sha256", Disturbing)
    memory = DigestMemory()
    with pytest.raises(FileNotFoundError if change == "goes" else FileChanged):
        memory.digest(str(path))
    assert len(memory) == 0


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        DigestMemory().digest(str(tmp_path / "pipe"))  # and does not hang
    with pytest.raises(FileNotFoundError):
        DigestMemory().digest(str(tmp_path / "gone"))


def test_a_file_that_holds_more_than_it_says():
    """As files of /proc do, whose size is 0 and whose times stand still."""
    with pytest.raises(FileChanged):
        DigestMemory().digest("/proc/self/status")
