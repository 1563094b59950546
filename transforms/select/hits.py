"""What rows share with evaluation sets, block by block and then all together.

A table of `HITS` holds three sorts of rows. `clip`: a clip with a hit, by kind, with its strongest
one. `item`: an evaluation item with a hit, by kind, with how many clips, and the strongest of them
in its context. `set`: what a set holds, and how much of it no kind can find. Counts add up and the
strongest is chosen by (score, set, item, clip), so the order of blocks does not matter.
"""

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.engines.print_code import Print
from transforms.select.evaluation_audio import heard_in, prints_of
from transforms.select.evaluation_sets import Item
from transforms.select.fuzzy import Fuzzy
from transforms.select.overlap import Grams, Runs, runs_of
from transforms.select.shingles import plain

KINDS = ("ngram", "fuzzy", "audio")
HITS = pa.schema(
    [
        pa.field("what", pa.string(), False),  # clip, item, set
        pa.field("kind", pa.string(), False),  # ngram, fuzzy, audio; "" of a set
        pa.field("set", pa.string(), False),
        pa.field("item", pa.string(), False),  # id in its set; "" of a set
        pa.field("clip", pa.string(), False),  # the one of the strongest hit; "" of a set
        pa.field("score", pa.float64()),  # words in common, similarity, share heard
        pa.field("shared", pa.string(), False),  # the words in common
        pa.field("context", pa.string(), False),  # with those around them
        pa.field("count", pa.int64(), False),  # of an item: clips; of a set: items
        pa.field("seconds", pa.float64(), False),  # of those clips
        pa.field("out_of_reach", pa.int64(), False),  # of a set: items without a long enough text
    ]
)
_WORDS_AROUND = 8


class Sets:
    """Evaluation sets, indexed."""

    def __init__(
        self,
        items: Sequence[Item],
        digests: Sequence[tuple[str, str]],
        key: str,
        ngrams: tuple[int, int],
        fuzzy: float | None,
        fuzzy_lost: float,
        fuzzy_words: tuple[int, int],
    ):
        self.items, self.digests, self.key = tuple(items), tuple(digests), key
        self.texts = [text for item in items for text in item.texts]
        counts = [len(item.texts) for item in items]
        self.item_of = np.repeat(np.arange(len(items), dtype=np.int64), counts)
        self.grams = Grams(self.texts, *ngrams)
        self.fuzzy = None if fuzzy is None else Fuzzy(self.texts, fuzzy, fuzzy_lost, *fuzzy_words)

    @functools.cached_property
    def prints(self) -> tuple[list[Print], list[int]]:
        """The sounds of all items that can be told, and the item of each."""
        owners = [(n, file) for n, item in enumerate(self.items) for file in item.sounds]
        found = prints_of([file for _, file in owners])
        told = [(p, n) for p, (n, _) in zip(found, owners, strict=True) if p is not None]
        return [p for p, _ in told], [n for _, n in told]

    def totals(self) -> list[dict[str, Any]]:
        """A row of `HITS` per set."""
        reached = set(self.item_of[~self.grams.short].tolist())
        rows: dict[str, dict[str, Any]] = {}
        for number, item in enumerate(self.items):
            row = rows.setdefault(item.set, _row(what="set", set=item.set))
            row["count"] += 1
            row["out_of_reach"] += number not in reached
        return [rows[name] for name in sorted(rows)]


class _Words:
    """The words of rows as they are spelled for comparing, made for the few rows asked for."""

    def __init__(self, texts: pa.ChunkedArray, runs: Runs):
        self._texts, self._runs = texts, runs
        self._starts = np.searchsorted(runs.owner, np.arange(len(texts)))
        self._known: dict[int, list[str]] = {}

    def __call__(self, first: int, last: int) -> list[str]:
        """Words [first, last) of all stretches."""
        found: list[str] = []
        at = first
        while at < last:
            row = int(self._runs.owner[at])
            if row not in self._known:
                self._known[row] = plain(self._texts[row].as_py() or "").split()
            start = int(self._starts[row])
            more = self._known[row][at - start : last - start]
            if not more:
                raise ValueError(f"row {row} has other words than its hashes: a bug in shingles")
            found += more
            at += len(more)
        return found

    def around(self, first: int, last: int) -> str:
        offsets = self._runs.words.offsets
        run = int(np.searchsorted(offsets, first, side="right")) - 1
        before = max(int(offsets[run]), first - _WORDS_AROUND)
        after = min(int(offsets[run + 1]), last + _WORDS_AROUND)
        return " ".join((*self(before, first), "[", *self(first, last), "]", *self(last, after)))


class _Found:
    """The hits of one block: the strongest of each clip and item, and which clips hit an item."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._place = {row: place for place, row in enumerate(np.argsort(ids, kind="stable"))}
        self.clips: dict[tuple[str, int], tuple[float, int, int, int]] = {}
        self.items: dict[tuple[str, int], tuple[float, int, int, int]] = {}
        self.rows: dict[tuple[str, int], set[int]] = {}

    def add(self, kind: str, item: int, row: int, score: float, at: int, length: int) -> None:
        mine, old = (score, item, at, length), self.clips.get((kind, row))
        if old is None or (-score, item, at) < (-old[0], old[1], old[2]):
            self.clips[kind, row] = mine
        mine, old = (score, row, at, length), self.items.get((kind, item))
        # By id, not by row: where a block begins must not matter.
        if old is None or (-score, self._place[row], at) < (-old[0], self._place[old[1]], old[2]):
            self.items[kind, item] = mine
        self.rows.setdefault((kind, item), set()).add(row)


def hits_in(
    sets: Sets, rows: pa.Table, seconds: npt.NDArray[np.float64], audio: float | None
) -> pa.Table:
    """The hits of a block (`HITS`, without sets); rows in the order of task and index."""
    runs = runs_of(rows)
    words = _Words(rows["text"], runs)
    found = _Found(rows["id"].to_pylist())
    _by_ngrams(sets, runs, found)
    if sets.fuzzy is not None:
        for one in sets.fuzzy.find(runs, words):
            item = int(sets.item_of[one.text])
            for row in np.unique(runs.owner[one.at : one.at + one.length]):
                found.add("fuzzy", item, int(row), one.score, one.at, one.length)
    if audio is not None:
        prints, owners = sets.prints
        for number, row, share in heard_in(prints, rows["fingerprint.code"], audio):
            found.add("audio", owners[number], row, share, -1, 0)
    return _table(sets, rows, seconds, words, found)


def _by_ngrams(sets: Sets, runs: Runs, found: _Found) -> None:
    shared, every = sets.grams.find(runs)
    if not len(shared.at):
        return
    # Of one run of words, the longest from each place; later places of the same run say less.
    item = sets.item_of[shared.text]
    order = np.lexsort((shared.at, -shared.length, item))
    best_at: dict[tuple[int, int], int] = {}
    for place in order:
        at, length = int(shared.at[place]), int(shared.length[place])
        for row in np.unique(runs.owner[at : at + length]):
            key = (int(item[place]), int(row))
            if best_at.setdefault(key, int(place)) == place:
                found.add("ngram", key[0], key[1], float(length), at, length)
    # Items of a template that were not followed: flagged with the first run that they share.
    followed = {number for _, number in found.items}
    for text, first in zip(every.text.tolist(), every.at.tolist(), strict=True):
        number = int(sets.item_of[text])
        if number not in followed:
            least = sets.grams.least
            found.add("ngram", number, int(runs.owner[first]), float(least), first, least)


def _table(
    sets: Sets,
    rows: pa.Table,
    seconds: npt.NDArray[np.float64],
    words: _Words,
    found: _Found,
) -> pa.Table:
    if not found.clips:
        return HITS.empty_table()
    ids = rows["id"].to_pylist()
    made = []
    for what, table in (("clip", found.clips), ("item", found.items)):
        for (kind, key), (score, other, at, length) in table.items():
            row, number = (key, other) if what == "clip" else (other, key)
            item = sets.items[number]
            mine = {row} if what == "clip" else found.rows[kind, number]
            made.append(
                _row(
                    what=what,
                    kind=kind,
                    set=item.set,
                    item=item.id,
                    clip=ids[row],
                    score=score,
                    shared=" ".join(words(at, at + length)) if at >= 0 else "",
                    context=words.around(at, at + length) if at >= 0 and what == "item" else "",
                    count=len(mine),
                    seconds=float(seconds[sorted(mine)].sum()),
                )
            )
    return pa.Table.from_pylist(made, HITS)


def _row(**values: Any) -> dict[str, Any]:
    plainly: dict[str, Any] = {
        **dict.fromkeys(("what", "kind", "set", "item", "clip", "shared", "context"), ""),
        **{"score": None, "count": 0, "seconds": 0.0, "out_of_reach": 0},
    }
    return plainly | values


def gathered(sets: Sets, surveys: Iterable[pa.Table]) -> pa.Table:
    """The hits of all blocks as one table, sorted; a row per set behind them."""
    rows: list[dict[str, Any]] = []
    items: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for table in surveys:
        for row in table.to_pylist():
            if row["what"] == "item":
                items.setdefault((row["kind"], row["set"], row["item"]), []).append(row)
            elif row["what"] == "clip":
                rows.append(row)
    rows.sort(key=lambda row: (row["clip"], KINDS.index(row["kind"])))
    for _, same in sorted(items.items()):
        best = min(same, key=lambda row: (-row["score"], row["clip"], row["shared"]))
        count = sum(row["count"] for row in same)
        length = round(sum(sorted(row["seconds"] for row in same)), 6)
        rows.append({**best, "count": count, "seconds": length})
    return pa.Table.from_pylist([*rows, *sets.totals()], HITS)
