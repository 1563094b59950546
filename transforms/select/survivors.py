"""Who stays of near-duplicates: of every cluster the best, and what is contained in no other.

Pairs that are alike both ways make clusters (any chain of them); of a cluster the row with the
highest rank stays, then the one with the smallest id. A row that lies inside another one (a jingle
in a broadcast) joins nothing: else two broadcasts would be one because of their jingle. It leaves
if what holds it, or the survivor of that one's cluster, is longer: lengths rise along such a chain,
so the last of it stays, and nothing leaves without something that holds it.
"""

import dataclasses

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from transforms.select.components import I64
from transforms.select.matching import BOTH, LOW_INSIDE, Links


@dataclasses.dataclass(frozen=True, slots=True)
class Settled:
    """Who leaves for whom, and the clusters; row numbers, ascending."""

    leaves: I64
    stays: I64  # for each that leaves: whom its drop names
    member: I64  # rows of clusters of two or more, and rows inside others
    cluster: I64  # for each: the number of the row after which its cluster is named


def settle_links(
    links: Links,
    stars: tuple[I64, I64],
    rank: npt.NDArray[np.float64],
    seconds: npt.NDArray[np.float64],
    id_rank: I64,
) -> Settled:
    """Survivors, from verified pairs and the stars of those that are alike both ways.

    `rank`, `seconds` and `id_rank` (the place of its id among all) are per row number.
    """
    centre, member = stars
    centres = np.unique(centre)
    nodes = np.concatenate([member, centres])
    label = np.concatenate([centre, centres])
    order = np.lexsort((id_rank[nodes], -rank[nodes], label))
    nodes, label = nodes[order], label[order]
    first = np.append(True, label[1:] != label[:-1]) if len(label) else np.empty(0, np.bool_)
    best = nodes[first]
    keeper = np.repeat(best, np.diff(np.append(np.flatnonzero(first), len(nodes))))
    gone = nodes != keeper

    kept_as = dict_of(nodes, keeper)
    one_way = links.inside != BOTH
    low_in = links.inside[one_way] == LOW_INSIDE
    inner = np.where(low_in, links.low[one_way], links.high[one_way])
    outer = np.where(low_in, links.high[one_way], links.low[one_way])
    inner_keeper, outer_keeper = kept_as(inner), kept_as(outer)
    longer = seconds[outer_keeper] > seconds[inner]
    own = (inner_keeper == inner) & (outer_keeper != inner) & longer
    inner, outer_keeper, score = inner[own], outer_keeper[own], links.score[one_way][own]
    by = np.lexsort((id_rank[outer_keeper], -score, inner))
    inner, outer_keeper = inner[by], outer_keeper[by]
    once = np.append(True, inner[1:] != inner[:-1]) if len(inner) else np.empty(0, np.bool_)
    inner, outer_keeper = inner[once], outer_keeper[once]

    leaves = np.concatenate([nodes[gone], inner])
    stays = np.concatenate([keeper[gone], outer_keeper])
    place = np.argsort(leaves, kind="stable")
    named, cluster = _groups(np.concatenate([nodes, leaves]), np.concatenate([keeper, stays]))
    return Settled(leaves[place], stays[place], named, cluster)


def _groups(a: I64, b: I64) -> tuple[I64, I64]:
    """Rows that any relation joins, with the smallest number among them: splits must not part
    them, whichever way one is like the other."""
    from transforms.select.components import stars

    centre, member = stars(a, b)
    centres = np.unique(centre)
    rows, cluster = np.concatenate([member, centres]), np.concatenate([centre, centres])
    order = np.argsort(rows, kind="stable")
    return rows[order], cluster[order]


class dict_of:
    """A map from row to row, by arrays; rows that it does not know are mapped to themselves."""

    def __init__(self, keys: I64, values: I64):
        order = np.argsort(keys, kind="stable")
        self._keys, self._values = keys[order], values[order]

    def __call__(self, rows: I64) -> I64:
        if not len(self._keys):
            return rows
        at = np.minimum(np.searchsorted(self._keys, rows), len(self._keys) - 1)
        return np.where(self._keys[at] == rows, self._values[at], rows)


def id_places(ids: pa.Array) -> I64:
    """The place of each id among all ids in their order; ids are hex of one length."""
    raw = np.asarray(ids.to_numpy(zero_copy_only=False), dtype="S64")
    places = np.empty(len(raw), np.int64)
    places[np.argsort(raw, kind="stable")] = np.arange(len(raw))
    return places
