import io
import json
import os
from pathlib import Path

import pytest

from pipeline.progress import Progress, duration
from schemas.store import Store, StoreError
from transforms.gather.web.data import ALL_KINDS, NOUNS


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
        (100_000, "27 h 46 min"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert duration(seconds) == said


def phase(progress: Progress, clock: Clock) -> None:
    progress("phase", {"phase": "hear", "parts": 2, "seconds": 7200.0})
    progress("begin", "p1")
    clock.now += 100
    progress("committed", ("p1", 3600.0))
    progress("tick", None)


def test_plain_lines_where_there_is_no_terminal(tmp_path: Path) -> None:
    said, clock = io.StringIO(), Clock()
    with Progress(Store(tmp_path), "run", said, clock) as progress:
        phase(progress, clock)
        clock.now += 20
        progress("committed", ("p2", 3600.0))
    lines = said.getvalue().splitlines()
    assert "\x1b" not in said.getvalue() and "\r" not in said.getvalue()
    line = "hear      1/2 parts, 1.00 of 2.00 h of audio, 36x real time, 1 min 40 s left"
    assert lines[0] == line
    assert lines[-1] == "hear      2 parts, 2.00 h of audio in 2 min 0 s"


def test_plain_lines_are_few(tmp_path: Path) -> None:
    said, clock = io.StringIO(), Clock()
    with Progress(Store(tmp_path), "run", said, clock) as progress:
        progress("phase", {"phase": "hear", "parts": 1000, "seconds": 1000.0})
        for number in range(600):
            clock.now += 0.1
            progress("committed", (str(number), 1.0))
    assert 3 <= len(said.getvalue().splitlines()) <= 5  # a minute, every 15 s


def test_one_live_line_on_a_terminal(tmp_path: Path) -> None:
    said, clock = Terminal(), Clock()
    with Progress(Store(tmp_path), "run", said, clock) as progress:
        phase(progress, clock)
        clock.now += 1
        progress("tick", None)
        assert "\n" not in said.getvalue()
        assert said.getvalue().rsplit("\x1b[2K", 1)[1].startswith("hear      1/2 parts")
        progress("committed", ("p2", 3600.0))
    assert said.getvalue().count("\n") == 1


def test_what_is_done_before_and_who_died(tmp_path: Path) -> None:
    said = io.StringIO()
    with Progress(Store(tmp_path), "run", said) as progress:
        progress("phase", {"phase": "gather", "parts": 0, "seconds": 0})
        progress("phase", {"phase": "hear", "parts": 2, "seconds": 5})
        progress("died", {"how": "signal SIGABRT", "left": 2})
    assert "gather    done before" in said.getvalue()
    assert "hear: a worker died (signal SIGABRT)" in said.getvalue()


@pytest.mark.parametrize("kind", NOUNS)
def test_what_data_is_taken_for_is_said_once(kind: str, tmp_path: Path) -> None:
    said = io.StringIO()
    with Progress(Store(tmp_path), "run", said) as progress:
        progress("data", {"kind": kind})
        progress("data", {"kind": kind})  # by the next stream
    assert said.getvalue() == f"data      taken for {NOUNS[kind]}\n"


def test_every_kind_has_a_noun() -> None:
    assert set(NOUNS) >= set(ALL_KINDS) - {"files"}


def test_the_log_is_json_lines(tmp_path: Path) -> None:
    clock = Clock()
    with Progress(Store(tmp_path), "run7", io.StringIO(), clock) as progress:
        phase(progress, clock)
    lines = (tmp_path / "logs" / "run7.jsonl").read_text().splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["event"] for event in events] == ["phase", "begin", "committed"]  # no ticks
    assert events[2]["value"] == ["p1", 3600.0] and events[2]["phase"] == "hear"


def test_a_remote_log_is_there_while_the_run_works() -> None:
    """Or gc would take a killed run's work for nobody's."""
    store, clock = Store("memory:///bucket"), Clock()

    def kept() -> int:
        return len(store.get("logs/run.jsonl").splitlines())

    with Progress(store, "run", io.StringIO(), clock) as progress:
        phase(progress, clock)  # begins, and says something 100 s later
        assert kept() == 3
        progress("begin", "p2")
        assert kept() == 3
        clock.now += 21
        progress("begin", "p3")
        assert kept() == 5
        progress("begin", "p4")
    assert kept() == 6


def test_a_remote_log_that_cannot_be_kept_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(self: Store, name: str, data: object) -> None:
        raise StoreError(f"cannot write {name}")

    monkeypatch.setattr(Store, "replace", refused)
    said, clock = io.StringIO(), Clock()
    with Progress(Store("memory:///bucket"), "run", said, clock) as progress:
        phase(progress, clock)
    assert said.getvalue().count("the log logs/run.jsonl is not complete: cannot write") == 1


def test_a_place_that_takes_no_log_is_named(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(StoreError, match=r"cannot write .*/logs/run\.jsonl"):
        Progress(Store(tmp_path), "run", io.StringIO())


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_a_log_that_is_cut_short_stops_nothing(tmp_path: Path) -> None:
    said, clock = io.StringIO(), Clock()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "run.jsonl").symlink_to("/dev/full")
    with Progress(Store(tmp_path), "run", said, clock) as progress:
        phase(progress, clock)
    assert said.getvalue().count("the log logs/run.jsonl is not complete: No space left") == 1
