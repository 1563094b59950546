"""Documents as a trainer meets them: each chunk coloured by the side that the policy gives."""

from pipeline.report import charts, figures, markup
from pipeline.report.content import SMOKE, DocumentCard, DocumentChunk, RunSummary
from pipeline.report.markup import Html, join, tag

WORDS = {
    "speech": "speech: the model hears these words",
    "text": "text: the model reads these words",
}


def legend() -> Html:
    """The key of the two modalities."""
    return charts.legend([(f"chunk-{modality}", words) for modality, words in WORDS.items()])


def document(card: DocumentCard, run: RunSummary) -> Html:
    """One document: its facts, its strip along time, its chunks one below the other."""
    most = run.limits.chunks_per_document
    smoke = card.quality == SMOKE
    facts = [
        figures.seconds(card.seconds),
        f"{figures.count(len(card.chunks))} chunks",
        f"stream {card.stream}",
        f"split {card.split}",
        f"speaker {card.speaker}" if card.speaker else "",
        f"language {card.language}" if card.language else "",
        f"licence {card.licence or 'not given'}",
        card.source,
    ]
    items = [item for chunk in card.chunks[:most] for item in _chunk(chunk, card.language)]
    if len(card.chunks) > most:
        left = figures.count(len(card.chunks) - most)
        items.append(tag("li", f"{left} more chunks, drawn in the strip above", class_="more"))
    return tag(
        "article",
        tag(
            "h3",
            tag("span", card.id, class_="mono"),
            join([" ", tag("span", "smoke-quality text", class_="badge")]) if smoke else None,
        ),
        tag("p", " · ".join(fact for fact in facts if fact), class_="facts"),
        charts.strip(card),
        tag("ol", *items, class_="chunks"),
        class_="document",
    )


def _chunk(chunk: DocumentChunk, language: str) -> list[Html]:
    items = []
    if chunk.gap > 0:
        gap = f"{figures.seconds(chunk.gap)} of the recording left out here"
        items.append(tag("li", gap, class_="gap"))
    when = ""  # a text-only chunk has no time
    if chunk.end > chunk.start:
        when = f"{figures.clock(chunk.start)}{figures.TO}{figures.clock(chunk.end)}"
    items.append(
        tag(
            "li",
            tag("span", when, class_="when"),
            tag("span", chunk.modality, class_="what"),
            tag("span", chunk.speaker, class_="who", title=chunk.speaker or None),
            tag("span", chunk.text, class_="said", dir="auto", lang=markup.language(language)),
            class_=chunk.modality,
        )
    )
    return items
