"""Rules judged over a block: each condition by itself, then combined, and who decided.

Conditions of a rule on one column that are written together must all hold.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from transforms.select.predicates import Predicate
from transforms.select.quantiles import Wanted, limits_of_rows
from transforms.select.rules import Rule, Truth, combined, leaves


def wanted_by(rule: Rule) -> Iterator[Wanted]:
    """The quantiles that a rule reads."""
    for leaf in leaves(rule):
        for quantile in (leaf.min_quantile, leaf.max_quantile):
            if quantile is not None:
                yield Wanted(str(leaf.column), leaf.per, quantile)


def rule_needs(name: str, rule: Rule, kinds: Mapping[str, type | None]) -> set[str]:
    """The columns that a rule reads. Raises `TypeError` where a condition does not fit its column
    or names a list that cannot be read."""
    found = set()
    for leaf in leaves(rule):
        column = str(leaf.column)
        kind = float if column == "seconds" else kinds.get(column)
        numbers = ("min", "max", "min_quantile", "max_quantile")
        said = [one for one in numbers if getattr(leaf, one) is not None]
        if said and kind in (str, bool):
            raise TypeError(
                f"filter.rules.{name}: {column!r} is no number, so it has no {said[0]}; use allow "
                "or deny"
            )
        if (leaf.match or leaf.avoid) and kind in (int, float, bool):
            raise TypeError(
                f"filter.rules.{name}: {column!r} is no text, so no pattern matches it; use min, "
                "max, allow or deny"
            )
        try:
            for _ in leaf.lists():
                pass
        except ValueError as error:
            raise TypeError(f"filter.rules.{name}: {error}") from error
        found |= {one for one in (column, leaf.per) if one is not None and one != "seconds"}
    return found


def judged(
    rule: Rule, name: str, rows: pa.Table, seconds: pa.ChunkedArray, limits: pa.Table | None
) -> tuple[list[Predicate], Truth]:
    """The predicates of a rule, and what it says of each row of a block."""
    predicates: list[Predicate] = []

    def truth_of(one: Rule) -> Truth:
        if one.column is None:
            found = [truth_of(part) for part in one.parts()]
            return ~found[0] if one.negated else combined(found, every=one.all_of is not None)
        values = seconds if one.column == "seconds" else rows[one.column]
        found = []
        for predicate in _predicates(one, name, rows, limits):
            fails, unknown = predicate.judge(values)
            value = np.where(fails, -1, np.where(unknown, 0, 1)).astype(np.int8)
            number = np.full(len(value), len(predicates), np.int32)
            predicates.append(predicate)
            found.append(Truth(value, number))
        return combined(found, every=True)

    truth = truth_of(rule)
    return predicates, truth


def _predicates(
    leaf: Rule, name: str, rows: pa.Table, limits: pa.Table | None
) -> Iterator[Predicate]:
    column = str(leaf.column)
    if leaf.min is not None:
        yield Predicate(code=name, column=column, kind="min", limit=leaf.min)
    if leaf.max is not None:
        yield Predicate(code=name, column=column, kind="max", limit=leaf.max)
    groups = None if leaf.per is None else rows[leaf.per]
    over = "all rows" if leaf.per is None else f"the rows of one {leaf.per}"
    if leaf.min_quantile is not None and limits is not None:
        found = limits_of_rows(
            limits, Wanted(column, leaf.per, leaf.min_quantile), groups, rows.num_rows
        )
        about = f"quantile {leaf.min_quantile:g} of {over}"
        yield Predicate(code=name, column=column, kind="min", limit=found, about=about)
    if leaf.max_quantile is not None and limits is not None:
        found = limits_of_rows(
            limits, Wanted(column, leaf.per, leaf.max_quantile), groups, rows.num_rows
        )
        about = f"quantile {leaf.max_quantile:g} of {over}"
        yield Predicate(code=name, column=column, kind="max", limit=found, about=about)
    for kind, values in leaf.lists():
        yield Predicate(code=name, column=column, kind=kind, limit=values)
    if leaf.match is not None:
        yield Predicate(code=name, column=column, kind="match", limit=leaf.match)
    if leaf.avoid is not None:
        yield Predicate(code=name, column=column, kind="avoid", limit=leaf.avoid)
