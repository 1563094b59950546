"""Critical mixture ratios: recovered from made runs, and not found where no share was tried."""

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.__main__ import main
from trainer.ablation.plan import plan
from trainer.experiments.ratio_study import ratios
from trainer.experiments.ratios import Measured, RatioLaw, critical, crossing, fit_ratios
from trainer.failures import SetupError

# arXiv 2407.17467: size -> a, s, b with T in 0.2B tokens, and R in per cent at 5/10/20/50B tokens
TABLE = {
    "460M": ((0.22525, 0.26944, -0.48140), (5.5, 16.5, 29.8, 51.6)),
    "940M": ((0.75206, 0.13720, -1.06582), (10.4, 22.1, 34.9, 53.8)),
    "1.6B": ((-2.36385, -0.15126, 1.59224), (14.0, 28.4, 41.4, 56.7)),
    "3.1B": ((-2.53682, -0.42071, 0.84375), (18.9, 35.5, 47.8, 59.5)),
}
UNIT = 0.2e9
MOMENTS = (5e9, 10e9, 20e9, 50e9)
SHARES = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)


def law_of(size: str) -> RatioLaw:
    a, s, b = TABLE[size][0]
    return RatioLaw(a=a, s=s, b=b, unit=UNIT, first=5e9, last=50e9, worst=0.0)


@pytest.mark.parametrize("size", TABLE)
def test_the_published_laws_give_the_published_shares(size: str) -> None:
    for tokens, percent in zip(MOMENTS, TABLE[size][1], strict=True):
        assert 100 * law_of(size).at(tokens) == pytest.approx(percent, abs=0.06)


@pytest.mark.parametrize("size", TABLE)
def test_the_laws_are_recovered_from_their_shares(size: str) -> None:
    truth = law_of(size)
    moments = np.geomspace(5e9, 50e9, 8)
    found = fit_ratios([(float(t), truth.at(float(t))) for t in moments], UNIT)
    assert (found.a, found.s, found.b) == pytest.approx((truth.a, truth.s, truth.b), rel=0.01)
    assert found.worst < 1e-6
    for tokens in MOMENTS:
        assert found.at(tokens) == pytest.approx(truth.at(tokens), rel=0.001)


def made_runs(size: str, noise: float, seeds: int = 3) -> list[Measured]:
    """Rises that pass 0.05 at R(T), steeper with the share, and differ by seed."""
    truth, chance = law_of(size), np.random.default_rng(0)
    found = []
    for tokens in np.geomspace(5e9, 50e9, 8):
        for share, seed in itertools.product(SHARES, range(seeds)):
            over = share - truth.at(float(tokens))
            rise = 0.05 + 0.4 * over + 0.2 * over * abs(over) + chance.normal(0, noise)
            found.append(Measured(tokens=float(tokens), share=share, rise=rise, seed=seed))
    return found


@pytest.mark.parametrize("size", TABLE)
def test_the_critical_shares_of_made_runs_are_the_table_within_five_percent(size: str) -> None:
    found = critical(made_runs(size, noise=5e-4), resamples=100)
    law = fit_ratios([(one.tokens, one.share) for one in found if one.share is not None], UNIT)
    for tokens, percent in zip(MOMENTS, TABLE[size][1], strict=True):
        assert 100 * law.at(tokens) == pytest.approx(percent, rel=0.05)
    truth = law_of(size)
    held = 0
    for one in found:
        assert one.interval is not None and one.share is not None
        assert one.interval.low is not None and one.interval.high is not None
        held += one.interval.low - 0.01 <= truth.at(one.tokens) <= one.interval.high + 0.01
    assert held >= 7


def test_a_share_that_was_not_run_is_not_found() -> None:
    none = [Measured(tokens=1e9, share=s, rise=0.2 + s) for s in (0.2, 0.4)]
    every = [Measured(tokens=2e9, share=s, rise=0.01 * s) for s in (0.2, 0.4)]
    low, high = critical([*none, *every])
    assert low.share is None and low.why == "not found: 0.2 or below; run other shares"
    assert high.share is None and high.why == "not found: 0.4 or above; run other shares"
    with pytest.raises(SetupError, match="at least two"):
        critical(none[:1])
    with pytest.raises(SetupError, match="at least 4"):
        fit_ratios([(1.0, 0.1), (2.0, 0.2), (3.0, 0.25)])


def test_a_law_says_where_no_run_was() -> None:
    law = law_of("940M")
    assert "EXTRAPOLATED" in law.told(100e9) and "EXTRAPOLATED" not in law.told(10e9)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=8), st.floats(-1, 1))
def test_a_crossing_lies_between_shares_that_were_run(rises: list[float], rise: float) -> None:
    shares = [0.1 * (n + 1) for n in range(len(rises))]
    found = crossing(shares, rises, rise)
    if np.isfinite(found):
        assert shares[0] <= found <= shares[-1]
        assert min(rises) <= rise < max(rises)
    if max(rises) <= rise:
        assert found == np.inf
    if min(rises) > rise:
        assert found == -np.inf


def cell(folder: Path, arm: str, seed: int, share: float | None, losses: dict[int, float]) -> None:
    """As a study leaves a cell: what it was told, and what it gave."""
    path = folder / "cells" / f"{arm}-{seed}"
    path.mkdir(parents=True)
    sets: dict[str, Any] = {"text": {"share": 1.0 if share is None else 1 - share, "policy": None}}
    if share is not None:
        sets["speech"] = {"share": share, "policy": "deterministic"}
    config = {"data": {"sets": sets, "packs": 2, "length": 50}}
    (path / "cell.json").write_text(json.dumps({"config": config}))
    held = {str(step): {"sets": {"text": {"text": loss}}} for step, loss in losses.items()}
    (path / "done.json").write_text(json.dumps({"held_out": held}))


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """Text alone falls to 3, and each arm stays above it by a quarter of its share."""
    steps = {0: 6.0, 10: 5.0, 20: 4.0, 40: 3.5, 80: 3.0}
    for seed in (1, 2):
        cell(tmp_path, "none", seed, None, steps)
        for arm, share in (("ten", 0.1), ("forty", 0.4), ("eighty", 0.8)):
            own = {
                n: loss + (0.25 * share * (20 / n) ** 0.5 if n else 0) for n, loss in steps.items()
            }
            cell(tmp_path, arm, seed, share, own)
        cell(tmp_path, "same", seed, 0.4, {n: 9.0 for n in steps})
    return tmp_path


def test_a_study_gives_its_shares_against_an_arm(
    study: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = ratios(study, new="speech", old="text", reference="none")
    assert [one.tokens for one in found.critical] == [1000, 2000, 4000, 8000]
    for one in found.critical:
        assert one.share == pytest.approx(0.2 * (one.tokens / 2000) ** 0.5)
    assert found.law is not None
    assert (found.law.s, found.law.b) == pytest.approx((0.5, 0.0), abs=1e-3)
    assert main(["mixture", str(study), "--reference", "none", "--at", "1e6"]) == 0
    printed = capsys.readouterr().out
    assert "EXTRAPOLATED" in printed and "0.200" in printed
    kept = json.loads((study / "mixture.json").read_text())
    assert kept["law"]["s"] == pytest.approx(0.5, abs=1e-3)


def test_a_study_gives_its_shares_against_its_start(study: Path) -> None:
    found = ratios(study, new="speech", old="text", rise=-1.0)
    assert found.critical[0].why.startswith("not found: 0.1 or below")
    assert found.critical[1].why.startswith("not found: 0.8 or above")
    assert found.law is None and "at least 4" in found.why


def test_what_a_study_lacks_is_told(study: Path, tmp_path: Path) -> None:
    for words, why in (
        ({"reference": "nobody"}, "no arm 'nobody'"),
        ({"old": "songs"}, "held-out set 'songs'"),
        ({"kind": "speech"}, "no speech loss"),
    ):
        with pytest.raises(SetupError, match=why):
            ratios(study, **{"new": "speech", "old": "text", **words})
    with pytest.raises(SetupError, match="no cell of a study"):
        ratios(tmp_path / "nowhere", new="speech", old="text")


def test_the_shipped_study_is_a_sweep_of_shares(tmp_path: Path) -> None:
    path = Path(__file__).resolve().parents[3] / "ablations" / "mixture_ratio.yaml"
    planned = plan(path, (), {name: str(tmp_path) for name in ("web", "text", "questions")})
    shares = {}
    for arm in planned.study.names():
        sets = planned.config(arm, 1, lambda name: name).data.sets
        total = sum(one.share for one in sets.values())
        shares[arm] = round(sets["speech"].share / total, 6) if "speech" in sets else 0.0
    assert [shares[a] for a in ("none", "ten", "twenty", "forty", "sixty", "eighty")] == [
        0.0, 0.1, 0.2, 0.4, 0.6, 0.8,
    ]  # fmt: skip
    held = planned.study.evaluation.held_out
    assert held is not None and held.sets is not None and set(held.sets) == {"text", "speech"}
