"""Training as one function: `train(config, out)` begins a run or goes on with it.

Order: read a batch; one update (`trainer.stepping`); log; evaluate; save. A step's random numbers
follow from (seed, step, rank) and its batch from a few integers, so a resumed run needs no
generator's state, and nothing that is called in between can disturb it.
"""

import contextlib
import dataclasses
import json
import random
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer import checkpoint, distributed, guards, journal, meter, optimizer
from trainer.beginning import begin, initial_decoder
from trainer.config import Config
from trainer.contrastive.settings import passes
from trainer.data import DataState, Given
from trainer.distributed import Ranks
from trainer.experiments.weighing import Seen, Weigh, exponentiated, normalised
from trainer.failures import (
    BusyError,
    ChangedError,
    CheckpointError,
    DivergedError,
    SetupError,
    TrainingError,
)
from trainer.latent.accounting import cost_per_position
from trainer.model import Decoder
from trainer.opening import Opened
from trainer.pack import Vocabulary
from trainer.stepping import Stepper, Taken, WrongNumbers
from trainer.trained import CHECKPOINTS

__all__ = [
    "BusyError",
    "ChangedError",
    "CheckpointError",
    "DivergedError",
    "Evaluation",
    "Result",
    "SetupError",
    "State",
    "TrainingError",
    "initial_decoder",
    "train",
]

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
    weigh: Weigh | None = None,
) -> Result:
    """Train until `config.stop`, from the newest checkpoint in OUT where there is one.

    `at`: evaluations by number of updates done (0: before the first); each gets the model in eval
    mode without gradients, and its answer (JSON, or None) is logged and kept. They change nothing
    of the training; those before a resumed step are read from the log. `until`: save and pause
    after this many updates. `on_line` sees each line of the log that reports steps. `weigh` stands
    in the place of the built-in update of `config.weighing`, which says when it is asked; it must
    be a pure function, the same on all ranks.

    Raises `ChangedError` for a resumed run with other settings unless `allow_changes`;
    `DivergedError`; `CheckpointError`; `ShardError` for data; `SetupError` where OUT has
    checkpoints and `resume` is false, or tokenizers are missing; `BusyError`.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        stack.enter_context(guards.threads(config.compute.threads))
        group = stack.enter_context(distributed.ranks(config.compute.device))
        devices = [group.device] if group.device.type == "cuda" else []
        stack.enter_context(torch.random.fork_rng(devices=devices))
        stack.enter_context(guards.locked(out, group))
        run = _Run(config, out, group, resume, allow_changes, weigh)
        stack.callback(run.journal.close)
        stopping = stack.enter_context(guards.signals())
        return run.go(dict(at or {}), until, on_line, stopping)


class _Run:
    """A run that is set up: everything that `go` moves forward."""

    def __init__(
        self,
        config: Config,
        out: Path,
        group: Ranks,
        resume: bool,
        allow_changes: bool,
        weigh: Weigh | None = None,
    ) -> None:
        self.config, self.out, self.group = config, out, group
        begun = begin(config, out, group, resume, allow_changes)
        self.opened, self.decoder = begun.opened, begun.decoder
        self.cost = cost_per_position(config, self.decoder, self.opened.data)
        self.cost *= passes(config.contrastive, config.data)
        self.steps = _steps(config, self.cost)
        self.opened.data.spread(self.steps)
        self.stepper = Stepper(config, begun.decoder, group)
        self.step, self.flops = 0, 0.0
        self.data_state = self.opened.data.start()
        self.totals: dict[str, float] = {}
        shares = {name: one.share for name, one in config.data.sets.items()}
        self.weighing = config.weighing
        if self.weighing is not None:
            self.seen = Seen(self.stepper.names, self.weighing.loss)
            self.weigh = weigh or exponentiated(self.weighing, shares)
        if begun.path is not None:
            self._load(begun.path, begun.saved)
        self.last_saved = self.step if begun.path is not None else None
        sinks = (
            tuple(journal.sinks(config.log, out, config.name, config.canonical()))
            if group.first
            else ()
        )
        self.journal = journal.Journal(out, sinks, quiet=not group.first)
        self.window = meter.Window(self.stepper.names)
        self.peak = meter.peak_tflops(group.device, config.compute.peak_tflops)
        self._tell_beginning(begun.path is not None)

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
        batches = self._batches(end)
        stopped = "done" if self.step >= self.steps or end == self.steps else "paused"
        while self.step < end:
            begun = time.perf_counter()
            given = next(batches, None)
            waited = time.perf_counter() - begun
            if given is None:
                stopped = "data"
                break
            taken = self._update(given, begun, waited, bool(stopping))
            told, saving = taken.extra[0] > 0, self._due(self.step)
            if told or saving or self.step % self.config.log.every == 0 or self.step == end:
                last = self._line(taken)
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

    def _batches(self, end: int) -> Iterator[Given]:
        """Up to step `end`; read anew wherever weights may have changed, as the state then says."""
        compute = self.config.compute
        while self.step < end:
            last = end
            if self.weighing is not None:
                every = self.weighing.every
                last = min(end, (self.step // every + 1) * every)
            yield from self.opened.data.batches(
                self.data_state,
                steps=last - self.step,
                workers=compute.workers,
                prefetch=compute.prefetch,
            )
            if self.step < last:
                return  # the data ended

    def _reweigh(self, done: meter.Step) -> None:
        """Note a step's losses, and change the weights where it is time to."""
        if self.weighing is None:
            return
        self.seen.add(done.sums, done.numbers)
        if self.step % self.weighing.every:
            return
        shares = {name: one.share for name, one in self.config.data.sets.items()}
        before = normalised(dict(self.data_state.weights) or shares)
        losses = self.seen.losses()
        weights = normalised(self.weigh(self.step, losses, before))
        self.data_state = self.data_state.reweighted(weights)
        self.journal.put(
            "weights", self.step, pack=self.data_state.pack, weights=weights, losses=losses
        )
        self.seen = Seen(self.stepper.names, self.weighing.loss)

    def _update(self, given: Given, begun: float, waited: float, stop: bool) -> Taken:
        extra = [float(stop), float(len(given.lost)), float(len(given.inserted))]
        try:
            taken = self.stepper(given.batch, self.step, self.steps, extra)
        except WrongNumbers as wrong:
            raise self._diverged(wrong) from wrong
        self.step += 1
        if taken.extra[1]:
            for rows in self.group.gather([dataclasses.asdict(one) for one in given.lost]):
                for row in rows:
                    self.journal.put("lost", self.step, **row)
        if taken.extra[2]:
            for rows in self.group.gather([dataclasses.asdict(one) for one in given.inserted]):
                for row in rows:
                    self.journal.put("inserted", **row)
        self.data_state = given.state
        self._reweigh(taken.done)
        self.totals = meter.added(self.totals, taken.done)
        data = self.config.data
        flops = meter.flops(self.decoder, taken.done, data.length, taken.again, data.packs)
        self.flops += flops
        self.window.add(taken.done, time.perf_counter() - begun, waited, flops)
        return taken

    def _diverged(self, wrong: WrongNumbers) -> DivergedError:
        self.journal.put(
            "diverged", self.step, why=wrong.why, packs=wrong.packs, documents=wrong.documents
        )
        last = checkpoint.newest(self.out / CHECKPOINTS)
        kept = f"the last good checkpoint is {last.path}" if last else "no checkpoint was saved yet"
        shown = ", ".join(wrong.documents[:8]) + (", ..." if len(wrong.documents) > 8 else "")
        return DivergedError(
            self.step,
            wrong.documents,
            f"update {self.step}: {wrong.why}; no weight has seen it, and {kept}. It is from "
            f"documents {shown} (all {len(wrong.documents)} in {self.out / journal.NAME}). Leave "
            "them out, lower optimizer.lr or lengthen schedule.warmup",
        )

    def _line(self, taken: Taken) -> Mapping[str, Any]:
        values = {
            **self.window.losses(),
            "lr": taken.lr,
            "gradient_norm": taken.norm,
            **self.window.rates(self.peak, self.group.count),
            "seconds": self.window.seconds,
            "positions": sum(self.totals[name] for name in meter.POSITIONS),
            "global_positions": meter.global_positions(self.totals),
            **self.totals,
            "speech_frames": self._frames(),
            "flops": self.flops,
            "passes": self.opened.data.passes(self.data_state),
        }
        self.journal.put("step", self.step, **values)
        self.window = meter.Window(self.stepper.names)
        return {"event": "step", "step": self.step, "steps": self.steps, **values}

    def _frames(self) -> int:
        """Frames that the tokenizer makes of the speech heard, in whatever order they then lie."""
        speech = self.opened.speech
        source = getattr(speech, "source", speech)
        rate = 0.0 if source is None else source.frames_per_second
        return round(self.totals["speech_seconds"] * rate)

    def _evaluate(self, evaluation: Evaluation) -> Any:
        """Call an evaluation so that it changes nothing; log its answer."""
        state = State(
            step=self.step,
            steps=self.steps,
            totals=dict(self.totals),
            flops=self.flops,
            vocabulary=self.decoder.vocabulary,
            opened=self.opened,
            config=self.config,
            out=self.out,
            ranks=self.group,
        )
        devices = [self.group.device] if self.group.device.type == "cuda" else []
        kept = random.getstate(), np.random.get_state()
        begun = time.perf_counter()
        try:
            with torch.random.fork_rng(devices=devices), torch.no_grad():
                whole = self.stepper.whole()
                found = evaluation(whole.eval(), state)
        finally:
            self.decoder.train()
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

    def _save(self) -> None:
        stepper = self.stepper
        tensors = stepper.tensors()  # makes the optimizer's state where there is none yet
        state = {
            "config": self.config.canonical(),
            "facts": self.opened.facts,
            "model": self.decoder.settings.model_dump(mode="json"),
            "vocabulary": dataclasses.asdict(self.decoder.vocabulary),
            "steps": self.steps,
            "data": self.data_state.as_json(),
            "totals": self.totals,
            "flops": self.flops,
            "updates": optimizer.updates(self.decoder, stepper.optimizer),
            "ranks": self.group.count,
        }
        if self.weighing is not None:
            state["weighing"] = self.seen.as_json()
        begun = time.perf_counter()
        folder, keep = self.out / CHECKPOINTS, self.config.checkpoint.keep
        checkpoint.save(folder, self.step, tensors, state, self.group, keep)
        self.last_saved = self.step
        self.journal.put("checkpoint", self.step, seconds=time.perf_counter() - begun)

    def _load(self, path: Path, saved: Mapping[str, Any]) -> None:
        checkpoint.load(path, self.stepper.tensors(), self.group)
        try:
            optimizer.set_updates(self.decoder, self.stepper.optimizer, saved["updates"])
            self.step = int(saved["step"])
            self.totals = {str(name): float(value) for name, value in saved["totals"].items()}
            self.flops = float(saved["flops"])
            state = saved["data"]
            if self.weighing is not None and "weighing" in saved:
                self.seen.load(saved["weighing"])
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CheckpointError(f"{path}: its state is not ours: {error!r}") from error
        self.data_state = DataState.of_json(state)

    def _tell_beginning(self, resumed: bool) -> None:
        if not self.group.first:
            return
        (self.out / CONFIG).write_text(self.config.text_form(), encoding="utf-8")
        self.journal.put(
            "resume" if resumed else "start",
            self.step,
            name=self.config.name,
            steps=self.steps,
            ranks=self.group.count,
            device=str(self.group.device),
            parameters=self.decoder.parameters_by_part(),
            vocabulary=dataclasses.asdict(self.decoder.vocabulary),
            flops_per_position=self.cost,
            peak_tflops=self.peak,
            sets=self.opened.data.about(),
            facts=self.opened.facts,
        )


def _steps(config: Config, flops_per_position: float) -> int:
    try:
        return config.steps(flops_per_position)
    except ValueError as error:
        raise SetupError(str(error)) from error
