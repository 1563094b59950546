"""Whether a study may be believed: its controls, its floor, and what must be equal."""

import dataclasses
from collections.abc import Iterable, Mapping

from trainer.ablation.statistics import Interval, compare
from trainer.ablation.study import Study

# Heads are asked where targets are; patches by words are not planned for one by one.
SLACK = {"flops": 0.05, "units": 0.1}


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
class Check:
    """A control, or a condition without which the study says nothing."""

    name: str
    expected: str
    found: str
    holds: bool | None  # None: cannot be said yet


def checks_of(study: Study, arms: Mapping[str, ArmResult], chance: float | None) -> list[Check]:
    """Controls first, then the floor and what must be equal."""
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
    if study.equal in ("positions", "units", "flops"):
        found.append(_equal("equal", study.equal, "all arms", arms.values()))
    for claim in (*study.claims, *study.shown):
        if claim.equal is not None:
            own = [arms[claim.better], arms[claim.worse]]
            found.append(_equal(f"equal ({claim.name})", claim.equal, "both arms", own))
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


def _equal(name: str, what: str, who: str, arms: Iterable[ArmResult]) -> Check:
    """Positions with padding, global positions with padding, or FLOPs: measured, not only set."""
    sums = {}
    for arm in arms:
        if arm.read:
            sums[arm.name] = arm.flops if what == "flops" else _positions(arm, what)
    expected = f"{who} have the same {what}"
    if not sums:
        return Check(name=name, expected=expected, found="no cell is done", holds=None)
    low, high = min(sums.values()), max(sums.values())
    slack = SLACK.get(what, 0.0)
    return Check(
        name=name,
        expected=expected,
        found=f"{low:.4g} to {high:.4g}",
        holds=high - low <= slack * high,
    )


def _positions(arm: ArmResult, what: str) -> float:
    if what == "units":
        return arm.read["global_positions"] + arm.read["padding"]
    names = ("text_positions", "speech_positions", "markers", "padding")
    return sum(arm.read[name] for name in names)
