"""What an origin declared holds for a day, over rounds and runs, and no longer."""

import asyncio
import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from pipeline.phases.fetch import fetch_key
from pipeline.phases.fetch_origins import Origins
from schemas.store import Store
from tests.fetch.site import allowed, asked_for, site
from tests.gather.web.bad_server import BadServer
from tests.laws.runs import curate
from transforms.gather.web.failures import FetchError
from transforms.gather.web.permission import Declared, Permission
from transforms.gather.web.robots import LIFE, Robots
from transforms.gather.web.urls import Url, canonical

ORIGIN = "https://pods.example"
OWN = ("/robots.txt", "/.well-known/tdmrep.json", "/ai.txt")
SAID = Declared(Robots("User-agent: *\nDisallow: /no\n"), b"\xff[]", b"Disallow: /x\n", 0.0)


def own_files(server: BadServer) -> list[int]:
    asked = Counter(path for _, _, path in server.asked)
    return [asked[path] for path in OWN]


def test_later_runs_ask_for_new_urls_alone_and_a_refetch_asks_all_again(tmp_path: Path) -> None:
    with site() as server:
        talk, out = server.routes["/talk.mp3"], tmp_path / "out"
        server.routes |= {"/1.mp3": talk, "/2.mp3": talk}
        urls = tmp_path / "urls.txt"
        urls.write_text(f"{server.url}/1.mp3\n")
        curate(urls, out, allowed(server))
        assert own_files(server) == [1, 1, 1]
        urls.write_text(f"{server.url}/1.mp3\n{server.url}/2.mp3\n{server.url}/private/3.mp3\n")
        ran = curate(urls, out, allowed(server))
        assert own_files(server) == [1, 1, 1]
        assert asked_for(server) == ["/1.mp3", "/2.mp3"]
        assert [drop.reason for drop in ran.result.streams[0].census.drops] == ["robots"]
        curate(urls, out, allowed(server), refetch=True)
        assert own_files(server) == [2, 2, 2]


@pytest.mark.parametrize("out", ["folder", "memory://"])
def test_a_declaration_is_recalled_for_a_day(out: str, tmp_path: Path) -> None:
    now = 1_700_000_000.0
    store = Store(out if "://" in out else tmp_path)

    def at(clock: float, since: float = 0.0) -> Origins:
        return Origins(store=store, key=fetch_key(), since=since, clock=lambda: clock)

    assert at(now).recall(ORIGIN) is None
    at(now).keep(ORIGIN, SAID)
    for clock, since, known in (
        (now, 0.0, True),
        (now + LIFE - 1, now, True),
        (now + LIFE, 0.0, False),
        (now - 1, 0.0, False),  # our clock went back: how old it is nobody knows
        (now + 60, now + 1, False),
    ):
        found = at(clock, since).recall(ORIGIN)
        assert (found is not None) == known
        assert found is None or dataclasses.replace(found, until=0.0) == SAID
    assert at(now).recall("http://pods.example") is None
    (entry,) = store.list("fetch")
    for torn in (b"", b"{", b"[]", b'{"learnt": 1}'):
        store.replace(entry.name, torn)
        assert at(now).recall(ORIGIN) is None


class Kept(dict[str, Declared]):
    def recall(self, origin: str) -> Declared | None:
        return self.get(origin)

    def keep(self, origin: str, declared: Declared) -> None:
        self[origin] = declared


@pytest.mark.parametrize(
    ("answers", "robots", "reservations", "kept"),
    [
        ({}, True, True, True),
        ({"/robots.txt": 200, "/ai.txt": 403}, True, True, True),
        ({"/robots.txt": 503}, True, True, False),
        ({"/ai.txt": 500}, True, True, False),  # it may say no, once it can be had
        ({"/.well-known/tdmrep.json": 0}, True, True, False),
        ({}, False, True, False),  # a later run may obey what this one did not ask for
        ({}, True, False, False),
    ],
)
def test_only_all_that_an_origin_says_is_kept(
    answers: dict[str, int], robots: bool, reservations: bool, kept: bool
) -> None:
    async def get(url: Url) -> tuple[int, bytes]:
        return answers.get(url.target, 404), b""

    async def ask() -> Kept:
        memory = Kept()
        one = Permission(
            get, "testbot", obey_robots=robots, obey_reservations=reservations, memory=memory
        )
        await one.declared(canonical(f"{ORIGIN}/a"))
        return memory

    assert (list(asyncio.run(ask())) == [ORIGIN]) == kept


def test_what_is_recalled_is_obeyed_and_not_asked_for() -> None:
    async def get(url: Url) -> tuple[int, bytes]:
        raise AssertionError(f"{url.text} is known")

    async def ask() -> None:
        memory = Kept({ORIGIN: dataclasses.replace(SAID, until=float("inf"))})
        one = Permission(get, "testbot", memory=memory)
        await one.check(canonical(f"{ORIGIN}/a"))
        with pytest.raises(FetchError, match="robots"):
            await one.check(canonical(f"{ORIGIN}/no/a"))

    asyncio.run(ask())
