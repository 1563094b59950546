"""`speechloom diff RUN_A RUN_B`: what two runs keep differently, and which reasons took it."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline.chosen_run import UnknownRunError, chosen_run
from pipeline.difference import Amount, Cost, Difference, compare
from pipeline.report import clean, figures
from pipeline.verdicts import Verdicts
from pipeline.walk import plain
from schemas.store import Store

TOP = 10  # rows of a list


def add_arguments(parser: argparse.ArgumentParser) -> None:
    what = "name of a recipe, id of a run, key of a composition, an OUT folder, or a ledger's file"
    parser.add_argument("a", metavar="RUN_A", help=what)
    parser.add_argument("b", metavar="RUN_B", help="the same")
    parser.add_argument("--out", default="out", help="folder or bucket with results (%(default)s)")
    parser.add_argument("--json", action="store_true", help="all of it, for programs")
    parser.add_argument("--all", action="store_true", help="cut no list short")


def run(arguments: argparse.Namespace) -> int:
    store = Store(arguments.out)
    try:
        a, b = chosen_run(store, arguments.a), chosen_run(store, arguments.b)
    except UnknownRunError as error:
        print(plain(f"speechloom: {error}"), file=sys.stderr)
        return 2
    found = compare(a, b)
    if arguments.json:
        print(json.dumps(as_json(a, b, found), indent=1, ensure_ascii=True))
        return 0
    most = sys.maxsize if arguments.all else TOP
    for line in render(a, b, found, most):
        print(plain(line))
    return 0


def as_json(a: Verdicts, b: Verdicts, found: Difference) -> dict[str, Any]:
    """The difference with the runs that it is of."""
    runs = {side: {"name": one.name, "ledger": one.where} for side, one in (("a", a), ("b", b))}
    return {"runs": runs, **dataclasses.asdict(found)}


def render(a: Verdicts, b: Verdicts, found: Difference, most: int) -> Iterator[str]:
    """Lines for people, hours with as many places as the largest needs."""
    places = figures.hour_places(max(found.a.seconds, found.b.seconds))

    def hours(seconds: float) -> str:
        return f"{figures.hours(seconds, places):>12}"

    def row(label: str, *amounts: Amount) -> str:
        cells = (f"{figures.count(one.items):>12}{hours(one.seconds)}" for one in amounts)
        return clean.pad(clean.cut(clean.line(label), 43), 44) + "".join(cells)

    def signed(label: str, *amounts: Amount) -> str:
        one, other = amounts
        more = hours(other.seconds - one.seconds)
        return row(label, one, other) + more

    yield f"A  {a.name}  {a.where}"
    yield f"B  {b.name}  {b.where}"
    if found.settings:
        yield "settings that differ"
        for one in found.settings[:most]:
            yield f"  {one.key}: {_value(one.a)} in A, {_value(one.b)} in B"
        yield from _more(found.settings, most)
    yield ""
    yield " " * 44 + f"{'clips':>12}{'hours':>12}"
    for label, amount in (
        ("kept by A", found.a),
        ("kept by B", found.b),
        ("kept by both", found.both),
        ("only by A", found.only_a),
        ("only by B", found.only_b),
    ):
        yield row(label, amount)
    for label, costs in (("B", found.lost_in_b), ("A", found.lost_in_a)):
        if costs:
            yield f"what took them in {label}"
            for cost in costs[:most]:
                yield row(f"  {_reason(cost)}", Amount(items=cost.items, seconds=cost.seconds))
            yield from _more(costs, most)
    changed = [r for r in found.reasons if r.a != r.b]
    if changed:
        yield ""
        yield (
            clean.pad("all that left, by reason", 44)
            + f"{'in A':>12}{'hours':>12}"
            + (f"{'in B':>12}{'hours':>12}{'B - A':>12}")
        )
        for reason in changed[:most]:
            yield signed(f"  {reason.phase} {reason.step} {reason.reason}", reason.a, reason.b)
        yield from _more(changed, most)
    for name, parts in found.by.items():
        differ = [part for part in parts if part.only_a.items or part.only_b.items]
        if differ:
            yield ""
            yield (
                clean.pad(f"by {name}", 44)
                + f"{'only A':>12}{'hours':>12}"
                + (f"{'only B':>12}{'hours':>12}")
            )
            for part in differ[:most]:
                yield row(f"  {part.name or 'not known'}", part.only_a, part.only_b)
            yield from _more(differ, most)


def _reason(cost: Cost) -> str:
    against = f" (threshold {figures.score(cost.threshold)})" if cost.threshold is not None else ""
    return f"{cost.step} {cost.reason}{against}".strip()


def _value(value: Any) -> str:
    return "not there" if value is None else json.dumps(value, ensure_ascii=False)


def _more(found: Sequence[Any], most: int) -> Iterator[str]:
    if len(found) > most:
        yield f"  ... and {len(found) - most} more (--all shows them)"
