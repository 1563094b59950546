"""A training run as settings: one strict YAML file, read with positions like a recipe.

Everything that decides a run's weights stands here and is written out whole into OUT, so that a
resumed run can be compared with what began it. Where the shards lie is given at the command line or
in the file; a file that asks for something the trainer does not do says so in `needs`, and is
refused rather than trained as something else.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

import pydantic
from pydantic import Field

from schemas.settings import (
    Node,
    Place,
    Problem,
    SettingsError,
    check,
    parse_overrides,
    read,
    replace_at,
)
from schemas.yaml_text import write
from trainer.contrastive.adapter_settings import AdapterSettings
from trainer.contrastive.settings import ContrastiveSettings
from trainer.data_settings import DataSettings
from trainer.experiments.weighing import WeighingSettings
from trainer.latent.fitting import check_latent
from trainer.model_settings import ModelSettings
from trainer.objectives import LossWeights
from trainer.orders import Order
from trainer.schedule import Schedule

CONFIGS = Path(__file__).parent / "configs"

# What files of settings may need, and whether the trainer does it.
BUILT = frozenset(
    (
        "speech_units",
        "interleaving",
        "document_masks",
        "contrastive_loss",
        "latent_patches",
        "frozen_weights",
        "speech_encoder",
    )
)
NOT_BUILT: dict[str, str] = {}


class _Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


class TextSettings(_Settings):
    """The text tokenizer."""

    tokenizer: str | None = Field(
        None,
        description="A tokenizer.json, a SentencePiece .model or a folder with one; null: a "
        "byte-level BPE is trained on the shards' text and kept in OUT.",
    )
    size: int = Field(
        1024, ge=257, description="Entries of the BPE that is trained where none is named (ours)."
    )
    documents: int = Field(
        20_000, ge=1, description="Documents that BPE is trained on, at most (ours)."
    )


class SpeechSettings(_Settings):
    """The speech tokenizer."""

    tokenizer: str | None = Field(
        "dmel/20x4",
        description="dmel, dmel/STRIDExSTACK, kmeans/FILE, codec/FOLDER, or the name of stored "
        "tokens; null: text alone.",
    )
    order: Order = Field(
        "parallel",
        description="How several codebooks become positions: parallel, first, delay or flatten.",
    )
    pieces: str | None = Field(
        None,
        description="A file of SentencePiece units over the tokenizer's stored units "
        "(trainer.latent.pieces_fit); null: a position a unit.",
    )


class InitialSettings(_Settings):
    """Weights to begin with, instead of drawn ones."""

    folder: str | None = Field(
        None,
        description="A local Hugging Face causal language model whose weights and sizes are taken "
        "over; null: drawn from seed, with the sizes of model.",
    )
    new_embeddings: Literal["xavier", "mean"] = Field(
        "xavier",
        description="Of markers and speech: drawn (SpeLangy), or the mean of the text's.",
    )
    attention: Literal["sdpa", "flex"] = Field(
        "sdpa", description="As in model, which a folder stands instead of."
    )


class OptimizerSettings(_Settings):
    """AdamW."""

    lr: float = Field(1e-3, gt=0, description="Peak learning rate.")
    betas: tuple[float, float] = Field((0.9, 0.95), strict=False, description="As for Llama.")
    eps: float = Field(1e-8, gt=0)
    weight_decay: float = Field(0.1, ge=0, description="Of matrices (Llama).")
    decay_norms: bool = Field(False, description="Also of norms and biases.")
    decay_embeddings: bool = Field(
        False, description="Also of tables: embeddings, a tied head among them, and codes (ours)."
    )
    clip: float | None = Field(
        1.0, gt=0, description="Largest norm of the gradient (Llama); null: any."
    )
    fused: bool | None = Field(
        None, description="One kernel for all weights; null: where the device has it."
    )

    @pydantic.field_validator("betas")
    @classmethod
    def _below_one(cls, value: tuple[float, float]) -> tuple[float, float]:
        if not all(0 <= beta < 1 for beta in value):
            raise ValueError("both are at least 0 and below 1")
        return value


class Stop(_Settings):
    """When a run is over: exactly one. The schedule ends there, too."""

    steps: int | None = Field(None, ge=1, description="Updates.")
    positions: float | None = Field(
        None,
        gt=0,
        description="Positions that entered the model, the few of padding among them (they cost "
        "what others do): whole steps that do not exceed it.",
    )
    flops: float | None = Field(
        None,
        gt=0,
        description="Floating-point operations by the formula of docs/training.md with every head "
        "at every position: whole steps that do not exceed it.",
    )

    @pydantic.model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name, value in self if value is not None]
        if len(given) != 1:
            raise ValueError(f"give exactly one of steps, positions and flops, not {given}")
        return self


class DivergedSettings(_Settings):
    """What counts as a run gone wrong, beside NaN and infinity, which always do."""

    loss: float | None = Field(
        3.0,
        gt=0,
        description="A step's mean loss of text or speech above this many times that of guessing "
        "(the logarithm of the entries); null: any (ours).",
    )
    gradient: float | None = Field(
        None, gt=0, description="A norm of the gradient above this, before clipping; null: any."
    )


class CheckpointSettings(_Settings):
    """When to save. The last step is always saved."""

    every: int | None = Field(
        None, ge=1, description="Steps between checkpoints; null: at the end and on signals only."
    )
    keep: int = Field(2, ge=1, description="How many to keep: the newest (ours).")


class LogSettings(_Settings):
    """Beside the lines of OUT/log.jsonl, which are always written."""

    every: int = Field(1, ge=1, description="Steps from one line to the next.")
    tensorboard: bool = Field(False, description="Also to OUT/tensorboard (its package is needed).")
    wandb: str | None = Field(
        None, description="Also to this project of Weights & Biases (its package is needed)."
    )


class ComputeSettings(_Settings):
    """On what, and how. Nothing here changes which data a step sees."""

    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="auto: cuda where it is.")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="Of activations and products; weights and the optimizer are fp32."
    )
    compile: bool = Field(False, description="torch.compile of the blocks; off on CPUs (ours).")
    parallel: Literal["ddp", "fsdp"] = Field(
        "ddp",
        description="Several ranks (torchrun) hold whole weights each, or shards (FSDP2).",
    )
    micro_packs: int | None = Field(
        None,
        ge=1,
        description="Packs of one forward pass; more are accumulated. Null: all of a rank's.",
    )
    workers: int = Field(0, ge=0, description="Processes that prepare data; 0: this one.")
    prefetch: int = Field(2, ge=1, description="Batches a worker prepares ahead.")
    threads: int | None = Field(
        1, ge=1, description="Of a CPU's products (ours: 1, so that figures repeat); null: all."
    )
    peak_tflops: float | None = Field(
        None,
        gt=0,
        description="Of the device, for MFU (10^12 operations a second, dense); null: by its name.",
    )


class Config(_Settings):
    """A training run."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$", description="Of the run, for people.")
    about: str = Field("", description="What the file is for, and where its numbers are from.")
    needs: tuple[str, ...] = Field(
        (),
        strict=False,
        description="What this file asks of the trainer. Refused where the trainer does not do "
        "it; [] trains without.",
    )
    seed: int = Field(0, ge=0, description="Of the initial weights; data have their own.")
    model: ModelSettings | None = Field(None, description="Its sizes; null: those of initial.")
    initial: InitialSettings = InitialSettings()
    data: DataSettings
    text: TextSettings = TextSettings()
    speech: SpeechSettings = SpeechSettings()
    loss: LossWeights = LossWeights()
    weighing: WeighingSettings | None = Field(
        None, description="Shares of the sets follow their losses; null: they stay."
    )
    contrastive: ContrastiveSettings | None = Field(
        None, description="Text and speech of the same content pulled together; null: not."
    )
    adapter: AdapterSettings | None = Field(
        None, description="Speech by a frozen encoder's features; null: speech tokens."
    )
    optimizer: OptimizerSettings = OptimizerSettings()
    schedule: Schedule = Schedule()
    stop: Stop
    diverged: DivergedSettings = DivergedSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    log: LogSettings = LogSettings()
    compute: ComputeSettings = ComputeSettings()

    @pydantic.field_validator("needs")
    @classmethod
    def _are_built(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        missing = [f"{name} ({NOT_BUILT.get(name, 'unknown')})" for name in value]
        missing = [text for name, text in zip(value, missing, strict=True) if name not in BUILT]
        if missing:
            raise ValueError(
                f"the trainer does not do this: {', '.join(missing)}. What it does of this file "
                "without, its head says; to train that: --set needs=[]"
            )
        return value

    @pydantic.model_validator(mode="after")
    def _one_model(self) -> Self:
        if (self.model is None) == (self.initial.folder is None):
            raise ValueError("give either model, with sizes, or initial.folder, which has its own")
        if self.weighing is not None:
            self.weighing.check(tuple(self.data.sets))
        return self

    @pydantic.model_validator(mode="after")
    def _pairs(self) -> Self:
        if self.contrastive is not None:
            self.contrastive.check(self.data)
            if self.model is not None and getattr(self.model, "latent", None) is not None:
                raise ValueError("contrastive: a latent model has no states of single positions")
        return self

    @pydantic.model_validator(mode="after")
    def _heard(self) -> Self:
        waveform = self.speech.tokenizer == "waveform"
        if waveform != (self.adapter is not None):
            raise ValueError("adapter and speech.tokenizer: waveform belong together")
        if self.adapter is None:
            return self
        if self.loss.speech or self.loss.frame is not None:
            raise ValueError("loss.speech must be 0 with an adapter: features are not predicted")
        if self.adapter.train == "adapter" and self.initial.folder is None:
            raise ValueError("adapter: what is frozen must be trained: give initial.folder")
        if self.compute.parallel != "ddp" or self.speech.order != "parallel":
            raise ValueError("adapter needs compute.parallel: ddp and speech.order: parallel")
        return self

    @pydantic.model_validator(mode="after")
    def _patches(self) -> Self:
        check_latent(self)
        return self

    def canonical(self) -> dict[str, Any]:
        """As JSON has it, with every default written out."""
        found: dict[str, Any] = self.model_dump(mode="json")
        return found

    def text_form(self) -> str:
        """As YAML with every default written out; it loads to an equal config."""
        return write(self.canonical())

    def steps(self, flops_per_position: float) -> int:
        """Updates of the whole run. Raises `ValueError` where the budget is less than one step."""
        per_step = self.data.packs * self.data.length
        stop = self.stop
        if stop.steps is not None:
            return stop.steps
        cost = per_step if stop.positions is not None else per_step * flops_per_position
        budget = stop.positions if stop.positions is not None else stop.flops
        assert budget is not None
        if budget < cost:
            raise ValueError(f"stop: the budget of {budget:g} is less than one step's {cost:g}")
        return int(budget // cost)


def load_config(
    path: str | Path, overrides: Sequence[str] = (), shards: Sequence[str] = ()
) -> Config:
    """The config of a file. `shards` are PATHs for sets that name none, or NAME=PATH for one set.

    `path` may be the name of a shipped config (`smoke`). Raises `SettingsError` with every problem.
    """
    tree = with_shards(read(_found(path)), shards)
    for override in parse_overrides(overrides):
        tree = replace_at(tree, override.address, override.node)
    config, problems = check(tree, Config)
    if config is None:
        raise SettingsError(problems)
    return config


def sets_without_shards(path: str | Path) -> list[str]:
    """The sets of a file that name no shards, which a run is to be given."""
    return [
        name for name, node in _sets(read(_found(path))).items() if node.child("shards") is None
    ]


def of_json(value: Mapping[str, Any], where: str) -> Config:
    """The config that `canonical` gave. Raises `SettingsError`."""
    config, problems = check(Node.of(dict(value), Place(where)), Config)
    if config is None:
        raise SettingsError(problems)
    return config


def filled(before: Mapping[str, Any], where: str) -> dict[str, Any]:
    """A canonical config of an earlier version, with settings that came since at their defaults.

    One that is no config any more is given back as it is: `differences` then says in what.
    """
    try:
        return of_json(before, where).canonical()
    except SettingsError:
        return dict(before)


def with_shards(tree: Node, shards: Sequence[str]) -> Node:
    """The tree with the shards of its sets filled in: NAME=PATH, or PATH for the one without."""
    place = Place("--shards")
    names = _sets(tree)
    given = [text.partition("=") for text in shards]
    # those that say their set first, so that their order does not matter
    for named in (True, False):
        for name, equals, address in given:
            if (bool(equals) and name in names) != named:
                continue
            address = address if named else f"{name}{equals}{address}"
            chosen = name if named else _only_open(tree, address, place)
            if chosen is not None:
                where = ("data", "sets", chosen, "shards")
                tree = replace_at(tree, where, Node.of(address, place))
    return tree


def _only_open(tree: Node, address: str, place: Place) -> str | None:
    """The one set without shards. Raises `SettingsError` where there are none or several."""
    names = _sets(tree)
    found = [name for name, node in names.items() if node.child("shards") is None]
    if not names:
        return None  # what is wrong with the file is told by its check
    if len(found) == 1:
        return found[0]
    why = "every set has its shards" if not found else f"sets {', '.join(found)} have no shards"
    message = f"{why}; say which set gets {address!r}: --shards {(found or [*names])[0]}=PATH"
    raise SettingsError([Problem(place, "data.sets", message)])


def _sets(tree: Node) -> dict[str, Node]:
    data = tree.child("data")
    sets = data.child("sets") if data is not None else None
    return dict(sets.value) if sets is not None and isinstance(sets.value, dict) else {}


def _found(path: str | Path) -> Path:
    shipped = CONFIGS / f"{path}.yaml"
    return shipped if not Path(path).exists() and shipped.is_file() else Path(path)


# What may differ in a resumed run without a word: it changes no weight, or the last digits of it as
# another number of ranks does.
FREE = (
    "about",
    "checkpoint.",
    "compute.micro_packs",
    "compute.parallel",
    "compute.peak_tflops",
    "compute.prefetch",
    "compute.workers",
    "data.cache",
    "data.retries",
    "data.timeout",
    "log.",
    "name",
)


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted path and single value of everything in a canonical config."""
    if isinstance(value, Mapping) and value:
        for key, child in value.items():
            yield from flat(child, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two canonical configs and matters: `path: before -> now`, for people.

    Where shards lie does not matter; what they are is compared by digest, among the facts of a run.
    """
    old, new = dict(flat(before)), dict(flat(now))
    found = []
    for path in sorted(old.keys() | new.keys()):
        moved = path.startswith("data.sets.") and path.endswith(".shards")
        if moved or path.startswith(FREE) or old.get(path, _GONE) == new.get(path, _GONE):
            continue
        found.append(f"{path}: {_shown(old.get(path, _GONE))} -> {_shown(new.get(path, _GONE))}")
    return found


_GONE = object()


def _shown(value: object) -> str:
    return "(not there)" if value is _GONE else write({"_": value}).strip().removeprefix("_: ")
