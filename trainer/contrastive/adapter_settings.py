"""An adapter between a frozen speech encoder and a language model, as settings.

Defaults are the authors' (arXiv 2412.15712): a Q-Former of 4 layers with 4 queries for each window
of 0.333 s, the only part that is trained.
"""

from typing import Literal

import pydantic
from pydantic import Field


class AdapterSettings(pydantic.BaseModel):
    """Continuous speech features instead of speech tokens. `speech.tokenizer` is then waveform."""

    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    encoder: str = Field(
        description="A local folder of a HuBERT-like encoder that transformers reads; it is never "
        "trained."
    )
    layer: int | None = Field(None, ge=0, description="Of the encoder; null: the last.")
    train: Literal["adapter", "adapter_and_language_model"] = Field(
        "adapter", description="What is trained: the adapter alone, or the language model too."
    )
    width: int = Field(768, ge=2, description="Of the adapter's hidden states (ours).")
    layers: int = Field(4, ge=1, description="Of the adapter.")
    heads: int = Field(12, ge=1, description="Of its attention (ours).")
    hidden: int | None = Field(
        None, ge=1, description="Of its feed-forward part; null: 4 x width (ours)."
    )
    begin: str | None = Field(
        None,
        description="OUT of an earlier run whose trained weights are taken over: the second stage "
        "after pretraining. Null: drawn from seed.",
    )

    @pydantic.model_validator(mode="after")
    def _fits(self) -> "AdapterSettings":
        if self.width % self.heads:
            raise ValueError(f"width {self.width} must be a multiple of heads {self.heads}")
        return self
