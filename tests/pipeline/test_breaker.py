"""The breaker: what it counts, when it stops a run, and that the run goes on afterwards."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import breaker
from pipeline.breaker import Breaker, MaxFailures, TooManyFailuresError, max_failures
from pipeline.curate import Curator, Options
from pipeline.dead import dead_letters, forget
from pipeline.failures import Failure, of_root, of_rows
from pipeline.recipe import load_recipe
from schemas.records import Drop
from schemas.store import Store
from tests.commands.made import speechloom
from tests.laws import made_corpus
from tests.laws.runs import RECIPE, Here, curate
from transforms.door import Door
from transforms.door_words import MediaError
from transforms.gather.web.frontier import Row, new
from transforms.gather.web.urls import canonical


def failed(reason: str = "io", name: str = "a") -> Failure:
    return Failure(name, "decode", reason, f"{name}.wav it cannot be read")


def test_limits_are_read_as_they_are_written() -> None:
    assert max_failures("100,50%") == MaxFailures() == breaker.USUAL
    assert max_failures(" 7 ") == MaxFailures(7, None)
    assert max_failures("12.5%") == MaxFailures(None, 0.125)
    assert max_failures("none") == MaxFailures(None, None)
    for wrong in ("", "0", "-1", "101%", "0%", "1.5", "5,6", "5%,6%", "many"):
        with pytest.raises(ValueError, match="100,50%"):
            max_failures(wrong)


def test_failures_in_a_row_stop_and_a_success_between_them_does_not() -> None:
    one = Breaker(MaxFailures(3, None), "out")
    one.begin("hear")
    one.note([failed(), failed(), None] * 50)
    with pytest.raises(TooManyFailuresError, match="3 failures in a row"):
        one.note([failed()] * 3)


def test_a_share_says_nothing_before_enough_was_tried() -> None:
    one = Breaker(MaxFailures(None, 0.5, least=10), "out")
    one.begin("hear")
    one.note([None] + [failed()] * 8)
    with pytest.raises(TooManyFailuresError, match="90 % of what was tried"):
        one.note([failed()])


@given(st.lists(st.booleans(), max_size=60), st.integers(1, 5), st.integers(1, 20))
def test_it_stops_exactly_where_it_says(bad: list[bool], in_a_row: int, least: int) -> None:
    one = Breaker(MaxFailures(in_a_row, 0.5, least), "out")
    one.begin("hear")
    stopped = None
    for place, fails in enumerate(bad):
        try:
            one.note([failed() if fails else None])
        except TooManyFailuresError:
            stopped = place
            break
    expected = None
    for place in range(len(bad)):
        seen = bad[: place + 1]
        row = len(seen) >= in_a_row and all(seen[-in_a_row:])
        share = len(seen) >= least and sum(seen) / len(seen) >= 0.5 and seen[-1]
        if row or share:
            expected = place
            break
    assert stopped == expected


def test_the_message_names_three_reasons_with_an_example_each() -> None:
    one = Breaker(MaxFailures(10, None), "out")
    one.begin("hear")
    with pytest.raises(TooManyFailuresError) as stopped:
        one.note(
            [failed("io", "a")] * 4
            + [failed("broken", "b")] * 3
            + [failed("crash", "c")] * 2
            + [failed("memory", "d")]
        )
    text = str(stopped.value)
    assert "4 decode:io, for example a.wav it cannot be read" in text
    assert "3 decode:broken, for example b.wav" in text and "2 decode:crash" in text
    assert "memory" not in text and "10 of 10" in text and "retry --dead" in text


def test_phases_are_counted_apart_and_rounds_of_one_together() -> None:
    one = Breaker(MaxFailures(3, None), "out")
    for _ in range(3):
        one.begin("fetch")
        one.note([None, failed()])
    one.begin("hear")
    one.note([failed(), failed()])
    one.begin("annotate")
    one.note([failed()])
    one.begin("annotate")
    one.note([failed()])
    with pytest.raises(TooManyFailuresError, match="annotate"):
        one.note([failed()])


def test_quality_is_no_failure_and_neither_is_a_refusal() -> None:
    def drop(step: str, reason: str) -> Drop:
        return Drop(id="0" * 64, root="0" * 64, step=step, reason=reason, seconds=0.0)

    assert of_root("r", [drop("gate", "too_noisy"), drop("segment", "no_speech")]) is None
    assert of_root("r", [drop("decode", "too_short")]) is None
    assert of_root("r", [drop("decode", "io")], "a.wav") == Failure("r", "decode", "io", "a.wav")
    assert of_root("r", [drop("annotate", "crash")]) is not None

    def row(name: str, **more: Any) -> Row:
        base = new(canonical(f"http://127.0.0.1/{name}"))
        return Row(id=base.id, url=base.url, **more)

    rows = [
        row("a", state="refused", reason="robots", ended=1),
        row("b", state="dead", reason="dns", ended=2),
        row("c", state="done", sha256="0" * 64, ended=3),
        row("d", state="waiting", reason="timeout", ended=4),
        row("e"),
    ]
    reasons = [one.reason if one else None for one in of_rows(rows)]
    assert sorted(map(str, reasons)) == ["None", "None", "None", "dns", "timeout"]


def run(data: Path, out: Path, limits: MaxFailures) -> list[tuple[str, Any]]:
    events: list[tuple[str, Any]] = []
    options = Options(data=str(data), out=str(out), part_seconds=20.0, max_failures=limits)
    curator = Curator(
        load_recipe(RECIPE), options, lambda kind, value: events.append((kind, value))
    )
    curator._workers = Here(curator._tell)  # type: ignore[assignment]
    curator.curate()
    return events


def test_a_run_stops_and_goes_on_where_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = made_corpus.write_corpus(tmp_path / "data")
    out = tmp_path / "out"
    whole = curate(data, tmp_path / "whole")

    def unreadable(self: Door, path: str, *more: Any) -> Any:
        raise MediaError("io", "the mount is gone")

    with monkeypatch.context() as patch:
        patch.setattr(Door, "decode", unreadable)
        with pytest.raises(TooManyFailuresError, match=r"4 decode:io.*the mount is gone"):
            run(data, out, MaxFailures(4, None))
    store = Store(out)
    hurt = dead_letters(store)
    assert len(hurt) >= 4 and {one.reason for one in hurt} == {"io"}
    assert not store.list("annotate") and not store.list("compose")
    forget(store, hurt, "r")
    healed = curate(data, out)
    assert healed.digests == whole.digests

    failures = [
        value for kind, value in run(data, tmp_path / "third", MaxFailures()) if kind == "failures"
    ]
    assert [one.reason for value in failures for one in value] == ["broken"]


@pytest.mark.slow
def test_the_command_ends_with_an_error_and_its_reasons(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for number in range(5):
        (data / f"bad{number}.wav").write_bytes(b"RIFF\x24\0\0\0WAVEfmt nothing " + bytes([number]))
    arguments = ("curate", "--data", data, "--recipe", RECIPE, "--out", tmp_path / "out")
    said = speechloom(*arguments, "--workers", "1", "--max-failures", "3")
    assert said.code == 1, said.err
    assert "failures in a row" in said.err and "for example" in said.err
    assert "to go on, once it is mended" in said.err and "--max-failures" in said.err
    listed = speechloom("retry", "--dead", "--out", tmp_path / "out")
    assert listed.code == 0 and "decode:" in listed.out
    said = speechloom(*arguments, "--workers", "1", "--max-failures", "x")
    assert said.code == 2 and "100,50%" in said.err
