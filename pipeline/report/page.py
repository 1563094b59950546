"""`index.html`: one file that needs no network, no script and no other file.

Sections in the order in which one asks: how much came out, where the rest went and why, what the
scores look like against the thresholds, who speaks, what was kept, what was lost, what a trainer
will see, and how it was made.
"""

from pipeline.report import cards, charts, coverage, documents, figures, leaks, tables, topics
from pipeline.report.content import RunSummary
from pipeline.report.markup import Child, Html, preformatted, tag
from pipeline.report.style import CSS

POLICY = (
    "default-src 'none'; media-src data:; img-src data:; style-src 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)


def render_html(run: RunSummary) -> str:
    """The whole report as one HTML document; the same summary gives the same text."""
    playing, refused = cards.playable(run)
    sections = [
        _section("funnel", "Where everything went", *_funnel(run)),
        _section("scores", "Scores and thresholds", *_scores(run)) if run.histograms else None,
        _section("shares", "What is in it", *_shares(run)),
        _section("kept", "Kept clips", *_kept(run, playing, refused)) if run.kept else None,
        _section("dropped", "Dropped clips, by reason", *_dropped(run, playing))
        if run.dropped
        else None,
        _section("documents", "Documents and their interleaving", *_documents(run))
        if run.documents
        else None,
        _section("coverage", "Coverage and weights", *coverage.tables_of(run.coverage, run.limits))
        if run.coverage
        else None,
        _section("topics", "Topics by stream", *topics.tables_of(run.topics, run.limits))
        if len(run.topics) > 1
        else None,
        _section("leaks", "Evaluation sets", *leaks.tables_of(run))
        if run.evaluation_sets
        else None,
        _section("made", "How it was made", *_made(run)),
    ]
    shown = [section for section in sections if section is not None]
    page = tag(
        "html",
        tag(
            "head",
            tag("meta", charset="utf-8"),
            tag("meta", http_equiv="Content-Security-Policy", content=POLICY),
            tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
            tag("meta", name="referrer", content="no-referrer"),
            tag("link", rel="icon", href="data:,"),
            tag("title", f"{run.name}: speechloom report"),
            tag("style", Html(CSS)),
        ),
        tag(
            "body",
            tag("a", "Skip to the funnel", href="#funnel", class_="skip"),
            tag(
                "div",
                _head(run, [(name, title) for name, title, _ in shown]),
                tag("main", *(section for _, _, section in shown)),
                class_="page",
            ),
        ),
        lang="en",
    )
    return "<!doctype html>\n" + page + "\n"


def _section(name: str, title: str, *children: Child) -> tuple[str, str, Html]:
    heading = tag("h2", title, id=f"{name}-title")
    section = tag("section", heading, *children, id=name, aria_labelledby=f"{name}-title")
    return name, title, section


def _head(run: RunSummary, sections: list[tuple[str, str]]) -> Html:
    t = run.totals
    places = figures.hour_places(max(t.recorded_seconds, t.document_seconds))
    kept = t.document_seconds - t.spoken_seconds

    def hours(seconds: float) -> str:
        return figures.hours(seconds, places)

    key: list[tuple[str, str, str]] = [
        ("Recorded audio in", hours(t.recorded_seconds), "h"),
        ("Audio in documents", hours(t.document_seconds), "h"),
        *([("Of it spoken from pages", hours(t.spoken_seconds), "h")] if t.spoken_seconds else []),
        ("Share of recorded audio kept", figures.share(kept, t.recorded_seconds), ""),
        ("Recordings", figures.count(t.recordings), f"of {figures.count(t.sources)} sources"),
        *([("Pages", figures.count(t.pages), "")] if t.pages else []),
        ("Clips kept", figures.count(t.clips), ""),
        ("Documents", figures.count(t.documents), ""),
        ("Speakers", figures.count(t.speakers), ""),
        ("Shards", figures.count(len(run.shards)), figures.size(sum(s.size for s in run.shards))),
    ]
    about = [f"streams: {', '.join(run.streams)}" if run.streams else "", run.device]
    about += [run.created or ""]
    return tag(
        "header",
        tag("p", "speechloom run report", class_="over"),
        tag("h1", run.name),
        tag("p", " · ".join(part for part in about if part), class_="quiet"),
        _smoke(run),
        *(tag("p", notice, class_="notice") for notice in run.notices),
        tag(
            "dl",
            *(
                tag(
                    "div",
                    tag("dt", title),
                    tag("dd", value, tag("small", f" {unit}") if unit else None),
                )
                for title, value, unit in key
            ),
            class_="figures",
        ),
        tag(
            "nav",
            tag("ul", *(tag("li", tag("a", title, href=f"#{n}")) for n, title in sections)),
            aria_label="Sections",
        ),
    )


def smoke_notice(run: RunSummary) -> str | None:
    """What must be known of smoke-quality text, if the run holds any."""
    smoke = run.smoke()
    if smoke is None:
        return None
    whole = sum(share.seconds for share in run.qualities)
    places = figures.hour_places(whole)
    return (
        f"Smoke-quality text: {figures.count(smoke.items)} clips "
        f"({figures.hours(smoke.seconds, places)}{figures.NARROW}h, "
        f"{figures.share(smoke.seconds, whole)} of the kept audio) were transcribed, or written, "
        "by an engine that only proves the pipeline runs. Most of what it heard is wrong: do not "
        "train or evaluate on this text. Choose other engines in the recipe for data that is meant "
        "to be used."
    )


def _smoke(run: RunSummary) -> Html | None:
    notice = smoke_notice(run)
    if notice is None:
        return None
    first, rest = notice.split(": ", 1)
    return tag("p", tag("strong", f"{first}:"), f" {rest}", class_="notice", role="note")


def _funnel(run: RunSummary) -> list[Child]:
    broken = tables.unexplained(run.funnel)
    known = [row for row in run.funnel if row.unexplained is not None]
    if broken:
        told = "; ".join(f"{row.phase} {row.step}: {row.unexplained:.4f} s" for row in broken)
        check = tag(
            "p",
            f"Unexplained seconds, which must not be: {told}. Please report this as a bug.",
            class_="notice fault",
        )
    else:
        check = tag(
            "p",
            f"Every second is accounted for: seconds in equal seconds out and dropped at all "
            f"{len(known)} steps that handle audio.",
            class_="check",
        )
    return [
        tag(
            "p",
            "What came into each step, what left it and why. A step that cuts recordings into "
            "clips changes the number of items; hours add up at every step.",
        ),
        charts.legend([("kept", "goes on"), ("lost", "leaves, by reason")]),
        tables.funnel(run),
        check,
    ]


def _scores(run: RunSummary) -> list[Child]:
    plots = []
    for data in run.histograms:
        numbers = [f"{figures.count(sum(data.counts) + data.low + data.high)} clips"]
        for name, value in (
            ("5th percentile", data.p05),
            ("median", data.median),
            ("95th percentile", data.p95),
        ):
            if value is not None:
                numbers.append(f"{name} {figures.score(value, data.unit)}")
        if data.missing:
            numbers.append(f"{figures.count(data.missing)} without this score")
        for t in data.thresholds:
            if not data.edges[0] <= t.value <= data.edges[-1]:
                limit = f"{charts.limit(t.direction)} {figures.score(t.value, data.unit)}"
                numbers.append(f"{t.field} ({limit}) lies outside the drawn range")
        plots.append(
            tag(
                "figure",
                tag(
                    "figcaption",
                    tag("h3", data.name),
                    tag("span", data.meaning, class_="meaning") if data.meaning else None,
                    tag("span", " · ".join(numbers), class_="quiet"),
                ),
                charts.histogram(data),
            )
        )
    return [
        charts.legend([("plain", "clips within the limits"), ("lost", "clips beyond a threshold")]),
        tag("div", *plots, class_="histograms"),
    ]


def _shares(run: RunSummary) -> list[Child]:
    most = run.limits.share_rows
    parts = [
        tables.shares("Languages", "Language", run.languages, most),
        tables.shares("Licences", "Licence", run.licences, most),
        tables.shares("Text quality", "Quality", run.qualities, most),
        tables.shares("Splits", "Split", run.splits, most),
        tables.shares("Speakers", "Speaker", run.speakers, most),
    ]
    return [
        tag("p", "Shares of the kept clips, by hours."),
        tag("div", *(part for part in parts if part is not None), class_="shares"),
    ]


def _kept(run: RunSummary, playing: frozenset[int], refused: int) -> list[Child]:
    shown = min(len(run.kept), run.limits.kept)
    room = (
        f" Previews hold the first {run.limits.preview_seconds:g}{figures.NARROW}s at most, "
        f"{figures.size(run.limits.audio_bytes)} in the whole report"
    )
    cut = (
        f"; {figures.count(refused)} clips below have no preview because of that."
        if refused
        else "."
    )
    return [
        tag(
            "p",
            f"{figures.count(shown)} of {figures.count(run.totals.clips)} kept clips, drawn by "
            f"hash of their ids.{room}{cut}",
        ),
        cards.kept(run, playing),
    ]


def _dropped(run: RunSummary, playing: frozenset[int]) -> list[Child]:
    return [
        tag(
            "p",
            f"Up to {run.limits.dropped_per_reason} of each reason, drawn by hash of their ids, "
            "with the score and the limit that decided.",
        ),
        *cards.dropped(run, playing),
    ]


def _documents(run: RunSummary) -> list[Child]:
    shown = run.documents[: run.limits.documents]
    told = f"{figures.count(len(shown))} of {figures.count(run.totals.documents)} documents"
    policy = f", under the default policy: {run.policy.rstrip('.')}." if run.policy else "."
    return [
        tag(
            "p",
            f"{told}{policy} Each chunk is stored with both sides, so any other policy can be "
            "drawn from the same shards.",
        ),
        documents.legend(),
        *(documents.document(card, run) for card in shown),
    ]


def _made(run: RunSummary) -> list[Child]:
    parts: list[Child] = []
    if run.shards:
        shown = min(len(run.shards), run.limits.shards)
        note = f"{shown} of {figures.count(len(run.shards))}; manifest.json lists the rest"
        parts.append(
            tag(
                "details",
                tag("summary", tag("h3", "Shards")),
                tag("p", note, class_="quiet small") if shown < len(run.shards) else None,
                tables.shards(run.shards, run.limits.shards),
            )
        )
    parts.append(
        tag(
            "details",
            tag("summary", tag("h3", "Recipe")),
            tag("pre", tag("code", preformatted(run.recipe)), tabindex=0, aria_label="Recipe"),
            open=True,
        )
    )
    if run.versions or run.device:
        rows = [*run.versions]
        if run.device:
            rows.insert(0, ("device class", run.device))
        parts.append(
            tag(
                "details",
                tag("summary", tag("h3", "Versions and device")),
                tables.pairs(rows, ("What", "Version")),
            )
        )
    return parts
