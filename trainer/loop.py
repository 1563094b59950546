"""Training as one function: `train(config, out)` begins a run or goes on with it.

Order: read a batch; forward and backward over its parts; one sum over ranks of everything a step
reports; refuse what is not finite before it reaches a weight; update; log; evaluate; save. The
gradient is the sum over the counted targets of the global batch divided by their number, whatever
the number of ranks and parts. A step's random numbers follow from (seed, step, rank), so a resumed
run needs no generator's state and nothing that is called in between can disturb it.
"""

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import math
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from schemas.settings import SettingsError
from schemas.shard import ShardError
from trainer import checkpoint, distributed, journal, meter, optimizer
from trainer.config import Config, differences
from trainer.data import DataState, Given
from trainer.distributed import Ranks
from trainer.failures import (
    BusyError,
    ChangedError,
    CheckpointError,
    DivergedError,
    SetupError,
)
from trainer.initialize import InitializationError, initialized
from trainer.model import Decoder
from trainer.objectives import LossWeights, Sums, losses
from trainer.opening import Opened, opened
from trainer.pack import Batch, Vocabulary
from trainer.schedule import factor
from trainer.tensors import Inputs, inputs, set_indices
from trainer.text import FileTokenizer
from trainer.trained import CHECKPOINTS, saved_decoder

CONFIG = "config.yaml"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class State:
    """Where a run is, as an evaluation at a step sees it."""

    step: int  # updates done
    steps: int  # of the whole run
    totals: Mapping[str, float]  # what was read so far, by the names of `meter.COUNTS`
    flops: float
    vocabulary: Vocabulary
    opened: Opened
    config: Config
    out: Path
    ranks: Ranks


Evaluation = Callable[[Decoder, State], Mapping[str, Any] | None]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """How a run ended."""

    stopped: str  # "done", "data" (they ended first), "signal" or "paused"
    step: int
    steps: int
    checkpoint: Path | None
    totals: Mapping[str, float]
    flops: float
    last: Mapping[str, Any]  # the last line of the log with losses; {} where there is none
    evaluations: Mapping[int, Any]  # what each evaluation gave, by step; also of resumed parts


def train(
    config: Config,
    out: Path | str,
    *,
    resume: bool = True,
    allow_changes: bool = False,
    at: Mapping[int, Evaluation] | None = None,
    until: int | None = None,
    on_line: Callable[[Mapping[str, Any]], None] | None = None,
) -> Result:
    """Train until `config.stop`, from the newest checkpoint in OUT where there is one.

    `at`: evaluations by number of updates done (0: before the first); each gets the model in eval
    mode without gradients, and its answer (JSON, or None) is logged and kept. They change nothing
    of the training; those before a resumed step are read from the log. `until`: save and pause
    after this many updates. `on_line` sees each line of the log that reports steps.

    Raises `ChangedError` for a resumed run with other settings unless `allow_changes`;
    `DivergedError`; `CheckpointError`; `ShardError` for data; `SetupError` where OUT has
    checkpoints and `resume` is false, or tokenizers are missing; `BusyError`.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_threads(config.compute.threads))
        group = stack.enter_context(distributed.ranks(config.compute.device))
        devices = [group.device] if group.device.type == "cuda" else []
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(_locked(out, group))
        run = _Run(config, out, group, resume, allow_changes)
        stack.callback(run.journal.close)
        stopping = stack.enter_context(_signals())
        return run.go(dict(at or {}), until, on_line, stopping)


class Objective(nn.Module):
    """Decoder and losses as one module, for what wraps modules sees only their `forward`."""

    def __init__(self, decoder: Decoder, weights: LossWeights, sets: int) -> None:
        super().__init__()
        self.decoder, self._weights, self._sets = decoder, weights, sets

    def forward(self, given: Inputs, sets: torch.Tensor) -> tuple[torch.Tensor, ...]:
        hidden = self.decoder(given)
        found = losses(self.decoder, hidden, given, sets, self._weights, self._sets)
        return found.total, found.number, found.sums, found.numbers


class _Run:
    """A run that is set up: everything that `go` moves forward."""

    def __init__(
        self, config: Config, out: Path, group: Ranks, resume: bool, allow_changes: bool
    ) -> None:
        self.config, self.out, self.group = config, out, group
        last = checkpoint.newest(out / CHECKPOINTS)
        if last is not None and not resume:
            raise SetupError(
                f"{out} already holds a run at step {last.step}; go on with it, or choose another "
                "OUT: nothing is written over"
            )
        saved = None if last is None else _checked_state(last.path, group)
        try:
            self.opened = opened(config, out, group, again=last is not None)
        except (ValueError, FileNotFoundError) as error:
            if isinstance(error, SettingsError | ShardError):
                raise
            raise SetupError(str(error)) from error
        if saved is not None and last is not None and not allow_changes:
            _refuse_changes(saved, config, self.opened, last.path)
        self.names = tuple(sorted(config.data.sets))
        self.vocabulary = self.opened.data.vocabulary
        self.decoder = (
            initial_decoder(config, self.vocabulary, self.opened.text)
            if saved is None or last is None
            else saved_decoder(saved, last.path)
        )
        self.decoder.to(group.device)
        per_position = self.decoder.flops_per_position(config.data.length)
        self.steps = _steps(config, per_position)
        if config.compute.compile:
            for block in self.decoder.blocks:
                block.compile()
        self._bf16 = config.compute.precision == "bf16"
        objective = Objective(self.decoder, config.loss, len(self.names))
        how = config.compute.parallel
        self.model = distributed.wrapped(objective, self.decoder.blocks, how, self._bf16, group)
        self.optimizer = optimizer.build(self.decoder, config.optimizer)
        self.weights = [w for w in self.decoder.parameters() if w.requires_grad]
        self.step, self.data_state = 0, self.opened.data.start()
        self.totals: dict[str, float] = {}
        self.flops = 0.0
        if saved is not None and last is not None:
            self._load(last.path, saved)
        self.last_saved = None if last is None else last.step
        sinks = journal.sinks(config.log, out, config.name, config.canonical())
        self.journal = journal.Journal(
            out, tuple(sinks) if group.first else (), quiet=not group.first
        )
        self.window = meter.Window(self.names)
        self.peak = meter.peak_tflops(group.device, config.compute.peak_tflops)
        self._begin(saved is not None)

    def go(
        self,
        at: dict[int, Evaluation],
        until: int | None,
        on_line: Callable[[Mapping[str, Any]], None] | None,
        stopping: list[int],
    ) -> Result:
        """Steps until the run is over, or stopped."""
        evaluations = self._earlier(at)
        end = self.steps if until is None else min(until, self.steps)
        if self.step == 0 and 0 in at:
            evaluations[0] = self._evaluate(at[0])
        last: Mapping[str, Any] = {}
        compute = self.config.compute
        batches = self.opened.data.batches(
            self.data_state,
            steps=max(end - self.step, 0),
            workers=compute.workers,
            prefetch=compute.prefetch,
        )
        stopped = "done" if end == self.steps else "paused"
        while self.step < end:
            begun = time.perf_counter()
            given = next(batches, None)
            waited = time.perf_counter() - begun
            if given is None:
                stopped = "data"
                break
            norm, lr, told = self._update(given, begun, waited, bool(stopping))
            saving = self._due(self.step)
            if told or saving or self.step % self.config.log.every == 0 or self.step == end:
                last = self._line(norm, lr)
                if on_line is not None and self.group.first:
                    on_line(last)
            if self.step in at:
                evaluations[self.step] = self._evaluate(at[self.step])
            if saving:
                self._save()
            if told and self.step < self.steps:
                stopped = "signal"
                break
        if self.step and self.last_saved != self.step:
            self._save()
        self.journal.put("end", self.step, stopped=stopped)
        saved = checkpoint.newest(self.out / CHECKPOINTS)
        return Result(
            stopped=stopped,
            step=self.step,
            steps=self.steps,
            checkpoint=None if saved is None else saved.path,
            totals=dict(self.totals),
            flops=self.flops,
            last=last or self._last_line(),
            evaluations=evaluations,
        )

    def _update(
        self, given: Given, begun: float, waited: float, stop: bool
    ) -> tuple[float, float, bool]:
        """One step. Gives the gradient's norm, the rate, and whether some rank was told to stop."""
        torch.manual_seed(_step_seed(self.config.seed, self.step, self.group.rank))
        parts = [self._backward(part, last) for part, last in _parts(given.batch, self._micro())]
        vector = meter.as_vector(parts, given.batch, [float(stop), float(len(given.lost))])
        done, (told, lost) = meter.of_vector(self.group.sum(vector), len(self.names))
        if lost:
            self._tell_lost(given)
        settings = self.config.optimizer
        self._refuse(self._wrong_loss(done), parts, given.batch)
        norm = optimizer.scale(self.weights, max(done.number, 1.0), settings.clip)
        self._refuse(self._wrong_norm(norm), parts, given.batch)
        lr = settings.lr * factor(self.config.schedule, self.step, self.steps)
        for each in self.optimizer.param_groups:
            each["lr"] = lr
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self.data_state = given.state
        self.totals = meter.added(self.totals, done)
        flops = meter.flops(self.decoder, done, self.config.data.length)
        self.flops += flops
        self.window.add(done, time.perf_counter() - begun, waited, flops)
        return norm, lr, told > 0

    def _backward(self, part: Batch, last: bool) -> Sums:
        device = self.group.device
        given = inputs(part, device)
        sets = set_indices(part, self.names, device)
        sharded = self.group.count > 1 and self.config.compute.parallel == "fsdp"
        cast = torch.autocast(device.type, torch.bfloat16, enabled=self._bf16 and not sharded)
        with distributed.gathering(self.model, last):
            with cast:
                found = Sums(*self.model(given, sets))
            # ranks are averaged by what wraps the model: times their number it is their sum
            summed: Any = found.total * self.group.count
            summed.backward()
        return found

    def _micro(self) -> int:
        each = self.config.data.packs // self.group.count
        return min(self.config.compute.micro_packs or each, each)

    def _wrong_loss(self, done: meter.Step) -> str | None:
        if done.number and not math.isfinite(done.loss):
            return f"the loss is {done.loss}"
        bound = self.config.diverged.loss
        if bound is None:
            return None
        for name, value, guess in meter.against_guessing(done, self.vocabulary):
            if value > bound * guess:
                return (
                    f"the loss of {name} is {value:.4g}, more than {bound:g} times the "
                    f"{guess:.4g} of guessing (diverged.loss)"
                )
        return None

    def _wrong_norm(self, norm: float) -> str | None:
        if not math.isfinite(norm):
            return f"the norm of the gradient is {norm}"
        bound = self.config.diverged.gradient
        if bound is not None and norm > bound:
            return f"the norm of the gradient is {norm:.4g}, above {bound:g} (diverged.gradient)"
        return None

    def _refuse(self, wrong: str | None, parts: Sequence[Sums], batch: Batch) -> None:
        """Stop where something is wrong, naming the documents: the bad parts', else all."""
        if wrong is None:
            return
        held = [part for part, _ in _parts(batch, self._micro())]
        bad = [
            part
            for part, found in zip(held, parts, strict=True)
            if not bool(torch.isfinite(found.total))
        ]
        every = self.group.gather(
            ([_named(p) for p in bad], [_named(p) for p in held] if not bad else [])
        )
        named = [row for found, _ in every for row in found] or [
            row for _, found in every for row in found
        ]
        packs = sorted(number for numbers, _ in named for number in numbers)
        documents = tuple(sorted({one for _, found in named for one in found}))
        self.journal.put("diverged", self.step, why=wrong, packs=packs, documents=list(documents))
        last = checkpoint.newest(self.out / CHECKPOINTS)
        kept = f"the last good checkpoint is {last.path}" if last else "no checkpoint was saved yet"
        shown = ", ".join(documents[:8]) + (", …" if len(documents) > 8 else "")
        raise DivergedError(
            self.step,
            documents,
            f"step {self.step}: {wrong}; no weight has seen it, and {kept}. Packs {packs[:8]} of "
            f"documents {shown} (all {len(documents)} in {self.out / journal.NAME}). Leave them "
            "out, lower optimizer.lr or lengthen schedule.warmup",
        )

    def _tell_lost(self, given: Given) -> None:
        for rows in self.group.gather([dataclasses.asdict(one) for one in given.lost]):
            for row in rows:
                self.journal.put("lost", self.step, **row)

    def _line(self, norm: float, lr: float) -> Mapping[str, Any]:
        values = {
            **self.window.losses(),
            "lr": lr,
            "gradient_norm": norm,
            **self.window.rates(self.peak, self.group.count),
            "seconds": self.window.seconds,
            "positions": sum(self.totals[name] for name in meter.POSITIONS),
            **self.totals,
            "flops": self.flops,
            "passes": self.opened.data.passes(self.data_state),
        }
        self.journal.put("step", self.step, **values)
        self.window = meter.Window(self.names)
        return {"event": "step", "step": self.step, "steps": self.steps, **values}

    def _evaluate(self, evaluation: Evaluation) -> Any:
        """Call an evaluation so that it changes nothing; log its answer."""
        state = State(
            step=self.step,
            steps=self.steps,
            totals=dict(self.totals),
            flops=self.flops,
            vocabulary=self.vocabulary,
            opened=self.opened,
            config=self.config,
            out=self.out,
            ranks=self.group,
        )
        devices = [self.group.device] if self.group.device.type == "cuda" else []
        kept = random.getstate(), np.random.get_state()
        training = self.decoder.training
        begun = time.perf_counter()
        self.decoder.eval()
        try:
            with torch.random.fork_rng(devices=devices), torch.no_grad():
                found = evaluation(self.decoder, state)
        finally:
            self.decoder.train(training)
            random.setstate(kept[0])
            np.random.set_state(kept[1])
        seconds = time.perf_counter() - begun
        plain = json.loads(json.dumps(found))  # as it will be read again when resumed
        self.journal.put("evaluation", self.step, seconds=seconds, result=plain)
        return plain

    def _earlier(self, at: Mapping[int, Evaluation]) -> dict[int, Any]:
        """Answers of evaluations that ran before this part of the run."""
        if not self.step or not self.group.first:
            return {}
        lines = journal.read(self.out)
        done = {one["step"]: one["result"] for one in lines if one["event"] == "evaluation"}
        return {step: done[step] for step in sorted(at) if step in done and step <= self.step}

    def _last_line(self) -> Mapping[str, Any]:
        if not self.group.first:
            return {}
        steps = [one for one in journal.read(self.out) if one["event"] == "step"]
        return steps[-1] if steps else {}

    def _due(self, step: int) -> bool:
        every = self.config.checkpoint.every
        return every is not None and step % every == 0

    def _tensors(self) -> dict[str, torch.Tensor]:
        """Weights and the optimizer's moments, by name; the very tensors that are trained."""
        own = {f"model.{name}": w.detach() for name, w in self.decoder.named_parameters()}
        held = optimizer.moments(self.decoder, self.optimizer)
        return own | {f"optimizer.{name}": moment for name, moment in held.items()}

    def _save(self) -> None:
        state = {
            "config": self.config.canonical(),
            "facts": self.opened.facts,
            "model": self.decoder.settings.model_dump(mode="json"),
            "vocabulary": dataclasses.asdict(self.vocabulary),
            "steps": self.steps,
            "data": self.data_state.as_json(),
            "totals": self.totals,
            "flops": self.flops,
            "updates": optimizer.updates(self.decoder, self.optimizer),
            "ranks": self.group.count,
        }
        begun = time.perf_counter()
        keep = self.config.checkpoint.keep
        folder = self.out / CHECKPOINTS
        checkpoint.save(folder, self.step, self._tensors(), state, self.group, keep)
        self.last_saved = self.step
        self.journal.put("checkpoint", self.step, seconds=time.perf_counter() - begun)

    def _load(self, path: Path, saved: Mapping[str, Any]) -> None:
        checkpoint.load(path, self._tensors(), self.group)
        try:
            optimizer.set_updates(self.decoder, self.optimizer, saved["updates"])
            self.step = int(saved["step"])
            self.totals = {str(name): float(value) for name, value in saved["totals"].items()}
            self.flops = float(saved["flops"])
            state = saved["data"]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path}: its state is not ours: {error!r}") from error
        self.data_state = DataState.of_json(state)

    def _begin(self, resumed: bool) -> None:
        if not self.group.first:
            return
        (self.out / CONFIG).write_text(self.config.text_form(), encoding="utf-8")
        data = self.opened.data
        self.journal.put(
            "resume" if resumed else "start",
            self.step,
            name=self.config.name,
            steps=self.steps,
            ranks=self.group.count,
            device=str(self.group.device),
            parameters=self.decoder.parameters_by_part(),
            vocabulary=dataclasses.asdict(self.vocabulary),
            flops_per_position=self.decoder.flops_per_position(self.config.data.length),
            peak_tflops=self.peak,
            sets=data.about(),
            facts=self.opened.facts,
        )


def initial_decoder(
    config: Config, vocabulary: Vocabulary, text: FileTokenizer | None = None
) -> Decoder:
    """The model before its first step: a function of config and vocabulary alone.

    Raises `SetupError` for an `initial.folder` whose weights cannot be taken over.
    """
    if config.model is not None:
        return Decoder(config.model, vocabulary, config.seed)
    initial = config.initial
    assert initial.folder is not None
    try:
        return initialized(
            initial.folder,
            vocabulary,
            config.seed,
            new_embeddings=initial.new_embeddings,
            text=text,
            attention=initial.attention,
        )
    except InitializationError as error:
        raise SetupError(str(error)) from error


def _steps(config: Config, flops_per_position: float) -> int:
    try:
        return config.steps(flops_per_position)
    except ValueError as error:
        raise SetupError(str(error)) from error


def _named(part: Batch) -> tuple[list[int], list[str]]:
    return [p.number for p in part.packs], [one for p in part.packs for one in p.documents]


def _parts(batch: Batch, size: int) -> Iterator[tuple[Batch, bool]]:
    """The packs of a batch, `size` at a time, and whether it is the last part."""
    for first in range(0, len(batch.packs), size):
        part = dataclasses.replace(batch, packs=batch.packs[first : first + size])
        yield part, first + size >= len(batch.packs)


def _step_seed(seed: int, step: int, rank: int) -> int:
    digest = hashlib.blake2b(f"{seed}/{step}/{rank}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def _checked_state(path: Path, group: Ranks) -> dict[str, Any]:
    """The state of a checkpoint; its digests are compared on the first rank only."""
    found: dict[str, Any] | CheckpointError | None = None
    if group.first:
        try:
            found = checkpoint.read_state(path)
        except CheckpointError as error:
            found = error
    found = group.gather(found)[0]
    if isinstance(found, CheckpointError):
        raise found
    assert found is not None
    return found


def _refuse_changes(saved: Mapping[str, Any], config: Config, now: Opened, path: Path) -> None:
    config_before, facts = saved.get("config"), saved.get("facts")
    if not isinstance(config_before, dict) or not isinstance(facts, dict):
        raise CheckpointError(f"{path}: its state is not ours: no config")
    found = differences(config_before, config.canonical()) + [
        f"{name}: digest {str(facts.get(name))[:12]} -> {str(now.facts.get(name))[:12]}"
        for name in sorted(facts.keys() | now.facts.keys())
        if facts.get(name) != now.facts.get(name)
    ]
    if found:
        raise ChangedError(
            f"{path.parent.parent} began with other settings:\n  "
            + "\n  ".join(found)
            + "\nTake another OUT for another run; to go on with this one all the same: "
            "--allow-changes"
        )


@contextlib.contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextlib.contextmanager
def _locked(out: Path, group: Ranks) -> Iterator[None]:
    """Two runs in one OUT would write over each other."""
    with (out / ".lock").open("w") as file:
        busy = False
        if group.first:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                busy = True
        if group.any(busy):
            raise BusyError(f"another process trains in {out}; wait for it, or choose another")
        yield


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """A list that SIGTERM or the first Ctrl-C is put into; the second Ctrl-C interrupts.

    Outside the main thread, where no handler can be set, it stays empty.
    """
    told: list[int] = []

    def tell(number: int, frame: object) -> None:
        if number == signal.SIGINT and told:
            raise KeyboardInterrupt
        told.append(number)

    before = {}
    with contextlib.suppress(ValueError):
        for number in (signal.SIGTERM, signal.SIGINT):
            before[number] = signal.signal(number, tell)
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
