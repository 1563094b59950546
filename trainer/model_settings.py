"""The model as settings: one dial, `depth`, from which everything that is not set follows.

What is not here: the vocabulary, which follows from the tokenizers of a run.
"""

import math
from typing import Any, Literal

import pydantic
from pydantic import Field

from trainer.latent.settings import LatentSettings

HEAD = 64  # dimensions of a head where nothing else is said
FEW_HEADS = 8  # below this many heads, sharing keys saves nothing worth having


class RopeScaling(pydantic.BaseModel):
    """Stretched rotary frequencies, as Llama 3.1 has them: needed to take over its weights."""

    model_config = pydantic.ConfigDict(frozen=True, strict=True, extra="forbid")

    factor: float = Field(gt=0)
    low_freq_factor: float = Field(gt=0)
    high_freq_factor: float = Field(gt=0)
    original_length: int = Field(gt=0, description="Context it was first trained at (positions).")


class ModelSettings(pydantic.BaseModel):
    """A Llama-style decoder."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    depth: int = Field(4, ge=1, description="Blocks, and the dial that the other sizes follow.")
    width: int | None = Field(None, ge=2, description="Of hidden states; null: 64 x depth (ours).")
    heads: int | None = Field(None, ge=1, description="Of queries; null: width / 64 (ours).")
    kv_heads: int | None = Field(
        None,
        ge=1,
        description="Of keys and values; null: as many as heads below 8, else a quarter, where "
        "heads divides by 4 (ours).",
    )
    head_width: int | None = Field(None, ge=2, description="Of one head; null: width / heads.")
    hidden: int | None = Field(
        None,
        ge=1,
        description="Of the feed-forward part; null: 8/3 x width, to the next multiple of 64 "
        "(Llama).",
    )
    rope_theta: float = Field(10_000.0, gt=0, description="Base of the rotary angles (Llama).")
    rope_scaling: RopeScaling | None = Field(None, description="Null: angles as they are.")
    norm_eps: float = Field(1e-5, gt=0, description="Of RMSNorm (Llama).")
    tie_embeddings: bool = Field(True, description="The text head is the embedding (ours).")
    qkv_bias: bool = Field(False, description="Biases of queries, keys and values (Qwen2).")
    attention: Literal["sdpa", "flex"] = Field(
        "sdpa",
        description="How document masks are applied: sdpa, anywhere (piece by piece on a CPU, else "
        "a dense mask); flex, FlexAttention, which skips what is masked, for GPUs.",
    )
    initial_std: float = Field(0.02, gt=0, description="Of initial weights (Llama).")
    latent: LatentSettings | None = Field(
        None,
        description="Speech in patches, with a patch encoder and decoder around these blocks "
        "(LST); null: a position each.",
    )

    @pydantic.model_validator(mode="before")
    @classmethod
    def _derived(cls, given: Any) -> Any:
        """What is null, worked out. A wrong value stays for the fields' own checks to name."""
        if not isinstance(given, dict):
            return given
        found = dict(given)

        def number(name: str, otherwise: int) -> int:
            value = found.get(name)
            if value is None:
                found[name] = value = otherwise
            return value if type(value) is int and value > 0 else 1

        depth = number("depth", 4)
        width = number("width", HEAD * depth)
        heads = number("heads", max(width // HEAD, 1))
        number("kv_heads", heads if heads < FEW_HEADS else heads // math.gcd(heads, 4))
        number("head_width", max(width // heads, 1))
        number("hidden", -(-8 * width // (3 * HEAD)) * HEAD)
        return found

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "ModelSettings":
        heads, kv_heads, head = self.sizes[1:4]
        if heads % kv_heads:
            raise ValueError(f"kv_heads {kv_heads} must divide heads {heads}")
        if head % 2:
            raise ValueError(
                f"head_width {head} must be even: rotary positions turn pairs. Set width to a "
                "multiple of 2 x heads, or head_width"
            )
        return self

    @property
    def sizes(self) -> tuple[int, int, int, int, int]:
        """(width, heads, kv_heads, head_width, hidden), none of them null any more."""
        found = (self.width, self.heads, self.kv_heads, self.head_width, self.hidden)
        assert None not in found
        return found  # type: ignore[return-value]
