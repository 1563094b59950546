"""Whether a text meets the quality rules of well-known text corpora: Gopher, C4 and FineWeb.

For `kind: speech` (transcripts) the rules are adapted: no penalty for missing punctuation where a
text has none at all, no least length, and repetition, stop words and shares of words are judged
from 50 words on. For `kind: page` they are as published. `failed` names the rules that are broken
(`gopher:symbols`); the four families are one column each, so that a filter can ask for one. The
counts behind them are columns too: another threshold then needs no new measure.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import pydantic

from schemas.records import Clip, Scores
from transforms.measure.corpus_rules import FAMILIES, breaks
from transforms.measure.text_statistics import statistics
from transforms.step import Measure, Scope


class TextRules(Measure):
    """Rules of Gopher, C4 and FineWeb that a text breaks, and the counts behind them."""

    columns: ClassVar[dict[str, type]] = {
        **dict.fromkeys(FAMILIES, bool),
        "failed": str,
        "sentences": int,
        "mean_word_length": float,
        "symbol_ratio": float,
        "alphabetic_share": float,
        "stop_words": int,
        "digit_share": float,
        "upper_share": float,
        "terminal_lines": float,
        "short_lines": float,
        "duplicate_lines": float,
        "duplicate_paragraphs": float,
        "top_2gram": float,
        "top_3gram": float,
        "top_4gram": float,
        "duplicate_5gram": float,
        "duplicate_10gram": float,
    }
    needs_audio: ClassVar[bool] = False

    kind: Literal["speech", "page"] = pydantic.Field(
        "speech", description="Rules as adapted to transcripts, or as published for pages"
    )

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        for clip in records:
            found = statistics(clip.text, clip.language)
            if not found.words:  # nothing to judge
                yield Scores(id=clip.id, values=(None,) * len(self.columns))
                continue
            failed = list(breaks(clip.text, found, self.kind))
            families = {name.partition(":")[0] for name in failed}
            yield Scores(
                id=clip.id,
                values=(
                    *(family not in families for family in FAMILIES),
                    " ".join(failed),
                    found.sentences if found.punctuated else None,
                    found.mean_word_length,
                    found.symbol_ratio,
                    found.alphabetic_share,
                    found.stop_words,
                    found.digit_share,
                    found.upper_share,
                    found.terminal_lines,
                    found.short_lines,
                    found.duplicate_lines,
                    found.duplicate_paragraphs,
                    *found.top_ngrams,
                    found.duplicate_ngrams[0],
                    found.duplicate_ngrams[-1],
                ),
            )
