"""`speechloom forget HOST|URL|ID`: take nothing from there again; with --purge, keep nothing."""

import argparse
import time
from collections.abc import Sequence

from pipeline import suppression
from pipeline.forgetting import Origin, entries_of, leads, listed_of, origins, unwanted
from pipeline.purge import Changed, Gone, interrupted, planned, purge
from pipeline.reach import refuse_while_held
from pipeline.report import clean
from schemas.store import Store
from transforms.gather.suppressed import Entry, Suppressed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        metavar="HOST|URL|ID",
        help="a host (with all below it), a URL, a path of local DATA, or the id of a source, "
        "recording, task, segment, clip or document: the whole recording is meant",
    )
    parser.add_argument("--out", default="out", help="folder or bucket with results (%(default)s)")
    parser.add_argument("--yes", action="store_true", help="do it; without, only say what it is")
    parser.add_argument(
        "--purge",
        action="store_true",
        help="also rewrite what is stored, so that nothing of it remains; list what changed",
    )


def run(arguments: argparse.Namespace) -> int:
    store = Store(arguments.out)
    lines = entries_of(store, arguments.what, int(time.time()))
    listed = Suppressed.of([*suppression.entries(store), *lines])
    known = origins(store)
    gone = _gone(store, listed, known)
    before = interrupted(store) if arguments.purge else None
    if arguments.purge:
        refuse_while_held(store, [entry.name for entry in store.list("")])
        gone = planned(store, gone if before is None else gone | before)
    print(_told(store, arguments.what, lines, gone, arguments.purge), end="")
    if not arguments.yes:
        print("nothing was done; add --yes to do it")
        return 0
    added = suppression.add(store, lines)
    print(f"{added} of {len(lines)} lines added to {store.where(suppression.FOLDER)}")
    if arguments.purge:
        print(_changed(purge(store, gone)), end="")
    return 0


def _gone(store: Store, listed: Suppressed, known: Sequence[Origin]) -> Gone:
    uris, held = unwanted(listed, known, leads(store))
    return Gone(
        uris=uris,
        bytes=held,
        sources=frozenset(
            one.source
            for one in known
            if one.source and (one.uri in uris or ("source", one.source) in listed.owned)
        ),
        tasks=frozenset(one.task for one in known if one.task and one.bytes in held),
    )


def _told(store: Store, what: str, lines: Sequence[Entry], gone: Gone, purging: bool) -> str:
    """What it comes to, before it is done."""
    recordings = set()
    clips_of: dict[str, int] = {}
    for name, sources in listed_of(store):
        mine = {one.recording for one in sources if one.recording in gone.bytes}
        recordings |= mine
        clips_of[name] = len(mine)
    shown = [f"{what} is on the list as {', '.join(f'{one.kind} {one.value}' for one in lines)}"]
    shown.append(
        f"known of what is to be forgotten: {len(gone.sources)} sources, "
        f"{len(recordings)} recordings, {len(gone.bytes)} fetched or read files; "
        f"{sum(1 for count in clips_of.values() if count)} streams of finished runs hold them"
    )
    if purging:
        shown.append(
            f"to be purged: {len(gone.tasks)} tasks, {len(gone.clips)} clips, "
            f"{len(gone.documents)} documents"
        )
    return "".join(f"{clean.line(line)}\n" for line in shown)


def _changed(changed: Changed) -> str:
    lines = [f"purged; {len(changed)} files have other bytes now, or are gone:"]
    for name, old, new in changed:
        lines.append(f"  {name}\n    {old}\n    {new or 'gone'}")
    lines.append("cards and reports of changed sets were removed; the next curate writes new ones")
    return "".join(f"{clean.line(part)}\n" for line in lines for part in line.split("\n"))
