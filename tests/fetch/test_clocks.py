"""Wrong clocks: a server's, and our own gone back between two runs. Neither loses nor repeats."""

import dataclasses
import email.utils
import time
from pathlib import Path

import pytest

from pipeline.phases.fetch import keep
from tests.fetch.site import allowed, asked_for, site
from tests.gather.web.bad_server import whole
from tests.laws.runs import curate
from transforms.gather.web.client import _retry_after
from transforms.gather.web.frontier import Row, by_this_clock, new
from transforms.gather.web.urls import canonical

DAY = 86_400


def date(seconds: float) -> str:
    return email.utils.formatdate(seconds, usegmt=True)


@pytest.mark.parametrize("skew", [-400 * DAY, -3600, 0, 3600, 400 * DAY])
def test_a_retry_after_date_is_counted_from_the_servers_own_clock(skew: int) -> None:
    there = time.time() + skew
    headers = {"Date": date(there), "Retry-After": date(there + 90)}
    assert _retry_after(headers) == 90.0


def test_a_retry_after_date_without_a_date_is_counted_from_ours_and_bounded() -> None:
    found = _retry_after({"Retry-After": date(time.time() + 90)})
    assert found is not None and 85 <= found <= 91
    assert _retry_after({"Retry-After": date(time.time() - DAY)}) == 0.0
    assert _retry_after({"Retry-After": date(time.time() + 9_000 * DAY)}) <= 7 * DAY  # type: ignore[operator]
    assert _retry_after({"Retry-After": "Thu, 99 Foo 20", "Date": "yesterday"}) is None
    assert _retry_after({"Retry-After": date(time.time() + 90), "Date": "?"}) is not None


def row(**changes: object) -> Row:
    return dataclasses.replace(new(canonical("https://pods.example/a.mp3")), **changes)  # type: ignore[arg-type]


def test_the_newer_of_two_rows_is_that_of_the_later_round_whatever_clocks_say() -> None:
    old = row(turn=1, ended=2_000_000_000, attempts=5, state="done", sha256="0" * 64)
    later = row(turn=2, ended=1_000_000_000, attempts=1, state="refused", reason="opt_out")
    for order in ([old, later], [later, old]):
        found: dict[str, Row] = {}
        keep(found, order)
        assert list(found.values()) == [later]


def test_a_row_from_the_future_waits_as_long_as_its_host_asked_to_and_no_longer() -> None:
    now = 1_500_000_000.0
    busy = row(state="waiting", reason="busy", ended=int(now) + DAY, not_before=int(now) + DAY + 60)
    assert by_this_clock(busy, now).not_before == now + 60
    fresh = row(state="waiting", reason="busy", ended=int(now), not_before=int(now) + 60)
    assert by_this_clock(fresh, now) == fresh
    done = row(state="done", sha256="0" * 64, ended=int(now) + DAY)
    assert by_this_clock(done, now) == done  # what is fetched stays fetched


@pytest.mark.slow
def test_a_run_after_our_clock_went_back_asks_for_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    with site() as server:
        talk = server.routes["/talk.mp3"]
        ahead = date(real() + 5_000 * DAY)
        server.routes["/ahead.mp3"] = talk
        server.routes["/late.mp3"] = whole(b"", 503, Retry_After="3")
        (tmp_path / "urls.txt").write_text(f"{server.url}/ahead.mp3\n{server.url}/late.mp3\n")
        overrides = [*allowed(server), "crawl.web.wait_seconds=0", "crawl.web.round_seconds=1"]
        monkeypatch.setattr(time, "time", lambda: real() + 30 * DAY)
        first = curate(tmp_path / "urls.txt", tmp_path / "out", overrides)
        assert [drop.reason for drop in first.result.streams[0].census.drops] == ["busy"]
        monkeypatch.setattr(time, "time", real)
        server.routes["/late.mp3"] = whole(b"", 410, Date=ahead, Last_Modified=ahead)
        patient = [*allowed(server), "crawl.web.wait_seconds=60"]
        again = curate(tmp_path / "urls.txt", tmp_path / "out", patient)
        assert [drop.reason for drop in again.result.streams[0].census.drops] == ["gone"]
        assert asked_for(server).count("/ahead.mp3") == 1
        # asked again, the row of the later round stands although its clock is behind
        server.routes["/ahead.mp3"] = whole(b"", 200, X_Robots_Tag="noai")
        server.routes["/late.mp3"] = talk
        last = curate(tmp_path / "urls.txt", tmp_path / "out", patient, refetch=True)
        assert [drop.reason for drop in last.result.streams[0].census.drops] == ["opt_out"]
