"""A site end to end: from a feed's URL to shards, and what did not come is accounted for."""

import os
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest

from pipeline.curate import Options
from pipeline.phases.fetch import fetch_key, frontier
from pipeline.recipe import load_recipe
from pipeline.scan import scan_data
from schemas.store import Store
from tests.fetch.site import allowed, asked_for, site
from tests.laws.runs import (
    RECIPE,
    ROOT,
    Ran,
    command,
    curate,
    environment,
    run_command,
    shard_digests,
)
from transforms.gather.crawl import Crawl
from transforms.gather.found import DataError
from transforms.gather.web.frontier import new
from transforms.gather.web.urls import canonical

EXPECTED = (
    *("/feed.xml", "/talk.mp3", "/talk.vtt", "/reserved.mp3", "/lost.mp3", "/moved.opus"),
    "/alone.opus",
)


def taken_for(ran: Ran) -> list[str]:
    return [value["kind"] for kind, value in ran.events if kind == "data"]


def test_a_feed_becomes_shards_and_every_entry_is_accounted_for(tmp_path: Path) -> None:
    with site() as server:
        ran = curate(f"{server.url}/feed.xml", tmp_path / "out", allowed(server))
        assert taken_for(ran) == ["feed"]
        (stream,) = ran.result.streams
        dropped = {
            source.provenance: drop
            for source, drop in zip(stream.census.dropped, stream.census.drops, strict=True)
        }
        assert {place: drop.reason for place, drop in dropped.items()} == {
            "feed.xml:3": "robots",
            "feed.xml:4": "opt_out",
            "feed.xml:5": "gone",
            "feed.xml:6": "no_audio",
        }
        kept = {source.provenance: source for source in stream.census.sources}
        assert set(kept) == {"feed.xml:1", "feed.xml:2", "feed.xml:7"}
        assert {source.licence for source in kept.values()} == {"cc-by-4.0"}
        talk = kept["feed.xml:1"]
        assert [cue.speaker for cue in talk.cues] == ["Ada", "Ben"]
        # the moved one and the other are the same bytes: one recording, stored once
        assert len(stream.census.recordings) == 2
        bodies = list((tmp_path / "out").glob("fetch/*/bodies/*/*"))
        assert len(bodies) == 4  # and the feed and the transcript
        assert ran.digests
        # each was asked for once, the forbidden one never
        assert Counter(asked_for(server)) == Counter(
            [
                "/feed.xml",
                "/talk.mp3",
                "/talk.vtt",
                "/reserved.mp3",
                "/lost.mp3",
                "/moved.opus",
                "/alone.opus",
            ]
        )
        # the same command again asks for nothing
        before = len(server.asked)
        again = curate(f"{server.url}/feed.xml", tmp_path / "out", allowed(server))
        assert len(server.asked) == before
        assert again.digests == ran.digests


def test_refetching_asks_conditionally_and_changes_nothing(tmp_path: Path) -> None:
    with site() as server:
        data = f"{server.url}/feed.xml"
        first = curate(data, tmp_path / "out", allowed(server))
        again = curate(data, tmp_path / "out", allowed(server), refetch=True)
        asked = Counter(asked_for(server))
        assert asked == {path: 2 for path in EXPECTED}
        assert again.digests == first.digests
        url = canonical(f"{server.url}/talk.mp3")
        row = frontier(Store(tmp_path / "out"), fetch_key(), [new(url).id])[new(url).id]
        assert (row.state, row.etag) == ("unchanged", '"one"')


def test_what_was_fetched_gives_the_bytes_that_files_give(tmp_path: Path) -> None:
    """Shards differ in the uri of their source alone, so the audio is compared by recording."""
    with site() as server:
        ran = curate(f"{server.url}/talk.mp3", tmp_path / "web", allowed(server))
    local = curate(ROOT / "samples" / "podcast.mp3", tmp_path / "local")
    a, b = ran.result.streams[0], local.result.streams[0]
    assert a.census.recordings.keys() == b.census.recordings.keys()
    assert a.heard.done.keys() == b.heard.done.keys()


@pytest.mark.parametrize(
    "form", ["urls.txt", "table.csv", "table.jsonl", "feed.xml", "page.html", "sitemap.xml"]
)
def test_a_local_file_that_names_urls_is_data(form: str, tmp_path: Path) -> None:
    with site() as server:
        talk = f"{server.url}/talk.mp3"
        text = {
            "urls.txt": f"# mine\n{talk}\n\nftp://no.example/x\n",
            "table.csv": f"url,text,licence,x_mine\n{talk},given words,mine,1\n",
            "table.jsonl": f'{{"url": "{talk}", "speaker": "Ada"}}\n',
            "feed.xml": f'<rss><channel><item><enclosure url="{talk}" type="audio/mpeg"/></item>'
            "</channel></rss>",
            "sitemap.xml": f"<urlset><url><loc>{talk}</loc></url></urlset>",
            "page.html": f"<html><a href='{talk}'>hear</a></html>",
        }[form]
        (tmp_path / form).write_text(text)
        ran = curate(tmp_path / form, tmp_path / "out", allowed(server))
        (stream,) = ran.result.streams
        (source,) = stream.census.sources
        assert (source.uri, source.provenance.partition(":")[0]) == (talk, form)
        assert taken_for(ran) == [form.partition(".")[0]]
        if form == "table.csv":
            assert (source.text, source.licence) == ("given words", "mine")
        if form == "table.jsonl":
            assert source.speaker == "Ada"
        if form == "urls.txt":
            assert [drop.reason for drop in stream.census.drops] == ["scheme"]


def test_nobody_is_asked_without_a_contact(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"crawl\.web\.contact"):
        curate("http://audio.example/a.mp3", tmp_path / "out")


def test_data_that_cannot_be_fetched_is_an_error_at_once(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be fetched: not_public"):
        curate("http://127.0.0.1:1/nothing", tmp_path / "out")


def test_a_password_in_data_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="user or a password") as caught:
        curate("http://me:secret@audio.example/a.mp3", tmp_path / "out")
    assert "secret" not in str(caught.value)


def test_data_that_is_gone_is_an_error_that_says_so(tmp_path: Path) -> None:
    with site() as server, pytest.raises(DataError, match="gone HTTP 404"):
        curate(f"{server.url}/lost.mp3", tmp_path / "out", allowed(server))


@pytest.mark.slow
def test_a_kill_costs_the_urls_in_flight_and_no_more(tmp_path: Path) -> None:
    """Kill -9 while 30 copies are fetched, then the same command: none that was noted is asked
    for again, and the shards are those of an undisturbed run."""
    with site() as server:
        talk = server.routes["/talk.mp3"]
        for number in range(30):
            server.routes[f"/{number}.mp3"] = talk
        urls = tmp_path / "urls.csv"
        text = "words that were published and some more of them, over and over"
        rows = [f"{server.url}/{n}.mp3,{text!r}" for n in range(30)]
        urls.write_text("\n".join(["url,text", *(row.replace("'", '"') for row in rows)]) + "\n")
        overrides = [f"--set={one}" for one in allowed(server, delay=0.1)]
        line = command(urls, tmp_path / "out", *overrides)
        run = subprocess.Popen(
            line, env=environment(), cwd=ROOT, stderr=subprocess.DEVNULL, start_new_session=True
        )
        while len(asked_for(server)) < 12 and run.poll() is None:
            time.sleep(0.02)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        notes = list((tmp_path / "out").glob("fetch/*/notes/*.jsonl"))
        done = sum(note.read_bytes().count(b"\n") - 1 for note in notes)  # but the names
        assert 8 <= done < 30
        finished = run_command(line, env=environment())
        assert finished.returncode == 0, finished.stderr
        asked = Counter(asked_for(server))
        assert set(asked) == {f"/{n}.mp3" for n in range(30)}
        assert sum(count - 1 for count in asked.values()) <= 2  # in flight, or done and not noted
        undisturbed = run_command(command(urls, tmp_path / "other", *overrides), env=environment())
        assert undisturbed.returncode == 0, undisturbed.stderr
        assert shard_digests(tmp_path / "out") == shard_digests(tmp_path / "other")


def test_plan_asks_nobody(tmp_path: Path) -> None:
    with site() as server:
        overrides = allowed(server)
        data = f"{server.url}/feed.xml"
        recipe = load_recipe(RECIPE, overrides)
        crawl = next(s for s in recipe.steps("web", "gather") if isinstance(s, Crawl))
        options = Options(data=data, out=str(tmp_path / "out"))
        before = scan_data(Store(tmp_path / "out"), options, crawl)
        assert [drop.reason for drop in before.census.drops] == ["waiting"]
        assert not server.asked and not (tmp_path / "out").exists()
        curate(data, tmp_path / "out", overrides)
        asked = len(server.asked)
        after = scan_data(Store(tmp_path / "out"), options, crawl)
        assert len(after.census.recordings) == 2
        assert len(after.census.drops) == 4
        assert len(server.asked) == asked
