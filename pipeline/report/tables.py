"""The report's tables: the funnel with its waterfall bars, shares, shards, versions."""

from collections.abc import Sequence
from itertools import groupby

from pipeline.report import charts, figures
from pipeline.report.content import FunnelRow, RunSummary, ShardRow, Share
from pipeline.report.markup import Child, Html, join, tag

TOLERANCE = 0.0005  # seconds: sums of times on the sample grid differ by rounding alone


def table(
    head: Sequence[tuple[str, str]], rows: Sequence[Html], **parts: Html | str | None
) -> Html:
    """A table in a box that scrolls sideways: `head` is (class, words) per column."""
    caption = parts.get("caption")
    foot = parts.get("foot")
    return tag(
        "div",
        tag(
            "table",
            tag("caption", caption) if caption else None,
            tag(
                "thead", tag("tr", *(tag("th", w, scope="col", class_=c or None) for c, w in head))
            ),
            tag("tbody", *rows),
            tag("tfoot", foot) if foot else None,
            class_=str(parts["class_"]) if parts.get("class_") else None,
        ),
        class_="scroll",
        role="region",
        aria_label=str(parts.get("label") or caption or "table"),
        tabindex=0,
    )


def number(text: Child, title: str | None = None, wide: bool = False) -> Html:
    """A right-aligned cell; a `wide` one is left out on narrow screens."""
    return tag("td", text, class_="number wide" if wide else "number", title=title)


def funnel(run: RunSummary) -> Html:
    """Every step in order with what came in, went out and left, in items and in hours."""
    rows = run.funnel
    most_items = max([r.items_in for r in rows] + [r.items_out for r in rows] + [1])
    most_seconds = max([s for r in rows for s in (r.seconds_in, r.seconds_out) if s] + [0.0])
    places = figures.hour_places(most_seconds)
    head = [
        ("", "Step, and reason of each loss"),
        ("number wide", "Items in"),
        ("number", "Items out"),
        ("barred wide", "Items"),
        ("number wide", "Hours in"),
        ("number", "Hours out"),
        ("barred", "Hours"),
    ]
    body: list[Html] = []
    for (stream, phase), steps in groupby(rows, key=lambda row: (row.stream, row.phase)):
        title = f"{phase} · stream {stream}" if stream else phase
        body.append(tag("tr", tag("th", title, colspan=7, scope="rowgroup"), class_="phase"))
        for row in steps:
            body.extend(_step(row, most_items, most_seconds or 1.0, places))
    return table(head, body, class_="funnel", label="Funnel by step and reason")


def _step(row: FunnelRow, most_items: int, most_seconds: float, places: int) -> list[Html]:
    out = [
        tag(
            "tr",
            tag("th", row.step, scope="row"),
            number(_items(row.items_in, row.noun_in), wide=True),
            number(_items(row.items_out, row.noun_out)),
            tag("td", charts.bar([(0, row.items_out / most_items, "kept")]), class_="barred wide"),
            number(figures.hours(row.seconds_in, places), _exact(row.seconds_in), wide=True),
            number(figures.hours(row.seconds_out, places), _exact(row.seconds_out)),
            tag("td", _hours_bar(row, most_seconds), class_="barred"),
            class_="step" if row.drops else "step end",
        )
    ]
    at = row.seconds_out or 0.0
    for place, drop in enumerate(row.drops):
        out.append(
            tag(
                "tr",
                tag(
                    "th",
                    tag("code", drop.reason),
                    tag("span", drop.meaning, class_="meaning") if drop.meaning else None,
                    scope="row",
                ),
                number(None, wide=True),
                number(figures.MINUS + figures.count(drop.items) if drop.items else "0"),
                tag("td", charts.bar([(0, drop.items / most_items, "lost")]), class_="barred wide"),
                number(None, wide=True),
                number(
                    (figures.MINUS if drop.seconds else "") + figures.hours(drop.seconds, places),
                    _exact(drop.seconds),
                ),
                tag(
                    "td",
                    charts.bar([(at / most_seconds, drop.seconds / most_seconds, "lost")]),
                    class_="barred",
                ),
                class_="reason end" if place == len(row.drops) - 1 else "reason",
            )
        )
        at += drop.seconds
    return out


def _hours_bar(row: FunnelRow, most: float) -> Html:
    kept = (row.seconds_out or 0.0) / most
    lost = sum(drop.seconds for drop in row.drops) / most
    return charts.bar([(0, kept, "kept"), (kept, lost, "lost")])


def _items(items: int, noun: str) -> Html:
    return join([figures.count(items), " ", tag("small", noun)])


def _exact(seconds: float | None) -> str | None:
    return None if seconds is None else f"{seconds:.3f} s"


def unexplained(rows: Sequence[FunnelRow]) -> list[FunnelRow]:
    """The steps whose seconds do not add up: a broken law, never a rounding."""
    return [
        row
        for row in rows
        if row.unexplained is not None
        and abs(row.unexplained) > TOLERANCE + 1e-9 * (row.seconds_in or 0.0)
    ]


def shares(title: str, noun: str, entries: Sequence[Share], most_rows: int) -> Html | None:
    """Shares of the kept audio, largest first; the tail summed into one row."""
    if not entries:
        return None
    ranked = sorted(entries, key=lambda s: (-s.seconds, -s.items, s.name))
    whole, items = sum(s.seconds for s in ranked), sum(s.items for s in ranked)
    shown = ranked if len(ranked) <= most_rows else ranked[: most_rows - 1]
    rest = ranked[len(shown) :]
    if rest:
        name = f"{figures.count(len(rest))} more"
        shown = [
            *shown,
            Share(
                name=name, items=sum(s.items for s in rest), seconds=sum(s.seconds for s in rest)
            ),
        ]
    places = figures.hour_places(whole)
    rows = [
        tag(
            "tr",
            tag("th", entry.name or "not given", scope="row"),
            number(figures.count(entry.items)),
            number(figures.hours(entry.seconds, places), _exact(entry.seconds)),
            number(figures.share(entry.seconds, whole)),
            tag(
                "td",
                charts.bar([(0, entry.seconds / whole if whole else 0, "plain")]),
                class_="barred",
            ),
        )
        for entry in shown
    ]
    foot = tag(
        "tr",
        tag("th", "all", scope="row"),
        number(figures.count(items)),
        number(figures.hours(whole, places), _exact(whole)),
        number(figures.share(whole, whole)),
        tag("td"),
    )
    head = [("", noun), ("number", "Clips"), ("number", "Hours"), ("number", "Share")]
    return table([*head, ("barred", "")], rows, caption=title, foot=foot)


def shards(rows: Sequence[ShardRow], most_rows: int) -> Html:
    """One line per shard; past `most_rows` the manifest is the place to look."""
    places = figures.hour_places(max((row.seconds for row in rows), default=0.0))
    head = [
        ("", "Shard"),
        ("", "Stream"),
        ("", "Split"),
        ("number", "Documents"),
        ("number", "Hours"),
        ("number", "Size"),
        ("", "sha256"),
    ]
    body = [
        tag(
            "tr",
            tag("th", tag("code", row.path), scope="row"),
            tag("td", row.stream),
            tag("td", row.split),
            number(figures.count(row.documents)),
            number(figures.hours(row.seconds, places), _exact(row.seconds)),
            number(figures.size(row.size)),
            tag("td", tag("code", row.sha256[:16] + "…", title=row.sha256)),
        )
        for row in rows[:most_rows]
    ]
    foot = tag(
        "tr",
        tag("th", f"all {figures.count(len(rows))} shards", scope="row", colspan=3),
        number(figures.count(sum(row.documents for row in rows))),
        number(figures.hours(sum(row.seconds for row in rows), places)),
        number(figures.size(sum(row.size for row in rows))),
        tag("td"),
    )
    return table(head, body, foot=foot, label="Shards")


def pairs(rows: Sequence[tuple[str, str]], heads: tuple[str, str]) -> Html:
    """A table of names and values."""
    return table(
        [("", heads[0]), ("", heads[1])],
        [tag("tr", tag("th", name, scope="row"), tag("td", tag("code", v))) for name, v in rows],
        label=heads[0],
    )
