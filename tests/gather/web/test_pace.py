"""The pace of a host and of all fetches together, on a clock that the test moves."""

import asyncio
import time

import pytest

from transforms.gather.web.pace import Bandwidth, Host, PaceSettings


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def host(clock: Clock, **settings: float) -> Host:
    return Host(
        PaceSettings(**{"delay": 1.0, "patience": 2.0, "max_delay": 10.0, **settings}), clock
    )


async def answered(one: Host, latency: float) -> None:
    turn = await one.turn()
    turn.answered(latency)
    turn.done()


def test_a_slow_host_is_asked_less_often_and_a_fast_one_again_more() -> None:
    clock = Clock()
    one = host(clock)

    async def ask(latency: float, times: int) -> float:
        for _ in range(times):
            clock.now += 1000
            await answered(one, latency)
        return one.gap

    assert asyncio.run(ask(0.1, 1)) == 1.0  # the least gap
    slow = asyncio.run(ask(3.0, 20))
    assert slow == pytest.approx(6.0, rel=0.02)  # twice the latency
    assert asyncio.run(ask(60.0, 20)) == 10.0  # the most that slowness leads to
    assert asyncio.run(ask(0.1, 60)) == 1.0


def test_the_gap_of_robots_is_never_cut_short() -> None:
    one = host(Clock())
    one.ask(45.0)
    assert one.gap == 45.0
    one.ask(None)
    assert one.gap == 1.0


def test_a_gap_counts_from_the_answer() -> None:
    clock = Clock()
    one = host(clock, patience=0.0)

    async def work() -> None:
        turn = await one.turn()
        clock.now += 7  # the answer takes its time
        turn.answered(7.0)
        assert one.wait() == 1.0
        turn.done()
        assert one.wait() == 1.0  # the end of the body changes nothing
        clock.now += 1
        assert one.wait() <= 0

    asyncio.run(work())


def test_a_busy_host_is_left_alone_as_long_as_it_says_and_longer_each_time() -> None:
    clock = Clock()
    one = host(clock)
    one.busy(None)
    assert one.wait() == 30.0
    one.busy(None)
    assert one.wait() == 60.0
    one.busy(500.0)
    assert one.wait() == 500.0
    clock.now += 600
    one.fine()
    one.busy(None)
    assert one.wait() == 30.0


def test_while_no_answer_has_begun_nobody_else_asks() -> None:
    one = Host(PaceSettings(delay=0.001, patience=0.0, concurrency=3))

    async def work() -> None:
        first = await one.turn()
        second = asyncio.create_task(one.turn())
        await asyncio.sleep(0.02)
        assert not second.done()
        first.answered(0.0)
        await asyncio.wait_for(second, 1.0)  # the first one's body may still be coming
        second.result().done()
        first.done()

    asyncio.run(work())


def test_where_no_gap_is_to_be_kept_so_many_ask_at_once_as_may() -> None:
    one = Host(PaceSettings(delay=0.0, patience=0.0, concurrency=2))

    async def work() -> None:
        first, second = await one.turn(), await one.turn()
        third = asyncio.create_task(one.turn())
        await asyncio.sleep(0.02)
        assert not third.done()
        first.answered(0.0)
        first.done()
        (await asyncio.wait_for(third, 1.0)).done()
        second.done()
        one.ask(30.0)  # robots.txt was read meanwhile
        (await one.turn()).done()
        assert one.wait() > 29

    asyncio.run(work())


def test_a_turn_that_is_given_up_is_free_for_others() -> None:
    one = Host(PaceSettings(delay=30.0, patience=0.0))

    async def work() -> None:
        (await one.turn()).done()
        waiting = asyncio.create_task(one.turn())
        await asyncio.sleep(0.02)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        one._ready = 0.0
        await asyncio.wait_for(one.turn(), 1.0)

    asyncio.run(work())


def test_bandwidth_is_what_all_fetches_share() -> None:
    shared = Bandwidth(1_000_000.0)

    async def one() -> None:
        for _ in range(10):
            await shared.take(50_000)

    async def all_of_them() -> None:
        await asyncio.gather(*(one() for _ in range(4)))

    began = time.monotonic()
    asyncio.run(all_of_them())
    # 2 MB at 1 MB/s, of which the first second's worth may come at once
    assert 0.9 <= time.monotonic() - began <= 2.5
