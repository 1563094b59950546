"""Drop the clips that miss a threshold, each with the first condition that it failed.

Conditions are judged in one fixed order, that of `conditions.py` (length, text quality, language,
sound, text rates, trust in the text, further sound, text quality, then `where` by column name and
`rules` by their names), so that a clip that fails several has one reason, whatever order the recipe
writes them in. Every condition is off until it is set; "guard" in a description is a limit that
`benchmarks/guard.py` measures.

A score may be unknown: silence has no SNR, two words have no language. What cannot be judged is
kept by default, because a drop must be able to name a value; `missing: drop` turns it round, and
such drops carry the reason with `_unknown` behind it. Where the text is too short to tell its
language, the language that the clip carries (given in the table, or said by the recognizer)
stands in; a language tag counts by its first part ("en-GB" is "en").

`rules` are conditions of your own on any column, alone or combined by `all_of`, `any_of` and `not`:
limits, quantiles (over all rows that reach this step, or over those of each source), lists, files
of lists, and RE2 patterns. The rule's name is the reason; score and threshold are those of the
condition that decided. A NaN score is an unknown one.
"""

import re
from collections.abc import Iterable
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from transforms.select import quantiles
from transforms.select.columns import known_columns, require
from transforms.select.conditions import CONDITIONS, MEANINGS, Bounds
from transforms.select.drops import SECONDS_COLUMNS, clip_seconds, drops_table, no_drops
from transforms.select.judging import judged, rule_needs, wanted_by
from transforms.select.predicates import Mask, Predicate
from transforms.select.quantiles import Wanted
from transforms.select.rules import Rule, leaves, lines_of
from transforms.step import Filtering

_LANGUAGE = re.compile(r"[a-z]{2,3}")
_RULE = re.compile(r"[a-z][a-z0-9_]{0,47}")


class Filter(Filtering):
    """Keep the clips that meet every condition; name the first one that the others fail."""

    reasons: ClassVar[dict[str, str]] = MEANINGS | {
        f"{code}_unknown": f"Nothing is known for the condition {code!r}, and `missing` is drop."
        for code in MEANINGS
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
    max_loop_share: float | None = pydantic.Field(
        None, ge=0, le=1, description="Greatest share of words in loops (0..1; guard: 0.2; off)"
    )
    max_letters_per_second: float | None = pydantic.Field(
        None, ge=0, description="Most letters per second of speech (1/s; guard: 100; off)"
    )
    min_letters_per_second: float | None = pydantic.Field(
        None, ge=0, description="Fewest letters per second of speech (1/s; guard: 7; off)"
    )
    max_words_outside: float | None = pydantic.Field(
        None,
        ge=0,
        le=1,
        description="Greatest share of words outside speech (0..1; guard: 0.4; off)",
    )
    min_speech_covered: float | None = pydantic.Field(
        None, ge=0, le=1, description="Least share of speech under words (0..1; guard: 0.6; off)"
    )
    max_boilerplate: float | None = pydantic.Field(
        None,
        ge=0,
        le=1,
        description="Greatest share of unspoken boilerplate (0..1; guard: 0.5; off)",
    )
    max_no_speech: float | None = pydantic.Field(
        None, ge=0, le=1, description="Greatest no-speech probability (Whisper uses 0.6; off)"
    )
    min_log_probability: float | None = pydantic.Field(
        None, le=0, description="Least mean log probability (Whisper uses -1.0; off)"
    )
    max_unsure_words: float | None = pydantic.Field(
        None, ge=0, le=1, description="Greatest share of unsure words (0..1; off)"
    )
    max_disagreement: float | None = pydantic.Field(
        None, ge=0, description="Greatest disagreement between engines (a word error rate; off)"
    )
    min_word_agreement: float | None = pydantic.Field(
        None, ge=0, le=1, description="Least mean agreement on words (0..1; off)"
    )
    languages_agree: Literal[True] | None = pydantic.Field(
        None, description="Languages by sound and by text are one (true; off)"
    )
    min_bandwidth_hz: float | None = pydantic.Field(
        None, ge=0, description="Least effective bandwidth (hertz; off)"
    )
    max_dc_offset: float | None = pydantic.Field(
        None, ge=0, le=1, description="Greatest offset from zero (share of full scale; off)"
    )
    max_music: float | None = pydantic.Field(
        None, ge=0, le=1, description="Greatest share of music (0..1; off)"
    )
    max_noise: float | None = pydantic.Field(
        None, ge=0, le=1, description="Greatest share of steady noise (0..1; off)"
    )
    max_overlap: float | None = pydantic.Field(
        None, ge=0, le=1, description="Greatest share spoken by several at once (0..1; off)"
    )
    min_mos: float | None = pydantic.Field(
        None, description="Least opinion score (the model's scale; off)"
    )
    gopher: Literal[True] | None = pydantic.Field(
        None, description="The text meets Gopher's quality rules (true; off)"
    )
    gopher_repetition: Literal[True] | None = pydantic.Field(
        None, description="The text meets Gopher's rules on repetition (true; off)"
    )
    c4: Literal[True] | None = pydantic.Field(
        None, description="The text meets C4's rules (true; off)"
    )
    fineweb: Literal[True] | None = pydantic.Field(
        None, description="The text meets FineWeb's rules (true; off)"
    )
    min_lexical_diversity: float | None = pydantic.Field(
        None, ge=0, le=1, description="Least share of distinct words in a window (MATTR; off)"
    )
    max_perplexity: float | None = pydantic.Field(
        None, ge=1, description="Greatest perplexity (of the model's own tokens; off)"
    )
    max_toxic: float | None = pydantic.Field(
        None, ge=0, le=1, description="Greatest toxicity (0..1; off)"
    )
    max_personal_data: int | None = pydantic.Field(
        None, ge=0, description="Most personal data in the text (times; 0 drops any; off)"
    )
    where: dict[str, Bounds] | None = pydantic.Field(
        None,
        description="Further conditions by column: `<measure>.<column>` or a field of the clip",
    )
    rules: dict[str, Rule] | None = pydantic.Field(
        None,
        description="Further conditions by a name of your own, which is the reason of their drops",
    )
    missing: Literal["keep", "drop"] = pydantic.Field(
        "keep", description="What happens where a condition's value is unknown (ours)"
    )
    score_only: bool = pydantic.Field(
        False, description="Drop nothing; verdicts say what would have left (ours)"
    )

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for thing in ("seconds", "loudness", "chars_per_second", "letters_per_second"):
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
        for name in self.rules or {}:
            if not _RULE.fullmatch(name) or name in self.reasons or name.endswith("_unknown"):
                raise ValueError(
                    f"{name!r} cannot name a rule: small letters, digits and _ (at most 48), no "
                    "reason that a filter has already, and not ending in _unknown"
                )
        return self

    def fingerprint(self) -> dict[str, str] | None:
        """The digests of the files that rules name."""
        found: dict[str, str] = {}
        for rule in (self.rules or {}).values():
            for leaf in leaves(rule):
                found |= {p: lines_of(p)[1] for p in (leaf.allow_file, leaf.deny_file) if p}
        return dict(sorted(found.items())) or None

    @staticmethod
    def conditions() -> tuple[tuple[str, str, str], ...]:
        """Reason, setting and column of every condition but `where`, in the order of judging."""
        return CONDITIONS

    def predicates(self) -> tuple[Predicate, ...]:
        """The conditions that are set, in the order in which they are judged."""
        found = []
        for code, setting, column in CONDITIONS:
            limit = getattr(self, setting)
            kind: Any = setting.partition("_")[0] if setting.startswith(("min_", "max_")) else None
            if limit is not None:
                limit = [True] if limit is True else limit
                found.append(Predicate(code=code, column=column, kind=kind or "allow", limit=limit))
        for column, bounds in sorted((self.where or {}).items()):
            kinds: tuple[Any, ...] = ("min", "max", "allow", "deny")
            for kind in kinds:
                limit = getattr(bounds, kind)
                if limit is not None:
                    found.append(Predicate(code="where", column=column, kind=kind, limit=limit))
        return tuple(found)

    def needs(self) -> frozenset[str]:
        """What `judge` reads. Raises `TypeError` where a limit does not fit its column, and where
        a list cannot be read."""
        found = {"id", "task"} | SECONDS_COLUMNS
        kinds = known_columns() if self.where or self.rules else {}
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
        for name, rule in sorted((self.rules or {}).items()):
            found |= rule_needs(name, rule, kinds)
        return frozenset(found)

    def wanted(self) -> tuple[Wanted, ...]:
        """The quantiles that have to be known before a row can be judged."""
        return tuple(
            sorted({w for rule in (self.rules or {}).values() for w in wanted_by(rule)}, key=str)
        )

    def survey(self, rows: pa.Table) -> pa.Table:
        if not self.wanted():
            return super().survey(rows)
        require(self.name(), self.needs(), rows.column_names)
        seconds = _seconds(rows)
        pairs = dict.fromkeys((wanted.column, wanted.per) for wanted in self.wanted())
        return pa.concat_tables(
            quantiles.survey(
                seconds if column == "seconds" else rows[column],
                column,
                per,
                None if per is None else rows[per],
            )
            for column, per in pairs
        )

    def limits(self, surveys: Iterable[pa.Table]) -> pa.Table:
        return quantiles.limits(surveys, self.wanted())

    def judge(self, rows: pa.Table, limits: pa.Table | None = None) -> pa.Table:
        found = self._judge(rows, limits)
        return no_drops() if self.score_only else found

    def notes(self, rows: pa.Table, limits: pa.Table | None = None) -> pa.Table:
        return self._judge(rows, limits) if self.score_only else no_drops()

    def _judge(self, rows: pa.Table, limits: pa.Table | None) -> pa.Table:
        require(self.name(), self.needs(), rows.column_names)
        if not rows.num_rows:
            return no_drops()
        if limits is None and self.wanted():
            limits = self.limits([self.survey(rows)])  # these rows are all there are
        seconds = _seconds(rows)
        undecided = np.ones(rows.num_rows, np.bool_)
        found, places = [], []

        def leave(mask: Mask, predicate: Predicate, reason: str) -> None:
            at = np.flatnonzero(mask & undecided)
            if len(at):
                values = self._values(rows, predicate, seconds)
                found.append(self._drops(rows, at, values, seconds, predicate, reason))
                places.append(at)
                undecided[at] = False

        for predicate in self.predicates():
            fails, unknown = predicate.judge(self._values(rows, predicate, seconds))
            leave(fails, predicate, predicate.code)
            if self.missing == "drop":
                leave(unknown, predicate, f"{predicate.code}_unknown")
        for name, rule in sorted((self.rules or {}).items()):
            deciders, truth = judged(rule, name, rows, seconds, limits)
            for number, predicate in enumerate(deciders):
                mine = truth.decided_by == number
                leave(mine & (truth.value < 0), predicate, name)
                if self.missing == "drop":
                    leave(mine & (truth.value == 0), predicate, f"{name}_unknown")
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
            threshold=predicate.threshold(at),
            detail=predicate.details(chosen),
        )


def _seconds(rows: pa.Table) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(clip_seconds(rows))])
