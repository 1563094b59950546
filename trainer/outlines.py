"""The outlines of a shard's documents, from its index, as columns.

What planning needs of a document (where its chunks end, their texts and sides) stands in the index,
so no JSON is parsed to plan packs: that was most of what reading short clips cost. Columns of a
whole shard are turned into plain lists at once, for a list per document costs more than its values.
Indexes of the first days have no outlines; documents are then read from their JSON.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.shard_index import Outline, bad_index
from trainer.index_columns import column_of

Int64 = npt.NDArray[np.int64]
Count = Callable[[Int64, Int64], list[int]]  # samples and hertz of chunks -> positions

SIDES = ("both", "speech", "text")
OUTLINE = tuple(field.name for field in dataclasses.fields(Outline))


class Outlines:
    """By place in the index; chunks of all documents stand in one row."""

    def __init__(self, column: pa.StructArray) -> None:
        """Raises ValueError or `pa.ArrowException` where an outline makes no sense."""
        self._lists: dict[str, pa.Array] = {}
        offsets: Int64 | None = None
        for field, name in enumerate(OUTLINE):
            if name == "rate":
                continue
            values = column.field(field)
            own, flat = values.offsets.to_numpy(), values.flatten()
            if column.null_count or values.null_count or flat.null_count:
                raise ValueError(f"outline.{name} has gaps")
            own = own - own[0]
            if offsets is not None and not np.array_equal(own, offsets):
                raise ValueError(f"outline.{name} has another length than outline.end")
            offsets, self._lists[name] = own, flat
        assert offsets is not None
        offsets = offsets.astype(np.int64)
        if (np.diff(offsets) < 1).any():
            raise ValueError("an outline without chunks")
        self._rates = column.field("rate").to_numpy()
        ends = self._lists["end"].to_numpy()
        sizes = np.diff(ends, prepend=0)
        sizes[offsets[:-1]] = ends[offsets[:-1]]
        self._sizes = sizes
        named = self._lists["modality"].dictionary_encode()
        names, own = named.dictionary.to_pylist(), named.indices.to_numpy()
        if (self._rates < 1).any() or (sizes < 0).any() or not set(names) <= set(SIDES):
            raise ValueError("an outline whose rate, ends or sides make no sense")
        self._texts = np.array([name == "text" for name in names], np.bool_)[own]
        if sizes[self._texts].any():
            raise ValueError("an outline with a chunk of text that takes time")
        # tuples: the garbage collector stops following those of plain values, and their slices
        self.rates: tuple[int, ...] = tuple(self._rates.tolist())
        self._offsets = offsets
        # of each document's chunks; and their number
        self.firsts: tuple[int, ...] = tuple(offsets.tolist())
        self.ends: tuple[int, ...] = tuple(ends.tolist())
        self.sides: tuple[str, ...] = tuple([names[place] for place in own.tolist()])
        self.texts: tuple[str, ...] = tuple(self._lists["text"].to_pylist())
        self._counted: tuple[int, ...] | None = None
        self._views: tuple[list[str], list[float], list[bool]] | None = None

    def positions(self, count: Count) -> tuple[int, ...]:
        """Frames of tokens of each chunk; `count` is the same whenever this is asked."""
        if self._counted is None:
            rates = np.repeat(self._rates, np.diff(self._offsets))
            self._counted = tuple(count(self._sizes, rates))
        return self._counted

    def counts(self) -> tuple[npt.NDArray[np.float64], Int64, npt.NDArray[np.bool_]]:
        """Of each document: its seconds, its chunks, and whether anything of it is heard."""
        chunks = np.diff(self._offsets)
        seconds = self._lists["end"].to_numpy()[self._offsets[1:] - 1] / self._rates
        silent = np.logical_and.reduceat(self._texts, self._offsets[:-1])
        return seconds, chunks, ~silent

    def for_views(self) -> tuple[list[str], list[float], list[bool]]:
        """Speaker, gap and whether a clip was dropped, of each chunk: for coarse views."""
        if self._views is None:
            speaker, gap, drop = (
                self._lists[n].to_pylist() for n in ("speaker", "gap", "after_drop")
            )
            self._views = (speaker, gap, drop)
        return self._views


def outlines_of(table: pa.Table, where: str) -> Outlines | None:
    """The outlines of an index; None where it has none.

    Raises `ShardError` where they make no sense.
    """
    if "outline" not in table.column_names or not len(table):
        return None
    try:
        return Outlines(column_of(table, "outline"))
    except (pa.ArrowException, ValueError, KeyError) as error:
        raise bad_index(where, error) from error
