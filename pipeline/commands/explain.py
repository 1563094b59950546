"""`speechloom explain ID`: walk one item through the steps."""

import argparse
import sys

from pipeline.lookup import Hit, find, nearest
from pipeline.pointers import Pointer, read_pointers
from pipeline.view import View
from pipeline.walk import Walk, plain
from schemas.store import Store, StoreError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "id",
        metavar="ID",
        help="id of a source, recording, task, segment, clip, document or part, or the beginning "
        "of one; or a file's path as DATA listed it",
    )
    parser.add_argument("--out", default="out", help="folder or bucket with results (%(default)s)")
    parser.add_argument(
        "--recipe-name", metavar="NAME", help="only the newest run of this recipe (default: all)"
    )
    parser.add_argument("--all", action="store_true", help="cut no list short")


def run(arguments: argparse.Namespace) -> int:
    store = Store(arguments.out)
    pointers = _chosen(store, arguments.recipe_name)
    if not pointers:
        return 2
    query = arguments.id.strip()
    views = [View(store, pointer, stream) for pointer in pointers for stream in pointer.streams]
    found = find(views, query)
    if not found:
        _unknown(store, views, query)
        return 2
    if len(found) > 1:
        _say(f"{query!r} may mean any of these; give more of it:")
        _list(sorted(found))
        return 2
    ((hit, holders),) = found.items()
    for number, view in enumerate(holders):
        if number:
            print()
        try:
            print("\n".join(Walk(view, arguments.all).tell(hit)))
        except FileNotFoundError as error:
            raise StoreError(
                f"a run of recipe {view.pointer.name} should have left {error}, and it is gone. "
                "Run curate with that recipe again"
            ) from error
    return 0


def _chosen(store: Store, name: str | None) -> list[Pointer]:
    pointers = read_pointers(store)
    if not pointers:
        _say(f"{store.url} holds no finished run; give --out, or run curate to its end first")
    chosen = [pointer for pointer in pointers if name in (None, pointer.name)]
    if pointers and not chosen:
        _say(
            f"{store.url} has no run of a recipe {name!r}; "
            f"it has: {', '.join(sorted(pointer.name for pointer in pointers))}"
        )
    return chosen


def _unknown(store: Store, views: list[View], query: str) -> None:
    runs = ", ".join(dict.fromkeys(view.pointer.name for view in views))
    _say(f"nothing in {store.url} has the id or path {query!r} (newest runs of: {runs})")
    if any(not view.sources for view in views):
        _say("a run there left no list of its sources; run curate again to have one")
    near = nearest(views, query)
    if near:
        _say("nearest:")
        _list(near)


def _list(hits: list[Hit]) -> None:
    for hit in hits[:20]:
        print(plain(f"  {hit.kind:<10} {hit.id}  {hit.note}"), file=sys.stderr)
    if len(hits) > 20:
        print(f"  ... and {len(hits) - 20} more", file=sys.stderr)


def _say(text: str) -> None:
    print(plain(f"speechloom: {text}"), file=sys.stderr)
