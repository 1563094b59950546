"""Near-duplicates of a set that fits in memory: what the pipeline's spilled rounds must agree with.

Also what both share: the rank by which survivors are chosen, and the drops that a settled set
becomes.
"""

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from transforms.select.components import I64, stars
from transforms.select.drops import drops_table
from transforms.select.matching import BOTH, Links, Matcher, Sketch, failed_pairs
from transforms.select.shingles import Ragged
from transforms.select.survivors import Settled, id_places, settle_links


@dataclasses.dataclass(frozen=True, slots=True)
class Held:
    """Features of some rows in memory, found by the rows' numbers."""

    rows: I64  # ascending
    features: Ragged

    def __call__(self, rows: I64) -> Ragged:
        return self.features.take(np.searchsorted(self.rows, rows).astype(np.int64))


def links_here(matcher: Matcher, sketch: Sketch) -> Links:
    """All links among the rows of one sketch."""
    features = Held(sketch.rows, sketch.features)
    entries = sketch.entries
    found = []
    for _ in range(matcher.again):
        pairs = matcher.pairs(entries)
        if not len(pairs):
            break
        links = matcher.verify(pairs, features)
        found.append(links)
        entries = matcher.left(entries, failed_pairs(pairs, links))
    return join_links(found)


def join_links(parts: list[Links]) -> Links:
    """Links of several parts, the best of each pair, in the order of their rows."""
    if not parts:
        none = np.empty(0, np.int64)
        return Links(none, none, np.empty(0, np.float32), np.empty(0, np.int8))
    low = np.concatenate([part.low for part in parts])
    high = np.concatenate([part.high for part in parts])
    score = np.concatenate([part.score for part in parts])
    inside = np.concatenate([part.inside for part in parts])
    order = np.lexsort((inside, -score, high, low))
    low, high, score, inside = low[order], high[order], score[order], inside[order]
    if len(low):
        first = np.append(True, (low[1:] != low[:-1]) | (high[1:] != high[:-1]))
        low, high, score, inside = low[first], high[first], score[first], inside[first]
    return Links(low, high, score, inside)


def both_ways(links: Links) -> tuple[I64, I64]:
    """The edges of clusters."""
    both = links.inside == BOTH
    return links.low[both], links.high[both]


def settled_here(
    matcher: Matcher,
    rows: pa.Table,
    rank: npt.NDArray[np.float64],
    seconds: npt.NDArray[np.float64],
) -> tuple[Settled, Links]:
    """Who leaves of a table whose rows are in the order of task and index."""
    links = links_here(matcher, matcher.sketch(rows, np.arange(rows.num_rows, dtype=np.int64)))
    places = id_places(rows["id"].combine_chunks())
    return settle_links(links, stars(*both_ways(links)), rank, seconds, places), links


def best_scores(links: Links, rows: I64) -> npt.NDArray[np.float64]:
    """For each row, the highest score of a link that it has part in; rows ascending."""
    best = np.zeros(len(rows), np.float64)
    for side in (links.low, links.high):
        at = np.minimum(np.searchsorted(rows, side), max(0, len(rows) - 1))
        mine = rows[at] == side if len(rows) else np.zeros(len(side), np.bool_)
        np.maximum.at(best, at[mine], links.score[mine].astype(np.float64))
    return best


def near_drops(
    step: str,
    matcher: Matcher,
    leaving: pa.Table,
    stays: pa.Array,
    scores: npt.NDArray[np.float64],
    seconds: npt.NDArray[np.float64],
) -> pa.Table:
    """Drops of rows that leave for others; `stays` holds the ids of those."""
    return drops_table(
        id=leaving["id"],
        root=leaving["task"],
        step=step,
        reason=matcher.reason,
        seconds=pa.array(seconds),
        score=pa.array(np.round(scores, 6)),
        threshold=matcher.threshold,
        detail=pc.binary_join_element_wise("much the same as ", stays, ""),
    )
