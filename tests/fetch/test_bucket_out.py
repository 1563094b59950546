"""What is fetched lies in OUT, and OUT in a bucket: the same bytes as in a folder, on no disk."""

import gzip
import hashlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import commits, layout
from pipeline.__main__ import main
from pipeline.curate import Options
from pipeline.recipe import resolve
from pipeline.scan import scan_data
from schemas.settings import parse
from schemas.store import Store, StoreError
from tests.extract import test_extract_run
from tests.fetch.site import allowed, asked_for, site
from tests.fetch.test_archives import KEPT, REASONS, told, warc
from tests.fetch.test_fetch_site import EXPECTED
from tests.gather.web.bad_server import whole
from tests.laws.runs import Ran, curate
from tests.s3_server import BUCKET, s3_server
from transforms.gather.crawl import Crawl

__all__ = ["warc"]  # a fixture

BOTH = """
name: both
seed: 5
streams:
  web:
    - crawl
    - segment: {engine: energy}
    - diarize: {engine: one}
    - transcribe: {engines: [given]}
    - interleave
  text: [crawl, {extract: {min_characters: 100}}, interleave]
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(100)]


@pytest.fixture(scope="module")
def bucket() -> Iterator[str]:
    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield f"s3://{BUCKET}"


def digests(ran: Ran) -> dict[str, str]:
    """The digests of a composition, wherever it lies."""
    folder = layout.composition_folder(ran.result.compose_key)
    return {
        entry.name.removeprefix(folder): hashlib.sha256(ran.store.get(entry.name)).hexdigest()
        for entry in ran.store.list(folder)
        if entry.name.endswith((".tar", ".parquet", "manifest.json"))
    }


def tars(ran: Ran) -> dict[str, str]:
    return {name: digest for name, digest in digests(ran).items() if name.endswith(".tar")}


def bodies(ran: Ran) -> set[str]:
    return {e.name for e in ran.store.list("fetch") if "/bodies/" in e.name}


def same(there: Ran, here: Ran) -> None:
    assert tars(here)
    assert digests(there) == digests(here)
    assert bodies(there) == bodies(here) != set()


def test_a_feed_with_transcripts_gives_the_same_bytes(bucket: str, tmp_path: Path) -> None:
    with site() as server:
        data, more = f"{server.url}/feed.xml", allowed(server)
        here = curate(data, tmp_path / "out", more)
        there = curate(data, f"{bucket}/feed", more)
        same(there, here)
        before = len(server.asked)
        again = curate(data, f"{bucket}/feed", more)
        assert len(server.asked) == before and again.phases() == {}
        cues = [len(source.cues) for source in again.result.streams[0].census.sources]
        assert cues.count(2) == 1
        other = curate(data, f"{bucket}/feed", [*more, "filter.min_words=2"])
        assert other.result.compose_key != there.result.compose_key
        assert "compose" not in other.phases()  # its shards are there, under another name
        assert tars(other) == tars(there) != {}
        held = bodies(there)
        for ran in (here, there):
            asked = ("forget", "127.0.0.2", "--out", ran.store.url, "--purge", "--yes")
            assert main(asked) == main(["validate", ran.store.url]) == 0
        assert bodies(there) < held
        same(curate(data, f"{bucket}/feed", more), curate(data, tmp_path / "out", more))


def test_a_round_that_ended_before_its_commit_is_known_by_its_notes(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, left = commits.write, iter([True, False])

    def killed(store: Store, phase: str, *more: Any) -> bool:
        if phase == "fetch" and not next(left, True):
            raise RuntimeError("killed")
        return write(store, phase, *more)

    monkeypatch.setattr(commits, "write", killed)
    with site() as server:
        data, more = f"{server.url}/feed.xml", allowed(server)
        with pytest.raises(RuntimeError, match="killed"):
            curate(data, f"{bucket}/noted", more)
        store = Store(f"{bucket}/noted")
        assert len([e for e in store.list("fetch") if "/notes/" in e.name]) >= 4
        curate(data, f"{bucket}/noted", more)
        assert Counter(asked_for(server)) == Counter(EXPECTED)  # each once


def test_archives_that_a_packed_list_names_give_the_same_bytes(
    bucket: str, warc: bytes, tmp_path: Path
) -> None:
    """Of pages and recordings: what a record is, is asked of its bytes."""
    (tmp_path / "made.warc").touch()
    test_extract_run.warc(tmp_path / "pages.warc.gz")
    both = warc + (tmp_path / "pages.warc.gz").read_bytes()
    with site() as server:
        server.routes["/a/made.warc.gz"] = whole(both)
        server.routes["/a/all.paths.gz"] = whole(gzip.compress(b"made.warc.gz\n"))
        data = f"{server.url}/a/all.paths.gz"
        recipe = resolve(parse(BOTH, "both.yaml"), allowed(server))
        here = curate(data, tmp_path / "out", recipe=recipe)
        scratch = tmp_path / "made" / "where" / "needed"
        there = curate(data, f"{bucket}/archives", recipe=recipe, scratch=str(scratch))
        assert list(scratch.iterdir()) == []
        with pytest.raises(StoreError, match=r"cannot make .*/made.warc/x \(Not a dir"):
            curate(data, f"{bucket}/archives", recipe=recipe, scratch=f"{tmp_path}/made.warc/x")
    assert set(KEPT) < {s.uri for s in there.result.streams[0].census.sources}
    same(there, here)


def test_a_local_archive_is_unpacked_into_a_bucket(
    bucket: str, warc: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "made.warc.gz"
    path.write_bytes(warc)
    there = curate(path, f"{bucket}/local")
    assert told(there) == (KEPT, REASONS)
    assert len(bodies(there)) == 2
    census = there.result.streams[0].census
    known = scan_data(there.store, Options(data=str(path), out=there.store.url), Crawl()).census
    assert (known.recordings.keys(), known.drops) == (census.recordings.keys(), census.drops)
    assert curate(path, f"{bucket}/local").phases() == {}
