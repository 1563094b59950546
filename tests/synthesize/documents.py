"""The documents of a finished run, as they stand in its shards."""

from pathlib import Path

from pipeline import layout
from schemas.records import Document
from schemas.shard_reader import Sample, read_shard
from tests.laws.runs import Ran


def samples(ran: Ran, stream: str) -> list[Sample]:
    """The samples of one stream, by shard and key."""
    folder = Path(ran.store.url) / layout.composition_folder(ran.result.compose_key)
    found = []
    for entry in ran.result.shards:
        if entry.stream == stream:
            with (folder / entry.name).open("rb") as file:
                found += list(read_shard(file, entry.name))
    return found


def documents(ran: Ran, stream: str) -> list[Document]:
    return [sample.document for sample in samples(ran, stream)]
