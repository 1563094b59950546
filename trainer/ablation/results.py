"""From the cells that are done to what a study says: tables of numbers, claims, controls.

Pure: the same cells give the same results. A study that is not finished gives what there is, and
says what is missing.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

from trainer.ablation.checks import ArmResult, Check, checks_of
from trainer.ablation.moments import step_of
from trainer.ablation.statistics import (
    LEAST_SEEDS,
    Compared,
    area,
    compare,
    holm,
    interval,
    verdict,
)
from trainer.ablation.study import Claim, Measure, Study

Done = Mapping[tuple[str, int], Mapping[str, Any]]  # arm, seed -> done.json


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ClaimResult:
    claim: Claim
    measure: str
    compared: Compared | None
    corrected: float | None  # p by Holm over the claims
    verdict: str


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
        checks=tuple(checks_of(study, arms, chance)),
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
