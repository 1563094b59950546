"""Jobs whose parts are one function each: gather, arrange, shard."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Protocol

from pipeline.failures import Outcome
from schemas.store import Store


class Item(Protocol):
    """What a part of a simple job has."""

    @property
    def id(self) -> str: ...

    @property
    def seconds(self) -> float: ...


@dataclasses.dataclass(frozen=True, kw_only=True)
class SimpleJob:
    """A phase whose parts are worked on by one function that commits by itself."""

    phase: ClassVar[str]

    key: str
    store: Store
    run: str
    device: str
    scratch: str | None = None
    hints: Mapping[str, str] = dataclasses.field(default_factory=dict)  # see `Job`

    def run_part(self, part: Any) -> Sequence[Outcome] | None:
        """Work on a part and commit it. Says what became of its records where some may fail."""
        raise NotImplementedError
