"""Which topics the documents cover, beside a reference, and how often each group is shown."""

from pipeline.report import charts, figures
from pipeline.report.content import Coverage, GroupRow, Limits
from pipeline.report.markup import Child, Html, tag
from pipeline.report.tables import number, table

GAPS = 3  # named in words


def words(found: Coverage) -> list[str]:
    """What the table says, in sentences."""
    said = [
        f"Documents to train on by {found.by}; weights are {found.method} over "
        f"{figures.hours(found.budget_seconds, 2)} h, of which they show "
        f"{figures.hours(found.shown_seconds, 2)} h."
    ]
    if found.js is not None and found.kl is not None:
        said.append(
            f"Against {figures.count(found.reference_texts)} texts of the reference (shares by "
            f"words, ours by seconds, {found.smoothing:g} added to each): Jensen-Shannon "
            f"divergence {found.js:.3f} bits, KL(reference || documents) {found.kl:.3f} bits."
        )
        missing = [row for row in found.rows if row.gap is not None and row.gap > 0 and row.name]
        if missing:
            gaps = ", ".join(
                f"{row.name} ({100 * (row.gap or 0):.1f} points)" for row in missing[:GAPS]
            )
            said.append(f"The largest gaps: {gaps}.")
    if found.smoke:
        said.append(
            "Smoke-quality labels: a few hundred words decide them. Name a classifier in the "
            "recipe before acting on these shares."
        )
    return said


def tables_of(found: Coverage, limits: Limits) -> list[Child]:
    """The section's children."""
    compared = found.js is not None
    head = [("", "Group"), ("number", "Documents"), ("number", "Hours"), ("number", "Share")]
    head += [("number", "Reference"), ("number", "Gap")] if compared else []
    head += [("number", "Epochs"), ("barred", "")]
    shown = found.rows[: limits.share_rows]
    said = [tag("p", one) for one in words(found)]
    rest = len(found.rows) - len(shown)
    note = tag("p", f"{rest} more are in coverage.json", class_="quiet small") if rest else None
    body = [_row(row, compared) for row in shown]
    return [*said, table(head, body, label=f"Coverage by {found.by}"), note]


def _row(row: GroupRow, compared: bool) -> Html:
    reference = 0.0 if row.reference is None else row.reference
    more = [
        number(f"{100 * reference:.1f} %"),
        number(f"{100 * (row.gap or 0.0):+.1f}"),
    ]
    return tag(
        "tr",
        tag("th", row.name or "no label", scope="row"),
        number(figures.count(row.documents)),
        number(figures.hours(row.seconds, 2)),
        number(f"{100 * row.share:.1f} %"),
        *(more if compared else []),
        number(f"{row.epochs:.3f}"),
        tag("td", charts.bar([(0, row.share, "plain")]), class_="barred"),
    )
