"""Connected components by stars: what they must be, whatever the graph."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transforms.select.components import large_star, small_star, stars, unique_edges

EDGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=60)


def by_search(edges: list[tuple[int, int]]) -> dict[int, int]:
    """For each node that has a neighbour, the smallest node that it can reach."""
    near: dict[int, set[int]] = {}
    for a, b in edges:
        if a != b:
            near.setdefault(a, set()).add(b)
            near.setdefault(b, set()).add(a)
    found: dict[int, int] = {}
    for start in sorted(near):
        todo = [start]
        while todo:
            node = todo.pop()
            if node not in found:
                found[node] = start
                todo += near[node]
    return found


@settings(max_examples=300, deadline=None)
@given(EDGES)
def test_stars_are_the_components(edges: list[tuple[int, int]]) -> None:
    low, high = (np.array([e[side] for e in edges], np.int64) for side in (0, 1))
    centre, member = stars(low, high)
    found = dict(zip(member.tolist(), centre.tolist(), strict=True))
    assert len(found) == len(member)
    expected = by_search(edges)
    assert found == {node: top for node, top in expected.items() if node != top}
    assert np.all(np.diff(member) > 0)


@settings(max_examples=100, deadline=None)
@given(EDGES, st.randoms())
def test_the_order_and_direction_of_edges_changes_nothing(
    edges: list[tuple[int, int]], random: object
) -> None:
    turned = [(b, a) for a, b in edges]
    random.shuffle(turned)  # type: ignore[attr-defined]
    results = []
    for some in (edges, turned + edges):
        low, high = (np.array([e[side] for e in some], np.int64) for side in (0, 1))
        results.append(stars(low, high))
    assert np.array_equal(results[0][0], results[1][0])
    assert np.array_equal(results[0][1], results[1][1])


@pytest.mark.parametrize("count", [2, 1000, 100_000])
def test_a_long_path_is_one_component(count: int) -> None:
    path = np.random.default_rng(0).permutation(count).astype(np.int64)
    centre, member = stars(path[:-1], path[1:])
    assert set(centre.tolist()) == {0} and len(member) == count - 1


def test_single_operations() -> None:
    low, high = np.array([1, 2, 2]), np.array([2, 3, 4])
    node, other = np.concatenate([low, high]), np.concatenate([high, low])
    a, b = unique_edges(*large_star(node, other))
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == [(1, 2), (1, 3), (1, 4)]
    a, b = unique_edges(*small_star(np.array([1, 2]), np.array([3, 3])))
    assert list(zip(a.tolist(), b.tolist(), strict=True)) == [(1, 2), (1, 3)]
    empty = np.empty(0, np.int64)
    assert not len(stars(empty, empty)[0])
