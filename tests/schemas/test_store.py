"""What every store promises, on a local disk and on a server that speaks S3 (moto's)."""

import hashlib
import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.exceptions import GenericError

from schemas import store as store_module
from schemas.store import Entry, Store, StoreError
from tests.cut_way import Cut
from tests.s3_server import BUCKET, s3_server


@pytest.fixture(scope="module")
def s3() -> Iterator[dict[str, str]]:
    with s3_server() as environment:
        yield environment


@pytest.fixture(params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    if request.param == "local":
        return Store(tmp_path / "out")
    for name, value in request.getfixturevalue("s3").items():
        monkeypatch.setenv(name, value)
    return Store(f"s3://{BUCKET}/{tmp_path.name}")


def test_the_first_writer_wins(store: Store) -> None:
    assert store.put_if_absent("a/b/c", b"first")
    assert not store.put_if_absent("a/b/c", b"second")
    assert store.get("a/b/c") == b"first"


def test_of_many_writers_at_once_exactly_one_wins(store: Store) -> None:
    start = threading.Barrier(8)
    won: list[int] = []

    def write(number: int) -> None:
        start.wait()
        if store.put_if_absent("contested", bytes([number]) * 200_000):
            won.append(number)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert store.get("contested") == bytes(won) * 200_000


def test_of_two_racing_commits_one_stands_every_time(store: Store) -> None:
    """The promise that all of resume rests on, fifty times over."""
    for turn in range(50):
        start = threading.Barrier(2)
        won: list[int] = []

        def write(number: int, name: str, start: threading.Barrier, won: list[int]) -> None:
            start.wait()
            if store.put_if_absent(name, bytes([number]) * 1000):
                won.append(number)

        name = f"commits/{turn}"
        threads = [threading.Thread(target=write, args=(n, name, start, won)) for n in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1 and store.get(name) == bytes(won) * 1000


def test_a_file_is_stored_like_bytes(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "big"
    path.write_bytes(os.urandom(3 << 20))
    assert store.put_if_absent("big", path)
    assert store.get("big") == path.read_bytes()
    assert store.size("big") == 3 << 20
    assert path.exists()


def test_ranges(store: Store) -> None:
    store.put_if_absent("x", b"0123456789")
    assert store.get_range("x", 2, 3) == b"234"
    assert store.get_range("x", 7, 3) == b"789"
    assert store.get_range("x", 4, 0) == b""
    with pytest.raises(StoreError):
        store.get_range("x", 8, 5)


def test_what_is_not_there(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.get("nothing")
    with pytest.raises(FileNotFoundError):
        store.get_range("nothing", 0, 5)
    assert store.size("nothing") is None
    assert store.age("nothing") is None
    assert store.list("nothing") == []
    store.delete("nothing")


def test_replace_and_delete(store: Store) -> None:
    store.replace("pointer", b"1")
    store.replace("pointer", b"22")
    assert store.get("pointer") == b"22"
    store.delete("pointer")
    assert store.size("pointer") is None
    assert store.put_if_absent("pointer", b"3")


def test_what_is_replaced_by_a_file_is_the_file(store: Store, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(bytes(range(256)) * 50_000)  # two pieces on a remote store
    store.put_if_absent("a", b"old")
    store.replace("a", tmp_path / "new")
    assert store.get("a") == bytes(range(256)) * 50_000


def test_many_go_at_once_and_absent_ones_with_them(store: Store) -> None:
    names = [f"a/{number}" for number in range(5)]
    for name in names:
        store.put_if_absent(name, b"x")
    store.delete_all([])
    store.delete_all(names[:1])
    store.delete_all(["a/none", *names[:3], "a/gone"])
    assert [entry.name for entry in store.list("a")] == names[3:]


@pytest.mark.parametrize("large", [1, 1 << 40], ids=["in pieces", "whole"])
def test_what_is_named_by_its_bytes_is_taken_once(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, large: int
) -> None:
    monkeypatch.setattr(store_module, "LARGE", large)
    data = bytes(range(256)) * 50_000
    for number in range(2):
        path = tmp_path / str(number)
        path.write_bytes(data)
        assert store.take("tars/digest", path) == (number == 0)
        path.unlink()
        assert store.get("tars/digest") == data


TAKE = """
import os, resource, sys
from pathlib import Path
from schemas.store import LARGE, Store
store = Store(sys.argv[1])
path = Path(sys.argv[2])
path.write_bytes(b"")
os.truncate(path, 1 << 20)
store.take("small", path)
store.replace("warm", path)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
os.truncate(path, 3 * LARGE)
assert store.take("large", path) and store.size("large") == 3 * LARGE
store.copy_to("large", path)
assert path.stat().st_size == 3 * LARGE
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_large_file_is_never_held_on_its_way(s3: dict[str, str], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", TAKE, f"s3://{BUCKET}/{tmp_path.name}", str(tmp_path / "file")],
        env={**os.environ, **s3},
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < 40 * 1024  # kB; the file has 96 MiB


def test_a_listing_is_sorted_and_below_its_folder_only(store: Store) -> None:
    for name in ("f/b", "f/a/z", "f/a/y", "fg/no", "f2"):
        store.put_if_absent(name, b"x" * len(name))
    assert store.list("f") == [Entry("f/a/y", 5), Entry("f/a/z", 5), Entry("f/b", 3)]


def test_adopting_gives_a_second_name(store: Store) -> None:
    store.put_if_absent("old/tar", b"content")
    assert store.adopt("old/tar", "new/folder/tar")
    assert store.get("new/folder/tar") == b"content"
    assert not store.adopt("old/tar", "new/folder/tar")
    local, other = store.local("old/tar"), store.local("new/folder/tar")
    if local is not None and other is not None:
        assert local.stat().st_ino == other.stat().st_ino  # no second copy
    store.delete("old/tar")
    assert store.get("new/folder/tar") == b"content"


def test_age_is_in_seconds(store: Store) -> None:
    store.put_if_absent("a", b"")
    local = store.local("a")
    if local is None:
        assert -2 < (store.age("a") or 0.0) < 20
        return
    os.utime(local, (local.stat().st_mtime - 500,) * 2)
    age = store.age("a")
    assert age is not None and 499 < age < 520


def test_only_the_place_travels(store: Store) -> None:
    store.put_if_absent("a", b"1")
    other = pickle.loads(pickle.dumps(store))
    assert other.url == store.url and other.get("a") == b"1"


def test_a_relative_place_is_told_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    store = Store("out")
    monkeypatch.chdir("/")
    store.put_if_absent("a", b"1")
    assert (tmp_path / "out" / "a").read_bytes() == b"1"
    assert store.where("a") == str(tmp_path / "out" / "a")


def test_a_store_without_conditional_puts_is_refused() -> None:
    with pytest.raises(StoreError, match=r"cannot store at 'ftp://x/y'"):
        Store("ftp://x/y")


def test_an_error_names_place_need_and_room(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "taken").write_bytes(b"a file where a folder is needed")
    store = Store(tmp_path / "out")
    with pytest.raises(StoreError) as caught:
        store.put_if_absent("taken/name", b"12345")
    said = str(caught.value)
    assert str(tmp_path / "out" / "taken" / "name") in said
    assert "needs 0.0 kB" in said and "free on that disk" in said
    assert "run the same command again" in said


def test_room(tmp_path: Path) -> None:
    free = Store(tmp_path / "out").free()
    assert free is not None and free > 0


def test_in_memory_it_works_alike() -> None:
    """The conditional put of remote stores, on the only one that needs no network."""
    store = Store("memory:///bucket")
    assert store.remote and store.local("a") is None and store.free() is None
    assert store.put_if_absent("a/b", b"1")
    assert not store.put_if_absent("a/b", b"2")
    assert store.get("a/b") == b"1"
    assert store.adopt("a/b", "c") and not store.adopt("a/b", "c")
    assert [entry.name for entry in store.list("a")] == ["a/b"]


@pytest.fixture
def way(s3: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Cut]:
    """A way to the S3 server that can be cut, which the environment leads to."""
    cut = Cut(int(s3["AWS_ENDPOINT_URL"].rpartition(":")[2]))
    for name, value in dict(s3, AWS_ENDPOINT_URL=f"http://127.0.0.1:{cut.port}").items():
        monkeypatch.setenv(name, value)
    yield cut
    cut.close()


def test_a_writer_whose_answer_was_lost_knows_that_it_won(way: Cut, tmp_path: Path) -> None:
    """The object stands before the second try: its own, not another writer's."""
    store = Store(f"s3://{BUCKET}/{tmp_path.name}")
    store.put_if_absent("before", b"")  # a connection to lose
    for turn in range(5):
        way.lose_answers(1)
        assert store.put_if_absent(f"mine/{turn}", b"same bytes")
        assert store.get(f"mine/{turn}") == b"same bytes"
        assert not store.put_if_absent(f"mine/{turn}", b"same bytes")


def test_a_writer_whose_answer_was_lost_knows_that_another_won(way: Cut, tmp_path: Path) -> None:
    """Of two writers of the same bytes one wins, though both are told twice."""
    store = Store(f"s3://{BUCKET}/{tmp_path.name}")
    for turn in range(5):
        other = Store(store.url)
        assert other.put_if_absent(f"theirs/{turn}", b"same bytes")
        way.lose_answers(1)
        assert not store.put_if_absent(f"theirs/{turn}", b"same bytes")


def test_every_request_outlasts_a_cut(way: Cut, tmp_path: Path) -> None:
    """Connections of the pool die while the way is cut, and none can be made for .15 s."""
    store = Store(f"s3://{BUCKET}/{tmp_path.name}")
    store.put_if_absent("there", b"0123456789" * 1000)

    def deleted(turn: int) -> bool:
        store.put_if_absent(f"gone/{turn}", b"")
        store.delete(f"gone/{turn}")
        return store.size(f"gone/{turn}") is None

    requests = [
        lambda turn: store.put_if_absent(f"new/{turn}", b"1"),
        lambda turn: not store.put_if_absent("there", b"1"),
        lambda turn: store.get("there") == b"0123456789" * 1000,
        lambda turn: store.get_range("there", 5, 3) == b"567",
        lambda turn: store.list("there") == [] and len(store.list("")) > 0,
        lambda turn: store.size("there") == 10_000,
        lambda turn: store.replace("pointer", b"%d" % turn) is None,
        lambda turn: store.adopt("there", f"copy/{turn}"),
        deleted,
    ]
    for turn, request in enumerate(requests * 2):
        cutting = threading.Thread(target=way.cut, args=(0.15,))
        cutting.start()
        time.sleep(0.002 * (turn % 3))
        assert request(turn)
        cutting.join()


def test_a_place_that_refuses_is_not_asked_for_a_minute(
    s3: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only lost answers are asked for again: a bucket that is not there is said at once."""
    for name, value in s3.items():
        monkeypatch.setenv(name, value)
    began = time.monotonic()
    with pytest.raises(StoreError, match=r"cannot write or read s3://no-such-bucket/x/a: .*404"):
        Store("s3://no-such-bucket/x").put_if_absent("a", b"")
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("alone", [1, 9, 1000])
def test_names_come_in_pages_and_each_once(
    store: Store, monkeypatch: pytest.MonkeyPatch, alone: int
) -> None:
    """`alone`: after so many, the rest is listed by ranges where the store can."""
    monkeypatch.setattr(store_module, "_LISTED", 4)
    monkeypatch.setattr(store_module, "_ALONE", alone)
    names = {f"k/commits/{hashlib.sha256(bytes([n])).hexdigest()}.parquet" for n in range(40)}
    names |= {"k/commits/-", "k/commits/0", "k/commits/f", "k/commits/zebra", "k/commits/a/b"}
    for name in sorted(names):
        store.put_if_absent(name, b"x")
    store.put_if_absent("k/commits-of-others", b"x")
    found = [name for page in store.names("k/commits") for name in page]
    assert sorted(found) == sorted(names)
    assert list(store.names("k/nothing")) == []
    assert list(Store(f"{store.url}-absent").names("k")) == []


def test_a_listing_goes_on_behind_the_last_name_it_gave(
    way: Cut, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers are lost between pages; every name comes once, alone and by ranges."""
    monkeypatch.setattr("schemas.store._LISTED", 3)
    store = Store(f"s3://{BUCKET}/{tmp_path.name}")
    wanted = [f"f/{number:02x}" for number in range(0, 256, 7)]
    for name in wanted:
        store.put_if_absent(name, b"")
    for alone in (10_000, 6):
        monkeypatch.setattr("schemas.store._ALONE", alone)
        found: list[str] = []
        for page in store.names("f"):
            found += page
            if len(found) % 9 == 0:
                way.cut(0.05)
                way.lose_answers(1)
        way.lose_answers(0)
        assert sorted(found) == wanted


@pytest.mark.parametrize(
    "said",
    [
        "HTTP error: error sending request",
        "Error getting list response body: request or response body error",
        "Got invalid list response: unexpected `Event::Eof`",
    ],
)
def test_a_page_that_was_lost_is_asked_for_behind_the_one_before(
    said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store("memory:///pages")
    wanted = [f"f/{number:02d}" for number in range(10)]
    for name in wanted:
        store.put_if_absent(name, b"")
    asked: list[str | None] = []

    def breaking(*arguments: Any, offset: str | None = None, **more: Any) -> Iterator[Any]:
        asked.append(offset)
        for number, page in enumerate(listed(*arguments, offset=offset, **more)):
            if number == 2 and len(asked) < 3:
                raise GenericError(f"Generic S3 error: {said}")
            yield page

    listed = obstore.list
    monkeypatch.setattr("schemas.store._LISTED", 2)
    monkeypatch.setattr(obstore, "list", breaking)
    assert [name for page in store.names("f") for name in page] == wanted
    assert asked == [None, "f/03", "f/07"]
