"""`speechloom retry --dead [REASON]`: dead letters by reason, or back into the queue."""

import argparse
import sys
from collections.abc import Sequence

from pipeline.curate import new_run_id
from pipeline.dead import DeadLetter, dead_letters, forget
from pipeline.report import clean
from pipeline.walk import plain
from schemas.store import Store

LISTED = ""
EXAMPLE = 48  # characters


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dead",
        nargs="?",
        const=LISTED,
        required=True,
        metavar="REASON",
        help="forget the dead letters of this reason (crash, decode:timeout, fetch:timeout, ...; "
        "all), so that the next curate works on exactly those; without a reason: list them",
    )
    parser.add_argument("--out", default="out", help="folder or bucket with results (%(default)s)")


def run(arguments: argparse.Namespace) -> int:
    store = Store(arguments.out)
    letters = dead_letters(store)
    if arguments.dead == LISTED:
        print("\n".join(plain(line) for line in listed(store, letters)))
        return 0
    chosen = [one for one in letters if one.named(arguments.dead)]
    if not chosen:
        known = ", ".join(sorted({f"{one.step}:{one.reason}" for one in letters})) or "none at all"
        text = f"{store.url} has no dead letter of reason {arguments.dead!r}; it has {known}"
        print(plain(f"speechloom: {text}"), file=sys.stderr)
        return 2
    forget(store, chosen, new_run_id())
    print(f"forgot {len(chosen)}: the next curate tries them again, and nothing else")
    return 0


def listed(store: Store, letters: Sequence[DeadLetter]) -> list[str]:
    """Dead letters by reason, the most frequent first, with one example each."""
    if not letters:
        return [f"no dead letters in {store.url}"]
    found: dict[str, list[DeadLetter]] = {}
    for one in letters:
        found.setdefault(f"{one.step}:{one.reason}", []).append(one)
    lines = [f"{'reason':<28}{'records':>8}  example"]
    for name, some in sorted(found.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        example = some[0].detail or some[0].id
        lines.append(f"{name:<28}{len(some):>8}  {clean.cut(clean.line(example), EXAMPLE)}")
    return lines
