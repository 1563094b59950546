"""Connected components by large-star and small-star (Kiveris et al., Connected Components in
MapReduce and Beyond, SoCC 2014), on arrays of edges.

Each operation looks at one node's neighbours at a time, so it works on any partition that holds all
edges of its nodes. Large-star hooks every larger neighbour to the smallest; small-star does so with
the smaller ones. They are repeated until neither changes an edge; what is left are stars, whose
centres are the smallest nodes of their components. A path of n nodes takes O(log n) rounds, a star
of a million one.
"""

import numpy as np
import numpy.typing as npt

I64 = npt.NDArray[np.int64]


def unique_edges(low: I64, high: I64) -> tuple[I64, I64]:
    """Edges once each with the smaller node first, sorted, without loops."""
    a, b = np.minimum(low, high), np.maximum(low, high)
    keep = a != b
    a, b = a[keep], b[keep]
    order = np.lexsort((b, a))
    a, b = a[order], b[order]
    if len(a):
        first = np.append(True, (a[1:] != a[:-1]) | (b[1:] != b[:-1]))
        a, b = a[first], b[first]
    return a, b


def _by_node(node: I64, other: I64) -> tuple[I64, I64, I64, I64]:
    """Edges sorted by node, where each node's begin, how many it has, and its smallest other."""
    order = np.argsort(node, kind="stable")
    node, other = node[order], other[order]
    starts = np.flatnonzero(np.append(True, node[1:] != node[:-1]))
    return node, other, starts, np.minimum.reduceat(other, starts)


def large_star(node: I64, other: I64) -> tuple[I64, I64]:
    """For each node: its larger neighbours, hooked to the smallest of it and its neighbours.

    Edges are given in both directions, and all of a node's are there. Gives (low, high).
    """
    if not len(node):
        return node, other
    node, other, starts, least = _by_node(node, other)
    lengths = np.diff(np.append(starts, len(node)))
    least = np.minimum(np.repeat(least, lengths), node)
    larger = other > node
    return least[larger], other[larger]


def small_star(low: I64, high: I64) -> tuple[I64, I64]:
    """For each node: its smaller neighbours and itself, hooked to the smallest of them.

    Edges are given once, by their larger node; all of a node's are there. Gives (low, high).
    """
    if not len(low):
        return low, high
    node, other, starts, least = _by_node(high, low)
    lengths = np.diff(np.append(starts, len(node)))
    hub = np.repeat(least, lengths)
    others = other != hub
    return (
        np.concatenate([hub[others], least]),
        np.concatenate([other[others], node[starts]]),
    )


def stars(low: I64, high: I64) -> tuple[I64, I64]:
    """The stars that edges become: (centre, member) sorted by member, in memory."""
    low, high = unique_edges(low, high)
    while True:
        a, b = unique_edges(*large_star(np.concatenate([low, high]), np.concatenate([high, low])))
        a, b = unique_edges(*small_star(a, b))
        if len(a) == len(low) and np.array_equal(a, low) and np.array_equal(b, high):
            order = np.argsort(b, kind="stable")
            return a[order], b[order]
        low, high = a, b
