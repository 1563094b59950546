"""Clips to listen to: kept and dropped, each with its text, scores and the comparison that decided.

Audio is embedded as FLAC data URIs under one budget for the whole file. The budget is dealt round
by round, first one clip of each group, so that a cut report still lets one hear every reason.
"""

import base64
from collections.abc import Mapping, Sequence
from itertools import zip_longest

from pipeline.report import charts, figures, markup
from pipeline.report.content import (
    SMOKE,
    ClipCard,
    ClipScore,
    DropCount,
    DroppedCard,
    RunSummary,
)
from pipeline.report.markup import Html, tag

Group = tuple[str, str]  # step, reason


def groups(cards: Sequence[DroppedCard], limit: int) -> dict[Group, list[DroppedCard]]:
    """Dropped cards by step and reason in the order of their first card, `limit` of each."""
    found: dict[Group, list[DroppedCard]] = {}
    for card in cards:
        members = found.setdefault((card.step, card.reason), [])
        if len(members) < limit:
            members.append(card)
    return found


def playable(run: RunSummary) -> tuple[frozenset[int], int]:
    """The clips whose audio is embedded, by `id()` of their card, and how many were left out."""
    dropped = groups(run.dropped, run.limits.dropped_per_reason)
    rows = [list(run.kept[: run.limits.kept])] + [[c.clip for c in g] for g in dropped.values()]
    left, chosen, refused = run.limits.audio_bytes, set(), 0
    for clip in (clip for layer in zip_longest(*rows) for clip in layer if clip is not None):
        if not clip.audio:
            continue
        if len(clip.audio) <= left:
            left -= len(clip.audio)
            chosen.add(id(clip))
        else:
            refused += 1
    return frozenset(chosen), refused


def kept(run: RunSummary, playing: frozenset[int]) -> Html:
    """The kept clips."""
    shown = run.kept[: run.limits.kept]
    return tag("div", *(_card(clip, playing, None, "h3") for clip in shown), class_="cards")


def dropped(run: RunSummary, playing: frozenset[int]) -> list[Html]:
    """One fold per step and reason, in the order of the funnel; the first stands open."""
    order: dict[Group, DropCount] = {}
    for row in run.funnel:
        for drop in row.drops:
            order.setdefault((row.step, drop.reason), drop)
    found = groups(run.dropped, run.limits.dropped_per_reason)
    names = [g for g in order if g in found] + [g for g in found if g not in order]
    return [
        _fold(group, found[group], order, playing, opened=place == 0)
        for place, group in enumerate(names)
    ]


def _fold(
    group: Group,
    cards: Sequence[DroppedCard],
    counts: Mapping[Group, DropCount],
    playing: frozenset[int],
    opened: bool,
) -> Html:
    step, reason = group
    count = counts.get(group)
    told = f"{figures.count(len(cards))} shown"
    if count is not None:
        places = figures.hour_places(count.seconds)
        told += f" of {figures.count(count.items)}, {figures.hours(count.seconds, places)}"
        told += f"{figures.NARROW}h in all"
    return tag(
        "details",
        tag(
            "summary",
            tag("h3", step, " · ", tag("code", reason)),
            tag("span", f" {told}", class_="quiet small"),
            tag("span", count.meaning, class_="meaning") if count and count.meaning else None,
        ),
        tag("div", *(_card(c.clip, playing, _verdict(c), "h4") for c in cards), class_="cards"),
        open=opened,
    )


def _verdict(card: DroppedCard) -> Html:
    parts = []
    if card.score is not None:
        parts.append(f"score {figures.score(card.score, card.unit)}")
    if card.threshold is not None:
        needs = "threshold" if card.direction is None else f"needs {charts.limit(card.direction)}"
        parts.append(f"{needs} {figures.score(card.threshold, card.unit)}")
    if card.detail:
        parts.append(card.detail)
    return tag("p", ", ".join(parts) or "no score: the reason says it all", class_="verdict")


def _card(clip: ClipCard, playing: frozenset[int], verdict: Html | None, heading: str) -> Html:
    smoke = clip.quality == SMOKE and bool(clip.text)
    facts = [clip.speaker, clip.language, clip.stream, clip.split]
    where = ""
    if clip.start is not None and clip.end is not None:
        where = f"{figures.clock(clip.start)}{figures.TO}{figures.clock(clip.end)}"
    return tag(
        "article",
        tag(
            "header",
            tag(heading, figures.seconds(clip.seconds)),
            *(tag("span", fact) for fact in facts if fact),
            tag("span", "smoke-quality text", class_="badge") if smoke else None,
        ),
        verdict,
        _player(clip, playing),
        tag("p", clip.text, class_="said", dir="auto", lang=markup.language(clip.language))
        if clip.text
        else tag("p", "no text", class_="quiet small"),
        tag("dl", *map(_score, clip.scores), class_="scores") if clip.scores else None,
        tag(
            "footer",
            tag("span", f"{clip.source} {where}".strip(), class_="mono") if clip.source else None,
            tag("span", _provenance(clip)),
            tag("span", clip.id, class_="mono"),
        ),
        class_="card smoke" if smoke else "card",
    )


def _score(score: ClipScore) -> Html:
    return tag("div", tag("dt", score.name), tag("dd", figures.score(score.value, score.unit)))


def _provenance(clip: ClipCard) -> str:
    text = f"text: {clip.quality}" + (f" by {clip.engine}" if clip.engine else "")
    parts = [text if clip.quality else "", f"licence: {clip.licence or 'not given'}"]
    if clip.rate:
        parts.append(f"{clip.rate / 1000:g}{figures.NARROW}kHz")
    return " · ".join(part for part in parts if part)


def _player(clip: ClipCard, playing: frozenset[int]) -> Html:
    if not clip.audio:
        return tag("p", "no audio", class_="quiet small")
    if id(clip) not in playing:
        return tag("p", "no preview: the report's room for audio is used up", class_="quiet small")
    audio = tag(
        "audio",
        src="data:audio/flac;base64," + base64.b64encode(clip.audio).decode("ascii"),
        controls=True,
        preload="none",
        aria_label=f"Clip of {figures.seconds(clip.seconds)}"
        + (f" by {clip.speaker}" if clip.speaker else ""),
    )
    if clip.audio_seconds and clip.audio_seconds < clip.seconds - 0.05:
        note = f"the first {figures.seconds(clip.audio_seconds)} of {figures.seconds(clip.seconds)}"
        return tag("div", audio, tag("span", note, class_="quiet small"))
    return audio
