"""What two runs keep differently: counted by brute force, and as a user asks for it."""

import argparse
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.chosen_run import UnknownRunError, chosen_run
from pipeline.commands import diff
from pipeline.difference import NOT_THERE, Difference, compare, settings_that_differ
from pipeline.verdicts import SCHEMA, Verdicts, verdicts_file
from schemas.store import Store
from tests.laws import made_corpus
from tests.laws.runs import Ran, curate


class Made(Verdicts):
    """A ledger that is held in memory."""

    def read(self, columns: Any) -> pa.Table:
        return self.file.select(list(columns))


def made(rows: list[dict[str, Any]]) -> Verdicts:
    every = [{"item": "clip", "stream": "web", "kept": True, "seconds": 1.0, **row} for row in rows]
    return Made("here", "made", {}, pa.Table.from_pylist(every, schema=SCHEMA))


def dropped(name: str, reason: str, **more: Any) -> dict[str, Any]:
    return {
        "id": name,
        "kept": False,
        "phase": "select",
        "step": "filter",
        "reason": reason,
        **more,
    }


def test_each_loss_is_charged_to_what_took_it() -> None:
    a = made(
        [
            {"id": "both", "source": "x", "language": "en"},
            {"id": "noisy", "source": "x", "language": "en", "seconds": 3.0},
            {"id": "early", "source": "y", "language": "fr", "seconds": 5.0},
            {"id": "gone", "source": "y", "seconds": 7.0},
            dropped("new", "short", seconds=2.0),
            dropped("never", "short"),
        ]
    )
    b = made(
        [
            {"id": "both", "source": "x", "language": "en"},
            dropped("noisy", "snr", threshold=10.0, seconds=3.0),
            dropped("early", "no_text", phase="annotate", step="transcribe", item="stretch"),
            {"id": "new", "source": "x", "seconds": 2.0},
            dropped("never", "short"),
        ]
    )
    found = compare(a, b)
    assert (found.a.items, found.a.seconds) == (4, 16.0)
    assert (found.b.items, found.b.seconds) == (2, 3.0)
    assert (found.both.items, found.only_a.items, found.only_b.items) == (1, 3, 1)
    costs = [(c.step, c.reason, c.threshold, c.seconds) for c in found.lost_in_b]
    assert costs == [
        ("", NOT_THERE, None, 7.0),
        ("transcribe", "no_text", None, 5.0),
        ("filter", "snr", 10.0, 3.0),
    ]
    assert [(c.reason, c.items) for c in found.lost_in_a] == [("short", 1)]
    short = next(r for r in found.reasons if r.reason == "short")
    assert (short.a.items, short.b.items) == (2, 1)
    parts = {part.name: part for part in found.by["source"]}
    assert (parts["y"].only_a.seconds, parts["y"].b.items) == (12.0, 0)
    assert (parts["x"].only_b.seconds, parts["x"].only_a.seconds) == (2.0, 3.0)
    languages = {part.name: part.only_a.items for part in found.by["language"]}
    assert languages == {"en": 1, "fr": 1, None: 1}
    assert "topic" not in found.by


ROWS = st.dictionaries(
    st.tuples(st.sampled_from(["web", "talk"]), st.integers(0, 12)),
    st.tuples(st.booleans(), st.sampled_from(["snr", "short"]), st.integers(1, 5)),
)


@settings(max_examples=100, deadline=None)
@given(a=ROWS, b=ROWS)
def test_counts_are_those_of_sets(a: Any, b: Any) -> None:
    def rows(side: Any) -> list[dict[str, Any]]:
        return [
            {"id": f"{n}", "stream": stream, "seconds": float(length)}
            if kept
            else {**dropped(f"{n}", reason), "stream": stream, "seconds": float(length)}
            for (stream, n), (kept, reason, length) in side.items()
        ]

    one, other = made(rows(a)), made(rows(b))
    found = compare(one, other)
    streams = [{stream for stream, _ in side} for side in (a, b)]
    if all(len(names) <= 1 for names in streams):  # one stream each: their names do not count
        a, b = ({n: v for (_, n), v in side.items()} for side in (a, b))
    kept = [{key for key, (stays, *_) in side.items() if stays} for side in (a, b)]
    assert found.both.items == len(kept[0] & kept[1])
    assert found.only_a.items == len(kept[0] - kept[1]) == sum(c.items for c in found.lost_in_b)
    assert found.only_b.items == len(kept[1] - kept[0]) == sum(c.items for c in found.lost_in_a)
    back = compare(other, one)
    assert (back.only_a, back.only_b, back.lost_in_a) == (
        found.only_b,
        found.only_a,
        found.lost_in_b,
    )
    same = compare(one, one)
    assert same.only_a.items == same.only_b.items == 0 and same.both == same.a


def test_settings_are_compared_by_step() -> None:
    a = {
        "name": "a",
        "seed": 1,
        "streams": {"web": [{"filter": {"x": 1, "l": ["en"]}}, {"dedup": {}}]},
    }
    b = {"name": "b", "seed": 1, "streams": {"web": [{"filter": {"x": 2, "l": ["en"]}}]}}
    got = [(s.key, s.a, s.b) for s in settings_that_differ(a, b)]
    assert got[0] == ("streams.web.filter.x", 1, 2)
    assert ("streams.web.dedup", "used", None) in got and len(got) == 2


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Ran]:
    """One OUT, one recipe by two values of a threshold; the second keeps the name."""
    folder = tmp_path_factory.mktemp("diff")
    data = made_corpus.write_corpus(folder / "data")
    first = curate(data, folder / "out")
    return first, curate(data, folder / "out", ["filter.min_loudness=-18.6"])


def asked(out: str, a: str, b: str, *more: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    diff.add_arguments(parser)
    return parser.parse_args([a, b, "--out", out, *more])


def test_what_one_threshold_costs(
    runs: tuple[Ran, Ran], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = runs
    out = first.store.url
    assert diff.run(asked(out, first.result.run, "laws", "--json")) == 0
    told = json.loads(capsys.readouterr().out)
    (change,) = told["settings"]
    assert change == {"key": "streams.web.filter.min_loudness", "a": None, "b": -18.6}
    dropped = next(
        d
        for row in second.funnel
        if row.step == "filter"
        for d in row.drops
        if d.reason == "too_quiet"
    )
    (cost,) = told["lost_in_b"]
    assert (cost["reason"], cost["threshold"]) == ("too_quiet", -18.6)
    assert 0 < cost["items"] <= dropped.items and told["only_a"]["items"] == cost["items"]
    assert told["only_a"]["seconds"] == pytest.approx(cost["seconds"])
    assert told["lost_in_a"] == [] or told["only_b"]["items"] > 0  # another copy may now stay
    by_source = told["by"]["source"]
    assert sum(part["only_a"]["seconds"] for part in by_source) == pytest.approx(cost["seconds"])
    assert diff.run(asked(out, first.result.run, "laws")) == 0
    text = capsys.readouterr().out
    assert "filter too_quiet (threshold" in text and "streams.web.filter.min_loudness" in text
    assert max(len(line) for line in text.splitlines()) < 250


def test_a_run_is_named_in_several_ways(runs: tuple[Ran, Ran], tmp_path: Path) -> None:
    first, second = runs
    store = first.store
    where = {
        run.result.compose_key: store.where(verdicts_file(run.result.compose_key)) for run in runs
    }
    by_run = chosen_run(store, first.result.run)
    assert by_run.where == where[first.result.compose_key]
    for text in (
        "laws",
        second.result.run,
        second.result.compose_key[:8],
        store.url,
        f"{store.url}/runs/laws.json",
        where[second.result.compose_key],
    ):
        assert Path(chosen_run(store, text).where) == Path(where[second.result.compose_key])
    for text in ("loud", "2026", str(tmp_path)):
        with pytest.raises(UnknownRunError):
            chosen_run(store, text)
    assert diff.run(asked(store.url, "laws", "nothing")) == 2


def test_equal_runs_do_not_differ(runs: tuple[Ran, Ran]) -> None:
    first, _ = runs
    one = chosen_run(first.store, first.result.run)
    found: Difference = compare(one, one)
    assert found.only_a.items == found.only_b.items == 0 and found.both.items > 0
    assert not found.lost_in_a and not found.lost_in_b and not found.settings


def test_a_store_without_runs_says_so(tmp_path: Path) -> None:
    with pytest.raises(UnknownRunError, match="no finished run"):
        chosen_run(Store(tmp_path / "none"), "offline")
