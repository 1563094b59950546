"""How the parts of a phase reach workers elsewhere: as names, never as the parts themselves.

A part lists its records with all that is known of them, a few hundred bytes each, and ten million
hours are sixty million parts: inside a job's graph they would burst it (Dataflow takes 20 MB), and
across a shuffle they would be moved twice. So the driver writes them to OUT, some hundred in a
block, and what travels is the block's name and a place in it.

Blocks are pickles, which run code when they are read. Their name is the digest of their bytes, it
travels in the job's graph, and a worker checks it first: whoever can only write to OUT cannot
make a worker run anything.
"""

import functools
import hashlib
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

from pipeline import layout
from schemas.store import Store, StoreError

PARTS_PER_BLOCK = 256


def folder_of(job: Any) -> str:
    return f"{layout.phase_folder(job.phase, job.key)}/dealt"


def write(job: Any, parts: Sequence[Any]) -> list[str]:
    """Write parts to OUT. Returns the names of their blocks, each `<digest>:<count>`."""
    names = []
    for at in range(0, len(parts), PARTS_PER_BLOCK):
        block = list(parts[at : at + PARTS_PER_BLOCK])
        data = pickle.dumps(block, protocol=5)
        digest = hashlib.sha256(data).hexdigest()
        job.store.put_if_absent(f"{folder_of(job)}/{digest}", data)
        names.append(f"{digest}:{len(block)}")
    return names


def remove(job: Any, names: Sequence[str]) -> None:
    """Take the blocks of a finished job away."""
    job.store.delete(*(f"{folder_of(job)}/{name.partition(':')[0]}" for name in names))


def elements(name: str) -> Iterator[str]:
    """What stands for the parts of a block: `<digest>:<place>`."""
    digest, _, count = name.partition(":")
    for place in range(int(count)):
        yield f"{digest}:{place}"


def part_of(job: Any, element: str) -> Any:
    """The part that an element stands for. Raises `StoreError` where its block is not what it was.

    Parts of one block often go to one worker, which then reads it once.
    """
    digest, _, place = element.partition(":")
    return _block(job.store, f"{folder_of(job)}/{digest}")[int(place)]


@functools.lru_cache(maxsize=4)
def _block(store: Store, name: str) -> list[Any]:
    data = store.get(name)
    if hashlib.sha256(data).hexdigest() != name.rpartition("/")[2]:
        raise StoreError(
            f"{store.where(name)} is not what the run wrote there: somebody changed it. It is not "
            "read. Find out who can write to OUT, then run again"
        )
    found: list[Any] = pickle.loads(data)
    return found
