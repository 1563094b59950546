"""DATA in an object store: read once, kept by its bytes, not read again while it is the same."""

from collections import Counter
from pathlib import Path
from typing import Any

import obstore
import pytest
from obstore.store import MemoryStore

from pipeline.__main__ import main
from pipeline.curate import Options, refuse_nested
from pipeline.phases import objects
from pipeline.phases.objects import listing
from tests.laws.runs import ROOT, Ran, curate
from transforms.gather.found import DataError

SAMPLES = ROOT / "samples"


class Bucket:
    """A store in memory behind every url, with a count of what is read of it."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.read: Counter[str] = Counter()
        self.fails: dict[str, BaseException] = {}

    def put(self, path: str, data: bytes) -> None:
        obstore.put(self.store, path, data)

    def get(self, store: Any, path: str) -> Any:
        self.read[path] += 1
        if path in self.fails:
            raise self.fails[path]
        return REAL_GET(store, path)


REAL_GET = obstore.get


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    found = Bucket()
    monkeypatch.setattr(objects, "opened", lambda url: found.store)
    monkeypatch.setattr(
        obstore,
        "get",
        lambda store, path, **more: (
            found.get(store, path) if store is found.store else REAL_GET(store, path, **more)
        ),
    )
    for name in ("monologue.opus", "podcast.mp3"):
        found.put(f"talks/{name}", (SAMPLES / name).read_bytes())
    found.put("talks/notes.txt", b"shopping")
    found.put("talks/nothing.mp3", b"")
    found.put("else/music.webm", (SAMPLES / "music.webm").read_bytes())
    return found


def became(ran: Ran) -> dict[str, str]:
    census = ran.result.streams[0].census
    pairs = zip(census.dropped, census.drops, strict=True)
    return {s.uri: d.reason for s, d in pairs} | {s.uri: "" for s in census.sources}


def test_objects_below_a_prefix_are_data_and_are_read_once(bucket: Bucket, tmp_path: Path) -> None:
    ran = curate("s3://bucket/talks", tmp_path / "out")
    assert ("data", {"kind": "objects"}) in ran.events
    assert became(ran) == {
        "s3://bucket/talks/monologue.opus": "",
        "s3://bucket/talks/podcast.mp3": "",
        "s3://bucket/talks/notes.txt": "not_audio",
        "s3://bucket/talks/nothing.mp3": "empty",
    }
    again = curate("s3://bucket/talks", tmp_path / "out")
    assert again.result.compose_key == ran.result.compose_key
    assert bucket.read == {"talks/monologue.opus": 1, "talks/podcast.mp3": 1}
    bucket.put("talks/podcast.mp3", (SAMPLES / "station.m4a").read_bytes())
    changed = curate("s3://bucket/talks", tmp_path / "out")
    assert bucket.read == {"talks/monologue.opus": 1, "talks/podcast.mp3": 2}
    a, b = (set(one.result.streams[0].census.recordings) for one in (ran, changed))
    assert len(a & b) == 1 and len(b) == 2


def test_one_object_is_data_and_gives_what_the_file_gives(bucket: Bucket, tmp_path: Path) -> None:
    ran = curate("gs://bucket/talks/podcast.mp3", tmp_path / "out")
    local = curate(SAMPLES / "podcast.mp3", tmp_path / "local")
    a, b = (one.result.streams[0] for one in (ran, local))
    assert a.census.recordings.keys() == b.census.recordings.keys()
    assert a.heard.done.keys() == b.heard.done.keys()


def test_a_failure_is_told_by_its_class_alone_and_tried_by_the_next_run(
    bucket: Bucket, tmp_path: Path
) -> None:
    bucket.fails["talks/podcast.mp3"] = OSError("GET ...?X-Amz-Signature=secret failed")
    ran = curate("s3://bucket/talks", tmp_path / "out")
    assert became(ran)["s3://bucket/talks/podcast.mp3"] == "connect"
    files = [path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert not any(b"X-Amz-Signature" in data for data in files)
    bucket.fails.clear()
    again = curate("s3://bucket/talks", tmp_path / "out")
    assert became(again)["s3://bucket/talks/podcast.mp3"] == ""


def test_what_is_forgotten_is_not_read_again(bucket: Bucket, tmp_path: Path) -> None:
    ran = curate("s3://bucket/talks", tmp_path / "out")
    census = ran.result.streams[0].census
    uri = "s3://bucket/talks/podcast.mp3"
    name = next(census.holds[one.id] for one in census.sources if one.uri == uri)
    assert main(["forget", name, "--out", str(tmp_path / "out"), "--yes", "--purge"]) == 0
    again = curate("s3://bucket/talks", tmp_path / "out")
    assert became(again)[uri] == "suppressed"
    assert bucket.read["talks/podcast.mp3"] == 1
    assert name not in {path.name for path in (tmp_path / "out").rglob("*")}


def test_a_cap_holds_on_what_is_listed_and_on_what_comes(bucket: Bucket, tmp_path: Path) -> None:
    size = len((SAMPLES / "monologue.opus").read_bytes())
    least = min(size, len((SAMPLES / "podcast.mp3").read_bytes()))
    ran = curate("s3://bucket/talks", tmp_path / "out", [f"crawl.max_bytes={least}"])
    told = became(ran)
    assert sorted(told.values()) == ["", "empty", "not_audio", "too_large"]


@pytest.mark.parametrize("data", ["s3://bucket/none", "s3://key:secret@bucket/a"])
def test_what_is_not_there_is_an_error_without_secrets(bucket: Bucket, data: str) -> None:
    with pytest.raises(DataError) as caught:
        listing(data)
    assert "secret" not in str(caught.value)


def test_results_may_not_lie_among_the_objects_of_data() -> None:
    for out in ("s3://bucket/talks", "s3://bucket/talks/", "s3://bucket/talks/out"):
        for data in ("s3://bucket/talks", "s3://bucket/talks/", "s3://bucket"):
            with pytest.raises(DataError, match="inside DATA"):
                refuse_nested(Options(data=data, out=out))
    refuse_nested(Options(data="s3://bucket/talks", out="s3://bucket/talks-out"))
    refuse_nested(Options(data="s3://bucket/talks", out="gs://bucket/talks"))
