"""What a study of mixture shares says, read from its cells: rises, R at each moment, the law.

The study is an ablation whose arms differ in the share of one set and whose evaluation has
`held_out` losses (ablations/mixture_ratio.yaml). The rise of an arm is against another arm at the
same moment and seed, or against its own loss at step 0 where training goes on from a trained model.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainer.ablation.cell import CELL, DONE
from trainer.experiments.ratios import Critical, Measured, RatioLaw, critical, fit_ratios
from trainer.failures import SetupError

START = "start"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Ratios:
    """What was found."""

    points: tuple[Measured, ...]
    critical: tuple[Critical, ...]
    law: RatioLaw | None
    why: str  # there is no law; "" where there is
    rise: float


def ratios(
    out: Path,
    *,
    new: str,
    old: str,
    reference: str = START,
    rise: float = 0.05,
    unit: float | None = None,
    kind: str = "text",
) -> Ratios:
    """Of a study's OUT: `new` is the set whose share differs, `old` the held-out set that must not
    suffer, by its loss of `kind`; `reference` is an arm, or "start".

    Raises `SetupError` for an OUT without such cells, or another arm or set.
    """
    cells = list(_cells(out))
    if not cells:
        raise SetupError(f"{out}: no cell of a study is done here")
    points = tuple(_measured(cells, new, old, reference, kind))
    found = critical(points, rise=rise)
    law, why = None, ""
    try:
        law = fit_ratios([(one.tokens, one.share) for one in found if one.share is not None], unit)
    except SetupError as error:
        why = str(error)
    return Ratios(points=points, critical=found, law=law, why=why, rise=rise)


def _cells(out: Path) -> Iterator[tuple[str, int, Mapping[str, Any], Mapping[str, Any]]]:
    """Arm, seed, config and results of each cell that is done."""
    for path in sorted((out / "cells").glob(f"*/{DONE}")):
        arm, _, seed = path.parent.name.rpartition("-")
        task = json.loads((path.parent / CELL).read_text("utf-8"))
        yield arm, int(seed), task["config"], json.loads(path.read_text("utf-8"))


def _measured(
    cells: list[tuple[str, int, Mapping[str, Any], Mapping[str, Any]]],
    new: str,
    old: str,
    reference: str,
    kind: str,
) -> Iterator[Measured]:
    base: dict[tuple[int, int], float] = {}
    arms = {arm for arm, *_ in cells}
    if reference != START:
        if reference not in arms:
            raise SetupError(f"no arm {reference!r} is done; there are {', '.join(sorted(arms))}")
        for arm, seed, config, one in cells:
            if arm == reference:
                for step in map(int, one["held_out"]):
                    base[seed, _positions(config, step)] = _loss(one, step, arm, old, kind)
    for arm, seed, config, one in cells:
        share = _share(config, new)
        if share is None or arm == reference or config["data"].get("permute_audio"):
            continue
        if arm == "same":  # an arm again: its share has been counted
            continue
        for step in map(int, one["held_out"]):
            tokens = _positions(config, step)
            if not tokens:
                continue
            if reference == START:
                before = _loss(one, 0, arm, old, kind)
            elif (seed, tokens) in base:
                before = base[seed, tokens]
            else:
                continue  # the reference has not come so far
            rise = _loss(one, step, arm, old, kind) - before
            yield Measured(tokens=float(tokens), share=share, rise=rise, seed=seed)


def _share(config: Mapping[str, Any], new: str) -> float | None:
    """Of the new set in an arm; None for an arm without it, or that reads it as text alone."""
    sets = config["data"]["sets"]
    if new not in sets or sets[new].get("policy") in ("text_only", {"text_only": {}}):
        return None
    return float(sets[new]["share"] / sum(one["share"] for one in sets.values()))


def _positions(config: Mapping[str, Any], step: int) -> int:
    return int(step * config["data"]["packs"] * config["data"]["length"])


def _loss(one: Mapping[str, Any], step: int, arm: str, old: str, kind: str) -> float:
    held = one.get("held_out", {}).get(str(step))
    if held is None:
        need = "evaluation.at must hold 0" if step == 0 else "evaluation needs held_out"
        raise SetupError(f"arm {arm}: no held-out loss at step {step}: {need}")
    own = held["sets"].get(old, {})
    if kind not in own:
        raise SetupError(
            f"arm {arm}: no {kind} loss of the held-out set {old!r}; there are "
            f"{', '.join(sorted(held['sets']))}"
        )
    return float(own[kind])


def told(found: Ratios, ask: tuple[float, ...] = ()) -> str:
    """As text for people: R at each moment, the law, and R at other T's where asked."""
    lines = [f"largest share with a rise of at most {found.rise:g} nats:"]
    for one in found.critical:
        shown = one.why or f"{one.share:.3f}"
        over = f" {one.interval.shown('.3f')}" if one.interval is not None else ""
        rises = ", ".join(f"{s:g}: {r:+.3f}" for s, r in zip(one.shares, one.rises, strict=True))
        lines.append(f"  {one.tokens:.4g} positions: {shown}{over}   (rises: {rises})")
    if found.law is None:
        lines.append(f"no law R = a T^s + b: {found.why}")
    else:
        law = found.law
        lines.append(
            f"R = {law.a:.5g} (T / {law.unit:.4g})^{law.s:.4f} {law.b:+.5g}, fitted from "
            f"{law.first:.4g} to {law.last:.4g}; largest residual {law.worst:.3f}"
        )
        lines += [f"  R at {tokens:.4g} positions: {law.told(tokens)}" for tokens in ask]
    return "\n".join(lines) + "\n"
