"""Plots of a study as SVG: readable without a script, a network or colour alone.

Arms differ in colour and in dash or mark; every plot has its numbers in a table beside it.
"""

import math
from collections.abc import Iterator, Sequence
from html import escape

from trainer.ablation.checks import ArmResult
from trainer.ablation.results import ClaimResult, StudyResult

WIDTH, LEFT, RIGHT = 760, 190, 24
ROW = 30
COLOURS = ("#1b6ca8", "#c4501b", "#3a7d44", "#7b4b94", "#8a6d00", "#a3324f", "#4a4a4a", "#00798c")
DASHES = ("", "7 4", "2 3", "9 3 2 3", "4 2", "12 4", "1 4", "6 2 1 2")


def endpoints(found: StudyResult) -> str:
    """Each arm's seeds as dots, mean and interval as a bar; chance as a line. 0 to 1."""
    arms = [arm for arm in found.arms if arm.endpoint]
    height = 34 + ROW * len(arms) + 26
    parts = [*_axis(0.0, 1.0, height, [0, 0.25, 0.5, 0.75, 1.0])]
    if found.chance is not None:
        x = _x(found.chance, 0.0, 1.0)
        parts.append(_line(x, 20, x, height - 30, "chance"))
        parts.append(_text(x, 14, f"chance {found.chance:g}", "middle", "small"))
    for place, arm in enumerate(arms):
        parts += _row(34 + ROW * place, arm.name, list(arm.endpoint.values()), arm, 0.0, 1.0)
    return _svg(height, "Endpoint by arm: seeds, mean and interval", parts)


def differences(found: StudyResult) -> str:
    """Paired differences of every comparison, seed by seed, with their intervals."""
    rows = [one for one in (*found.claims, *found.second, *found.shown) if one.compared is not None]
    if not rows:
        return ""
    values = [value for one in rows for value in _reach(one)]
    low, high = min(-0.05, *values), max(0.05, *values)
    height = 34 + ROW * len(rows) + 26
    parts = [*_axis(low, high, height, _ticks(low, high))]
    zero = _x(0.0, low, high)
    parts.append(_line(zero, 20, zero, height - 30, "chance"))
    for place, one in enumerate(rows):
        assert one.compared is not None
        shown = one.compared.interval
        y = 34 + ROW * place
        name = f"{one.claim.better} - {one.claim.worse}"
        parts.append(
            _text(LEFT - 12, y + 4, name, "end", f"name{' soft' if one.corrected is None else ''}")
        )
        if one.measure == "second":
            parts.append(_text(LEFT - 12, y + 15, "second measure", "end", "small"))
        for value in one.compared.differences.values():
            parts.append(_dot(_x(value, low, high), y, COLOURS[0]))
        parts += _bar(shown.mean, shown.low, shown.high, y, low, high, COLOURS[0])
    return _svg(height, "Paired differences over seeds, with intervals", parts)


def curves(found: StudyResult) -> str:
    """The endpoint's measure by step: mean over seeds, each arm a line."""
    arms = [arm for arm in found.arms if arm.curves]
    steps = sorted({step for arm in arms for curve in arm.curves.values() for step in curve})
    if len(steps) < 2:
        return ""
    height, top, bottom = 330, 16, 36
    first, last = steps[0], steps[-1]

    def point(step: float, value: float) -> tuple[float, float]:
        x = LEFT + (WIDTH - LEFT - RIGHT) * (step - first) / (last - first)
        return x, top + (height - top - bottom) * (1 - value)

    parts = []
    for value in (0, 0.25, 0.5, 0.75, 1.0):
        _, y = point(first, value)
        parts += [
            _line(LEFT, y, WIDTH - RIGHT, y, "grid"),
            _text(LEFT - 8, y + 4, f"{value:g}", "end", "small"),
        ]
    for step in steps:
        x, _ = point(step, 0)
        parts.append(_text(x, height - bottom + 18, f"{step}", "middle", "small"))
    if found.chance is not None:
        _, y = point(first, found.chance)
        parts.append(_line(LEFT, y, WIDTH - RIGHT, y, "chance"))
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, height - 3, "step", "middle", "small"))
    for place, arm in enumerate(arms):
        mean = _mean_curve(arm)
        colour, dash = COLOURS[place % len(COLOURS)], DASHES[place // 2 % len(DASHES)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (point(s, v) for s, v in mean))
        dashes = f' stroke-dasharray="{dash}"' if dash else ""
        parts.append(
            f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dashes}/>'
        )
        parts += [_dot(*point(s, v), colour) for s, v in mean]
        y = top + 14 + 22 * place
        parts.append(
            f'<line x1="8" x2="40" y1="{y}" y2="{y}" stroke="{colour}" stroke-width="2"{dashes}/>'
        )
        parts.append(_text(46, y + 4, arm.name, "start", "name"))
    return _svg(max(height, top + 24 + 22 * len(arms)), "Accuracy by step, mean over seeds", parts)


def _mean_curve(arm: ArmResult) -> list[tuple[int, float]]:
    """Steps that every seed of the arm has, with their mean."""
    common = set.intersection(*(set(curve) for curve in arm.curves.values()))
    count = len(arm.curves)
    return [
        (step, math.fsum(curve[step] for curve in arm.curves.values()) / count)
        for step in sorted(common)
    ]


def _reach(one: ClaimResult) -> Iterator[float]:
    assert one.compared is not None
    yield from one.compared.differences.values()
    shown = one.compared.interval
    yield from (value for value in (shown.mean, shown.low, shown.high) if value is not None)


def _ticks(low: float, high: float) -> list[float]:
    """Round values inside a range, zero among them."""
    step = 10.0 ** math.floor(math.log10(high - low))
    while (high - low) / step < 4:
        step /= 2
    return [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _row(
    y: float, name: str, values: Sequence[float], arm: ArmResult, low: float, high: float
) -> Iterator[str]:
    yield _text(LEFT - 12, y + 4, name, "end", "name")
    for value in values:
        yield _dot(_x(value, low, high), y, COLOURS[0])
    shown = arm.over_seeds
    if shown is not None:
        yield from _bar(shown.mean, shown.low, shown.high, y, low, high, COLOURS[0])


def _bar(
    mean: float, low: float | None, high: float | None, y: float, least: float, most: float,
    colour: str,
) -> Iterator[str]:  # fmt: skip
    if low is not None and high is not None:
        a, b = (_x(min(max(v, least), most), least, most) for v in (low, high))
        yield (
            f'<line x1="{a:.1f}" x2="{b:.1f}" y1="{y + 9:.1f}" y2="{y + 9:.1f}" '
            f'stroke="{colour}" stroke-width="3"/>'
        )
    x = _x(mean, least, most)
    yield f'<path d="M{x:.1f} {y + 3:.1f} l5 6 l-5 6 l-5 -6 z" fill="{colour}"/>'


def _axis(low: float, high: float, height: float, ticks: Sequence[float]) -> Iterator[str]:
    for value in ticks:
        x = _x(value, low, high)
        yield _line(x, 20, x, height - 30, "grid")
        yield _text(x, height - 12, f"{value:.3g}", "middle", "small")


def _x(value: float, low: float, high: float) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (value - low) / (high - low)


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"/>'


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}" fill-opacity="0.55"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'
    )


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
