"""Deal clips out to train, valid and test, so that what is tested was never trained on.

Recordings that share a given speaker, a feed or a cluster of near-duplicates belong together, and
so does whatever a chain of such ties joins: a whole group goes to one split, drawn by the seed and
by the group's smallest name (of its feeds; else of its given speakers; else of its recordings), so
no order shows. A feed that gets new episodes and a speaker who says more stay where they were;
data that tie two groups together make one of them, and one of the two may then change its split.
Speakers that a diarizer named are local to their recording and tie nothing.

Shares are of groups, so small sets miss them by a lot, and so does a set of which one group is the
greater part: the largest one is told (`Dealt.largest`).
"""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pydantic

from schemas.ids import fraction
from transforms.select.columns import require
from transforms.select.components import I64, stars
from transforms.step import Phase, Step

SPLITS = ("train", "valid", "test")
Tie = Literal["recording", "speaker", "feed", "cluster"]
TIES: tuple[Tie, ...] = ("recording", "speaker", "feed", "cluster")
_NAMED_AFTER: tuple[Tie, ...] = ("feed", "speaker", "recording")  # the first that a group has


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """Recordings that no split may part."""

    name: str  # the key it is drawn by
    split: str
    clips: int
    recordings: int
    speakers: int  # given ones
    feeds: int
    clusters: int


@dataclasses.dataclass(frozen=True, slots=True)
class Dealt:
    """What became of the rows: their splits and groups, row by row, and the groups."""

    splits: pa.Array
    group: I64  # number of each row's group
    names: list[str]  # of the groups
    drawn: list[str]  # their splits
    _nodes: "list[tuple[Tie, I64]]"  # per kind: the group of each of its names

    def about(self, number: int) -> Group:
        """One group in figures."""
        counted = {tie: int((groups == number).sum()) for tie, groups in self._nodes}
        return Group(
            name=self.names[number],
            split=self.drawn[number],
            clips=int((self.group == number).sum()),
            recordings=counted["recording"],
            speakers=counted.get("speaker", 0),
            feeds=counted.get("feed", 0),
            clusters=counted.get("cluster", 0),
        )

    def largest(self, weights: npt.NDArray[np.float64]) -> tuple[Group, float] | None:
        """The group with the greatest share of the rows' `weights` (seconds), and that share."""
        totals = np.bincount(self.group, weights, len(self.names))
        if not totals.sum():
            return None
        number = int(np.argmax(totals))
        return self.about(number), float(totals[number] / totals.sum())


def _ties(value: Any) -> Any:
    """One name stands for itself; clips of a recording are never parted."""
    named = (value,) if isinstance(value, str) else value
    if not isinstance(named, Sequence) or not all(isinstance(one, str) for one in named):
        return named
    unknown = sorted(set(named) - set(TIES))
    if unknown:
        return named
    return tuple(tie for tie in TIES if tie == "recording" or tie in named)


class Split(Step):
    """Name the split of every clip: train, valid or test."""

    phase: ClassVar[Phase] = "select"

    train: float = pydantic.Field(0.98, ge=0, le=1, description="Share to train on (0..1; ours)")
    valid: float = pydantic.Field(0.01, ge=0, le=1, description="Share to validate on (0..1; ours)")
    test: float = pydantic.Field(0.01, ge=0, le=1, description="Share to test on (0..1; ours)")
    by: Annotated[tuple[Tie, ...], pydantic.Field(strict=False)] = pydantic.Field(
        TIES,
        description="What no two splits share (recording: always; speaker: given ones; feed: of "
        "the web, or a table's column `feed`; cluster: near-duplicates that dedup found)",
    )

    @pydantic.field_validator("by", mode="before")
    @classmethod
    def _by(cls, value: Any) -> Any:
        return _ties(value)

    @pydantic.model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = self.train + self.valid + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + valid + test must be 1, but they add up to {total:g}")
        return self

    def needs(self) -> frozenset[str]:
        """The columns of the joined table that `deal` reads."""
        if "speaker" not in self.by:
            return frozenset({"recording"})
        return frozenset({"recording", "speaker", "speaker_given"})

    def assign(self, rows: pa.Table, seed: int) -> pa.Array:
        """The split of each row; see `deal`."""
        return self.deal(rows, seed).splits

    def deal(self, rows: pa.Table, seed: int) -> Dealt:
        """Deal out all rows of a set. Raises `MissingColumns`.

        Beside the columns of `needs`, `rows` may have `feeds` and `clusters`, lists of names per
        row; without them there are none.
        """
        require(self.name(), self.needs(), rows.column_names)
        recordings = rows["recording"].combine_chunks().dictionary_encode()
        owner = recordings.indices.to_numpy().astype(np.int64)
        kinds: list[tuple[Tie, pa.Array]] = [("recording", recordings.dictionary)]
        low, high = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for tie, row, names in self._tied(rows):
            encoded = names.dictionary_encode()
            first = sum(len(known) for _, known in kinds)
            low.append(owner[row])
            high.append(encoded.indices.to_numpy().astype(np.int64) + first)
            kinds.append((tie, encoded.dictionary))
        starts = np.cumsum([0, *(len(known) for _, known in kinds)])
        label = np.arange(starts[-1], dtype=np.int64)
        centre, member = stars(np.concatenate(low), np.concatenate(high))
        label[member] = centre
        numbers, group = np.unique(label, return_inverse=True)
        nodes = [
            (tie, group[starts[place] : starts[place + 1]]) for place, (tie, _) in enumerate(kinds)
        ]
        keys = _names(len(numbers), kinds, nodes)
        drawn = [self._draw(seed, key) for key in keys]
        own = nodes[0][1][owner].astype(np.int64)
        splits = pa.array(drawn, pa.string()).take(pa.array(own))
        return Dealt(splits, own, keys, drawn, nodes)

    def _tied(self, rows: pa.Table) -> list[tuple[Tie, I64, pa.Array]]:
        """What ties rows beside their recording: (kind, row numbers, name of each)."""
        found: list[tuple[Tie, I64, pa.Array]] = []
        if "speaker" in self.by:
            given = np.flatnonzero(rows["speaker_given"].to_numpy()).astype(np.int64)
            found.append(("speaker", given, rows["speaker"].combine_chunks().take(pa.array(given))))
        lists: tuple[tuple[Tie, str], ...] = (("feed", "feeds"), ("cluster", "clusters"))
        for tie, column in lists:
            if tie in self.by and column in rows.column_names:
                values = rows[column].combine_chunks()
                row = pc.list_parent_indices(values).to_numpy().astype(np.int64)
                found.append((tie, row, pc.list_flatten(values)))
        return found

    def _draw(self, seed: int, key: str) -> str:
        return split_of(seed, key, train=self.train, test=self.test)


def split_of(seed: int, key: str, *, train: float, test: float) -> str:
    """The split that a group of that name is dealt to. A page is a group named by its id, so what
    asks about held-out pages (`transforms.synthesize.evaluation_rows`) and what trains agree."""
    at = fraction(seed, "split", key)
    if at < train:
        return "train"
    # Not `train + valid`, which may round below 1 although nothing is left for test.
    return "valid" if at < 1 - test else "test"


def _names(
    count: int, kinds: Sequence[tuple[Tie, pa.Array]], nodes: Sequence[tuple[Tie, I64]]
) -> list[str]:
    """For each group the smallest name of its first kind: what it is drawn by."""
    found: list[str | None] = [None] * count
    for tie in _NAMED_AFTER:
        for (kind, names), (_, group) in zip(kinds, nodes, strict=True):
            if kind != tie:
                continue
            order = pc.sort_indices(names)
            number = group[order.to_numpy()]
            some, first = np.unique(number, return_index=True)
            chosen = names.take(order.take(pa.array(first))).to_pylist()
            for at, name in zip(some.tolist(), chosen, strict=True):
                if found[at] is None:
                    found[at] = name if tie == "recording" else f"{tie}:{name}"
    return [str(name) for name in found]
