"""Lists of URLs are read a batch at a time: memory does not grow with their length."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import fetching
from tests.fetch.site import allowed, asked_for, site
from tests.laws.runs import ROOT, curate, environment
from transforms.gather.web.offers import of_lines, opened
from transforms.gather.web.urls import MAX_URL

COUNT = """
import collections, json, resource, sys
from pipeline.fetching import Fetching, each_found
from schemas.store import Store
from transforms.gather.crawl import Crawl
from transforms.gather.web.data import recognise

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

data = recognise(sys.argv[1], "urls" if sys.argv[1].endswith("txt") else "table")
known = Fetching(store=Store(sys.argv[2]), crawl=Crawl(), workers=1, run=None, run_id="",
                 device="", observe=lambda kind, value: None)
before = peak()
told = collections.Counter(one.drop.reason for one in each_found(data, known))
print(json.dumps({"told": told, "bytes": peak() - before}))
"""


def measured(path: Path, out: Path) -> tuple[dict[str, int], int]:
    """What became of every line, and by how much memory grew."""
    done = subprocess.run(
        [sys.executable, "-c", COUNT, str(path), str(out)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    return found["told"], found["bytes"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["urls.txt", "table.csv"])
def test_memory_does_not_grow_with_the_length_of_a_list(form: str, tmp_path: Path) -> None:
    """The same growth for 100,000 and 250,000 lines, each of them accounted for."""
    grown = []
    for count in (100_000, 250_000):
        path = tmp_path / f"{count}-{form}"
        with path.open("w") as file:
            file.write("" if form == "urls.txt" else "url\n")
            file.writelines(f"ftp://host.example/{n:08d}/a.mp3\n" for n in range(count))
        told, grew = measured(path, tmp_path / "out")
        assert told == {"scheme": count}
        grown.append(grew)
    assert max(grown) < 200e6
    assert grown[1] < grown[0] * 1.2 + 10e6


def test_batches_give_what_one_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with site() as server:
        talk = server.routes["/talk.mp3"]
        server.routes |= {f"/{n}.mp3": talk for n in range(7)}
        lines = [f"{server.url}/{n % 7}.mp3" for n in range(9)] + ["ftp://no.example/x", "#", ""]
        (tmp_path / "urls.txt").write_text("\n".join(lines))
        at_once = curate(tmp_path / "urls.txt", tmp_path / "one", allowed(server))
        asked = len(asked_for(server))
        monkeypatch.setattr(fetching, "BATCH", 2)
        by_two = curate(tmp_path / "urls.txt", tmp_path / "two", allowed(server))
        again = curate(tmp_path / "urls.txt", tmp_path / "two", allowed(server), refetch=True)
    assert asked == 7 and len(asked_for(server)) == 21
    a, b, c = (ran.result.streams[0].census for ran in (at_once, by_two, again))
    assert a.sources == b.sources == c.sources and len(a.sources) == 9
    assert a.drops == b.drops == c.drops and len(a.drops) == 1


def test_lines_are_numbered_and_cut_as_they_are_when_read_at_once(tmp_path: Path) -> None:
    text = "\ufeff# mine\r\nhttp://a.example/1\r\n\r\n  http://a.example/2  \nno url\nhttp://a.example/3"
    path = tmp_path / "urls.txt"
    path.write_bytes(text.encode())
    found = list(of_lines(str(path), "urls.txt"))
    assert tuple(found) == opened("urls", text.encode(), "", "urls.txt").offers
    assert [one.provenance for one in found] == [f"urls.txt:{n}" for n in (2, 4, 5, 6)]


def test_an_endless_line_is_one_drop(tmp_path: Path) -> None:
    path = tmp_path / "urls.txt"
    path.write_text("http://a.example/" + "x" * (5 * MAX_URL) + "\nhttp://a.example/1\n")
    long, fine = of_lines(str(path), "urls.txt")
    assert (long.reason, long.provenance) == ("bad_url", "urls.txt:1")
    assert fine.url is not None and fine.provenance == "urls.txt:2"
