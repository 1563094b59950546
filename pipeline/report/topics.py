"""What the streams are about, side by side: web audio against what was spoken from pages."""

from pipeline.report import charts, figures
from pipeline.report.content import Limits, StreamTopics
from pipeline.report.markup import Child, Html, tag
from pipeline.report.tables import number, table

MISSING = 0.005  # of a stream: less is as good as nothing


def words(streams: tuple[StreamTopics, ...]) -> list[str]:
    """What the table says, in sentences: what one stream has hardly anything of."""
    said = [
        "Documents by the topic of most of their speech, as shares of their stream in seconds; of "
        "text alone, in what saying it would take."
    ]
    first, *others = streams
    has = {share.name: share.seconds for share in first.topics}
    filled = sorted(
        {
            share.name
            for other in others
            for share in other.topics
            if share.name
            and share.seconds > MISSING * other.seconds
            and has.get(share.name, 0.0) <= MISSING * first.seconds
        }
    )
    if filled:
        said.append(f"The other streams bring what {first.stream} hardly has: {', '.join(filled)}.")
    return said


def tables_of(streams: tuple[StreamTopics, ...], limits: Limits) -> list[Child]:
    """The section's children."""
    totals: dict[str, float] = {}
    for stream in streams:
        for share in stream.topics:
            part = share.seconds / stream.seconds if stream.seconds else 0.0
            totals[share.name] = totals.get(share.name, 0.0) + part
    names = sorted(totals, key=lambda name: (-totals[name], name))
    head = [("", "Topic")]
    for stream in streams:
        head += [("number", stream.stream), ("barred", "")]
    body = [_row(name, streams) for name in names[: limits.share_rows]]
    rest = len(names) - len(body)
    note = tag("p", f"{rest} more topics are rarer", class_="quiet small") if rest > 0 else None
    return [
        *(tag("p", one) for one in words(streams)),
        table(head, body, label="Topics by stream"),
        note,
    ]


def _row(name: str, streams: tuple[StreamTopics, ...]) -> Html:
    cells = []
    for stream in streams:
        seconds = sum(share.seconds for share in stream.topics if share.name == name)
        part = seconds / stream.seconds if stream.seconds else 0.0
        cells.append(number(figures.share(seconds, stream.seconds)))
        cells.append(tag("td", charts.bar([(0, part, "plain")]), class_="barred"))
    return tag("tr", tag("th", name or "no label", scope="row"), *cells)
