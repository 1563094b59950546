"""Cards of clips that a report shows: what is kept, and what each reason dropped.

Which ones is drawn by their ids, so equal runs show equal clips; only their rows become records,
and only their samples are read.
"""

import dataclasses
from collections.abc import Mapping, Set
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline import commits
from pipeline.commits import Preview
from pipeline.curate import StreamResult
from pipeline.phases.annotate import fetch_from
from pipeline.phases.measure import clips_of
from pipeline.phases.pages import holds_pages
from pipeline.report import preview
from pipeline.report.content import (
    ClipCard,
    ClipScore,
    Direction,
    DroppedCard,
    Limits,
    Threshold,
)
from pipeline.report.shown_drops import ShownDrops
from schemas.records import AudioRef, Clip, Drop
from schemas.store import Store
from schemas.tables import from_table
from transforms import flac
from transforms.select.filter import Filter

UNITS = {
    "seconds": "s",
    "snr.snr_db": "dB",
    "loudness.lufs": "LUFS",
    "text_rate.words": "words",
    "text_rate.words_per_second": "1/s",
    "text_rate.chars_per_second": "1/s",
}


@dataclasses.dataclass(frozen=True)
class Picked:
    kept: tuple[str, ...]
    dropped: dict[tuple[str, str], tuple[str, ...]]  # (step, reason) -> clip ids

    def ids(self) -> set[str]:
        return {*self.kept, *(one for ids in self.dropped.values() for one in ids)}


def pick(seed: int, verdicts: pa.Table, limits: Limits) -> Picked:
    kept = verdicts.filter(verdicts["kept"])["id"].to_pylist()
    lost = verdicts.filter(pc.invert(verdicts["kept"])).select(["id", "step", "reason"])
    by_reason: dict[tuple[str, str], list[str]] = {}
    for row in lost.to_pylist():
        by_reason.setdefault((row["step"], row["reason"]), []).append(row["id"])
    return Picked(
        kept=tuple(preview.pick(seed, "kept", kept, limits.kept)),
        dropped={
            which: tuple(preview.pick(seed, ":".join(which), ids, limits.dropped_per_reason))
            for which, ids in sorted(by_reason.items())
        },
    )


def thresholds(stream: StreamResult) -> dict[str, list[Threshold]]:
    """The limits that filters set, by the column that they judge."""
    found: dict[str, list[Threshold]] = {}
    for step in stream.outline.select:
        if not isinstance(step, Filter):
            continue
        for predicate in step.predicates():
            limit = predicate.limit  # those by quantile differ by row and are no line in a plot
            if not isinstance(limit, int | float) or predicate.kind not in ("min", "max"):
                continue
            direction: Direction = "min" if predicate.kind == "min" else "max"
            name = f"{step.name()}.{_setting(step, predicate.code, direction, predicate.column)}"
            found.setdefault(predicate.column, []).append(
                Threshold(value=float(limit), direction=direction, field=name)
            )
    return found


def _setting(step: Filter, code: str, direction: str, column: str) -> str:
    if code == "where":
        return f"where.{column}.{direction}"
    return next((name for found, name, _ in step.conditions() if found == code), code)


@dataclasses.dataclass
class ClipCards:
    """Makes cards of picked clips: their rows are gathered, their samples are read here."""

    store: Store
    stream: StreamResult
    rows: Mapping[str, Mapping[str, Any]]  # of the picked clips, by id
    limits: Limits
    _clips: dict[str, Clip] = dataclasses.field(default_factory=dict)

    def kept(self, verdicts: pa.Table, picked: Picked) -> list[ClipCard]:
        return [self._card(name) for name in picked.kept]

    def dropped(self, verdicts: pa.Table, picked: Picked, seed: int) -> list[DroppedCard]:
        """Clips that select dropped, with audio; then what annotate and hear dropped."""
        return self.judged(verdicts, picked) + self._before_select(seed)

    def judged(self, verdicts: pa.Table, picked: Picked) -> list[DroppedCard]:
        """Rows that select dropped, with audio where there is any."""
        rows = {
            row["id"]: row
            for row in verdicts.filter(
                pc.is_in(verdicts["id"], pa.array(sorted(picked.ids()), pa.string()))
            ).to_pylist()
        }
        cards = []
        directions = {
            (column, t.value): t.direction
            for column, found in thresholds(self.stream).items()
            for t in found
        }
        by_value = {value: direction for (_, value), direction in directions.items()}
        for (step, reason), ids in picked.dropped.items():
            for name in ids:
                row = rows[name]
                cards.append(
                    DroppedCard(
                        step=step,
                        reason=reason,
                        clip=self._card(name),
                        score=row["score"],
                        threshold=row["threshold"],
                        direction=by_value.get(row["threshold"]),
                        detail=row["detail"] or "",
                    )
                )
        return cards

    def _before_select(self, seed: int) -> list[DroppedCard]:
        """What left before there was a row: no transcript, and audio only where hear kept some."""
        roots = (
            (self.stream.heard, sorted(self.stream.census.recordings)),
            (self.stream.annotated, sorted(self.stream.census.tasks)),
            (self.stream.arranged, sorted(self.stream.census.tasks)),
        )
        chosen = ShownDrops(seed, self.limits.dropped_per_reason)
        for known, ids in roots:
            for name, mine in known.by_commit(ids):
                told = commits.columns(self.store, name, {"drop": None, "preview": None})
                heard = from_table(told["preview"], Preview)
                audio = {one.drop: one.audio for one in heard}
                left = told["drop"].filter(pc.is_in(told["drop"]["root"], pa.array(mine)))
                for drop in from_table(left, Drop):
                    chosen.add(drop, audio.get(commits.drop_key(drop)))
        for drop in self.stream.census.drops:
            chosen.add(drop)
        return [self._dropped(drop, audio) for drop, audio in chosen.shown()]

    def _dropped(self, drop: Drop, heard: AudioRef | None) -> DroppedCard:
        audio, held, rate = None, 0.0, 0
        if heard is not None:
            audio = fetch_from(self.store, self.stream.outline.audio, heard)
            held, rate = (heard.end - heard.start) / heard.rate, heard.rate
        return DroppedCard(
            step=drop.step,
            reason=drop.reason,
            clip=ClipCard(
                id=drop.id,
                seconds=drop.seconds,
                audio=audio,
                audio_seconds=held,
                rate=rate,
                start=drop.start,
                end=drop.end,
                source=self._source(drop),
                stream=self.stream.outline.name,
            ),
            score=drop.score,
            threshold=drop.threshold,
            detail=drop.detail,
        )

    def _source(self, drop: Drop) -> str:
        census = self.stream.census
        if drop.root in census.recordings:
            return census.recordings[drop.root].uri
        if drop.root in census.sources_of:
            return census.sources_of[drop.root][0].uri
        return next((source.uri for source in census.dropped if source.id == drop.root), "")

    def _card(self, name: str) -> ClipCard:
        row = self.rows[name]
        clip = self._clip(name)
        audio, held = self._audio(clip)
        scores = tuple(
            ClipScore(name=self._label(column), value=value, unit=UNITS.get(column, ""))
            for column, value in row.items()
            if "." in column and value is not None
        )
        engine = next((t.engine for t in clip.transcripts if t.text == clip.text), "")
        return ClipCard(
            id=name,
            seconds=clip.seconds,
            audio=audio,
            audio_seconds=held,
            rate=clip.rate,
            start=clip.start,
            end=clip.end,
            text=clip.text,
            quality=clip.quality,
            engine=engine,
            speaker=clip.speaker,
            language=row.get("language.language") or clip.language or "",
            source=row["source"] or "",
            licence=row["licence"] or "",
            stream=self.stream.outline.name,
            split=row["split"],
            scores=scores,
        )

    def _label(self, column: str) -> str:
        """A score's name without what goes without saying."""
        measure, _, field = column.partition(".")
        alone = sum(len(m.columns) for m in self.stream.outline.measures if m.name() == measure)
        return measure if alone == 1 else field

    def _clip(self, name: str) -> Clip:
        """A picked clip. All of them are read at once, each commit but for the first time."""
        if not self._clips:
            wanted: dict[str, set[str]] = {}
            for one, row in self.rows.items():
                wanted.setdefault(self.stream.annotated.done[row["task"]], set()).add(one)
            for commit, ids in sorted(wanted.items()):
                self._clips |= _clips_by_id(self.store, commit, ids)
        return self._clips[name]

    def _audio(self, clip: Clip) -> tuple[bytes | None, float]:
        if clip.audio is None:
            return None, 0.0
        data = fetch_from(self.store, self.stream.outline.audio, clip.audio)
        most = clip.audio.start + int(self.limits.preview_seconds * clip.rate)
        pcm = flac.decode(data, clip.audio.start, min(clip.audio.end, most))
        return preview.flac(pcm, clip.rate, self.limits.preview_seconds)


def _clips_by_id(store: Store, commit: str, ids: Set[str]) -> dict[str, Clip]:
    """Some clips of one commit."""
    if holds_pages(commit):
        pages = (clip for clips in clips_of(store, commit).values() for clip in clips)
        return {clip.id: clip for clip in pages if clip.id in ids}
    return {clip.id: clip for clip in commits.records(store, commit, "row", Clip, ("id", ids))}
