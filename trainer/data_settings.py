"""What to read and how to mix it, as settings: sets by name, shares of positions, packs, limits.

Every field says its unit and where its default comes from; unknown fields are refused, for a
misspelt cap would train on something else without a word.
"""

from typing import Literal, Self

import pydantic
from pydantic import Field

from schemas.shard import ShardError
from trainer.latent.settings import PatchSettings
from transforms.compose.policies import Policy


class DataError(ShardError):
    """Data cannot be read as asked; `code` says how, the message what to do."""


# Faults of shards. Everything else (a full disk, a policy that cannot be applied) is never skipped.
OF_SHARDS = frozenset(
    (
        "altered",
        "bad_flac",
        "bad_tokens",
        "index_disagrees",
        "missing_index",
        "missing_shard",
        "no_ranges",
        "truncated",
        "unreachable",
        "unreadable",
    )
)


def may_skip(error: ShardError, policy: Literal["fail", "skip"]) -> bool:
    """Whether what could not be read is to be left out and counted."""
    return policy == "skip" and (not isinstance(error, DataError) or error.code in OF_SHARDS)


class _Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


class Curriculum(_Settings):
    """The first pass from easy to hard, or its beginning. Later passes are shuffled."""

    by: str = Field(
        description="Difficulty of a document: seconds, chunks, characters, words or "
        "characters_per_second of the index, or a Parquet file (columns id, difficulty) or JSON "
        "file of document id -> number."
    )
    order: Literal["sorted", "annealed"] = Field(
        "sorted",
        description="sorted: the easiest first, ascending; annealed: the next easiest with a "
        "chance that falls from 1 to 0, else any (ours).",
    )
    share: float = Field(
        1.0, gt=0, le=1, description="Part of the pass that is a warm-up; the rest is shuffled."
    )
    hardest_first: bool = Field(False, description="From hard to easy: the control.")


class SetSettings(_Settings):
    """One set of the mixture: where its shards lie, how much of it, and how it is shown."""

    shards: str = Field(
        description="A curated OUT, a composition folder or a manifest.json: a local path, or "
        "http(s)://, gs://, s3://."
    )
    recipe: str | None = Field(
        None, description="Which run of an OUT, by its recipe's name; needed where there are many."
    )
    split: str = Field("train", description="Which split to read.")
    streams: tuple[str, ...] | None = Field(
        None, strict=False, description="Only these streams; null: all."
    )
    share: float = Field(
        1.0, gt=0, description="Part of the run's packs, relative to the other sets' shares."
    )
    epochs: int | None = Field(
        None, ge=1, description="Most passes over the set; null: without end (ours)."
    )
    subset: float | None = Field(
        None,
        gt=0,
        le=1,
        description="Only about this part of its documents, by digest of their ids: 0.01, 0.1 and "
        "1 are nested exactly, in whatever shards they lie (ours). Read before the caps below.",
    )
    max_documents: int | None = Field(
        None,
        ge=1,
        description="Only this many of its documents, the same in every run; null: all.",
    )
    max_seconds: float | None = Field(
        None,
        gt=0,
        description="Only documents of this much speech together (seconds), the same in every "
        "run; null: all.",
    )
    weights: str | None = Field(
        None,
        description="A Parquet or JSON file of document id -> weight: how often a pass shows it "
        "on average (0: never; 2.5: twice or three times).",
    )
    unweighted: float | None = Field(
        None,
        ge=0,
        description="Weight of documents that the file does not name; null: refuse them.",
    )
    curriculum: Curriculum | None = Field(None, description="Null: shuffled.")
    granularity: Literal["fine", "coarse"] | None = Field(
        None, description="View of the chunks; null: as the manifest says."
    )
    coarse_max_gap: float | None = Field(
        None, ge=0, description="Of the coarse view (seconds); null: as the manifest says."
    )
    coarse_max_chunk: float | None = Field(
        None, gt=0, description="Of the coarse view (seconds); null: as the manifest says."
    )
    policy: Policy | None = Field(
        None,
        description="Interleaving, drawn anew per document and epoch; null: as the manifest says, "
        "or as stored where it was materialised.",
    )
    tokens: Literal["prefer", "require", "ignore"] = Field(
        "prefer",
        description="Stored speech tokens of the run's tokenizer: read them where they are, insist "
        "on them, or always encode the audio.",
    )


class ExperimentSettings(SetSettings):
    """Documents of a small question, put into a run in place of a little of its data.

    What orders and weighs sets (share, epochs, weights, curriculum) has no meaning here.
    """

    times: int = Field(1, ge=1, description="How often each of its documents is shown.")
    begin: float = Field(0.0, ge=0, lt=1, description="From this part of the run on.")
    end: float = Field(1.0, gt=0, le=1, description="Up to this part of the run.")

    @pydantic.model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.begin >= self.end:
            raise ValueError(f"begin {self.begin:g} is not before end {self.end:g}")
        given = {"share": self.share != 1.0, "epochs": self.epochs, "weights": self.weights}
        if wrong := [n for n, v in {**given, "curriculum": self.curriculum}.items() if v]:
            raise ValueError(f"{wrong[0]} has no meaning for an experiment: see times")
        return self


class DataSettings(_Settings):
    """The whole data of a run."""

    sets: dict[str, SetSettings] = Field(description="The mixture: name -> set.", min_length=1)
    experiments: dict[str, ExperimentSettings] = Field(
        {},
        description="Small sets whose documents are inserted one by one, spread over the run, in "
        "place of original pieces of about their length (arXiv 2509.23383).",
    )
    length: int = Field(2048, ge=8, description="Positions of a pack: the context (ours).")
    packs: int = Field(8, ge=1, description="Packs of a step, over all ranks: the global batch.")
    seed: int = Field(0, description="Of the order, the mixture and the interleaving.")
    permute_audio: bool = Field(
        False,
        description="A control of studies: the speech of each step's packs put back in another "
        "order, so that it says nothing of the text (ours). One rank only.",
    )
    window_documents: int = Field(
        10_000, ge=1, description="Documents that are shuffled together: whole shards (ours)."
    )
    window_bytes: int = Field(
        4 << 30,
        ge=1,
        description="Most bytes of the shards of one window (ours): what a cache must hold.",
    )
    block_packs: int = Field(
        256,
        ge=1,
        description="Packs that are filled together, by best fit (ours): more fill better and "
        "take longer to resume.",
    )
    slack: float = Field(
        0.01,
        ge=0,
        lt=1,
        description="Part of a pack that may stay empty before a document is cut to fill it "
        "(ours).",
    )
    on_long_chunk: Literal["fail", "drop"] = Field(
        "fail",
        description="A chunk that is longer than a pack: an error with its document, or left out "
        "and counted.",
    )
    on_bad_shard: Literal["fail", "skip"] = Field(
        "fail", description="A shard that cannot be read: an error, or left out and counted."
    )
    when_done: Literal["stop", "others"] = Field(
        "stop",
        description="When a set has had its epochs: the data end, or the other sets share its "
        "packs.",
    )
    last: Literal["drop", "keep"] = Field(
        "drop", description="A last batch that is not full: left out, or given (one rank only)."
    )
    patches: PatchSettings | None = Field(
        None, description="Speech cut into patches, for a latent model (LST); null: not."
    )
    text_lead: str = Field(
        " ",
        description="Put before the text of each chunk (ours: a blank, so that a word has the "
        "same ids wherever it stands; empty for tokenizers that add their own).",
    )
    cache: str | None = Field(
        None, description="Folder for copies of remote shards; null: read them by ranges."
    )
    cache_bytes: int = Field(
        64 << 30, ge=1, description="Most bytes of the cache; the least recently used go first."
    )
    timeout: float = Field(
        30.0, gt=0, description="Longest wait for the next bytes of an HTTP answer (seconds)."
    )
    retries: int = Field(3, ge=0, description="Further tries of a failed HTTP request.")
