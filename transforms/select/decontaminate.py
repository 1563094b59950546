"""Find clips that hold what evaluation sets ask, and let them leave or only say so.

Three ways, each with a reason of its own. `ngram_overlap`: any run of 6 to 13 words in common,
which is the conservative rule of SpeLangy (arXiv 2510.20860): one of 6 decides, the longest up to
13 is told. Runs go on from a clip to the next of its recording, as documents do. `fuzzy_overlap`:
a piece of an item with recognition errors in it. `audio_overlap`: the sound of an item, by
acoustic fingerprints. How well each finds what was planted is in docs/decontamination.md.

Nothing is decided by one block alone: the hits of all blocks are gathered first (`survey`,
`limits`) and kept in OUT, so that the report, the file of flagged items and the verdicts are of
one count. Flags are on evaluation *items*: accuracy with and without them tells whether the leak
mattered.
"""

import functools
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from schemas.ids import digest_of
from transforms.select.columns import require
from transforms.select.drops import SECONDS_COLUMNS, clip_seconds, drops_table, no_drops
from transforms.select.evaluation_sets import (
    FIELDS,
    EvaluationSetError,
    digest,
    files_of,
    read_set,
)
from transforms.select.hits import KINDS, Sets, gathered, hits_in
from transforms.step import Filtering

VERSION = 1


class Decontaminate(Filtering):
    """Find clips that share words or sound with evaluation sets."""

    reasons: ClassVar[dict[str, str]] = {
        "ngram_overlap": "It shares a run of words with an evaluation item; the detail names it.",
        "fuzzy_overlap": "It holds words of an evaluation item with errors; the score says how "
        "alike.",
        "audio_overlap": "The sound of an evaluation item is heard in it; the score is the share.",
    }

    against: str | tuple[str, ...] = pydantic.Field(
        (),
        description="Evaluation sets: JSONL or Parquet files, as one glob or several, from the "
        "recipe's folder or absolute (paths; none, which a recipe may not leave so)",
    )
    columns: dict[str, str] = pydantic.Field(
        {},
        description="What columns are called in the sets, where not question, options, answer, "
        "audio, id: {question: query} (names; none)",
    )
    hits: Literal["drop", "note"] = pydantic.Field(
        "drop", description="What becomes of clips with a hit (note: they stay, and are reported)"
    )
    ngrams: tuple[int, int] = pydantic.Field(
        (6, 13),
        description="Shortest run of words in common that is a hit, and the longest that is told "
        "apart (words; SpeLangy: any overlap of 6 to 13)",
    )
    fuzzy: float | None = pydantic.Field(
        0.8,
        ge=0.5,
        le=1,
        description="Least similarity of letters at which words of an item are found in spite of "
        "recognition errors (0..1; ours, measured: docs/decontamination.md)",
    )
    fuzzy_lost: float = pydantic.Field(
        0.15,
        ge=0,
        le=1,
        description="Most letters of a piece that may be in words of which hardly anything is "
        "there: more is another question of the same template (share; ours, measured)",
    )
    fuzzy_words: tuple[int, int] = pydantic.Field(
        (8, 13),
        description="Shortest text that is looked for with errors, and the pieces that longer "
        "ones are cut into (words; ours)",
    )
    audio: float | None = pydantic.Field(
        None,
        gt=0,
        le=1,
        description="Least share of an item's sound heard in a clip, or of the clip in it (0..1; "
        "needs the measure fingerprint; None: sounds are not compared)",
    )

    _folder: str | None = pydantic.PrivateAttr(None)

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for name in ("ngrams", "fuzzy_words"):
            least, most = getattr(self, name)
            if not 3 <= least <= most <= 64:
                raise ValueError(
                    f"{name}: {least} and {most}; needs 3 <= shortest <= longest <= 64"
                )
        unknown = sorted(set(self.columns) - set(FIELDS))
        if unknown:
            raise ValueError(f"columns: {unknown[0]!r} is none of {', '.join(FIELDS)}")
        return self

    def bound(self, folder: Path) -> Self:
        placed = self.model_copy()
        placed._folder = str(folder)
        if not self.against:
            raise ValueError("against names no evaluation set: write against: evals/*.jsonl")
        try:
            placed.sets()
        except EvaluationSetError as error:
            raise ValueError(str(error)) from error
        return placed

    def files(self) -> tuple[Path, ...]:
        """The evaluation files. Raises `EvaluationSetError`."""
        patterns = (self.against,) if isinstance(self.against, str) else self.against
        return files_of(patterns, Path(self._folder or "."))

    def fingerprint(self) -> Any:
        """Name and digest of each file, and of the sounds that items name."""
        sets = self.sets()
        sounds: list[str] = []
        if self.audio is not None:
            sounds = sorted({digest(file) for item in sets.items for file in item.sounds})
        return {"sets": list(sets.digests), "sounds": sounds, "version": VERSION}

    def imports(self) -> tuple[str, ...]:
        return ("rapidfuzz.fuzz",) if self.fuzzy is not None else ()

    def needs(self) -> frozenset[str]:
        found = {"id", "task", "index", "text"} | SECONDS_COLUMNS
        return frozenset(found | ({"fingerprint.code"} if self.audio is not None else set()))

    def sets(self) -> Sets:
        """The sets as they are on disk now; read and indexed once per process and content."""
        files = self.files()
        return _sets(tuple((str(file), digest(file)) for file in files), self._asked())

    def _asked(self) -> tuple[Any, ...]:
        columns = tuple(sorted(self.columns.items()))
        return columns, self.ngrams, self.fuzzy, self.fuzzy_lost, self.fuzzy_words

    def survey(self, rows: pa.Table) -> pa.Table:
        require(self.name(), self.needs(), rows.column_names)
        ordered = rows.sort_by([("task", "ascending"), ("index", "ascending")])
        return hits_in(self.sets(), ordered, clip_seconds(ordered), self.audio)

    def limits(self, surveys: Iterable[pa.Table]) -> pa.Table:
        """All hits: one row per clip and kind, one per item and kind, one per set (`HITS`)."""
        return gathered(self.sets(), surveys)

    def judge(self, rows: pa.Table, limits: pa.Table | None = None) -> pa.Table:
        return self._judge(rows, limits) if self.hits == "drop" else no_drops()

    def notes(self, rows: pa.Table, limits: pa.Table | None = None) -> pa.Table:
        return self._judge(rows, limits) if self.hits == "note" else no_drops()

    def _judge(self, rows: pa.Table, limits: pa.Table | None) -> pa.Table:
        require(self.name(), self.needs(), rows.column_names)
        if limits is None:
            limits = self.limits([self.survey(rows)])  # these rows are all there are
        found = limits.filter(pc.equal(limits["what"], "clip"))
        if not rows.num_rows or not found.num_rows:
            return no_drops()
        order = pc.index_in(found["kind"], pa.array(KINDS)).to_numpy()
        first = found.take(pa.array(np.argsort(order, kind="stable")))
        at = pc.index_in(rows["id"], first["clip"].combine_chunks())  # the first kind of each
        hit = pc.is_valid(at)
        left, place = rows.filter(hit), at.filter(hit)
        kind = first["kind"].take(place)
        least = {"ngram": float(self.ngrams[0]), "fuzzy": self.fuzzy, "audio": self.audio}
        limit = pa.array([least[one] for one in KINDS], pa.float64())
        where = pc.binary_join_element_wise(first["set"], first["item"], "/")
        detail = pc.binary_join_element_wise(where, first["shared"], ": ")
        return drops_table(
            id=left["id"],
            root=left["task"],
            step=self.name(),
            reason=pc.binary_join_element_wise(kind, "overlap", "_"),
            seconds=pa.array(clip_seconds(left)),
            score=first["score"].take(place),
            threshold=limit.take(pc.index_in(kind, pa.array(KINDS))),
            detail=detail.take(place),
        )


@functools.lru_cache(maxsize=4)
def _sets(files: tuple[tuple[str, str], ...], asked: tuple[Any, ...]) -> Sets:
    columns: Mapping[str, str] = dict(asked[0])
    items = [item for file, _ in files for item in read_set(Path(file), columns)]
    names = tuple((Path(file).name, content) for file, content in files)
    return Sets(items, names, digest_of("sets", names, repr(asked)), *asked[1:])
