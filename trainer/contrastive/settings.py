"""What is pulled together, where in the model, and how hard: the contrastive part of a config.

Defaults are the authors' (arXiv 2412.15712 and their released code); what is ours says so.
"""

from typing import Literal

import pydantic
from pydantic import Field

from trainer.data_settings import DataSettings

AUTHORS = (0, 5, 10, 15, 20, 25)  # layers whose losses are summed, and the last one


class ContrastiveSettings(pydantic.BaseModel):
    """A loss that tells a text's own speech from the other speech of the batch.

    Pairs are the chunks of sets that show both sides (`policy: asr` or `tts`). Their packs are read
    once, each side of each chunk by itself; packs of all other sets are trained on as ever.
    """

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    sets: tuple[str, ...] = Field(
        strict=False,
        min_length=1,
        description="Whose chunks are the pairs: names of sets whose policy is asr or tts.",
    )
    similarity: Literal["cosine", "wasserstein"] = Field(
        "cosine",
        description="Of two sides' states: cosine of their means over positions, or minus the "
        "Sinkhorn divergence of the sets of them.",
    )
    temperature: float = Field(0.1, gt=0, description="What similarities are divided by.")
    layers: Literal["authors", "every", "embedding", "last"] | tuple[int, ...] = Field(
        "authors",
        description="Whose losses are summed: 0, 5, ... 25 and the last, as far as there are so "
        "many; every layer; what enters the first block; the last; or numbers from 0 (what enters "
        "the first block) to the depth (after the last norm).",
    )
    symmetric: bool = Field(
        False, description="Also speech to text, the mean of both; else text to speech alone."
    )
    gather: bool = Field(
        False,
        description="Negatives from all ranks; else from a rank's own part of the batch alone "
        "(compute.micro_packs).",
    )
    position_shift: int = Field(
        0, ge=0, description="Both sides begin at a place drawn from 0 to this (authors: 399)."
    )
    weight: float = Field(
        1.0,
        gt=0,
        description="Of the mean over pairs, beside the mean over targets of the other sets.",
    )
    next_token: bool = Field(
        False,
        description="Train on the pairs' packs as on others, too: a second pass over them (ours).",
    )
    p: Literal[1, 2] = Field(2, description="Of the Sinkhorn cost: |x - y| or |x - y|^2 / 2.")
    blur: float = Field(0.05, gt=0, le=2, description="Of the Sinkhorn divergence.")

    @pydantic.field_validator("layers", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @pydantic.field_validator("layers")
    @classmethod
    def _some(cls, value: object) -> object:
        if isinstance(value, tuple) and (not value or len(set(value)) < len(value)):
            raise ValueError("name at least one layer, and each once")
        return value

    def chosen(self, depth: int) -> tuple[int, ...]:
        """The layers of a model of `depth` blocks: 0 is what enters the first, `depth` the last
        after its norm. Raises `ValueError` for one that is not there."""
        if self.layers == "authors":
            return (*(layer for layer in AUTHORS if layer < depth), depth)
        if self.layers == "every":
            return tuple(range(depth + 1))
        if self.layers == "embedding":
            return (0,)
        if self.layers == "last":
            return (depth,)
        assert isinstance(self.layers, tuple)
        wrong = [layer for layer in self.layers if not 0 <= layer <= depth]
        if wrong:
            raise ValueError(f"contrastive.layers: {wrong[0]} is none of 0 to {depth}, the depth")
        return self.layers

    def check(self, data: DataSettings) -> None:
        """Refuse sets that have no pairs. Raises `ValueError`."""
        for name in self.sets:
            one = data.sets.get(name)
            if one is None:
                raise ValueError(
                    f"contrastive.sets: there is no set {name!r}; there are {', '.join(data.sets)}"
                )
            kind = None if one.policy is None else one.policy.kind
            if kind not in ("asr", "tts"):
                raise ValueError(
                    f"contrastive.sets: {name} is shown by policy {kind}; pairs need both sides of "
                    "every chunk: write policy: asr"
                )


def passes(settings: ContrastiveSettings | None, data: DataSettings) -> float:
    """How often a position goes through the model on average: above 1 where pairs go twice."""
    if settings is None or not settings.next_token:
        return 1.0
    shares = {name: one.share for name, one in data.sets.items()}
    return 1 + sum(shares[name] for name in settings.sets) / sum(shares.values())
