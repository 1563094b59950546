"""`speechloom gc`: remove from OUT what no finished run reaches."""

import argparse

from pipeline.reach import Garbage, garbage, refuse_while_held, remove
from pipeline.report import clean
from schemas.store import Store


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="out", help="folder or bucket with results (%(default)s)")
    parser.add_argument("--dry-run", action="store_true", help="say what would go; remove nothing")
    parser.add_argument(
        "--forget",
        action="append",
        default=[],
        metavar="RECIPE",
        help="also the results of this recipe, unless another shares them; may be repeated",
    )
    parser.add_argument(
        "--unfinished",
        action="store_true",
        help="also the work of runs that did not finish, which curate would go on from",
    )


def size(number: int) -> str:
    """Bytes for people."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= scale:
            return f"{number / scale:.1f} {unit}"
    return f"{number} B"


def run(arguments: argparse.Namespace) -> int:
    store = Store(arguments.out)
    names = [entry.name for entry in store.list("")]
    refuse_while_held(store, names)
    found = garbage(store, arguments.forget, arguments.unfinished)
    if not arguments.dry_run:
        remove(store, found)
    print(render(store, found, arguments.dry_run), end="")
    return 0


def render(store: Store, found: Garbage, dry_run: bool) -> str:
    """What goes, by kind, and what is spared."""
    kinds = found.by_kind()
    total = sum(freed for _, freed in kinds.values())
    verb = "would remove" if dry_run else "removed"
    lines = [
        f"  {kind:<28}{count:>9} files{size(freed):>12}" for kind, (count, freed) in kinds.items()
    ]
    if lines:
        lines = [f"{verb} from {store.url}:", *lines, f"{size(total):>57} in all"]
    else:
        lines = [f"nothing to remove in {store.url}: a finished run reaches all of it"]
    if found.unfinished:
        kept = sum(found.unfinished.values())
        phases = ", ".join(dict.fromkeys(phase for phase, _ in found.unfinished))
        lines.append(
            f"kept {size(kept)} of {phases} by runs that did not finish: the same curate command "
            "goes on from it; --unfinished removes it"
        )
    return "".join(f"{clean.line(line)}\n" for line in lines)
