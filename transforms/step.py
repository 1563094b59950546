"""What every step is: its settings, a model built once per worker, and a call over one parent.

A step is a frozen pydantic model; its fields are its settings and nothing else, each with a one
line meaning, its unit and the source of its default (`pydantic.Field(description=...)`), because
the recipe reference and the JSON Schema are generated from them. `load()` builds what it needs
once per worker. `__call__(records, model, scope)` takes *all* the records of one parent (one
recording, one task, one page) and yields records or `Drop`s: so batching is the step's own
business and cannot see a neighbour.

Adding a step: one file in the wing of its phase, holding one class whose snake_case name is the
file's name. The file's name is its name in a recipe.
"""

import dataclasses
import functools
import importlib
import pkgutil
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pydantic

import transforms
from schemas import ids
from schemas.pages import Page
from schemas.records import Drop, Recording, Task
from schemas.tables import arrow_schema

Phase = Literal[
    "gather", "hear", "annotate", "extract", "measure", "select", "synthesize", "compose"
]
PHASES: tuple[Phase, ...] = (
    "gather",
    "hear",
    "annotate",
    "extract",
    "measure",
    "select",
    "synthesize",
    "compose",
)

Pcm16 = npt.NDArray[np.int16]


class Audio(Protocol):
    """Random access to the samples of one parent; nothing else of the outside world."""

    @property
    def rate(self) -> int:
        """Frames per second of what `read` gives."""
        ...

    def channels(self) -> Sequence[int]:
        """The channels that hold samples, ascending."""
        ...

    def length(self, channel: int) -> int:
        """Frames of a channel, from the start of the recording."""
        ...

    def read(self, channel: int, start: int, end: int) -> Pcm16:
        """Frames [start, end) of one channel, shape [end - start].

        Raises `AudioRangeError` where the range is not stored (annotate stores speech only).
        """
        ...


class AudioRangeError(ValueError):
    """Samples were asked for that are not stored: a bug in a step."""


class AudioSink(Protocol):
    """Where `decode` and `speak` put a channel; part of the scope of hear and synthesize."""

    def append(self, channel: int, frames: Pcm16) -> None:
        """Add frames to the end of a channel. Raises `ScratchFull` past the worker's cap."""
        ...


class ScratchFull(RuntimeError):
    """The spool of one recording would outgrow the cap that its part was given."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Scope:
    """All that a step may know of the world while it works on one parent."""

    root: Recording | Task | Page  # what the records descend from
    seed: int
    audio: Audio | None = None
    sink: AudioSink | None = None  # hear and synthesize
    path: str | None = None  # hear and extract: a local file with the recording's bytes
    cache: str | None = None  # synthesize: where generated answers are kept (<OUT>/generated)

    def rng(self, step: str, record_id: str) -> random.Random:
        return ids.rng(self.seed, step, record_id)

    def samples(self) -> Audio:
        """The audio, for steps that cannot do without it."""
        if self.audio is None:
            raise AudioRangeError(f"no audio in the scope of {self.root.id}")
        return self.audio


class Step(pydantic.BaseModel):
    """Base of all steps: strict settings that are the step."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    phase: ClassVar[Phase]
    reasons: ClassVar[dict[str, str]] = {}  # drop code -> one line for people
    unkeyed: ClassVar[frozenset[str]] = frozenset()  # settings that change no result: in no key

    def __hash__(self) -> int:
        """Of name and settings, which may hold lists and mappings; equal steps hash equally."""
        return hash((self.name(), self.model_dump_json()))

    @classmethod
    def name(cls) -> str:
        """The name in a recipe: the file's name."""
        return cls.__module__.rsplit(".", 1)[-1]

    def bound(self, folder: Path) -> Self:
        """This step in a recipe that lies in `folder`, from which paths of data files start.

        Raises `ValueError` where a file that it names cannot be used.
        """
        return self

    def beside(self, before: "Sequence[Step]") -> Self:
        """This step in a stream in which these stand before it: for one that does again what one
        of them did (verify, which has an utterance spoken once more)."""
        return self

    def fingerprint(self) -> Any:
        """What of this step, beyond its settings, changes its results: model files' digests,
        library versions. JSON-able; part of the phase key."""
        return None

    def imports(self) -> tuple[str, ...]:
        """Modules that `load` or the first call imports and that take long: one process imports
        them for all workers, so importing them must start no thread and open no device."""
        return ()

    def load(self) -> Any:
        """Build what `__call__` needs, once per worker. Heavy imports belong here."""
        return None


class RecordStep(Step):
    """A step of hear, annotate, extract or synthesize: records of one parent in, records or drops
    out.

    A step that waits for others (a text generator) may have a field or attribute `concurrency`: so
    many parents of a part are then worked on at once, by threads, and `__call__` must allow that.
    """

    # Its seconds are new (speak, verify, augment): what it gives and drops is what it took in, and
    # only ids are compared. Such a step gives a clip per record that it takes, or a drop.
    makes_audio: ClassVar[bool] = False

    def __call__(self, records: Sequence[Any], model: Any, scope: Scope) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __call__")


class Measure(Step):
    """A step of measure: exactly one `Scores` per clip, `values` in the order of `columns`."""

    phase: ClassVar[Phase] = "measure"
    columns: ClassVar[dict[str, type]]  # name -> float | int | str | bool; values may be None
    needs_audio: ClassVar[bool]

    def __call__(self, records: Sequence[Any], model: Any, scope: Scope) -> Iterator[Any]:
        raise NotImplementedError(f"{type(self).__name__} must define __call__")


class Filtering(Step):
    """A step of select that judges each row by itself.

    `rows` is a block of the joined table: the columns of `Clip` and, for every measure of the
    recipe, `<measure>.<column>`. Never sees audio.
    """

    phase: ClassVar[Phase] = "select"

    def needs(self) -> frozenset[str]:
        """The columns of the joined table that `judge` reads; checked when the run is planned."""
        raise NotImplementedError(f"{type(self).__name__} must define needs")

    def survey(self, rows: pa.Table) -> pa.Table:
        """What of a block must be known together with all others before any row is judged; no rows
        where nothing must."""
        return pa.table({})

    def limits(self, surveys: Iterable[pa.Table]) -> pa.Table:
        """What `judge` needs to know of all rows, from the surveys of all blocks in any order."""
        return pa.table({})

    def judge(self, rows: pa.Table, limits: pa.Table | None = None) -> pa.Table:
        """The rows that leave, as a table of `Drop` (`schemas.tables.arrow_schema(Drop)`).

        Without `limits`, `rows` are all rows that there are.
        """
        raise NotImplementedError(f"{type(self).__name__} must define judge")

    def notes(self, rows: pa.Table, limits: pa.Table | None = None) -> pa.Table:
        """The rows that would leave if this step were not told to drop nothing, as `Drop`s."""
        return arrow_schema(Drop).empty_table()


class Grouping(Step):
    """A step of select that compares rows which share a key; of each group one row survives."""

    phase: ClassVar[Phase] = "select"
    keys_schema: ClassVar[pa.Schema] = pa.schema(
        [
            pa.field("key", pa.string(), False),  # hex digest; rows are gathered by its prefix
            pa.field("id", pa.string(), False),
            pa.field("root", pa.string(), False),
            pa.field("rank", pa.float64(), False),  # higher survives; ties go to the smaller id
            pa.field("seconds", pa.float64(), False),
            pa.field("kind", pa.string(), False),  # what is equal: the reason code
        ]
    )

    def needs(self) -> frozenset[str]:
        """The columns of the joined table that `keys` reads."""
        raise NotImplementedError(f"{type(self).__name__} must define needs")

    def rounds(self) -> "tuple[Grouping, ...]":
        """This step as steps that are settled one after the other, each over the survivors."""
        return (self,)

    def keys(self, rows: pa.Table) -> pa.Table:
        """Rows of `keys_schema`: none, one or several per row of the block."""
        raise NotImplementedError(f"{type(self).__name__} must define keys")

    def matcher(self) -> Any:
        """A `transforms.select.matching.Matcher` where a round compares near-duplicates, which
        have no key in common; None where rows that share a key are compared."""
        return None

    def losers(self, keys: pa.Table) -> pa.Table:
        """Of a block that holds *all* rows of each of its keys: those that leave, as `Drop`s."""
        raise NotImplementedError(f"{type(self).__name__} must define losers")


@functools.cache
def registry() -> dict[str, type[Step]]:
    """Every step by its name in a recipe, found by walking the wings.

    Raises `TypeError` where a file does not hold exactly one step named after it.
    """
    found: dict[str, type[Step]] = {}
    for wing in PHASES:
        package = importlib.import_module(f"{transforms.__name__}.{wing}")
        for info in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{info.name}")
            steps = [
                value
                for value in vars(module).values()
                if isinstance(value, type)
                and issubclass(value, Step)
                and value.__module__ == module.__name__
            ]
            if not steps:
                continue  # a file of pure functions that its neighbours use
            if len(steps) > 1 or info.name in found or steps[0].phase != wing:
                raise TypeError(
                    f"{module.__name__}: a wing's file holds one step of its phase, and its "
                    f"name is unique; found {[step.__name__ for step in steps]}"
                )
            found[info.name] = steps[0]
    return found
