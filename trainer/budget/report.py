"""A study of budgets as a page, as Markdown and as JSON: curves, laws, how to spend what.

Everything is worked out anew from the points, so a table of another trainer's runs gives the same.
"""

import dataclasses
import functools
import json
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

from trainer.ablate import put_text
from trainer.ablation.page import CSS, POLICY
from trainer.budget.intervals import Interval, percentiles
from trainer.budget.isoflop import Power, Valley, power_law, summary, valleys
from trainer.budget.parametric import Fitted, fit
from trainer.budget.plots import curves, optima, predictions
from trainer.budget.points import Point
from trainer.budget.recommend import RISE, Recommendation, recommend
from trainer.failures import SetupError

PAGE, TABLE, JSON = "budget.html", "budget.md", "budget.json"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """What points of runs say."""

    valleys: tuple[Valley, ...]
    power: Power | None
    fitted: Fitted | None
    unfitted: str  # why there is no law of both; "" where there is
    recommended: tuple[Recommendation, ...]


def answers(
    points: Sequence[Point],
    *,
    budgets: Sequence[float] = (),
    resamples: int = 1000,
    level: float = 0.95,
    rise: float = RISE,
    hours_per_position: float | None = None,
    extrapolate: bool = False,
) -> Answers:
    """Fit everything. `budgets`: what to recommend for; none: each that was run.

    Curves are of runs that read their data once, where such were made beside others. Raises
    `SetupError` for a budget outside those that were run, unless `extrapolate`.
    """
    once = [one for one in points if one.unique >= 0.98 * most_unique(points, one)]
    curve = valleys(once, resamples=resamples, level=level)
    fitted, why = None, ""
    try:
        fitted = fit(points, resamples=max(resamples // 5, 20))
    except SetupError as error:
        why = str(error)
    found: list[Recommendation] = []
    if fitted is not None:
        ask = functools.partial(recommend, fitted, level=level, rise=rise, extrapolate=extrapolate)
        for budget in budgets or sorted({one.budget for one in points}):
            found.append(ask(budget, hours_per_position=hours_per_position))
    return Answers(
        valleys=curve,
        power=power_law(curve, resamples=resamples, level=level),
        fitted=fitted,
        unfitted=why,
        recommended=tuple(found),
    )


def most_unique(points: Sequence[Point], one: Point) -> float:
    """Most unique positions that a run of the same budget and size had."""
    return max(
        other.unique
        for other in points
        if (other.budget, other.parameters) == (one.budget, one.parameters)
    )


def written(found: Answers, out: Path, name: str) -> Path:
    """Write the page, the table and the JSON into OUT."""
    out.mkdir(parents=True, exist_ok=True)
    put_text(out / JSON, json.dumps(as_json(found), indent=1, sort_keys=True) + "\n")
    put_text(out / TABLE, f"# {name}\n\n{markdown(found)}")
    put_text(out / PAGE, page(found, name))
    return out / PAGE


def as_json(found: Answers) -> dict[str, Any]:
    fitted = found.fitted
    return {
        "isoflop": summary(found.valleys, found.power),
        "law": None
        if fitted is None
        else {
            **dataclasses.asdict(fitted.law),
            "intervals": {n: dataclasses.asdict(i) for n, i in _of_law(fitted).items()},
            "worst_residual": fitted.worst,
            "not_determined": list(fitted.at_bounds),
        },
        "no_law": found.unfitted or None,
        "recommended": [dataclasses.asdict(one) for one in found.recommended],
    }


def markdown(found: Answers) -> str:
    """All tables, in plain form."""
    return "\n".join(_markdown(found)) + "\n"


VALLEY_HEAD = ("budget (FLOPs)", "runs", "optimal size", "interval", "loss there", "found in")
LAW_HEAD = ("number", "value", "interval")
ADVICE_HEAD = (
    "budget (FLOPs)", "size", "interval", "positions", "unique", "interval", "hours", "passes",
    "interval", "loss", "remarks",
)  # fmt: skip


def valley_rows(found: Answers) -> list[list[str]]:
    return [
        [
            f"{one.budget:.3g}",
            str(len(one.points)),
            one.why or f"{one.size:.4g}",
            one.interval.shown(),
            "-" if one.loss is None else f"{one.loss:.4f}",
            f"{one.interval.found:.0%} of resamples",
        ]
        for one in found.valleys
    ]


def law_rows(found: Answers) -> list[list[str]]:
    if found.fitted is None:
        return []
    law, intervals = found.fitted.law, _of_law(found.fitted)
    return [
        [name, f"{value:.4g}", intervals[name].shown()]
        for name, value in dataclasses.asdict(law).items()
        if value is not None
    ]


def advice_rows(found: Answers) -> list[list[str]]:
    rows = []
    for one in found.recommended:
        remarks = []
        if one.extrapolated:
            remarks.append("EXTRAPOLATED: no run had this budget")
        if not one.repeats_known:
            remarks.append("no run repeated data: read once")
        if not one.found:
            rows.append([f"{one.budget:.3g}", one.why, one.size_interval.shown(), *["-"] * 7])
            rows[-1].append("; ".join(remarks))
            continue
        rows.append(
            [
                f"{one.budget:.3g}",
                f"{one.size:.4g}",
                one.size_interval.shown(),
                f"{one.positions:.4g}",
                f"{one.unique:.4g}",
                one.unique_interval.shown(),
                _hours(one),
                f"{one.passes:.3g}",
                one.passes_interval.shown(),
                f"{one.loss:.4f}",
                "; ".join(remarks),
            ]
        )
    return rows


def _hours(one: Recommendation) -> str:
    if one.hours is None or one.hours_interval is None:
        return "-"
    return f"{one.hours:.3g} {one.hours_interval.shown()}"


def notes(found: Answers) -> list[str]:
    lines = [
        "An optimum counts only where runs enclose it; at the edge of the grid it was not found.",
        "Intervals are by bootstrap: of residuals for curves, of runs for the law. An end that is "
        "open lies beyond the grid. They do not hold what other seeds, other data or other "
        "learning rates would change where the grid has one of each.",
    ]
    if found.power is not None:
        one = found.power
        lines.append(
            f"Optimal size = {one.scale:.4g} x FLOPs^{one.exponent:.3f}, exponent "
            f"{one.interval.shown('.3f')}, between {one.first:.3g} and {one.last:.3g} FLOPs."
        )
    else:
        lines.append("No power law: it needs three budgets with an optimum inside the grid.")
    if found.fitted is not None:
        lines.append(f"Largest residual of the law: {found.fitted.worst:.2%} of a run's loss.")
        if found.fitted.at_bounds:
            lines.append(f"The runs do not determine {', '.join(found.fitted.at_bounds)}.")
    if found.unfitted:
        lines.append(f"No law L(N, D): {found.unfitted}.")
    return lines


def _of_law(fitted: Fitted) -> dict[str, Interval]:
    names = [name for name, value in dataclasses.asdict(fitted.law).items() if value is not None]
    found = {}
    for name in names:
        values = [getattr(one, name) for one in fitted.resampled]
        found[name] = percentiles([v for v in values if v is not None], 0.95)
    return found


def _markdown(found: Answers) -> Iterator[str]:
    tables = (
        ("IsoFLOP curves", VALLEY_HEAD, valley_rows(found)),
        ("L(N, D) = E + A / N^alpha + B / D^beta", LAW_HEAD, law_rows(found)),
        ("How to spend a budget", ADVICE_HEAD, advice_rows(found)),
    )
    for title, head, rows in tables:
        if rows:
            yield f"## {title}\n"
            yield f"| {' | '.join(head)} |\n|{'---|' * len(head)}"
            yield from (f"| {' | '.join(row)} |" for row in rows)
            yield ""
    yield from (f"- {line}" for line in notes(found))


def page(found: Answers, name: str) -> str:
    """One HTML file without a network, a script or another file."""
    body = [
        f"<h1>{escape(name)}</h1>",
        "<h2>How to spend a budget</h2>",
        _table(ADVICE_HEAD, advice_rows(found)),
        "<h2>Loss over size</h2>",
        curves(found.valleys) if found.valleys else "",
        _table(VALLEY_HEAD, valley_rows(found)),
        "<h2>Optimal size</h2>",
        optima(found.valleys, found.power) or "<p>No budget has an optimum inside the grid.</p>",
        "<h2>L(N, D) = E + A / N<sup>alpha</sup> + B / D<sup>beta</sup></h2>",
        predictions(found.fitted) if found.fitted is not None else "",
        _table(LAW_HEAD, law_rows(found)),
        "<h2>How to read this</h2>",
        f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in notes(found))}</ul>",
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(name)}</title><style>{CSS}</style></head><body><main>\n"
        + "\n".join(part for part in body if part)
        + "\n</main></body></html>\n"
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    if not rows:
        return ""
    top = "".join(f"<th>{escape(one)}</th>" for one in head)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return (
        f'<div class="wide"><table><thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'
    )
