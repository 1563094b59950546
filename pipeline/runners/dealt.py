"""How the parts of a phase reach workers elsewhere: as names, never as the parts themselves.

A part lists its records with all that is known of them, a few hundred bytes each, and ten million
hours are sixty million parts: inside a job's graph they would burst it (Dataflow takes 20 MB), and
across a shuffle they would be moved twice. So the driver writes them to OUT, some hundred in a
block, and what travels is the block's name and a place in it. The names of blocks stand in OUT as
well, some thousand in a list, and the graph names the lists: sixty of them for those hours.

Blocks are pickles, which run code when they are read. Their name is the digest of their bytes, it
travels in the job's graph, and a worker checks it first: whoever can only write to OUT cannot
make a worker run anything.
"""

import dataclasses
import functools
import hashlib
from collections.abc import Iterator
from typing import Any

from pipeline import layout
from pipeline.parts import Parts, unpacked
from schemas.store import Store, StoreError

BLOCKS_PER_LIST = 4096


def folder_of(job: Any) -> str:
    return f"{layout.phase_folder(job.phase, job.key)}/dealt"


@dataclasses.dataclass(frozen=True, slots=True)
class Dealt:
    """What a job was dealt: the digests of lists for its graph, and of all objects, to remove."""

    lists: tuple[str, ...]
    objects: tuple[str, ...]


def write(job: Any, parts: Parts[Any]) -> Dealt:
    """Write parts to OUT as they are packed, and lists of their blocks."""
    blocks = [f"{_put(job, data)}:{count}" for data, count in parts.blocks()]
    lists = [
        _put(job, "\n".join(blocks[at : at + BLOCKS_PER_LIST]).encode())
        for at in range(0, len(blocks), BLOCKS_PER_LIST)
    ]
    named = [name.partition(":")[0] for name in blocks]
    return Dealt(tuple(lists), (*lists, *named))


def _put(job: Any, data: bytes) -> str:
    digest = hashlib.sha256(data).hexdigest()
    job.store.put_if_absent(f"{folder_of(job)}/{digest}", data)
    return digest


def remove(job: Any, dealt: Dealt) -> None:
    """Take away what a finished job was dealt."""
    job.store.delete_all([f"{folder_of(job)}/{digest}" for digest in dealt.objects])


def elements(job: Any, digest: str) -> Iterator[str]:
    """What stands for the parts of a list's blocks: `<digest of the block>:<place>`."""
    text = _checked(job.store, f"{folder_of(job)}/{digest}").decode()
    for line in text.split("\n"):
        block, _, count = line.partition(":")
        for place in range(int(count)):
            yield f"{block}:{place}"


def part_of(job: Any, element: str) -> Any:
    """The part that an element stands for. Raises `StoreError` where its block is not what it was.

    Parts of one block often go to one worker, which then reads it once.
    """
    digest, _, place = element.partition(":")
    return _block(job.store, f"{folder_of(job)}/{digest}")[int(place)]


@functools.lru_cache(maxsize=4)
def _block(store: Store, name: str) -> list[Any]:
    return unpacked(_checked(store, name))


def _checked(store: Store, name: str) -> bytes:
    """The bytes of an object that is named by their digest."""
    data = store.get(name)
    if hashlib.sha256(data).hexdigest() != name.rpartition("/")[2]:
        raise StoreError(
            f"{store.where(name)} is not what the run wrote there: somebody changed it. It is not "
            "read. Find out who can write to OUT, then run again"
        )
    return data
