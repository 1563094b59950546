"""From the cells that are done to what a study says: tables of numbers, claims, controls.

Pure: the same cells give the same results. A study that is not finished gives what there is, and
says what is missing.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.ablation.statistics import (
    LEAST_SEEDS,
    Compared,
    Interval,
    area,
    compare,
    holm,
    interval,
    verdict,
)
from trainer.ablation.study import Claim, Measure, Study, step_of

Done = Mapping[tuple[str, int], Mapping[str, Any]]  # arm, seed -> done.json


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ArmResult:
    """One arm over its seeds."""

    name: str
    about: str
    seeds: tuple[int, ...]  # that are done
    endpoint: Mapping[int, float]  # by seed
    over_seeds: Interval | None
    second: Mapping[int, float]
    curves: Mapping[int, Mapping[int, float]]  # by seed: step -> value
    floor: Mapping[int, float]
    read: Mapping[str, float]  # means over seeds of what was read, see `counting`
    flops: float  # mean over seeds
    cpu_seconds: float
    loss: float | None  # of training, at its end; shown, and never compared


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ClaimResult:
    claim: Claim
    measure: str
    compared: Compared | None
    corrected: float | None  # p by Holm over the claims
    verdict: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """A control, or a condition without which the study says nothing."""

    name: str
    expected: str
    found: str
    holds: bool | None  # None: cannot be said yet


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StudyResult:
    study: Study
    arms: tuple[ArmResult, ...]
    claims: tuple[ClaimResult, ...]
    second: tuple[ClaimResult, ...]  # the same claims at the second measure, not corrected
    shown: tuple[ClaimResult, ...]
    checks: tuple[Check, ...]
    done: int
    cells: int
    chance: float | None
    facts: Mapping[str, str]


def results(study: Study, done: Done, cells: int, facts: Mapping[str, str]) -> StudyResult:
    """What the cells that are done say."""
    arms = {name: _arm(study, name, done) for name in study.names()}
    level = study.level
    ends = {name: arm.endpoint for name, arm in arms.items()}
    areas = {name: arm.second for name, arm in arms.items()}
    found = {
        one.name: compare(one.better, one.worse, ends[one.better], ends[one.worse], level)
        for one in study.claims
    }
    enough = {
        name: one.p
        for name, one in found.items()
        if one is not None and one.interval.seeds >= LEAST_SEEDS
    }
    # a claim that cannot be made yet still counts among the claims
    corrected = holm({**{one.name: 1.0 for one in study.claims}, **enough})
    chance = _chance(study, done)
    return StudyResult(
        study=study,
        arms=tuple(arms.values()),
        claims=tuple(_claim(study, one, found[one.name], corrected) for one in study.claims),
        second=tuple(_beside(study, one, areas, "second") for one in study.claims)
        if study.second
        else (),
        shown=tuple(_beside(study, one, ends, "endpoint") for one in study.shown),
        checks=tuple(_checks(study, arms, chance)),
        done=len(done),
        cells=cells,
        chance=chance,
        facts=facts,
    )


def _arm(study: Study, name: str, done: Done) -> ArmResult:
    own = {seed: one for (arm, seed), one in sorted(done.items()) if arm == name}
    curves = {seed: _curve(study.endpoint, one) for seed, one in own.items()}
    endpoint = {seed: curves[seed][one["endpoint_step"]] for seed, one in own.items()}
    second: dict[int, float] = {}
    if study.second is not None:
        for seed, one in own.items():
            curve = _curve(study.second, one)
            second[seed] = area(curve, study.second.first, study.second.last)
    floor = {}
    if study.floor is not None:
        for seed, one in own.items():
            floor[seed] = _curve(study.floor, one)[step_of(study.floor.at, one["steps"])]
    losses = [one["losses"]["loss"] for one in own.values() if one["losses"].get("loss")]
    return ArmResult(
        name=name,
        about=study.about(name),
        seeds=tuple(own),
        endpoint=endpoint,
        over_seeds=interval(list(endpoint.values()), study.level) if endpoint else None,
        second=second,
        curves=curves,
        floor=floor,
        read=_mean_counts([one["read"] for one in own.values()]),
        flops=_mean([one["flops"] for one in own.values()]),
        cpu_seconds=_mean([one["cpu_seconds"] for one in own.values()]),
        loss=_mean(losses) if losses else None,
    )


def _curve(measure: Measure, one: Mapping[str, Any]) -> dict[int, float]:
    """A measure by step. Raises `KeyError` where the set was not asked in that mode."""
    name = f"{measure.set}, {measure.mode}"
    return {int(step): found[name][measure.score] for step, found in one["accuracy"].items()}


def _chance(study: Study, done: Done) -> float | None:
    name = f"{study.endpoint.set}, {study.endpoint.mode}"
    for one in done.values():
        for found in one["accuracy"].values():
            value = found[name]["chance"]
            return None if value is None else float(value)
    return None


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else math.nan


def _mean_counts(read: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Each count's mean over seeds; passes by set as `passes of NAME`."""
    flat = [
        {k: v for k, v in one.items() if k != "passes"}
        | {f"passes of {name}": value for name, value in one["passes"].items()}
        for one in read
    ]
    return {name: _mean([one[name] for one in flat]) for name in flat[0]} if flat else {}


def _claim(
    study: Study, claim: Claim, compared: Compared | None, corrected: Mapping[str, float]
) -> ClaimResult:
    p = corrected[claim.name]
    said = "no claim: no seed is done" if compared is None else verdict(compared, p, study.alpha)
    return ClaimResult(
        claim=claim, measure="endpoint", compared=compared, corrected=p, verdict=said
    )


def _beside(
    study: Study, claim: Claim, values: Mapping[str, Mapping[int, float]], measure: str
) -> ClaimResult:
    compared = compare(
        claim.better, claim.worse, values[claim.better], values[claim.worse], study.level
    )
    return ClaimResult(
        claim=claim, measure=measure, compared=compared, corrected=None, verdict="shown, no claim"
    )


def _checks(study: Study, arms: Mapping[str, ArmResult], chance: float | None) -> list[Check]:
    found = []
    for name, control in study.of_controls().items():
        if name == "same":
            one = compare(
                name, control.arm, arms[name].endpoint, arms[control.arm].endpoint, study.level
            )
            shown = None if one is None else one.interval
            expected = f"the difference from {control.arm} includes 0"
            found.append(_holding(f"A/A ({name})", expected, shown, 0.0))
        elif chance is not None:
            expected = f"accuracy includes chance, {chance:g}"
            found.append(_holding(name, expected, arms[name].over_seeds, chance))
        else:
            found.append(
                Check(name=name, expected="chance", found="no chance is known", holds=None)
            )
    found += [
        Check(name=name, expected="left out", found=why, holds=None)
        for name, why in study.controls.without.items()
    ]
    if study.floor is not None:
        found.append(_floor(study, arms))
    if study.equal in ("positions", "flops"):
        found.append(_equal(study, arms))
    return found


def _holding(name: str, expected: str, shown: Interval | None, value: float) -> Check:
    if shown is None or shown.low is None or shown.high is None:
        return Check(name=name, expected=expected, found="too few seeds", holds=None)
    text = f"{shown.mean:.3f} [{shown.low:.3f}, {shown.high:.3f}], {shown.seeds} seeds"
    return Check(name=name, expected=expected, found=text, holds=shown.holds(value))


def _floor(study: Study, arms: Mapping[str, ArmResult]) -> Check:
    assert study.floor is not None
    values = [(value, arm.name, seed) for arm in arms.values() for seed, value in arm.floor.items()]
    expected = f"{study.floor.set} ({study.floor.mode}) at least {study.floor.least:g} in each cell"
    if not values:
        return Check(name="floor", expected=expected, found="no cell is done", holds=None)
    least, name, seed = min(values)
    text = f"least {least:.3f} ({name}, seed {seed})"
    return Check(name="floor", expected=expected, found=text, holds=least >= study.floor.least)


def _equal(study: Study, arms: Mapping[str, ArmResult]) -> Check:
    """Positions with padding, or FLOPs at every head: measured, not only set."""
    sums = {}
    for arm in arms.values():
        if arm.read:
            names = ("text_positions", "speech_positions", "markers", "padding")
            total = sum(arm.read[name] for name in names)
            sums[arm.name] = arm.flops if study.equal == "flops" else total
    expected = f"all arms have the same {study.equal}"
    if not sums:
        return Check(name="equal", expected=expected, found="no cell is done", holds=None)
    low, high = min(sums.values()), max(sums.values())
    slack = 0.05 if study.equal == "flops" else 0.0  # heads are asked where targets are
    return Check(
        name="equal",
        expected=expected,
        found=f"{low:.4g} to {high:.4g}",
        holds=high - low <= slack * high,
    )
