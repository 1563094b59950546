"""Compose documents: the kept clips of a task, in order, as chunks that carry both sides.

What is stored is always fine (one clip, one chunk); `granularity` and `policy` are how readers see
a document unless they say otherwise, and stand in the manifest. Only `materialize` fixes them.
"""

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import ClassVar, Literal

from pydantic import Field

from schemas.ids import rng
from schemas.records import Chunk, Clip, Document, Drop
from transforms.compose.chunks import groups, merge
from transforms.compose.documents import About, Borders, build, drop_document
from transforms.compose.materialize import materialized
from transforms.compose.policies import Deterministic, Policy, PolicyError
from transforms.step import Phase, Step


class Interleave(Step):
    """Kept clips of one task to documents of at most `max_seconds`."""

    phase: ClassVar[Phase] = "compose"
    reasons: ClassVar[dict[str, str]] = {
        "no_text": "the clip has no text, so it cannot be a chunk of audio and text",
        "longer_than_document": "the clip alone is longer than a document may be",
        "too_few_chunks": "the document around the clip has fewer chunks than asked for",
        "times_not_measured": "a word-level interleaving was to be fixed, and words have no "
        "measured times",
        "words_not_in_text": "a word-level interleaving was to be fixed, and the timed words "
        "cannot be found in the text",
    }

    granularity: Literal["fine", "coarse"] = Field(
        "fine",
        description="View by default: fine (each clip a chunk) or coarse (neighbours of one "
        "speaker merged). SpeLangy found fine better (methods a.5).",
    )
    policy: Policy = Field(
        Deterministic(),
        description="Which side of each chunk a reader sees by default (SpeLangy: deterministic).",
    )
    max_seconds: float = Field(
        600.0, gt=0, description="Longest document (seconds of audio; ours: a 32k context)."
    )
    on_drop: Literal["end", "gap"] = Field(
        "end",
        description="A dropped clip ends the document, or is a recorded gap inside it (ours: end, "
        "because the chunk after a hole does not continue the one before).",
    )
    max_gap_seconds: float | None = Field(
        None,
        ge=0,
        description="A longer stretch without kept speech ends the document (seconds; ours: off).",
    )
    min_chunks: int = Field(
        1,
        ge=1,
        description="Fewest chunks of a document; clips of smaller ones are dropped (ours).",
    )
    coarse_max_gap: float = Field(
        2.0, ge=0, description="Widest gap that a coarse view merges over (seconds; ours)."
    )
    coarse_max_chunk: float = Field(
        30.0,
        gt=0,
        description="Longest chunk that a coarse view makes by merging (seconds; ours: gives "
        "about SpeLangy's mean of 19.2 s on one voice).",
    )
    materialize: bool = Field(
        False,
        description="Fix granularity and policy in the shard and leave out the audio of what is "
        "shown as text (half the storage; other policies can then not be read).",
    )

    def documents(
        self, clips: Sequence[Clip], kept: AbstractSet[str], about: About
    ) -> Iterator[Document | Drop]:
        """Documents of one task, in order; every kept clip in exactly one, or dropped.

        `clips` are all of the task's clips, kept or not. Raises ValueError for clips that break
        the contract of annotate (no audio, audio of another length, several rates).
        """
        borders = Borders(
            max_seconds=self.max_seconds,
            on_drop=self.on_drop,
            max_gap=self.max_gap_seconds,
            min_chunks=self.min_chunks,
        )
        for found in build(clips, kept, about, borders):
            if isinstance(found, Drop) or not self.materialize:
                yield found
                continue
            chance = rng(about.seed, self.name(), found.id)
            try:
                yield materialized(
                    found, self.policy, self._groups(found.chunks), self.view(found.chunks), chance
                )
            except PolicyError as error:
                yield from drop_document(found, clips, error.code, str(error))

    def view(self, chunks: Sequence[Chunk]) -> tuple[Chunk, ...]:
        """The chunks of a document as this step's granularity shows them."""
        return tuple(merge([chunks[i] for i in group]) for group in self._groups(chunks))

    def _groups(self, chunks: Sequence[Chunk]) -> list[range]:
        if self.granularity == "fine":
            return [range(place, place + 1) for place in range(len(chunks))]
        return list(groups(chunks, self.coarse_max_gap, self.coarse_max_chunk))
