"""Of clips that say or sound the same, or nearly so, keep one.

Two clips are the same where their decoded samples are (`audio`), or where their texts are, once
case, punctuation and spacing are forgotten (`text`). Short texts repeat in honest speech ("thank
you"), so only texts of at least `min_words` are compared.

The survivor of a group is the clip with the best text (given, normal, smoke), then the longest,
then the one with the smallest id: a total order over all clips, the same for both kinds. Kinds
are settled one after the other (`rounds`: samples, then text), and a clip that has left takes
part in no later round, so it knocks nobody out. It follows that no two survivors are the same in
any kind, and that every cluster (clips joined by any chain of sameness) keeps at least its first
in the order. A clip may leave for one that leaves in a later round; the words of that one then
stay in a third. `best` puts a number (a score, say) before all of that.

`text: minhash` and `audio: fingerprint` go on to what is nearly the same: equal ones leave first,
for little, then near texts (`near_text`), then recordings of one sound (`near_audio`, from the
measure `fingerprint`). docs/deduplication.md says how, and what it costs.
"""

import hashlib
from typing import ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from schemas.ids import ID_DIGITS
from transforms.measure.wording import count_words
from transforms.select.columns import require
from transforms.select.drops import SECONDS_COLUMNS, clip_seconds, drops_table, no_drops
from transforms.select.matching import Matcher
from transforms.select.minhash import choose
from transforms.select.near_audio import COLUMNS, AudioMatcher
from transforms.select.near_text import TextMatcher
from transforms.select.same_text import same_text
from transforms.step import Grouping

_AUDIO, _TEXT = "same_audio", "same_text"
_NEAR_TEXT, _NEAR_AUDIO = TextMatcher.reason, AudioMatcher.reason
REPEATED = "repeated_recording"
_QUALITY = {"given": 3, "normal": 2, "smoke": 1}
_QUALITY_STEP = 1e7  # seconds: more than any clip lasts, so quality comes first


class Dedup(Grouping):
    """Keep one clip of those with equal or nearly equal sound or text."""

    reasons: ClassVar[dict[str, str]] = {
        _AUDIO: "Another clip has exactly the same samples; the detail names the one that stays.",
        _TEXT: "Another clip has the same words; the detail names the one that stays.",
        _NEAR_TEXT: "Another clip has much the same words; the score is their similarity.",
        _NEAR_AUDIO: "Its sound is also in another clip; the score is the share that is.",
        REPEATED: "Most of its recording is heard elsewhere, so all of it leaves.",
    }

    audio: Literal["exact", "fingerprint"] | None = pydantic.Field(
        "exact",
        description="Compare sound (exact: samples equal to the bit; fingerprint: also copies "
        "that were encoded, cut or played differently, by the measure fingerprint)",
    )
    text: Literal["exact", "minhash"] | None = pydantic.Field(
        "exact",
        description="Compare texts (exact: equal but for case, punctuation and spaces; minhash: "
        "also those that share most of their shingles)",
    )
    min_words: int = pydantic.Field(
        8, ge=1, description="Shorter texts are never the same (words; ours)"
    )
    best: str | None = pydantic.Field(
        None,
        description="Number column that says who stays: the highest (snr.snr_db, say), then the "
        "smallest id. None: the best text, then the longest, then the smallest id",
    )
    near: Literal["drop", "note"] = pydantic.Field(
        "drop",
        description="What becomes of near copies (note: all stay; clusters are written, which "
        "keep them in one split)",
    )
    similarity: float = pydantic.Field(
        0.7,
        gt=0,
        le=1,
        description="Least Jaccard similarity of two texts' shingles (0..1; minhash; ours)",
    )
    shingle: Literal["words", "characters"] = pydantic.Field(
        "words",
        description="What shingles are runs of (minhash; characters: for scripts "
        "without spaces and for spellings that vary)",
    )
    shingle_size: int = pydantic.Field(
        3, ge=1, le=64, description="Words or characters in a shingle (minhash; ours)"
    )
    permutations: int = pydantic.Field(
        64,
        ge=8,
        le=1024,
        description="Hashes per text, cut into bands by `similarity` (minhash; ours: at 0.7 they "
        "bring together 97.5 % of the pairs right at the threshold)",
    )
    covered: float = pydantic.Field(
        0.7,
        gt=0,
        le=1,
        description="Share of a clip that must be heard in another one (0..1; fingerprint; ours)",
    )
    repeats: Literal["cut", "recording"] = pydantic.Field(
        "cut",
        description="What a repeated stretch costs (fingerprint; cut: the clips in it; "
        "recording: all clips of a recording that repeats itself elsewhere for the most part)",
    )
    repeated_share: float = pydantic.Field(
        0.5,
        gt=0,
        le=1,
        description="Share of a recording's seconds from which on all of it leaves (0..1; ours)",
    )

    @pydantic.model_validator(mode="after")
    def _compares_something(self) -> Self:
        if self.audio is None and self.text is None:
            raise ValueError("dedup compares nothing: set audio or text, or leave the step out")
        if self.text == "minhash":
            choose(self.similarity, self.permutations)
        return self

    def rounds(self) -> "tuple[Dedup, ...]":
        """This step as steps of one kind each, settled one after the other over the survivors."""
        kinds: list[dict[str, str | None]] = []
        kinds += [{"audio": "exact", "text": None}] if self.audio else []
        kinds += [{"audio": None, "text": "exact"}] if self.text else []
        kinds += [{"audio": None, "text": "minhash"}] if self.text == "minhash" else []
        kinds += [{"audio": "fingerprint", "text": None}] if self.audio == "fingerprint" else []
        return tuple(self.model_copy(update=kind) for kind in kinds)

    def matcher(self) -> Matcher | None:
        """How a round of near-duplicates compares; None for rounds of equal ones."""
        if self.text == "minhash" and self.audio is None:
            return TextMatcher(
                threshold=self.similarity,
                unit=self.shingle,
                size=self.shingle_size,
                permutations=self.permutations,
                min_words=self.min_words,
            )
        if self.audio == "fingerprint" and self.text is None:
            return AudioMatcher(threshold=self.covered)
        return None

    def needs(self) -> frozenset[str]:
        compared = {"pcm_sha256"} if self.audio else set()
        compared |= {"text"} if self.text else set()
        compared |= set(COLUMNS) if self.audio == "fingerprint" else set()
        compared |= {"recording"} if self.repeats == "recording" else set()
        compared |= {self.best} if self.best is not None else set()
        return frozenset({"id", "task", "quality"} | SECONDS_COLUMNS | compared)

    def ranks(self, rows: pa.Table) -> npt.NDArray[np.float64]:
        """What decides who stays: the highest does."""
        if self.best is None:
            ranks: npt.NDArray[np.float64] = _quality(
                rows["quality"]
            ) * _QUALITY_STEP + clip_seconds(rows)
            return ranks
        kind = rows[self.best].type
        if not (pa.types.is_floating(kind) or pa.types.is_integer(kind)):
            raise TypeError(f"dedup: best is {self.best!r}, which holds {kind}, not numbers")
        numbers = rows[self.best].cast(pa.float64()).fill_null(-np.inf).to_numpy()
        return np.where(np.isnan(numbers), -np.inf, numbers)

    def keys(self, rows: pa.Table) -> pa.Table:
        """The keys of a block of clips; no samples or too little text, no key."""
        require(self.name(), self.needs(), rows.column_names)
        seconds = clip_seconds(rows)
        rank = self.ranks(rows)
        found = []
        if self.audio:
            found.append((_AUDIO, _audio_keys(rows)))
        if self.text:
            found.append((_TEXT, _text_keys(rows["text"], self.min_words)))
        tables = []
        for kind, keys in found:
            at = np.flatnonzero(keys.is_valid().to_numpy(zero_copy_only=False))
            indices = pa.array(at)
            columns = [
                keys.take(indices),
                rows["id"].take(indices),
                rows["task"].take(indices),
                pa.array(rank[at]),
                pa.array(seconds[at]),
                pa.repeat(kind, len(at)),
            ]
            tables.append(pa.table(columns, schema=self.keys_schema))
        return pa.concat_tables(tables)

    def losers(self, keys: pa.Table) -> pa.Table:
        """Who leaves a block that holds all rows of each of its keys, in the order of their ids.

        A row that comes twice counts once. The detail of a drop is the id of the clip that stays.
        """
        if not keys.num_rows:
            return no_drops()
        keys = keys.combine_chunks()
        order = [
            ("kind", "ascending"),
            ("key", "ascending"),
            ("rank", "descending"),
            ("id", "ascending"),
        ]
        keys = keys.take(pc.sort_indices(keys, sort_keys=order)).combine_chunks()
        first = _differs(keys["key"]) | _differs(keys["kind"])
        winner = np.maximum.accumulate(np.where(first, np.arange(len(first)), 0))
        winners = keys["id"].take(pa.array(winner))
        leaves = ~pc.equal(keys["id"], winners).to_numpy()
        lost = keys.append_column("winner", winners).filter(pa.array(leaves))
        lost = lost.take(
            pc.sort_indices(lost, sort_keys=[("id", "ascending"), ("kind", "ascending")])
        )
        lost = lost.combine_chunks()
        lost = lost.filter(pa.array(_differs(lost["id"])))
        return drops_table(
            id=lost["id"],
            root=lost["root"],
            step=self.name(),
            reason=lost["kind"],
            seconds=lost["seconds"],
            detail=pc.binary_join_element_wise("the same as ", lost["winner"], ""),
        )


def _differs(values: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Where a value is not the one before it; true for the first."""
    flags = np.ones(len(values), np.bool_)
    if len(values) > 1:
        flags[1:] = pc.not_equal(values.slice(1), values.slice(0, len(values) - 1)).to_numpy()
    return flags


def _digest(kind: str, what: str) -> str:
    return hashlib.sha256(f"{kind}:{what}".encode()).hexdigest()[:ID_DIGITS]


def _quality(column: pa.ChunkedArray) -> npt.NDArray[np.float64]:
    known = pa.array(list(_QUALITY))
    place = pc.index_in(column, value_set=known).fill_null(len(known)).to_numpy()
    levels: npt.NDArray[np.float64] = np.array([*_QUALITY.values(), 0], np.float64)
    ranks: npt.NDArray[np.float64] = levels[place]
    return ranks


def _by_distinct(values: pa.Array, key: list[str | None]) -> pa.Array:
    """One key per row, from one key per distinct value: equal rows are digested once."""
    return pa.array(key, pa.string()).take(values.indices)


def _audio_keys(rows: pa.Table) -> pa.Array:
    """Keys of samples at their rate; null where they are unknown or there are none."""
    joined = pc.binary_join_element_wise(rows["rate"].cast(pa.string()), rows["pcm_sha256"], ":")
    joined = pc.if_else(pc.equal(rows["pcm_sha256"], ""), None, joined)
    values = joined.combine_chunks().dictionary_encode()
    return _by_distinct(
        values, [_digest("audio", one) for one in values.dictionary.to_pylist() if one is not None]
    )


def _text_keys(texts: pa.ChunkedArray, min_words: int) -> pa.Array:
    values = texts.combine_chunks().dictionary_encode()
    keys: list[str | None] = []
    for text in values.dictionary.to_pylist():
        plain = same_text(text)
        ascii_words = plain.count(" ") + bool(plain)  # as `count_words` would say, but faster
        words = ascii_words if plain.isascii() else count_words(plain)
        keys.append(_digest("text", plain) if words >= min_words else None)
    return _by_distinct(values, keys)
