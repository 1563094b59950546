"""Plots of a study of budgets as SVG: readable without a script, a network or colour alone.

Budgets differ in colour and in dash; every plot has its numbers in a table beside it.
"""

import math
from collections.abc import Iterator, Sequence
from html import escape

from trainer.ablation.plots import COLOURS, DASHES
from trainer.budget.isoflop import Power, Valley
from trainer.budget.parametric import Fitted

WIDTH, HEIGHT = 760, 380
LEFT, RIGHT, TOP, BOTTOM = 70, 190, 20, 44
STEPS = 60  # of a drawn curve


class Axes:
    """From values to places. A logarithmic axis takes values above 0."""

    def __init__(self, x: Sequence[float], y: Sequence[float], log_y: bool = False) -> None:
        self._log_y = log_y
        self.x = _stretched([math.log(one) for one in x])
        self.y = _stretched([math.log(one) for one in y] if log_y else list(y))

    def at(self, x: float, y: float) -> tuple[float, float]:
        value = math.log(y) if self._log_y else y
        across = (math.log(x) - self.x[0]) / (self.x[1] - self.x[0])
        up = (value - self.y[0]) / (self.y[1] - self.y[0])
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * across,
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * up,
        )

    def frame(self, x_name: str, y_name: str) -> Iterator[str]:
        """Grid lines with their values, and what the axes are."""
        bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        for value in _decades(*self.x):
            place = self.at(value, math.exp(self.y[0]) if self._log_y else self.y[0])[0]
            yield _line(place, TOP, place, bottom, "grid")
            yield _text(place, bottom + 16, f"{value:.3g}", "middle", "small")
        values = _decades(*self.y) if self._log_y else _even(*self.y)
        for value in values:
            place = self.at(math.exp(self.x[0]), value)[1]
            yield _line(LEFT, place, right, place, "grid")
            yield _text(LEFT - 6, place + 4, f"{value:.4g}", "end", "small")
        yield _text((LEFT + right) / 2, HEIGHT - 8, x_name, "middle", "small")
        yield _text(LEFT, 12, y_name, "start", "small")


def curves(valleys: Sequence[Valley]) -> str:
    """Loss over size at each budget: runs, the fitted parabola, and the optimum where one is."""
    points = [point for one in valleys for point in (*one.points, *one.beyond)]
    axes = Axes([p.parameters for p in points], [p.loss for p in points])
    parts = list(axes.frame("parameters", "held-out loss (nats)"))
    for place, one in enumerate(valleys):
        colour, dash = COLOURS[place % len(COLOURS)], DASHES[place % len(DASHES)]
        sizes = sorted({point.parameters for point in one.points})
        if one.coefficients[0]:
            drawn = [
                sizes[0] * (sizes[-1] / sizes[0]) ** (step / STEPS) for step in range(STEPS + 1)
            ]
            parts.append(_path([axes.at(n, one.at(n)) for n in drawn], colour, dash))
        for point in (*one.points, *one.beyond):
            parts.append(_dot(*axes.at(point.parameters, point.loss), colour))
        if one.size is not None and one.loss is not None:
            parts.append(_mark(*axes.at(one.size, one.loss), colour))
        told = "" if one.size is not None else ", not found"
        parts += _legend(place, f"{one.budget:.3g} FLOPs{told}", colour, dash)
    return _svg("Loss over size at each budget", parts)


def optima(valleys: Sequence[Valley], law: Power | None) -> str:
    """The optimal size of each budget with its interval, and the power law through them."""
    own = [one for one in valleys if one.size is not None]
    if not own:
        return ""
    ends = [v for one in own for v in (one.interval.low, one.size, one.interval.high) if v]
    axes = Axes([one.budget for one in own], ends, log_y=True)
    parts = list(axes.frame("budget (FLOPs)", "optimal size (parameters)"))
    for one in own:
        assert one.size is not None
        low, high = one.interval.low, one.interval.high
        if low is not None and high is not None:
            a, b = axes.at(one.budget, low), axes.at(one.budget, high)
            parts.append(_line(*a, *b, "bar"))
        parts.append(_mark(*axes.at(one.budget, one.size), COLOURS[0]))
    if law is not None:
        line = [axes.at(budget, law.at(budget)) for budget in (law.first, law.last)]
        parts.append(_path(line, COLOURS[1], DASHES[1]))
        parts += _legend(0, f"C^{law.exponent:.3f} {law.interval.shown('.3f')}", COLOURS[1], "")
    return _svg("Optimal size over budget", parts)


def predictions(fitted: Fitted) -> str:
    """The law's loss beside the measured one, for each run: on the line where it is right."""
    pairs = [(p.loss, fitted.law.loss(p.parameters, p.positions, p.unique)) for p in fitted.points]
    every = [value for pair in pairs for value in pair]
    axes = Axes(every, every)
    parts = list(axes.frame("measured loss (nats)", "loss of the law"))
    low, high = min(every), max(every)
    parts.append(_path([axes.at(low, low), axes.at(high, high)], COLOURS[6], DASHES[1]))
    parts += [_dot(*axes.at(*pair), COLOURS[0]) for pair in pairs]
    return _svg("The law beside the runs", parts)


def _stretched(values: list[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or 0.5
    return low - room, high + room


def _decades(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between two logarithms; fewer where there are many."""
    found = [
        factor * 10.0**power
        for power in range(math.floor(low / math.log(10)), math.ceil(high / math.log(10)) + 1)
        for factor in (1, 2, 5)
    ]
    inside = [one for one in found if low <= math.log(one) <= high]
    if len(inside) > 8:
        inside = [one for one in inside if f"{one:.0e}".startswith("1")]
    return inside or [math.exp((low + high) / 2)]


def _even(low: float, high: float) -> list[float]:
    step = 10.0 ** math.floor(math.log10(high - low))
    while (high - low) / step < 4:
        step /= 2
    return [step * n for n in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _legend(place: int, text: str, colour: str, dash: str) -> Iterator[str]:
    y = TOP + 14 + 20 * place
    x = WIDTH - RIGHT + 12
    yield _path([(x, y), (x + 26, y)], colour, dash)
    yield _text(x + 32, y + 4, text, "start", "small")


def _path(points: Sequence[tuple[float, float]], colour: str, dash: str) -> str:
    spelt = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<polyline points="{spelt}" fill="none" stroke="{colour}" stroke-width="1.6"{dashes}/>'


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    style = f' stroke="{COLOURS[0]}" stroke-width="3"' if kind == "bar" else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{kind}"{style}/>'


def _dot(x: float, y: float, colour: str) -> str:
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.4" fill="{colour}" fill-opacity="0.6"/>'


def _mark(x: float, y: float, colour: str) -> str:
    return f'<path d="M{x:.1f} {y - 7:.1f} l6 7 l-6 7 l-6 -7 z" fill="{colour}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{escape(text)}</text>'
    )


def _svg(title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
