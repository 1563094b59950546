"""Drop the clips that miss a threshold, each with the first condition that it failed.

Conditions are judged in one fixed order, that of the fields below (length, text quality, language,
sound, text rates, then `where` by column name), so that a clip that fails several has one reason,
whatever order the recipe writes them in. Every condition is off until it is set.

A score may be unknown: silence has no SNR, two words have no language. What cannot be judged is
kept by default, because a drop must be able to name a value; `missing: drop` turns it round, and
such drops carry the reason with `_unknown` behind it. Where the text is too short to tell its
language, the language that the clip carries (given in the table, or said by the recognizer)
stands in; a language tag counts by its first part ("en-GB" is "en").
"""

import re
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from transforms.select.columns import known_columns, require
from transforms.select.drops import SECONDS_COLUMNS, clip_seconds, drops_table, no_drops
from transforms.select.predicates import Plain, Predicate
from transforms.step import Filtering

# Reason, setting, column. The order is the order of judging.
_CONDITIONS: tuple[tuple[str, str, str], ...] = (
    ("too_short", "min_seconds", "seconds"),
    ("too_long", "max_seconds", "seconds"),
    ("text_quality", "quality", "quality"),
    ("too_few_words", "min_words", "text_rate.words"),
    ("wrong_language", "language", "language.language"),
    ("language_uncertain", "min_language_probability", "language.probability"),
    ("too_noisy", "min_snr_db", "snr.snr_db"),
    ("clipped", "max_clipping", "clipping.clipped_share"),
    ("too_little_speech", "min_speech_ratio", "speech_ratio.ratio"),
    ("too_quiet", "min_loudness", "loudness.lufs"),
    ("too_loud", "max_loudness", "loudness.lufs"),
    ("words_too_fast", "max_words_per_second", "text_rate.words_per_second"),
    ("text_too_sparse", "min_chars_per_second", "text_rate.chars_per_second"),
    ("text_too_dense", "max_chars_per_second", "text_rate.chars_per_second"),
    ("text_repeats", "max_compression_ratio", "text_rate.compression_ratio"),
)
_MEANINGS = {
    "too_short": "The clip is shorter than `min_seconds`.",
    "too_long": "The clip is longer than `max_seconds`.",
    "text_quality": "The quality of the clip's text is not among `quality`.",
    "too_few_words": "The text has fewer words than `min_words`.",
    "wrong_language": "The language is not among `language`.",
    "language_uncertain": "The language is less probable than `min_language_probability`.",
    "too_noisy": "The signal-to-noise ratio is below `min_snr_db`.",
    "clipped": "More of the clip is clipped than `max_clipping`.",
    "too_little_speech": "Less of the clip is speech than `min_speech_ratio`.",
    "too_quiet": "The clip is quieter than `min_loudness`.",
    "too_loud": "The clip is louder than `max_loudness`.",
    "words_too_fast": "More words a second than `max_words_per_second`: text of other audio.",
    "text_too_sparse": "Fewer characters a second than `min_chars_per_second`.",
    "text_too_dense": "More characters a second than `max_chars_per_second`.",
    "text_repeats": "The text compresses better than `max_compression_ratio`: it loops.",
    "where": "A condition of `where` on the column named in the detail.",
}
_LANGUAGE = re.compile(r"[a-z]{2,3}")


class Bounds(pydantic.BaseModel):
    """A condition of `where`: limits for a number, or lists for a value of any kind."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", allow_inf_nan=False
    )

    min: float | None = pydantic.Field(None, description="At least this (the column's unit)")
    max: float | None = pydantic.Field(None, description="At most this (the column's unit)")
    allow: list[Plain] | None = pydantic.Field(None, description="One of these values")
    deny: list[Plain] | None = pydantic.Field(None, description="None of these values")

    @pydantic.model_validator(mode="after")
    def _says_something(self) -> Self:
        if all(getattr(self, name) is None for name in ("min", "max", "allow", "deny")):
            raise ValueError("a condition of where needs min, max, allow or deny")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min} is above max {self.max}: every clip would leave")
        if self.allow == []:
            raise ValueError("allow is empty: every clip would leave; leave it out instead")
        return self


class Filter(Filtering):
    """Keep the clips that meet every condition; name the first one that the others fail."""

    reasons: ClassVar[dict[str, str]] = _MEANINGS | {
        f"{code}_unknown": f"Nothing is known for the condition {code!r}, and `missing` is drop."
        for code in _MEANINGS
    }

    min_seconds: float | None = pydantic.Field(
        None, ge=0, description="Shortest clip (seconds; off)"
    )
    max_seconds: float | None = pydantic.Field(
        None, gt=0, description="Longest clip (seconds; off)"
    )
    quality: list[Literal["given", "normal", "smoke"]] | None = pydantic.Field(
        None, description="Text qualities that stay (smoke: text of a test engine; off)"
    )
    min_words: int | None = pydantic.Field(None, ge=0, description="Fewest words (words; off)")
    language: list[str] | None = pydantic.Field(
        None, description="Languages that stay (ISO 639 codes; off)"
    )
    min_language_probability: float | None = pydantic.Field(
        None, ge=0, le=1, description="Least probability of the language (0..1; off)"
    )
    min_snr_db: float | None = pydantic.Field(
        None, description="Least signal-to-noise ratio (dB; off)"
    )
    max_clipping: float | None = pydantic.Field(
        None, ge=0, le=1, description="Greatest share of clipped samples (0..1; off)"
    )
    min_speech_ratio: float | None = pydantic.Field(
        None, ge=0, le=1, description="Least share of speech in the clip (0..1; off)"
    )
    min_loudness: float | None = pydantic.Field(
        None, le=0, description="Least integrated loudness (LUFS; off)"
    )
    max_loudness: float | None = pydantic.Field(
        None, description="Greatest integrated loudness (LUFS; off)"
    )
    max_words_per_second: float | None = pydantic.Field(
        None, ge=0, description="Most words a second (1/s; off)"
    )
    min_chars_per_second: float | None = pydantic.Field(
        None, ge=0, description="Fewest characters a second, without spaces (1/s; off)"
    )
    max_chars_per_second: float | None = pydantic.Field(
        None, ge=0, description="Most characters a second, without spaces (1/s; off)"
    )
    max_compression_ratio: float | None = pydantic.Field(
        None, ge=0, description="Greatest compression ratio of the text (Whisper uses 2.4; off)"
    )
    where: dict[str, Bounds] | None = pydantic.Field(
        None,
        description="Further conditions by column: `<measure>.<column>` or a field of the clip",
    )
    missing: Literal["keep", "drop"] = pydantic.Field(
        "keep", description="What happens where a condition's value is unknown (ours)"
    )
    score_only: bool = pydantic.Field(
        False, description="Drop nothing; the thresholds only show in the report (ours)"
    )

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for thing in ("seconds", "loudness", "chars_per_second"):
            low, high = getattr(self, f"min_{thing}"), getattr(self, f"max_{thing}")
            if low is not None and high is not None and low > high:
                raise ValueError(
                    f"min_{thing} {low} is above max_{thing} {high}: every clip would leave"
                )
        for name in ("language", "quality"):
            if getattr(self, name) == []:
                raise ValueError(f"{name} is empty: every clip would leave; leave it out instead")
        for code in self.language or []:
            if not _LANGUAGE.fullmatch(code):
                raise ValueError(
                    f"language {code!r} is not an ISO 639 code of two or three small letters"
                )
        return self

    @staticmethod
    def conditions() -> tuple[tuple[str, str, str], ...]:
        """Reason, setting and column of every condition but `where`, in the order of judging."""
        return _CONDITIONS

    def predicates(self) -> tuple[Predicate, ...]:
        """The conditions that are set, in the order in which they are judged."""
        found = []
        for code, setting, column in _CONDITIONS:
            limit = getattr(self, setting)
            kind: Any = setting.partition("_")[0] if setting.startswith(("min_", "max_")) else None
            if limit is not None:
                found.append(Predicate(code=code, column=column, kind=kind or "allow", limit=limit))
        for column, bounds in sorted((self.where or {}).items()):
            kinds: tuple[Any, ...] = ("min", "max", "allow", "deny")
            for kind in kinds:
                limit = getattr(bounds, kind)
                if limit is not None:
                    found.append(Predicate(code="where", column=column, kind=kind, limit=limit))
        return tuple(found)

    def needs(self) -> frozenset[str]:
        """What `judge` reads. Raises `TypeError` where `where` puts limits on what has none."""
        found = {"id", "task"} | SECONDS_COLUMNS
        kinds = known_columns() if self.where else {}
        for predicate in self.predicates():
            if predicate.column != "seconds":
                found.add(predicate.column)
            if predicate.code == "wrong_language":
                found.add("language")
            number = predicate.kind in ("min", "max")
            if predicate.code == "where" and number and kinds.get(predicate.column) in (str, bool):
                raise TypeError(
                    f"filter.where: {predicate.column!r} is no number, so it has no "
                    f"{predicate.kind}; use allow or deny"
                )
        return frozenset(found)

    def judge(self, rows: pa.Table) -> pa.Table:
        require(self.name(), self.needs(), rows.column_names)
        if self.score_only or not rows.num_rows:
            return no_drops()
        seconds = pa.chunked_array([pa.array(clip_seconds(rows))])
        undecided = np.ones(rows.num_rows, np.bool_)
        found, places = [], []
        for predicate in self.predicates():
            values = self._values(rows, predicate, seconds)
            fails, unknown = predicate.judge(values)
            groups = [(fails, predicate.code)]
            if self.missing == "drop":
                groups.append((unknown, f"{predicate.code}_unknown"))
            for mask, reason in groups:
                at = np.flatnonzero(mask & undecided)
                if len(at):
                    found.append(self._drops(rows, at, values, seconds, predicate, reason))
                    places.append(at)
                    undecided[at] = False
        if not found:
            return no_drops()
        in_row_order = pa.array(np.argsort(np.concatenate(places), kind="stable"))
        return pa.concat_tables(found).take(in_row_order).combine_chunks()

    @staticmethod
    def _values(rows: pa.Table, predicate: Predicate, seconds: pa.ChunkedArray) -> pa.ChunkedArray:
        if predicate.column == "seconds":
            return seconds
        values = rows[predicate.column]
        if predicate.code == "wrong_language":
            carried = pc.utf8_lower(rows["language"].cast(pa.string()))
            carried = pc.replace_substring_regex(carried, pattern="[-_].*$", replacement="")
            values = pc.coalesce(values.cast(pa.string()), carried)
        return values

    def _drops(
        self,
        rows: pa.Table,
        at: Any,
        values: pa.ChunkedArray,
        seconds: pa.ChunkedArray,
        predicate: Predicate,
        reason: str,
    ) -> pa.Table:
        indices = pa.array(at)
        chosen = values.take(indices)
        return drops_table(
            id=rows["id"].take(indices),
            root=rows["task"].take(indices),
            step=self.name(),
            reason=reason,
            seconds=seconds.take(indices),
            score=predicate.scores(chosen),
            threshold=predicate.threshold(),
            detail=predicate.details(chosen),
        )
