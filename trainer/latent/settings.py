"""Patches as settings: how the data cut them, and the model that reads them.

Two groups, because two rooms read them: `data.patches` decides what a pack holds and where patches
begin, `model.latent` which weights there are. A config gives both or neither, with one `size`.
"""

from typing import Literal

import pydantic
from pydantic import Field

SIZE = 4  # positions of a static patch (LST, section 4)


class _Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


class PatchSettings(_Settings):
    """How speech is cut into patches while training. Evaluation cuts statically, always."""

    size: int = Field(SIZE, ge=1, description="Positions of a static patch (LST).")
    cut: Literal["static", "aligned", "mixed", "curriculum"] = Field(
        "static",
        description="static: every `size` positions of a chunk; aligned: a patch a word and a "
        "patch a silence; mixed: one of both by piece; curriculum: from aligned to static (LST).",
    )
    silence: Literal["apart", "merged"] = Field(
        "apart",
        description="Aligned: silence as patches of its own, or shared out between its neighbours "
        "(LST, 'sil sep.' and 'sil merged').",
    )
    share: float = Field(
        0.5, ge=0, le=1, description="Mixed: part of the pieces that is aligned (ours)."
    )
    begin: float = Field(
        1 / 3, ge=0, le=1, description="Curriculum: up to this part of the steps all is aligned."
    )
    end: float = Field(
        2 / 3, ge=0, le=1, description="Curriculum: from this part of the steps all is static."
    )
    count: Literal["positions", "patches"] = Field(
        "positions",
        description="What data.length counts: positions (every token: equal data), or text tokens "
        "and static patches (equal global positions: the paper's units).",
    )

    @pydantic.model_validator(mode="after")
    def _in_order(self) -> "PatchSettings":
        if self.begin > self.end:
            raise ValueError(f"begin {self.begin:g} must not be after end {self.end:g}")
        return self


class LatentSettings(_Settings):
    """Patch encoder and decoder around the blocks of `model`, which are the global transformer."""

    size: int = Field(SIZE, ge=1, description="As data.patches has it; how evaluation cuts.")
    encoder_depth: int = Field(1, ge=1, description="Layers of the patch encoder (LST).")
    decoder_depth: int | None = Field(
        None, ge=1, description="Layers of the patch decoder; null: 9/25 of depth (LST has 9, 25)."
    )
    width: int | None = Field(
        None,
        ge=2,
        description="Of hidden states in encoder and decoder; null: that of model (LST's is not "
        "published).",
    )
    heads: int | None = Field(
        None, ge=1, description="In encoder and decoder; null: width / head_width of model."
    )
    hidden: int | None = Field(
        None, ge=1, description="Of their feed-forward parts; null: 8/3 x width (ours)."
    )
    window: int = Field(
        512, ge=1, description="Positions of speech that self-attention looks back on (LST)."
    )
