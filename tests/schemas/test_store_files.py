"""Files are put as bytes are, and without holding them: law 4 for tars of long recordings."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from schemas.store import Store, StoreError

MB = 1 << 20
PUT = """
import resource, sys
from pathlib import Path
from schemas.store import Store
store = Store(sys.argv[1])
store.put_if_absent("warm/up", Path(sys.argv[2]).with_name("small"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert store.put_if_absent("a/tar", Path(sys.argv[2]))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "out")


def test_a_large_file_is_never_held(tmp_path: Path) -> None:
    (tmp_path / "small").write_bytes(b"x")
    with (tmp_path / "large").open("wb") as file:
        file.truncate(96 * MB)
    done = subprocess.run(
        [sys.executable, "-c", PUT, str(tmp_path / "out"), str(tmp_path / "large")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 16 * 1024  # kB
    assert (tmp_path / "out" / "a" / "tar").stat().st_size == 96 * MB


def test_of_many_writers_one_wins_and_nothing_is_left_over(tmp_path: Path, store: Store) -> None:
    paths = [tmp_path / str(number) for number in range(8)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number]) * 100_000)
    won: list[int] = []
    barrier = threading.Barrier(len(paths))

    def put(number: int) -> None:
        barrier.wait()
        if store.put_if_absent("a/contested", paths[number]):
            won.append(number)

    threads = [threading.Thread(target=put, args=(number,)) for number in range(len(paths))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.get("a/contested") == paths[won[0]].read_bytes()
    assert [path.name for path in (tmp_path / "out" / "a").iterdir()] == ["contested"]
    assert paths[won[0]].exists()


def test_a_staged_file_that_a_crash_left_is_not_listed(tmp_path: Path, store: Store) -> None:
    store.put_if_absent("a/tar", b"whole")
    (tmp_path / "out" / "a" / "other#123").write_bytes(b"half")
    assert [entry.name for entry in store.list("a")] == ["a/tar"]


def test_a_place_that_cannot_be_written_is_told_and_nothing_created(
    tmp_path: Path, store: Store
) -> None:
    store.put_if_absent("a", b"")
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    with pytest.raises(StoreError, match="a/b"):
        store.put_if_absent("a/b", path)
    assert [entry.name for entry in store.list("")] == ["a"]
