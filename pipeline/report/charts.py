"""Charts as inline SVG: share bars, waterfall bars, histograms with their thresholds, strips.

No script, no image: numbers become rectangles. Lengths are percentages or units of a fixed view
box, written with fixed decimals so that equal data are equal bytes. Colours come from classes, so
light, dark and print share one drawing.
"""

from collections.abc import Sequence
from itertools import pairwise

from pipeline.report import figures
from pipeline.report.content import DocumentCard, Histogram, Threshold
from pipeline.report.histogram import ticks
from pipeline.report.markup import Html, join, tag

LEAST = 0.8  # percent: what is not nothing is seen

Bar = tuple[float, float, str]  # start and length as shares of the whole, class


def bar(parts: Sequence[Bar], class_: str = "bar") -> Html:
    """A horizontal bar for a table cell; hidden from screen readers, the cells hold the numbers."""
    return tag(
        "svg",
        *(
            tag(
                "rect",
                class_=colour,
                x=f"{min(100 * start, 100 - LEAST):.2f}%",
                y=0,
                width=f"{max(100 * length, LEAST):.2f}%",
                height="100%",
            )
            for start, length, colour in parts
            if length > 0
        ),
        class_=class_,
        aria_hidden="true",
        focusable="false",
    )


def strip(card: DocumentCard) -> Html:
    """A document's chunks in reading order, coloured by modality; lengths are their seconds.

    Reading order, not time: under `asr` or `tts` one stretch of time is given twice. A document
    without audio is drawn by its characters.
    """
    lengths = [chunk.end - chunk.start for chunk in card.chunks]
    if not any(lengths):
        lengths = [float(len(chunk.text)) for chunk in card.chunks]
    whole, at, parts = sum(lengths) or 1.0, 0.0, []
    for chunk, length in zip(card.chunks, lengths, strict=True):
        parts.append(
            tag(
                "rect",
                class_=f"chunk-{chunk.modality}",
                x=f"{100 * at / whole:.3f}%",
                y=0,
                width=f"{100 * length / whole:.3f}%",
                height="100%",
            )
        )
        at += length
    told = [
        f"{figures.seconds(sum(c.end - c.start for c in card.chunks if c.modality == side))} "
        f"given as {side}"
        for side in ("speech", "text")
    ]
    label = f"{' and '.join(told)}, in {len(card.chunks)} chunks"
    return tag("svg", *parts, class_="strip", role="img", aria_label=label)


# Histogram: a view box of WIDE x HIGH, the drawing inside the margins.
WIDE, HIGH, LEFT, RIGHT, TOP, BOTTOM = 480, 250, 46, 14, 12, 40
LABEL = 17  # height of one threshold's label
OUTSIDE, APART = 16, 8  # the column of values outside the axis, and its distance from it


def histogram(data: Histogram) -> Html:
    """Counts as columns; what lies beyond a threshold in the colour of loss, the line labelled.

    Values outside the axis stand in one column of their own at its end, apart from the others.
    """
    first, last = data.edges[0], data.edges[-1]
    shown = [t for t in data.thresholds if first <= t.value <= last]
    top = TOP + LABEL * len(shown) + (4 if shown else 0)
    base = HIGH - BOTTOM
    start = LEFT + (OUTSIDE + APART if data.low else 0)
    end = WIDE - RIGHT - (OUTSIDE + APART if data.high else 0)
    tallest = max(*data.counts, data.low, data.high, 1)

    def x(value: float) -> float:
        return start + (end - start) * (value - first) / (last - first)

    def y(number: float) -> float:
        return base - (base - top) * number / tallest

    def column(left: float, right: float, number: int, lost: bool) -> Html:
        return tag(
            "rect",
            class_="column lost" if lost else "column",
            x=f"{left + 0.25:.2f}",
            y=f"{min(y(number), base - 1):.2f}",
            width=f"{max(0.5, right - left - 0.5):.2f}",
            height=f"{max(base - y(number), 1):.2f}",
        )

    parts: list[Html] = []
    for tick in [t for t in ticks(0, tallest, 4) if t == round(t)]:
        parts.append(_line(LEFT, y(tick), WIDE - RIGHT, y(tick), "grid"))
        parts.append(_text(LEFT - 6, y(tick) + 4, figures.count(round(tick)), "end"))
    for (left, right), number in zip(pairwise(data.edges), data.counts, strict=True):
        if number:
            for a, b, lost in _split(left, right, data.thresholds):
                parts.append(column(x(a), x(b), number, lost))
    parts.append(_line(start, base, end, base, "axis"))
    for tick in ticks(first, last):
        parts.append(_line(x(tick), base, x(tick), base + 4, "axis"))
        parts.append(_text(x(tick), base + 17, figures.score(tick), "middle"))
    for number, edge, sign, direction, left in (
        (data.low, first, "<", "min", LEFT),
        (data.high, last, ">", "max", WIDE - RIGHT - OUTSIDE),
    ):
        if number:
            lost = any(t.direction == direction and t in shown for t in data.thresholds)
            parts.append(column(left, left + OUTSIDE, number, lost))
            parts.append(_line(left, base, left + OUTSIDE, base, "axis"))
            at = left if direction == "min" else left + OUTSIDE
            label = f"{sign}{figures.NARROW}{figures.score(edge)}"
            parts.append(_text(at, base + 30, label, "start" if direction == "min" else "end"))
    axis = f"{data.name} ({data.unit})" if data.unit else data.name
    parts.append(_text((start + end) / 2, HIGH - 4, axis, "middle", "title"))
    for row, threshold in enumerate(sorted(shown, key=lambda t: (t.value, t.field))):
        parts.extend(_threshold(threshold, data.unit, x(threshold.value), row, base))
    return tag(
        "svg",
        *parts,
        class_="histogram",
        viewBox=f"0 0 {WIDE} {HIGH}",
        role="img",
        aria_label=describe(data),
    )


def describe(data: Histogram) -> str:
    """A histogram in one sentence, for those who do not see it."""
    unit = data.unit
    clips = sum(data.counts) + data.low + data.high
    text = f"Histogram of {data.name}: {figures.count(clips)} clips, drawn from "
    text += f"{figures.score(data.edges[0], unit)} to {figures.score(data.edges[-1], unit)}"
    if data.median is not None:
        text += f", median {figures.score(data.median, unit)}"
    for t in data.thresholds:
        text += f"; {t.field} is {limit(t.direction)} {figures.score(t.value, unit)}"
    return text + "."


def limit(direction: str | None) -> str:
    """A threshold's direction in words."""
    return {"min": "at least", "max": "at most"}.get(direction or "", "limit")


def _threshold(t: Threshold, unit: str, at: float, row: int, base: float) -> list[Html]:
    """The line of a threshold from its label down; labels stand one above the other."""
    high = TOP + LABEL * row
    name = f"{t.field}: {limit(t.direction)} {figures.score(t.value, unit)}"
    left = at > (LEFT + WIDE - RIGHT) / 2
    return [
        _line(at, high - 6, at, base, "threshold"),
        _text(at - 6 if left else at + 6, high + 5, name, "end" if left else "start", "limit"),
    ]


def _split(
    left: float, right: float, thresholds: Sequence[Threshold]
) -> list[tuple[float, float, bool]]:
    """A bin cut at the thresholds that cross it, each piece with whether it lies beyond one."""
    inside = sorted(t.value for t in thresholds if left < t.value < right)
    cuts = [left, *inside, right]
    pieces = []
    for start, end in pairwise(cuts):
        lost = any(end <= t.value if t.direction == "min" else start >= t.value for t in thresholds)
        pieces.append((start, end, lost))
    return pieces


def _line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Html:
    return tag(
        "line", class_=class_, x1=f"{x1:.2f}", y1=f"{y1:.2f}", x2=f"{x2:.2f}", y2=f"{y2:.2f}"
    )


def _text(x: float, y: float, text: str, anchor: str, class_: str = "label") -> Html:
    return tag("text", text, class_=class_, x=f"{x:.2f}", y=f"{y:.2f}", text_anchor=anchor)


def legend(entries: Sequence[tuple[str, str]]) -> Html:
    """(class, words) pairs as a key of coloured squares."""
    return tag(
        "ul",
        *(
            tag("li", tag("span", class_=f"key {colour}", aria_hidden="true"), join([words]))
            for colour, words in entries
        ),
        class_="legend",
    )
