"""Dead letters: listed, forgotten, and tried again; healed runs equal those that never failed."""

import argparse
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import commits, weave
from pipeline.commands import retry
from pipeline.commits import Content, ledger
from pipeline.dead import dead_letters, forget
from pipeline.locks import PhaseBusyError, phase_lock
from pipeline.phases.fetch import fetch_key, frontier
from pipeline.work import admit
from schemas.store import Store
from schemas.tables import arrow_schema
from tests.laws import made_corpus
from tests.laws.runs import Ran, curate
from transforms.door import Door
from transforms.door_words import MediaError
from transforms.gather.web.frontier import Row, new
from transforms.gather.web.urls import canonical


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_corpus.write_corpus(tmp_path_factory.mktemp("dead") / "data")


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    """A run in which nothing failed but what is broken."""
    return curate(data, tmp_path_factory.mktemp("whole") / "out")


def failing(monkeypatch: pytest.MonkeyPatch, name: str, code: str) -> None:
    """The decoder fails on one file."""
    decode = Door.decode

    def trips(self: Door, path: str, *more: Any) -> Any:
        if Path(path).name == name:
            raise MediaError(code, "as injected")
        return decode(self, path, *more)

    monkeypatch.setattr(Door, "decode", trips)


def asked(out: str, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    retry.add_arguments(parser)
    return parser.parse_args(["--dead", *more, "--out", out])


def test_a_decoder_that_crashed_is_tried_again_and_nothing_else(
    data: Path,
    whole: Ran,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        failing(patch, "talk1.wav", "crash")
        hurt = curate(data, out)
    assert hurt.digests != whole.digests
    again = curate(data, out)
    assert again.digests == hurt.digests and again.phases() == {}  # remembered

    assert retry.run(asked(str(out))) == 0
    told = capsys.readouterr().out
    assert "decode:crash" in told and "as injected" in told and "decode:broken" in told
    assert retry.run(asked(str(out), "timeout")) == 2
    assert "decode:crash" in capsys.readouterr().err
    before = ledger(hurt.store, "hear", hurt.result.streams[0].outline.hear_key)
    assert retry.run(asked(str(out), "crash")) == 0
    after = ledger(hurt.store, "hear", hurt.result.streams[0].outline.hear_key)
    (forgotten,) = before.done.keys() - after.done.keys()
    assert forgotten in before.dead and len(after.dead) == len(before.dead) - 1
    assert {name: after.done[name] for name in after.done} == {
        name: before.done[name] for name in after.done
    }

    healed = curate(data, out)
    parts = [value for kind, value in healed.events if kind == "begin"]
    assert healed.phases()["hear"] == 1 and len(parts) == sum(healed.phases().values())
    assert healed.digests == whole.digests
    assert healed.result.compose_key == whole.result.compose_key
    reasons = {one.reason for one in dead_letters(healed.store)}
    assert reasons == {one.reason for one in dead_letters(whole.store)} and "crash" not in reasons


@pytest.mark.parametrize("phase", ["annotate", "measure"])
def test_a_record_that_ended_its_workers_is_tried_again(
    data: Path, whole: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, phase: str
) -> None:
    chosen = min(whole.result.streams[0].annotated.done)

    def gives_up(job: Any, part: Any, *more: Any) -> Iterator[Any]:
        if job.phase != phase or chosen not in {member.id for member in part.members}:
            yield from admit(job, part, *more)
            return
        for single in job.pieces(part):
            if single.members[0].id == chosen and single.step in (None, "loudness"):
                job.give_up(single)
            elif not job.is_committed(single):
                yield single

    out = tmp_path / "out"
    settings = ["filter.min_loudness=-40", "filter.missing=drop"]
    plain = curate(data, tmp_path / "plain", settings)
    with monkeypatch.context() as patch:
        patch.setattr(weave, "admit", gives_up)
        hurt = curate(data, out, settings)
    assert hurt.digests != plain.digests
    (letter,) = (one for one in dead_letters(hurt.store) if one.reason == "crash")
    assert (letter.phase, letter.id) == (phase, chosen)
    assert curate(data, out, settings).digests == hurt.digests
    forget(hurt.store, [letter], "r")
    healed = curate(data, out, settings)
    assert healed.digests == plain.digests
    assert "hear" not in healed.phases() and not any(
        one.reason == "crash" for one in dead_letters(healed.store)
    )


def test_reasons_that_say_what_a_recording_is_are_no_dead_letters(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, "talk1.wav", "too_short")
        hurt = curate(data, tmp_path / "out")
    assert "too_short" not in {one.reason for one in dead_letters(hurt.store)}


def test_a_phase_at_work_is_left_alone(data: Path, whole: Ran) -> None:
    (letter,) = (one for one in dead_letters(whole.store) if one.reason == "broken")
    names = [entry.name for entry in whole.store.list("hear")]
    with (
        phase_lock(whole.store, "hear", letter.key, "another"),
        pytest.raises(PhaseBusyError),
    ):
        forget(whole.store, [letter], "r")
    assert {one.reason for one in dead_letters(whole.store)} >= {"broken"}
    assert set(names) <= {entry.name for entry in whole.store.list("hear")}


def row(name: str, **changes: Any) -> Row:
    return dataclasses.replace(new(canonical(f"http://127.0.0.1/{name}")), **changes)


def test_urls_wait_again_as_if_never_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path / "out")
    rows = [
        row("slow.mp3", state="dead", reason="timeout", attempts=5, ended=1000, detail="30 s"),
        row("busy.mp3", state="waiting", reason="busy", attempts=2, ended=900, not_before=10**10),
        row("gone.mp3", state="dead", reason="gone", attempts=1, ended=1000),
        row("robots.mp3", state="refused", reason="robots", attempts=1, ended=1000),
        row("good.mp3", state="done", sha256="0" * 64, attempts=1, ended=1000),
        row("new.mp3"),
    ]
    content = Content(done=(), rows=tuple(rows))
    commits.write(store, "fetch", fetch_key(), "p", content, arrow_schema(Row), "r")
    letters = dead_letters(store)
    assert {(one.reason, one.id) for one in letters} == {(one.reason, one.id) for one in rows[:3]}
    forget(store, [one for one in letters if one.named("timeout") or one.named("fetch:busy")], "r")
    known = frontier(store, fetch_key(), [one.id for one in rows])
    for one in rows[:2]:
        found = known[one.id]
        assert (found.state, found.attempts, found.not_before, found.reason) == (
            "waiting",
            0,
            0,
            "",
        )
    for one in rows[2:]:
        assert known[one.id] == one
    assert [one.reason for one in dead_letters(store)] == ["gone"]


def test_an_out_without_any_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert retry.run(asked(str(tmp_path / "none"))) == 0
    assert "no dead letters" in capsys.readouterr().out
