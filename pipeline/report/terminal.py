"""The end of a run in the terminal: the funnel in items and hours, by step and reason.

Plain text of at most `COLUMNS`, no colours, no cursor movement; names from data cannot drive the
terminal because control characters are removed.
"""

from pipeline.report import clean, figures
from pipeline.report.content import DropCount, FunnelRow, RunSummary
from pipeline.report.tables import unexplained

COLUMNS = 100
NAME, ITEMS, NOUN, HOURS = 30, 12, 12, 11  # widths; what is left holds the meaning of a reason


def render_funnel(run: RunSummary) -> str:
    """The funnel, the totals and what to be warned of, as lines of at most `COLUMNS` columns."""
    t = run.totals
    most = max([s for r in run.funnel for s in (r.seconds_in, r.seconds_out) if s] + [0.0])
    places = figures.hour_places(most)
    lines = [
        f"{run.name}: {figures.count(t.recordings)} recordings, "
        f"{figures.hours(t.recorded_seconds, places)} h in{figures.pages(t)}; "
        f"{figures.count(t.documents)} documents, "
        f"{figures.hours(t.document_seconds, places)} h out",
        "",
        _row("step", "items in", "", "items out", "", "hours in", "hours out"),
    ]
    group = None
    for row in run.funnel:
        if (row.phase, row.stream) != group:
            group = (row.phase, row.stream)
            lines.append(f"{row.phase} ({row.stream})" if row.stream else row.phase)
        lines.extend(_step(row, places))
    lines.append("")
    for row in run.funnel:
        chunks = row.items_in - sum(drop.items for drop in row.drops)
        if row.step == "interleave" and chunks > 0 and row.seconds_out:
            of = f" of {row.stream}" if row.stream else ""
            mean = row.seconds_out / chunks
            lines.append(f"fine chunks{of}: {figures.count(chunks)}, {mean:.1f} s on average")
    broken = unexplained(run.funnel)
    if broken:
        lines.extend(
            f"UNEXPLAINED: {row.phase} {row.step} lost {row.unexplained:.4f} s without a reason"
            for row in broken
        )
    else:
        lines.append("every second is accounted for: in = out + dropped at every step")
    smoke = run.smoke()
    if smoke is not None:
        lines.append(
            f"warning: the text of {figures.count(smoke.items)} clips is smoke quality: "
            "do not train or evaluate on it"
        )
    lines.extend(f"note: {notice}" for notice in run.notices)
    plain = (clean.line(text).replace(figures.NARROW, " ").rstrip() for text in lines)
    return "\n".join(clean.cut(text, COLUMNS) for text in plain) + "\n"


def _step(row: FunnelRow, places: int) -> list[str]:
    lines = [
        _row(
            f"  {row.step}",
            figures.count(row.items_in),
            row.noun_in,
            figures.count(row.items_out),
            row.noun_out,
            figures.hours(row.seconds_in, places),
            figures.hours(row.seconds_out, places),
        )
    ]
    lines.extend(_drop(drop, places) for drop in row.drops)
    return lines


def _drop(drop: DropCount, places: int) -> str:
    """A reason below its step: what left stands in the columns of what came in, less."""
    return _row(
        f"    {drop.reason}",
        "",
        "",
        f"-{figures.count(drop.items)}" if drop.items else "0",
        "",
        "",
        f"-{figures.hours(drop.seconds, places)}" if drop.seconds else "0",
    )


def _row(
    name: str, items_in: str, noun_in: str, items_out: str, noun_out: str, h_in: str, h_out: str
) -> str:
    cells = (
        (name, NAME, False),
        (items_in, ITEMS, True),
        (noun_in, NOUN, False),
        (items_out, ITEMS, True),
        (noun_out, NOUN, False),
        (h_in, HOURS, True),
        (h_out, HOURS, True),
    )
    return "".join(
        clean.pad(clean.cut(clean.line(text), width - (0 if right else 1)), width - 1, right) + " "
        for text, width, right in cells
    )
