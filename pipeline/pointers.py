"""The run pointers of an OUT: `runs/<recipe>.json`, the newest finished run of each recipe.

Everything that is still wanted can be reached from them: `explain` follows them to the records,
`validate` to the shards, and `gc` removes what none of them leads to.
"""

import dataclasses
import json
from collections.abc import Mapping

from schemas.store import Store, StoreError


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamKeys:
    """Under which key each phase of a stream lies; "" for a phase that it does not have."""

    hear: str = ""
    annotate: str = ""
    extract: str = ""
    synthesize: str = ""
    measure: tuple[str, ...]
    select: str
    arrange: str
    page_measure: tuple[str, ...] = ()  # of pages before they are spoken
    page_select: str = ""

    @property
    def opens(self) -> tuple[str, str]:
        """The phase that opens files, and its key."""
        return ("hear", self.hear) if self.hear else ("extract", self.extract)

    @property
    def rows(self) -> tuple[str, str]:
        """The phase whose commits hold the rows of documents, and its key."""
        pairs = (("annotate", self.annotate), ("synthesize", self.synthesize))
        return next((pair for pair in pairs if pair[1]), ("extract", self.extract))

    def reached(self) -> set[tuple[str, str]]:
        """The (phase, key) pairs of the stream."""
        found = {("measure", key) for key in (*self.measure, *self.page_measure)}
        found |= {("select", key) for key in (self.select, self.page_select)}
        found |= {self.opens, self.rows, ("extract", self.extract), ("arrange", self.arrange)}
        return {pair for pair in found if pair[1]}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pointer:
    """One finished run."""

    name: str  # of the recipe
    run: str
    compose: str
    streams: Mapping[str, StreamKeys]
    recipe: Mapping[str, object]  # as `Recipe.canonical` gives it

    def reached(self) -> set[tuple[str, str]]:
        """The (phase, key) pairs of everything that this run is made of."""
        found = {("compose", self.compose)}
        for keys in self.streams.values():
            found |= keys.reached()
        return found


def read_pointers(store: Store) -> list[Pointer]:
    """All pointers, the newest run first. Raises `StoreError` where one cannot be understood."""
    found = []
    for entry in store.list("runs"):
        if entry.name.endswith(".json"):
            name = entry.name.rsplit("/", 1)[1].removesuffix(".json")
            found.append(_pointer(name, store.get(entry.name), store.where(entry.name)))
    return sorted(found, key=lambda pointer: (pointer.run, pointer.name), reverse=True)


def _pointer(name: str, data: bytes, where: str) -> Pointer:
    try:
        value = json.loads(data)
        return Pointer(
            name=name,
            run=str(value["run"]),
            compose=str(value["compose"]),
            recipe=dict(value["recipe"]),
            streams={
                stream: StreamKeys(
                    **{k: tuple(v) if isinstance(v, list) else v for k, v in keys.items()}
                )
                for stream, keys in value["streams"].items()
            },
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{where} is no run pointer of this version ({error!r:.120}). Run curate with that "
            "recipe again, which writes it anew, or remove the file: its run is then unknown"
        ) from error
