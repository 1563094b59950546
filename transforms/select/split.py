"""Deal clips out to train, valid and test, so that what is tested was never trained on.

All clips of a recording go to one split, drawn by the recording's digest and the seed: adding
recordings moves none that were there. With `by: speaker`, whatever a chain of shared recordings
and given speakers joins goes together; speakers that a diarizer named are local to their recording
and join nothing. Shares are of recordings (or of such groups), so small sets miss them by a lot:
below some hundred recordings, valid and test may be empty.
"""

from typing import ClassVar, Literal, Self

import pyarrow as pa
import pydantic

from schemas.ids import fraction
from transforms.select.columns import require
from transforms.step import Phase, Step

SPLITS = ("train", "valid", "test")


class Split(Step):
    """Name the split of every clip: train, valid or test."""

    phase: ClassVar[Phase] = "select"

    train: float = pydantic.Field(0.98, ge=0, le=1, description="Share to train on (0..1; ours)")
    valid: float = pydantic.Field(0.01, ge=0, le=1, description="Share to validate on (0..1; ours)")
    test: float = pydantic.Field(0.01, ge=0, le=1, description="Share to test on (0..1; ours)")
    by: Literal["recording", "speaker"] = pydantic.Field(
        "recording",
        description="What no two splits share; speaker: given speakers, and recordings too",
    )

    @pydantic.model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = self.train + self.valid + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + valid + test must be 1, but they add up to {total:g}")
        return self

    def needs(self) -> frozenset[str]:
        """The columns of the joined table that `assign` reads."""
        if self.by == "recording":
            return frozenset({"recording"})
        return frozenset({"recording", "speaker", "speaker_given"})

    def assign(self, rows: pa.Table, seed: int) -> pa.Array:
        """The split of each row. With `by: speaker`, `rows` must be all rows of the set."""
        require(self.name(), self.needs(), rows.column_names)
        recordings = rows["recording"].combine_chunks().dictionary_encode()
        names = recordings.dictionary.to_pylist()
        drawn_by = {} if self.by == "recording" else _joined_by_speaker(rows)
        splits = [self._draw(seed, drawn_by.get(name, name)) for name in names]
        return pa.array(splits, pa.string()).take(recordings.indices)

    def _draw(self, seed: int, key: str) -> str:
        at = fraction(seed, "split", key)
        if at < self.train:
            return "train"
        # Not `train + valid`, which may round below 1 although nothing is left for test.
        return "valid" if at < 1 - self.test else "test"


def _joined_by_speaker(rows: pa.Table) -> dict[str, str]:
    """For each recording with given speakers, the key by which its group is drawn.

    The key is the first name among the group's speakers, so that a group of one speaker does not
    move when recordings of that speaker are added.
    """
    given = rows.filter(rows["speaker_given"]).select(["recording", "speaker"])
    pairs = given.group_by(["recording", "speaker"]).aggregate([]).to_pylist()
    parent: dict[str, str] = {}

    def top(name: str) -> str:
        while (above := parent.setdefault(name, name)) != name:
            parent[name] = name = parent.setdefault(above, above)
        return name

    speaker_of: dict[str, str] = {}
    for pair in pairs:
        speaker = pair["speaker"]
        first = speaker_of.setdefault(pair["recording"], speaker)
        low, high = sorted((top(first), top(speaker)))
        parent[high] = low
    return {recording: f"speaker:{top(name)}" for recording, name in speaker_of.items()}
