"""Splits of whole runs: feeds of a table, clusters of near-duplicates, and the largest group."""

import csv
from collections import defaultdict
from pathlib import Path

import pytest

from pipeline.fetching import Fetching, found_on_web
from pipeline.phases.near_rows import read_clusters
from pipeline.phases.select import read_verdicts
from pipeline.phases.split_rows import read_largest
from pipeline.recipe import Recipe, resolve
from pipeline.summary import giant, summarize
from schemas.store import Store
from schemas.strict_yaml import parse
from tests.laws import made_corpus
from tests.laws.runs import RECIPE, Ran, curate
from transforms.gather.crawl import Crawl
from transforms.gather.web.data import recognise
from transforms.gather.web.offers import opened

FILES = [f"talk{n}.wav" for n in range(10)]
SPLIT = "split: {train: 0.4, valid: 0.3, test: 0.3"


def table_of(folder: Path, feeds: list[str]) -> Path:
    """Recordings of no given speaker, each of a feed or of none."""
    made_corpus.write_corpus(folder, FILES, [])
    path = folder / "feeds.csv"
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["audio", "text", "feed"])
        writer.writerows(
            [name, made_corpus.words(place, 12), feed]
            for place, (name, feed) in enumerate(zip(FILES, feeds, strict=True))
        )
    return path


def recipe(split: str, dedup: str = "dedup") -> Recipe:
    text = RECIPE.read_text().replace("split: {train: 0.8, valid: 0.1, test: 0.1}", split)
    return resolve(parse(text.replace("- dedup\n", f"- {dedup}\n"), "made.yaml"))


def splits(ran: Ran) -> dict[str, set[str]]:
    """The splits of each file's kept clips."""
    (stream,) = ran.result.streams
    verdicts = read_verdicts(ran.store, stream.select_key, [b.id for b in stream.blocks])
    uri = {task: sources[0].uri for task, sources in stream.census.sources_of.items()}
    found: dict[str, set[str]] = defaultdict(set)
    for row in verdicts.filter(verdicts["kept"]).to_pylist():
        found[uri[row["task"]]].add(row["split"])
    return dict(found)


def test_a_feed_of_a_table_is_not_parted_and_corrects_without_a_new_row(tmp_path: Path) -> None:
    feeds = ["show"] * 7 + ["", "", ""]
    data = table_of(tmp_path / "data", feeds)
    alone = curate(data, tmp_path / "out", recipe=recipe(f"{SPLIT}, by: recording}}"))
    tied = curate(data, tmp_path / "out", recipe=recipe(f"{SPLIT}}}"))
    assert len(set.union(*(splits(alone)[name] for name in FILES[:7]))) > 1
    assert len(set.union(*(splits(tied)[name] for name in FILES[:7]))) == 1
    for name in FILES[7:]:
        assert splits(tied)[name] == splits(alone)[name]
    assert not {"hear", "annotate", "measure"} & tied.phases().keys()

    largest = read_largest(tied.store, tied.result.streams[0].select_key)
    assert largest is not None and largest["name"] == "feed:show"
    assert (largest["recordings"], largest["feeds"], largest["groups"]) == (7, 1, 4)
    assert largest["share"] > 0.6
    (notice,) = summarize(tied.store, tied.result, "", tied.funnel).notices
    assert "7 recordings by 1 feed" in notice and "split.by" in notice
    assert summarize(alone.store, alone.result, "", alone.funnel).notices == ()

    table_of(tmp_path / "data", ["show"] * 3 + [""] * 7)
    corrected = curate(data, tmp_path / "out", recipe=recipe(f"{SPLIT}}}"))
    assert not {"hear", "annotate", "measure"} & corrected.phases().keys()
    again = read_largest(corrected.store, corrected.result.streams[0].select_key)
    assert again is not None and again["recordings"] == 3


@pytest.mark.slow
def test_near_copies_that_stay_are_not_parted(tmp_path: Path) -> None:
    data = table_of(tmp_path / "data", [""] * 10)
    near = "dedup: {audio: null, text: minhash, near: note, min_words: 2, shingle_size: 1, "
    ran = curate(data, tmp_path / "out", recipe=recipe(f"{SPLIT}}}", f"{near}similarity: 0.15}}"))
    (stream,) = ran.result.streams
    clusters = read_clusters(ran.store, stream.select_key)
    verdicts = read_verdicts(ran.store, stream.select_key, [b.id for b in stream.blocks])
    split_of = {r["id"]: r["split"] for r in verdicts.filter(verdicts["kept"]).to_pylist()}
    task_of = {r["id"]: r["task"] for r in verdicts.to_pylist()}
    members: dict[str, list[str]] = defaultdict(list)
    for row in clusters.to_pylist():
        members[row["cluster"]].append(row["id"])
    reach = [ids for ids in members.values() if len({task_of[one] for one in ids}) > 1]
    assert reach  # else nothing was tested
    for ids in members.values():
        assert len({split_of[one] for one in ids if one in split_of}) == 1


def test_small_groups_and_single_recordings_are_no_giants() -> None:
    group = {"recordings": 9, "share": 0.19, "split": "train", "speakers": 1, "feeds": 2}
    group["clusters"] = 0
    assert list(giant("web", group)) == [] == list(giant("web", None))
    assert list(giant("web", {**group, "recordings": 1, "share": 1.0})) == []
    (told,) = giant("web", {**group, "share": 0.62})
    assert "62 %" in told and "1 speaker, 2 feeds" in told and "cluster" not in told


PAGE = b"""<rss version="2.0"><channel><title>t</title>
<item><enclosure url="http://127.0.0.1:9/%d.mp3" type="audio/mpeg" length="1"/></item>
</channel></rss>"""


def test_every_entry_knows_its_feed(tmp_path: Path) -> None:
    (offer,) = opened("feed", PAGE % 1, "http://127.0.0.1:9/show/feed.xml", "feed.xml").offers
    assert offer.feed == "http://127.0.0.1:9/show/feed.xml"
    (offer,) = opened("feed", PAGE % 1, "", "local.xml").offers
    assert offer.feed == "local.xml"
    urls = opened("urls", b"http://127.0.0.1:9/1.mp3\n", "", "list.txt").offers
    assert [one.feed for one in urls] == [None]

    (tmp_path / "local.xml").write_bytes(PAGE % 7)
    data = recognise(str(tmp_path / "local.xml"), None)
    assert data is not None
    fetching = Fetching(
        store=Store(tmp_path / "out"),
        crawl=Crawl(),
        workers=1,
        run=None,
        run_id="r",
        device="d",
        observe=lambda kind, value: None,
    )
    (found,) = found_on_web(data, fetching)
    assert found.source.feed == "local.xml"
