"""Answers that were generated before, so that a run is repeatable and costs once.

An answer lies under a digest of all that it depends on: the messages, the schema that was sent,
the model and its parameters. Where the endpoint stands, what it costs and which run asked are no
part of it. An entry is written once and never changed (`put_if_absent`): of two workers that ask
the same, both go on with the answer of the one that was first. What is stored is the answer as it
came and its token counts; it is judged anew each time, so a stricter check asks nobody again.
"""

import dataclasses
import json
from typing import Any

from schemas.ids import digest_of
from schemas.store import Store, StoreError

VERSION = 1
CACHE = "generated"  # below OUT, where a recipe names no other place


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Entry:
    """An answer as it came."""

    content: str
    finish: str  # why it ended, in the endpoint's word: stop, length, content_filter
    refusal: str = ""
    tokens_in: int | None = None
    tokens_out: int | None = None


def entry_key(messages: list[dict[str, str]], schema: Any, model: str, parameters: Any) -> str:
    """The digest of what an answer depends on."""
    return digest_of("generated", VERSION, messages, schema, model, parameters)


class Cache:
    """A folder of answers, on any store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, root: str, key: str) -> Entry | None:
        """The answer of a key about a page; None where there is none yet. Raises `StoreError`."""
        name = entry_name(root, key)
        try:
            data = self._store.get(name)
        except FileNotFoundError:
            return None
        try:
            return Entry(**json.loads(data))
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"{self._store.where(name)} is no stored answer ({error}): remove this file"
            ) from error

    def put(self, root: str, key: str, entry: Entry) -> Entry:
        """Store an answer. The one that is stored: another's, where it came first."""
        data = json.dumps(dataclasses.asdict(entry), ensure_ascii=True, sort_keys=True)
        if self._store.put_if_absent(entry_name(root, key), data.encode("ascii")):
            return entry
        return self.get(root, key) or entry


def entry_name(root: str, key: str) -> str:
    """Where an answer about a page lies below the cache."""
    return f"{folder_of(root)}/{key}.json"


def folder_of(root: str) -> str:
    """Where all answers about a page lie below the cache."""
    return f"{root[:2]}/{root}"
