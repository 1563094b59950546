"""The pretraining of a speech encoder as settings: one strict YAML file, as for `train`.

Shapes of the comparison are those of arXiv 2409.16295 (few wide layers against many narrow ones);
its sizes in numbers are not published, so what stands here is ours unless a field says otherwise.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import pydantic
from pydantic import Field

from schemas.settings import Node, Place, SettingsError, check, parse_overrides, read, replace_at
from schemas.yaml_text import write
from trainer.config import (
    CheckpointSettings,
    LogSettings,
    OptimizerSettings,
)
from trainer.data_settings import DataSettings, SetSettings
from trainer.schedule import Schedule

CONFIGS = Path(__file__).parent / "configs"
HEAD = 64


class _Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


class EncoderSettings(_Settings):
    """Log-mel frames, a projection, and blocks that see both ways."""

    depth: int = Field(3, ge=1, description="Blocks.")
    width: int = Field(192, ge=2, description="Of hidden states.")
    heads: int | None = Field(None, ge=1, description="Null: width / 64, at least 1.")
    hidden: int | None = Field(
        None, ge=1, description="Of the feed-forward part; null: 8/3 x width, to a multiple of 16."
    )
    stride_ms: int = Field(20, ge=1, le=200, description="A frame of log-mel every so often.")
    stack: int = Field(2, ge=1, le=16, description="Frames side by side in one position.")
    norm_eps: float = Field(1e-5, gt=0)
    rope_theta: float = Field(10_000.0, gt=0)

    @pydantic.model_validator(mode="before")
    @classmethod
    def _derived(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        width = given.get("width", 192)
        if type(width) is not int or width < 1:
            return given
        heads = given.get("heads")
        hidden = given.get("hidden")
        return {
            **given,
            "heads": max(width // HEAD, 1) if heads is None else heads,
            "hidden": -(-8 * width // 48) * 16 if hidden is None else hidden,
        }

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        heads, _ = self.sizes
        if self.width % (2 * heads):
            raise ValueError(f"width {self.width} must be a multiple of 2 x heads ({heads})")
        return self

    @property
    def sizes(self) -> tuple[int, int]:
        """(heads, hidden), neither null any more."""
        assert self.heads is not None and self.hidden is not None
        return self.heads, self.hidden


class HubertSettings(_Settings):
    """Units of masked positions, told from the rest (HuBERT, arXiv 2106.07447)."""

    kind: Literal["hubert"] = "hubert"
    units: str = Field(description="A file of `python -m trainer.units`, as many a second.")
    mask: float = Field(0.08, gt=0, lt=1, description="Chance that a span begins at a position.")
    span: int = Field(5, ge=1, description="Positions of a span (the paper: 10 of 20 ms).")
    width: int = Field(64, ge=1, description="Of the space where units are told apart.")
    temperature: float = Field(0.1, gt=0, description="What cosines are divided by (paper).")
    unmasked: float = Field(0.0, ge=0, description="Weight of positions that are not masked.")


class Wav2vecSettings(_Settings):
    """A masked position's own quantised input among others' (wav2vec 2.0, arXiv 2006.11477)."""

    kind: Literal["wav2vec"] = "wav2vec"
    mask: float = Field(0.065, gt=0, lt=1, description="Chance that a span begins (paper).")
    span: int = Field(5, ge=1, description="Positions of a span (the paper: 10 of 20 ms).")
    distractors: int = Field(50, ge=1, description="Other masked positions (the paper: 100).")
    temperature: float = Field(0.1, gt=0, description="What cosines are divided by (paper).")
    groups: int = Field(2, ge=1, description="Codebooks (paper).")
    entries: int = Field(64, ge=2, description="Of each codebook (the paper: 320).")
    width: int = Field(64, ge=2, description="Of quantised targets (the paper: 256).")
    diversity: float = Field(0.1, ge=0, description="Weight of using all entries (paper).")
    gumbel: tuple[float, float, float] = Field(
        (2.0, 0.5, 0.999), strict=False, description="First and last temperature of the draw, and "
        "what it is multiplied with each step (the paper's, faster)."
    )  # fmt: skip

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.groups:
            raise ValueError(f"width {self.width} must be a multiple of groups {self.groups}")
        first, last, factor = self.gumbel
        if not (first >= last > 0 and 0 < factor <= 1):
            raise ValueError("gumbel is [first, last, factor]: first >= last > 0, 0 < factor <= 1")
        return self


class TeraSettings(_Settings):
    """Log-mel frames mended after changes in time, channels and magnitude (TERA, arXiv
    2007.06028)."""

    kind: Literal["tera"] = "tera"
    time: float = Field(0.15, ge=0, lt=1, description="Share of positions in changed spans.")
    span: int = Field(2, ge=1, description="Positions of a span (the paper: 7 of 10 ms).")
    channels: int = Field(
        16, ge=0, le=80, description="Most of 80 mel channels that are silenced for a whole clip."
    )
    magnitude: float = Field(0.15, ge=0, le=1, description="Chance that a clip gets noise.")
    noise: float = Field(0.2, ge=0, description="Standard deviation of that noise.")


Objective = HubertSettings | Wav2vecSettings | TeraSettings


class BudgetSettings(_Settings):
    """When a run is over: exactly one."""

    steps: int | None = Field(None, ge=1)
    flops: float | None = Field(None, gt=0, description="Whole steps that do not exceed it.")

    @pydantic.model_validator(mode="after")
    def _one(self) -> Self:
        if (self.steps is None) == (self.flops is None):
            raise ValueError("give exactly one of steps and flops")
        return self


class EncoderCompute(_Settings):
    """On what: one process, float32."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda where it is.")
    threads: int | None = Field(
        1, ge=1, description="Of a CPU's products (1, so that figures repeat); null: all."
    )


class EncoderConfig(_Settings):
    """A pretraining run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")
    about: str = ""
    seed: int = Field(0, ge=0, description="Of weights, masks and draws.")
    encoder: EncoderSettings = EncoderSettings()
    objective: Objective = Field(discriminator="kind")
    data: SetSettings = Field(
        description="Where shards lie; max_seconds is how much unique speech there is."
    )
    data_seed: int = Field(0, description="Of the order.")
    clips: int = Field(8, ge=1, description="Of a step.")
    seconds: float = Field(4.0, gt=0, le=60, description="Of a clip; a shorter one is filled up.")
    least_seconds: float = Field(0.2, gt=0, description="Shorter ends of documents are left out.")
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: Schedule = Schedule()
    stop: BudgetSettings
    checkpoint: CheckpointSettings = CheckpointSettings()
    log: LogSettings = LogSettings()
    compute: EncoderCompute = EncoderCompute()

    def canonical(self) -> dict[str, Any]:
        """As JSON has it, with every default written out."""
        found: dict[str, Any] = self.model_dump(mode="json")
        return found

    def text_form(self) -> str:
        return write(self.canonical())

    def reading(self) -> DataSettings:
        """The same set as the trainer's data reads it."""
        return DataSettings(sets={"speech": self.data}, seed=self.data_seed)


def load_encoder_config(
    path: str | Path, overrides: Sequence[str] = (), shards: str | None = None
) -> EncoderConfig:
    """The config of a file, or of a shipped name. Raises `SettingsError` with every problem."""
    shipped = CONFIGS / f"{path}.yaml"
    tree = read(shipped if not Path(path).exists() and shipped.is_file() else Path(path))
    if shards is not None:
        for override in parse_overrides([f"data.shards={shards}"]):
            tree = replace_at(tree, override.address, override.node)
    for override in parse_overrides(overrides):
        tree = replace_at(tree, override.address, override.node)
    return _checked(tree)


def config_of_json(value: Mapping[str, Any], where: str) -> EncoderConfig:
    """The config that `canonical` gave. Raises `SettingsError`."""
    return _checked(Node.of(dict(value), Place(where)))


def _checked(tree: Node) -> EncoderConfig:
    config, problems = check(tree, EncoderConfig)
    if config is None:
        raise SettingsError(problems)
    return config
