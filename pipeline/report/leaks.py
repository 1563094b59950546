"""What the clips share with evaluation sets: the sets, and the hits of each in context."""

from pipeline.report import figures
from pipeline.report.content import RunSummary, SetHits
from pipeline.report.markup import Child, Html, tag
from pipeline.report.tables import number, table

KINDS = {"ngram": "same words", "fuzzy": "same words with errors", "audio": "same sound"}
ABOUT = (
    "An item is flagged where clips share a run of its words (exact, or with recognition errors) "
    "or its sound. Flagged items are in flagged.jsonl beside the shards: scores with and without "
    "them tell whether a leak mattered. Items without a text that is long enough cannot be found."
)


def tables_of(run: RunSummary) -> list[Child]:
    """The section's children."""
    head = [
        ("", "Set"),
        ("", "Stream"),
        ("number", "Items"),
        ("number", "Too short"),
        ("number", "Flagged"),
        ("number", "Share"),
        ("number", "Clips"),
        ("", "Clips with a hit"),
    ]
    rows = [
        tag(
            "tr",
            tag("th", one.name, scope="row"),
            tag("td", one.stream),
            number(figures.count(one.items)),
            number(figures.count(one.out_of_reach)),
            number(figures.count(one.flagged)),
            number(figures.share(one.flagged, one.items)),
            number(figures.count(one.clips)),
            tag("td", "left" if one.dropped else "stay, noted"),
        )
        for one in run.evaluation_sets
    ]
    most = run.limits.leaks_per_set
    hits = [_hits(one, most) for one in run.evaluation_sets if one.leaks]
    return [tag("p", ABOUT), table(head, rows, label="Evaluation sets"), *hits]


def _hits(one: SetHits, most: int) -> Html:
    shown = one.leaks[:most]
    rows = [
        tag(
            "tr",
            tag("th", leak.item, scope="row"),
            tag("td", KINDS[leak.kind]),
            number(f"{leak.score:g}"),
            number(figures.count(leak.clips)),
            tag("td", leak.context or leak.shared),
            tag("td", tag("code", leak.clip[:12])),
        )
        for leak in shown
    ]
    head = [
        ("", "Item"),
        ("", "How"),
        ("number", "Score"),
        ("number", "Clips"),
        ("", "Strongest, in its context"),
        ("", "Clip"),
    ]
    note = f"{len(shown)} of {figures.count(len(one.leaks))}; contamination.json lists the rest"
    return tag(
        "details",
        tag("summary", tag("h3", f"{one.name} in {one.stream}")),
        tag("p", note, class_="quiet small") if len(shown) < len(one.leaks) else None,
        table(head, rows, label=f"Hits of {one.name}"),
    )
