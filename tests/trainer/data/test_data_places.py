"""Where shards may lie, and what happens on the way from there: ranges, cache, faults."""

import json
import multiprocessing
import os
import resource
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.data.reading import assert_same, flip, opened, packs_of, settings_of
from tests.trainer.data.serving import serving
from trainer.cache import Cache
from trainer.data import DataError, DataSettings
from trainer.data_settings import may_skip
from trainer.places import HttpPlace, place_of


@pytest.mark.parametrize(
    "address",
    [
        "pipe:cat shards.tar",
        "pipe://x",
        "file:///etc/passwd",
        "ftp://host/shards",
        "memory://x",
        "http:/host",
        "javascript:1",
        "hdfs://host/shards",
    ],
)
def test_other_schemes_are_refused(address: str) -> None:
    with pytest.raises(DataError, match="not read from") as caught:
        opened(settings_of(talk=address))
    assert caught.value.code == "bad_address"


def test_an_out_a_folder_and_a_manifest_lead_to_the_same(talk_set: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    shutil.copytree(talk_set, out / "compose" / "abc123")
    (out / "runs").mkdir()
    pointer = json.dumps({"run": "1", "compose": "abc123"})
    (out / "runs" / "offline.json").write_text(pointer)
    (out / "runs" / "offline.trial.json").write_text('{"compose": "other"}')
    expected = list(opened(settings_of(talk=talk_set)).batches(steps=3))
    for address in (out, f"{out}/", out / "compose/abc123", out / "compose/abc123/manifest.json"):
        assert assert_same(opened(settings_of(talk=address)).batches(steps=3), expected) == 3
    with serving(tmp_path) as (url, _):
        for about in (
            {"shards": f"{url}/out", "recipe": "offline"},
            {"shards": f"{url}/out/compose/abc123/manifest.json?token=1"},
        ):
            assert assert_same(opened(settings_of(talk=about)).batches(steps=3), expected) == 3


@pytest.fixture
def bucket(talk_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A set in a bucket: a server that answers as S3 does to reads."""
    shutil.copytree(talk_set, tmp_path / "bucket" / "sets" / "talk")
    with serving(tmp_path) as (url, _):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
        monkeypatch.setenv("AWS_SKIP_SIGNATURE", "true")
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        yield "s3://bucket/sets/talk"


@pytest.mark.parametrize("cached", [False, True])
def test_buckets_give_the_same_batches(
    talk_set: Path, bucket: str, tmp_path: Path, cached: bool
) -> None:
    expected = list(opened(settings_of(talk=talk_set)).batches(steps=4))
    settings = settings_of(talk=bucket, cache=str(tmp_path / "c") if cached else None)
    assert assert_same(expected, opened(settings).batches(steps=4)) == 4
    manifest = settings_of(talk=f"{bucket}/manifest.json")
    assert assert_same(expected, opened(manifest).batches(steps=4)) == 4


@pytest.mark.slow
def test_workers_read_buckets(talk_set: Path, bucket: str) -> None:
    """In processes that were started, not forked."""
    expected = opened(settings_of(talk=talk_set)).batches(steps=4)
    assert assert_same(expected, opened(settings_of(talk=bucket)).batches(steps=4, workers=2)) == 4


def test_a_bucket_without_the_set_is_named(bucket: str) -> None:
    with pytest.raises(DataError, match="no run of 'offline'") as caught:
        opened(settings_of(talk={"shards": "s3://bucket/nowhere", "recipe": "offline"}))
    assert caught.value.code == "missing_manifest"


def test_an_out_with_several_runs_asks_which(talk_set: Path, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    shutil.copytree(talk_set, tmp_path / "compose" / "a1")
    for name in ("one", "two"):
        (tmp_path / "runs" / f"{name}.json").write_text('{"compose": "a1"}')
    with pytest.raises(DataError, match=r"name one of \['one', 'two'\]"):
        opened(settings_of(talk=tmp_path))
    assert packs_of(opened(settings_of(talk={"shards": tmp_path, "recipe": "two"})), steps=1)
    with pytest.raises(DataError, match="no run of 'three'"):
        opened(settings_of(talk={"shards": tmp_path, "recipe": "three"}))
    (tmp_path / "runs" / "two.json").write_text('{"compose": "../../etc"}')
    with pytest.raises(DataError, match="compose is"):
        opened(settings_of(talk={"shards": tmp_path, "recipe": "two"}))


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize("cached", [False, True])
def test_http_gives_the_same_batches(
    talk_set: Path, tmp_path: Path, cached: bool, workers: int
) -> None:
    expected = list(opened(settings_of(talk=talk_set)).batches(steps=6))
    with serving(talk_set) as (url, asked):
        settings = settings_of(talk=url, cache=str(tmp_path / "c") if cached else None)
        assert assert_same(expected, opened(settings).batches(steps=6, workers=workers)) == 6
        tars = [wanted for path, wanted in asked if path.endswith(".tar")]
    assert tars
    assert all(wanted is not None for wanted in tars)
    copies = list((tmp_path / "c").glob("*.tar"))
    assert len(copies) == (len(tars) if cached else 0)


def test_cached_shards_are_fetched_once(talk_set: Path, tmp_path: Path) -> None:
    with serving(talk_set) as (url, asked):
        settings = settings_of(talk=url, cache=str(tmp_path))
        first = list(opened(settings).batches(steps=6))
        before = len([path for path, _ in asked if path.endswith(".tar")])
        assert_same(first, opened(settings).batches(steps=6))
        assert len([path for path, _ in asked if path.endswith(".tar")]) == before
    assert not list(tmp_path.glob("*.part"))


def test_a_small_cache_drops_what_was_used_least_recently(talk_set: Path, tmp_path: Path) -> None:
    sizes = [path.stat().st_size for path in (talk_set / "train").glob("*.tar")]
    limit = max(sizes) * 2
    expected = list(opened(settings_of(talk=talk_set, window_documents=8)).batches(steps=30))
    with serving(talk_set) as (url, _):
        settings = settings_of(talk=url, cache=str(tmp_path), cache_bytes=limit, window_documents=8)
        data = opened(settings)
        for given, other in zip(data.batches(steps=30), expected, strict=True):
            assert_same([given], [other])
            held = sum(path.stat().st_size for path in tmp_path.glob("*.tar"))
            assert held <= limit


@pytest.mark.parametrize("room", [1, 100])
def test_the_next_window_is_fetched_ahead_where_there_is_room(
    talk_set: Path, tmp_path: Path, room: int
) -> None:
    sizes = [path.stat().st_size for path in (talk_set / "train").glob("*.tar")]
    with serving(talk_set) as (url, asked):
        about = {"window_documents": 8, "block_packs": 1, "cache_bytes": room * max(sizes)}
        data = opened(settings_of(talk=url, cache=str(tmp_path), **about))
        assert packs_of(data, steps=1)
        shards = data.readers["talk"].shards
        thread = shards._ahead
        assert (thread is None) == (room == 1)
        if thread is not None:
            thread.join()
            windows = data.readers["talk"].order.windows(0)
            last = max(n for n, w in enumerate(windows) if shards.entries[w[0]].name in str(asked))
            assert (tmp_path / f"{shards.entries[windows[last][0]].sha256}.tar").exists()
            assert last > dict(next(iter(data.batches(steps=1))).state.sets)["talk"].start[0]


def test_a_shard_above_the_limit_is_refused(talk_set: Path, tmp_path: Path) -> None:
    with serving(talk_set) as (url, _):
        data = opened(settings_of(talk=url, cache=str(tmp_path), cache_bytes=1000))
        with pytest.raises(DataError, match="raise cache_bytes"):
            packs_of(data, steps=1)


@pytest.mark.parametrize("on_bad_shard", ["fail", "skip"])
def test_a_full_disk_is_explained_and_no_reason_to_skip(
    talk_set: Path, tmp_path: Path, on_bad_shard: str
) -> None:
    """In a child whose files may have 4 kB: what a full disk looks like to a writer."""
    receiver, sender = multiprocessing.Pipe(duplex=False)
    with serving(talk_set) as (url, _):
        settings = settings_of(talk=url, cache=str(tmp_path), on_bad_shard=on_bad_shard)
        child = multiprocessing.get_context("fork").Process(
            target=_cramped, args=(settings, sender)
        )
        child.start()
        child.join()
    assert receiver.poll()
    code, message = receiver.recv()
    assert code == "no_room"
    assert "free space, lower cache_bytes" in message
    assert not list(tmp_path.glob("*.tar")) + list(tmp_path.glob("*.part"))


def _cramped(settings: DataSettings, sender: Any) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
    try:
        packs_of(opened(settings), steps=1)
    except DataError as error:
        sender.send((error.code, str(error)))


def test_a_cache_that_is_a_file_is_explained(talk_set: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with serving(talk_set) as (url, _):
        data = opened(settings_of(talk=url, cache=str(tmp_path / "file" / "cache")))
        with pytest.raises(DataError, match="move the cache") as caught:
            packs_of(data, steps=1)
    assert caught.value.code == "no_room"


def test_what_was_altered_on_the_way_is_not_kept(talk_set: Path, tmp_path: Path) -> None:
    source = shutil.copytree(talk_set, tmp_path / "s")
    for path in (source / "train").glob("*.tar"):
        flip(path, 700)
    with serving(source) as (url, _):
        data = opened(settings_of(talk=url, cache=str(tmp_path / "c")))
        with pytest.raises(DataError, match="the manifest says") as caught:
            packs_of(data, steps=1)
    assert caught.value.code == "altered"
    assert not list((tmp_path / "c").glob("*.tar"))
    assert not list((tmp_path / "c").glob("*.part"))


def test_a_copy_that_broke_off_is_made_again(talk_set: Path, tmp_path: Path) -> None:
    with serving(talk_set) as (url, _):
        settings = settings_of(talk=url, cache=str(tmp_path))
        expected = list(opened(settings).batches(steps=2))
        for path in tmp_path.glob("*.tar"):
            path.write_bytes(path.read_bytes()[:100])
        assert assert_same(expected, opened(settings).batches(steps=2)) == 2


def test_failures_and_broken_connections_are_tried_again(talk_set: Path) -> None:
    expected = list(opened(settings_of(talk=talk_set)).batches(steps=2))
    with serving(talk_set, fails=2) as (url, _):
        assert assert_same(expected, opened(settings_of(talk=url)).batches(steps=2)) == 2
    with serving(talk_set, breaks=2) as (url, _):
        assert assert_same(expected, opened(settings_of(talk=url)).batches(steps=2)) == 2


def test_a_server_that_keeps_failing_is_named(talk_set: Path) -> None:
    with serving(talk_set, fails=99) as (url, asked):
        with pytest.raises(DataError, match="HTTP 503") as caught:
            opened(settings_of(talk=url, retries=1))
        assert caught.value.code == "unreachable"
        assert len(asked) == 2
    with pytest.raises(DataError, match="check the address"):  # nobody listens any more
        opened(settings_of(talk=url, retries=0))


def test_a_slow_shard_ends_in_an_error_not_in_a_hang(talk_set: Path) -> None:
    with serving(talk_set, stall=".tar") as (url, _):
        data = opened(settings_of(talk=url, timeout=0.2, retries=1))
        with pytest.raises(DataError, match="raise timeout") as caught:
            packs_of(data, steps=1)
    assert caught.value.code == "unreachable"


def test_a_shard_that_drips_ends_in_an_error_not_in_a_hang(talk_set: Path) -> None:
    """Every wait is short, so no limit on a single wait would ever be reached."""
    with serving(talk_set, drips=".tar") as (url, _):
        data = opened(settings_of(talk=url, timeout=0.3, retries=0))
        begun = time.monotonic()
        with pytest.raises(DataError, match=r"bytes after 3 s.*raise timeout") as caught:
            packs_of(data, steps=1)
        assert time.monotonic() - begun < 10
    assert caught.value.code == "unreachable"
    assert may_skip(caught.value, "skip")


def test_a_server_without_ranges_is_named(talk_set: Path) -> None:
    with serving(talk_set, ranges=False) as (url, _):
        data = opened(settings_of(talk=url))
        with pytest.raises(DataError, match="does not serve ranges"):
            packs_of(data, steps=1)


def test_http_tells_missing_from_short(talk_set: Path) -> None:
    with serving(talk_set) as (url, _):
        place = place_of(url, 5.0, 0)
        assert isinstance(place, HttpPlace)
        with pytest.raises(FileNotFoundError):
            place.read("nothing.json")
        size = (talk_set / "manifest.json").stat().st_size
        with pytest.raises(DataError, match="of 20 bytes"):
            place.read_range("manifest.json", size - 10, 20)
        with pytest.raises(DataError, match="has no bytes"):
            place.read_range("manifest.json", size, 20)
        assert place.read_range("manifest.json", 3, 0) == b""


def test_two_processes_share_one_copy(talk_set: Path, tmp_path: Path) -> None:
    with serving(talk_set) as (url, asked):
        settings = settings_of(talk=url, cache=str(tmp_path))
        context = multiprocessing.get_context("fork")
        children = [context.Process(target=_read, args=(settings,)) for _ in range(2)]
        for child in children:
            child.start()
        for child in children:
            child.join()
            assert child.exitcode == 0
        tars = [path for path, _ in asked if path.endswith(".tar")]
    assert len(tars) == len(set(tars))


def _read(settings: DataSettings) -> None:
    packs_of(opened(settings), steps=2)


def test_the_cache_keeps_the_last_used(tmp_path: Path, talk_set: Path) -> None:
    data = opened(settings_of(talk=talk_set))
    shards = data.readers["talk"].shards
    cache = Cache(str(tmp_path), sum(entry.bytes for entry in shards.entries[:2]) + 10)
    first = cache.path(shards.place, shards.entries[0])
    os.utime(first, (1, 1))
    second = cache.path(shards.place, shards.entries[1])
    os.utime(second, (2, 2))
    cache.path(shards.place, shards.entries[0])  # used again: now the second is older
    if shards.entries[2].bytes <= shards.entries[1].bytes + 10:
        cache.path(shards.place, shards.entries[2])
        assert first.exists()
        assert not second.exists()
    else:
        cache.path(shards.place, shards.entries[2])
        assert not second.exists()
