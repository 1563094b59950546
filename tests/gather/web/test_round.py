"""A round against servers that count: gaps, concurrency, robots.txt, opt-outs, retries."""

import asyncio
import dataclasses
import hashlib
import itertools
import random
import resource
import shutil
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.gather.web.bad_server import SOUND, Asked, BadServer, Route, head, whole
from tests.gather.web.test_client import ENDS
from tests.gather.web.test_client import LIMITS as CLIENT_LIMITS
from transforms.gather.web.addresses import Exceptions
from transforms.gather.web.client import Client, Limits
from transforms.gather.web.frontier import REFUSALS, Row, groups, new
from transforms.gather.web.pace import PaceSettings
from transforms.gather.web.urls import canonical
from transforms.gather.web.visit import Round, RoundSettings

FLAC = b"fLaC" + SOUND[:20_000]
LIMITS = Limits(connect=2.0, total=5.0, stall=2.0, grace=1.0, max_bytes=1 << 20)
BUSY = [path for path in ENDS if path.startswith("/busy")]
FAST = PaceSettings(delay=0.0, patience=0.0)


@pytest.fixture
def server() -> Iterator[BadServer]:
    with BadServer({}).running() as found:
        yield found


def ask(
    server: BadServer,
    paths: Sequence[str],
    folder: Path,
    *,
    pace: PaceSettings = FAST,
    settings: RoundSettings | None = None,
    rows: Sequence[Row] | None = None,
    limits: Limits | None = None,
) -> dict[str, Row]:
    """The rows of a round over paths of one host, by path; bodies are kept as <id>."""
    settings = settings or RoundSettings(agent="testbot", first_wait=0.01)
    kept: list[str] = []

    async def ended(row: Row, body: Path | None) -> None:
        kept.append(row.id)
        if body is not None:
            shutil.move(body, folder / row.id)

    async def work() -> list[Row]:
        allowed = Exceptions.parse((f"127.0.0.1:{server.port}",))
        queue = rows or [new(canonical(server.url + path)) for path in paths]
        scratch = folder / "scratch"
        scratch.mkdir(exist_ok=True)
        async with Client("testbot/1 (+http://example.org)", allowed=allowed) as client:
            one = Round(client, ["127.0.0.1"], settings, pace, limits or LIMITS, scratch, ended)
            after = await one.run(queue)
        assert not list(scratch.iterdir())
        return after

    after = asyncio.run(work())
    assert sorted(set(kept)) == sorted({row.id for row in after if row.ended})
    return {row.url.removeprefix(server.url): row for row in after}


def paths_asked(server: BadServer) -> list[str]:
    return [path for _, _, path in server.asked]


def test_a_url_that_is_fetched_is_done_with_its_bytes(server: BadServer, tmp_path: Path) -> None:
    server.routes["/a.flac"] = whole(FLAC, Content_Type="audio/flac", ETag='"x"')
    row = ask(server, ["/a.flac"], tmp_path)["/a.flac"]
    assert (row.state, row.status, row.attempts, row.reason) == ("done", 200, 1, "")
    assert (row.sha256, row.bytes) == (hashlib.sha256(FLAC).hexdigest(), len(FLAC))
    assert (row.etag, row.content_type) == ('"x"', "audio/flac")
    assert (tmp_path / row.id).read_bytes() == FLAC


def test_robots_are_asked_first_once_and_obeyed(server: BadServer, tmp_path: Path) -> None:
    server.routes["/robots.txt"] = whole(b"User-agent: *\nDisallow: /no\n")
    server.routes["/a"] = server.routes["/no/b"] = whole(FLAC)
    rows = ask(server, ["/no/b", "/a", "/no/c"], tmp_path)
    assert {path: row.state for path, row in rows.items()} == {
        "/no/b": "refused",
        "/a": "done",
        "/no/c": "refused",
    }
    assert rows["/no/b"].reason == "robots"
    assert paths_asked(server) == ["/robots.txt", "/.well-known/tdmrep.json", "/ai.txt", "/a"]


def test_robots_that_fail_mean_not_now(server: BadServer, tmp_path: Path) -> None:
    server.routes["/robots.txt"] = whole(b"", 503)
    server.routes["/a"] = whole(FLAC)
    settings = RoundSettings(agent="testbot", seconds=0.5, first_wait=60.0)
    row = ask(server, ["/a"], tmp_path, settings=settings)["/a"]
    assert (row.state, row.reason) == ("waiting", "robots_unreachable")
    assert row.not_before > time.time() + 30
    assert "/a" not in paths_asked(server)


def test_robots_may_be_switched_off(server: BadServer, tmp_path: Path) -> None:
    server.routes["/robots.txt"] = whole(b"User-agent: *\nDisallow: /\n")
    server.routes["/a"] = whole(FLAC)
    settings = RoundSettings(agent="testbot", obey_robots=False, obey_reservations=False)
    assert ask(server, ["/a"], tmp_path, settings=settings)["/a"].state == "done"
    assert paths_asked(server) == ["/a"]


@pytest.mark.parametrize(
    ("headers", "signal"),
    [
        ({"X_Robots_Tag": "noai, noimageai"}, "X-Robots-Tag: noai"),
        ({"X_Robots_Tag": "testbot: noindex"}, "X-Robots-Tag: noindex"),
        ({"X_Robots_Tag": "noml"}, "X-Robots-Tag: noml"),
        ({"TDM_Reservation": "1"}, "TDM-Reservation: 1"),
        ({"X_Robots_Tag": "otherbot: noai"}, None),
        ({"X_Robots_Tag": "nofollow"}, None),
        ({"X_Robots_Tag": "unavailable_after: 25 Jun 2100 15:00:00 PST"}, None),
        ({"TDM_Reservation": "0"}, None),
    ],
)
def test_headers_that_opt_out_are_heeded(
    headers: dict[str, str], signal: str | None, server: BadServer, tmp_path: Path
) -> None:
    server.routes["/a"] = whole(FLAC, **headers)
    row = ask(server, ["/a"], tmp_path)["/a"]
    if signal is None:
        assert row.state == "done"
    else:
        assert (row.state, row.reason, row.detail) == ("refused", "opt_out", signal)
        assert not (tmp_path / row.id).exists()


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/.well-known/tdmrep.json", b'[{"location": "/a", "tdm-reservation": 1}]'),
        ("/ai.txt", b"User-Agent: *\nDisallow: *.flac\n"),
        ("/ai.txt", b"User-Agent: testbot\nDisallow: /\nAllow: /b\n"),
    ],
)
def test_files_that_reserve_are_heeded(
    path: str, body: bytes, server: BadServer, tmp_path: Path
) -> None:
    server.routes[path] = whole(body)
    server.routes["/a/x.flac"] = server.routes["/b"] = whole(FLAC)
    rows = ask(server, ["/a/x.flac", "/b"], tmp_path)
    assert (rows["/a/x.flac"].reason, rows["/b"].state) == ("opt_out", "done")
    assert "/a/x.flac" not in paths_asked(server)


def test_a_page_says_it_in_its_head(server: BadServer, tmp_path: Path) -> None:
    page = b'<!doctype html><head><META content="index, NOAI" name="robots"></head>'
    server.routes["/p"] = whole(page, Content_Type="text/html")
    row = new(canonical(server.url + "/p"), "page")
    found = ask(server, [], tmp_path, rows=[row])["/p"]
    assert (found.state, found.detail) == ("refused", "meta robots: noai")


def test_what_is_no_audio_is_dead(server: BadServer, tmp_path: Path) -> None:
    server.routes["/a.mp3"] = whole(b"<html><body>Log in", Content_Type="audio/mpeg")
    server.routes["/b.mp3"] = whole(b"{}", Content_Type="application/json")
    server.routes["/c.mp3"] = whole(b"\xff\xfb\x90\x00" + SOUND[:500], Content_Type="x/y")
    server.routes["/empty"] = whole(b"")
    rows = ask(server, ["/a.mp3", "/b.mp3", "/c.mp3", "/empty"], tmp_path)
    assert [rows[f"/{name}.mp3"].reason for name in "abc"] == ["wrong_type", "wrong_type", ""]
    assert (rows["/empty"].state, rows["/empty"].reason) == ("dead", "empty")


def test_what_may_pass_is_tried_again_and_the_rest_is_not(
    server: BadServer, tmp_path: Path
) -> None:
    async def flaky(asked: Asked, out: asyncio.StreamWriter) -> None:
        await (whole(b"", 500) if asked.count < 2 else whole(FLAC))(asked, out)

    server.routes["/flaky"] = flaky
    settings = RoundSettings(agent="testbot", first_wait=0.01, attempts=4)
    rows = ask(server, ["/flaky", "/missing"], tmp_path, settings=settings)
    assert (rows["/flaky"].state, rows["/flaky"].attempts) == ("done", 3)
    assert (rows["/missing"].state, rows["/missing"].attempts) == ("dead", 1)
    server.routes["/flaky"] = whole(b"", 500)
    row = ask(server, ["/flaky"], tmp_path, settings=settings)["/flaky"]
    assert (row.state, row.reason, row.attempts) == ("dead", "server_error", 4)


def test_a_host_that_is_busy_is_left_alone(server: BadServer, tmp_path: Path) -> None:
    server.routes["/a"] = whole(b"", 429, Retry_After="3600")
    server.routes["/b"] = whole(FLAC)
    settings = RoundSettings(agent="testbot", seconds=2.0, first_wait=0.01)
    rows = ask(server, ["/a", "/b"], tmp_path, settings=settings)
    assert (rows["/a"].state, rows["/a"].reason) == ("waiting", "busy")
    assert rows["/a"].not_before > time.time() + 3000
    assert (rows["/b"].state, rows["/b"].attempts) == ("waiting", 0)
    assert "/b" not in paths_asked(server)


def test_a_redirect_to_another_group_is_left_to_it(server: BadServer, tmp_path: Path) -> None:
    there = f"http://localhost:{server.port}/a"
    server.routes["/away"] = whole(b"", 302, Location=there)
    server.routes["/near"] = whole(b"", 302, Location="/a")
    server.routes["/a"] = whole(FLAC)
    rows = ask(server, ["/away", "/near"], tmp_path)
    assert (rows["/away"].state, rows["/away"].moved_to) == ("moved", there)
    assert (rows["/near"].state, rows["/near"].final_url) == ("done", server.url + "/a")
    weary = dataclasses.replace(new(canonical(server.url + "/away")), hops=5)
    row = ask(server, [], tmp_path, rows=[weary])["/away"]
    assert (row.state, row.reason) == ("dead", "redirects")


def test_what_is_known_is_asked_for_conditionally(server: BadServer, tmp_path: Path) -> None:
    async def same(asked: Asked, out: asyncio.StreamWriter) -> None:
        known = asked.headers.get("if-none-match") == '"x"'
        await (whole(b"", 304) if known else whole(FLAC, ETag='"x"'))(asked, out)

    server.routes["/a"] = same
    first = ask(server, ["/a"], tmp_path)["/a"]
    again = ask(server, [], tmp_path, rows=[dataclasses.replace(first, state="waiting")])["/a"]
    assert (again.state, again.sha256, again.bytes) == ("unchanged", first.sha256, first.bytes)


def test_a_round_ends_in_time_and_leaves_the_rest_waiting(
    server: BadServer, tmp_path: Path
) -> None:
    for number in range(50):
        server.routes[f"/{number}"] = whole(FLAC)
    settings = RoundSettings(agent="testbot", seconds=1.0)
    began = time.monotonic()
    pace = PaceSettings(delay=0.1)
    rows = ask(server, [f"/{n}" for n in range(50)], tmp_path, settings=settings, pace=pace)
    assert time.monotonic() - began < 2.0
    states = [row.state for row in rows.values()]
    assert 3 <= states.count("done") <= 10
    assert states.count("done") + states.count("waiting") == 50


def test_the_gap_of_robots_is_kept(server: BadServer, tmp_path: Path) -> None:
    server.routes["/robots.txt"] = whole(b"User-agent: testbot\nCrawl-delay: 0.3\n")
    for number in range(4):
        server.routes[f"/{number}"] = whole(FLAC)
    ask(server, [f"/{n}" for n in range(4)], tmp_path)
    times = [at for at, _, path in server.asked if path[1:].isdigit()]
    assert min(b - a for a, b in itertools.pairwise(times)) >= 0.3


def _counting(open_now: dict[str, int], most: dict[str, int]) -> Route:
    async def answer(asked: Asked, out: asyncio.StreamWriter) -> None:
        open_now[asked.name] += 1
        most[asked.name] = max(most[asked.name], open_now[asked.name])
        await asyncio.sleep(0.005)
        out.write(head(200, len(FLAC)) + FLAC)
        await out.drain()
        open_now[asked.name] -= 1

    return answer


@pytest.mark.slow
def test_gaps_and_concurrency_hold_over_2000_requests_to_20_hosts(tmp_path: Path) -> None:
    """Seen at the server: never closer than the gap, never more at once, and within 1.1 of the
    time that the gaps alone imply."""
    names, each, delay = [f"127.0.0.{n}" for n in range(1, 21)], 100, 0.25
    open_now: dict[str, int] = defaultdict(int)
    most: dict[str, int] = defaultdict(int)
    server = BadServer({f"/{n}": _counting(open_now, most) for n in range(each)}, "0.0.0.0")
    rows: list[Row] = []

    async def ended(row: Row, body: Path | None) -> None:
        rows.append(row)

    async def work() -> None:
        allowed = Exceptions.parse(tuple(f"{name}:{server.port}" for name in names))
        settings = RoundSettings(agent="testbot", obey_reservations=False)
        pace = PaceSettings(delay=delay, patience=0.0)
        async with Client("testbot/1", allowed=allowed, connections=200) as client:
            rounds = []
            for name in names:
                folder = tmp_path / name
                folder.mkdir()
                urls = [f"http://{name}:{server.port}/{n}" for n in range(each)]
                one = Round(client, [name], settings, pace, LIMITS, folder, ended)
                rounds.append(one.run([new(canonical(url)) for url in urls]))
            await asyncio.gather(*rounds)

    with server.running():
        began = time.monotonic()
        asyncio.run(work())
        took = time.monotonic() - began
    assert [row.state for row in rows] == ["done"] * 2000
    by_host = defaultdict(list)
    for at, host, _ in server.asked:
        by_host[host].append(at)
    assert sorted(map(len, by_host.values())) == [each + 1] * 20  # and robots.txt
    gaps = [b - a for times in by_host.values() for a, b in itertools.pairwise(times)]
    assert min(gaps) >= delay
    assert max(most.values()) == 1
    assert took <= 1.1 * delay * each


# what the client takes and a round does not, for what the answer says or holds
JUDGED = {
    "/empty": ("dead", "empty"),
    "/noai": ("refused", "opt_out"),
    "/tdm": ("refused", "opt_out"),
    "/latin": ("dead", "wrong_type"),
    "/agent": ("done", ""),
    "/unasked-304": ("dead", "bad_answer"),
    "/to-private": ("moved", ""),  # to be refused where it is asked for
    "/to-metadata": ("moved", ""),
}


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_every_route_ends_in_time_by_its_entry(seed: int, tmp_path: Path) -> None:
    """All of a misbehaving server's routes in one round, in another order each time."""
    paths = sorted(ENDS)
    random.Random(seed).shuffle(paths)
    limits = dataclasses.replace(CLIENT_LIMITS, max_bytes=1 << 20)
    settings = RoundSettings(agent="testbot", attempts=1, seconds=60.0)
    pace = PaceSettings(delay=0.0, patience=0.0, concurrency=8, first_pause=0.0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    began = time.monotonic()
    with BadServer().running() as server:
        # what asks to wait for a day would end the round for all others
        server.routes = {**server.routes, **dict.fromkeys(BUSY, whole(b"", 429, Retry_After="0"))}
        rows = ask(server, paths, tmp_path, settings=settings, pace=pace, limits=limits)
    assert time.monotonic() - began < 40
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 300
    expected = {}
    for path, code in ENDS.items():
        refused = code in REFUSALS
        state = "done" if code is None else "refused" if refused else "dead"
        expected[path] = JUDGED.get(path, (state, code or ""))
    assert {path: (row.state, row.reason) for path, row in rows.items()} == expected


def test_hosts_that_share_an_address_are_one_group() -> None:
    found = groups({"b": ["1"], "a": ["1", "2"], "c": ["2"], "d": ["3"], "e": []})
    assert found == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "e"}
