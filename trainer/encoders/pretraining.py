"""Pretraining as one function: `pretrain(config, out)` begins a run or goes on with it.

A step's clips follow from three whole numbers, its masks and draws from (seed, step): so a resumed
run is the run that was never stopped, bit for bit on a CPU. One process trains; checkpoints and
the log are those of `trainer.loop`.
"""

import contextlib
import dataclasses
import hashlib
import json
import math
import time
from pathlib import Path
from typing import Any

import torch

from trainer import checkpoint, distributed, guards, journal, optimizer
from trainer.config import differences
from trainer.distributed import Ranks
from trainer.encoders import flops
from trainer.encoders.clips import Clips, ClipState, batches
from trainer.encoders.features import Features
from trainer.encoders.model import SpeechEncoder, initial_weights
from trainer.encoders.objectives import objective_of
from trainer.encoders.settings import EncoderConfig
from trainer.failures import ChangedError, CheckpointError, DivergedError, SetupError
from trainer.schedule import factor
from trainer.shard_sets import ShardSet, open_sets
from trainer.trained import CHECKPOINTS

CONFIG = "config.yaml"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Pretrained:
    """How a run ended."""

    stopped: str  # "done", "signal" or "paused"
    step: int
    steps: int
    flops: float
    seconds: float  # of speech heard
    passes: float  # over the unique speech
    loss: float  # mean of the last tenth of the steps
    checkpoint: Path | None


def pretrain(
    config: EncoderConfig,
    out: Path | str,
    *,
    until: int | None = None,
    allow_changes: bool = False,
) -> Pretrained:
    """Train until `config.stop`, from the newest checkpoint in OUT where there is one.

    `until`: save and pause after this many updates. Raises `SetupError`, `ChangedError`,
    `CheckpointError`, `DivergedError`, `ShardError`, `BusyError`.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(guards.threads(config.compute.threads))
        stack.enter_context(guards.locked(out, Ranks()))
        group = stack.enter_context(distributed.ranks(config.compute.device))
        if group.count > 1:
            raise SetupError("an encoder is trained by one process; start it without torchrun")
        run = _Run(config, out, allow_changes, group.device)
        stack.callback(run.journal.close)
        return run.go(until, stack.enter_context(guards.signals()))


class _Run:
    def __init__(
        self, config: EncoderConfig, out: Path, allow_changes: bool, device: torch.device
    ) -> None:
        self.config, self.out, self.device = config, out, device
        [shards] = open_sets(config.reading())
        self.clips = Clips(shards, config.reading(), config.seconds, config.least_seconds)
        self.features = Features(config, flops.positions_per_clip(config))
        self.facts = _facts(shards, self.features)
        self.cost = flops.flops_per_step(config, self.features.count)
        try:
            self.steps = flops.steps(config, self.features.count)
        except ValueError as error:
            raise SetupError(str(error)) from error
        encoder = SpeechEncoder(config.encoder)
        self.model = objective_of(encoder, config.objective, self.features.count)
        initial_weights(self.model, config.seed)
        self.model.to(device)
        self.encoder = encoder
        self.optimizer = optimizer.build(self.model, config.optimizer)
        self.step, self.heard = 0, 0.0
        self.state = ClipState()
        self.losses: list[float] = []
        found = checkpoint.newest(out / CHECKPOINTS)
        if found is not None:
            self._load(found.path, allow_changes)
        self.journal = journal.Journal(out)
        (out / CONFIG).write_text(config.text_form(), encoding="utf-8")
        about = {"name": config.name, "steps": self.steps, "flops_per_step": self.cost}
        parts = {**flops.parameters(config.encoder), "facts": self.facts}
        self.journal.put("start" if found is None else "resume", self.step, **about, **parts)

    def go(self, until: int | None, stopping: list[int]) -> Pretrained:
        end = self.steps if until is None else min(until, self.steps)
        stopped = "done" if end == self.steps else "paused"
        source = batches(self.clips, self.state, self.config.clips)
        saved = self.step if self.step else None
        while self.step < end:
            begun = time.perf_counter()
            clips, state = next(source)
            norm, lr, figures = self._update(clips)
            self.step, self.state = self.step + 1, state
            self.heard += sum(clip.seconds for clip in clips)
            if self.step % self.config.log.every == 0 or self.step == end:
                self.journal.put(
                    "step",
                    self.step,
                    **figures,
                    loss=self.losses[-1],
                    lr=lr,
                    gradient_norm=norm,
                    speech_seconds=self.heard,
                    flops=self.step * self.cost,
                    passes=self.passes,
                    seconds=time.perf_counter() - begun,
                )
            every = self.config.checkpoint.every
            if every is not None and self.step % every == 0:
                saved = self._save()
            if stopping and self.step < self.steps:
                stopped = "signal"
                break
        if self.step and saved != self.step:
            self._save()
        self.journal.put("end", self.step, stopped=stopped)
        found = checkpoint.newest(self.out / CHECKPOINTS)
        return Pretrained(
            stopped=stopped,
            step=self.step,
            steps=self.steps,
            flops=self.step * self.cost,
            seconds=self.heard,
            passes=self.passes,
            loss=_end(self.losses, self.steps),
            checkpoint=None if found is None else found.path,
        )

    @property
    def passes(self) -> float:
        return self.heard / self.clips.unique_seconds

    def _update(self, clips: Any) -> tuple[float, float, dict[str, float]]:
        batch = self.features.batch(clips, self.device)
        found = self.model(batch, _generator(self.config.seed, self.step), self.step)
        loss = float(found.total.detach())
        documents = sorted({clip.document for clip in clips})
        self._refuse("the loss", loss, documents)
        found.total.backward()
        settings = self.config.optimizer
        weights = [one for one in self.model.parameters() if one.grad is not None]
        norm = optimizer.scale(weights, 1.0, settings.clip)
        self._refuse("the norm of the gradient", norm, documents)
        lr = settings.lr * factor(self.config.schedule, self.step, self.steps)
        for each in self.optimizer.param_groups:
            each["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.losses.append(loss)
        return norm, lr, found.figures

    def _refuse(self, what: str, value: float, documents: list[str]) -> None:
        if math.isfinite(value):
            return
        self.journal.put("diverged", self.step, why=f"{what} is {value}", documents=documents)
        raise DivergedError(
            self.step,
            tuple(documents),
            f"update {self.step}: {what} is {value}; no weight has seen it. It is from documents "
            f"{', '.join(documents[:8])}. Leave them out, or lower optimizer.lr",
        )

    def _tensors(self) -> dict[str, torch.Tensor]:
        own = {f"model.{name}": w.detach() for name, w in self.model.named_parameters()}
        held = optimizer.moments(self.model, self.optimizer)
        return own | {f"optimizer.{name}": moment for name, moment in held.items()}

    def _save(self) -> int:
        tensors = self._tensors()
        state = {
            "config": self.config.canonical(),
            "facts": self.facts,
            "units": self.features.count,
            "clips": dataclasses.asdict(self.state),
            "heard": self.heard,
            "losses": self.losses,
            "updates": optimizer.updates(self.model, self.optimizer),
        }
        keep = self.config.checkpoint.keep
        checkpoint.save(self.out / CHECKPOINTS, self.step, tensors, state, Ranks(), keep)
        return self.step

    def _load(self, path: Path, allow_changes: bool) -> None:
        saved = checkpoint.read_state(path)
        try:
            before, facts = saved["config"], saved["facts"]
            changed = differences(before, self.config.canonical())
            changed += [
                f"{name}: digest {str(facts.get(name))[:12]} -> {str(self.facts.get(name))[:12]}"
                for name in sorted(facts.keys() | self.facts.keys())
                if facts.get(name) != self.facts.get(name)
            ]
            if changed and not allow_changes:
                raise ChangedError(
                    f"{self.out} began with other settings:\n  "
                    + "\n  ".join(changed)
                    + "\nTake another OUT for another run; to go on all the same: --allow-changes"
                )
            checkpoint.load(path, self._tensors(), Ranks())
            optimizer.set_updates(self.model, self.optimizer, saved["updates"])
            self.step, self.heard = int(saved["step"]), float(saved["heard"])
            self.losses = [float(one) for one in saved["losses"]]
            self.state = ClipState.of_json(saved["clips"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path}: its state is not ours: {error!r}") from error


def _facts(shards: ShardSet, features: Features) -> dict[str, str]:
    """What must be the same when a run is resumed, wherever it lies."""
    own = sorted((entry.name, entry.sha256) for entry in shards.entries)
    found = {"shards": hashlib.sha256(json.dumps(own).encode()).hexdigest()}
    return found | ({} if features.units is None else {"units": features.units.digest()})


def _generator(seed: int, step: int) -> torch.Generator:
    digest = hashlib.blake2b(f"encoder/{seed}/{step}".encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


def _end(losses: list[float], steps: int) -> float:
    last = losses[-max(steps // 10, 1) :]
    return math.fsum(last) / len(last) if last else math.nan
