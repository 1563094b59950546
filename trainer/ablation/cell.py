"""One cell of a study, in a process of its own: train an arm with a seed, ask it at each moment.

`python -m trainer.ablation.cell FOLDER`: FOLDER/cell.json says what to do, FOLDER/done.json is
written last and makes the cell done. A cell that was killed goes on from its last checkpoint where
its config keeps any, else from its beginning; the process dies with the one that started it.
"""

import ctypes
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer import journal, meter
from trainer.ablation.counting import counted, steps_of
from trainer.ablation.held_out import HeldOut, HeldOutData
from trainer.ablation.moments import Moment, step_of
from trainer.beginning import initial_decoder
from trainer.config import Config, Stop, of_json
from trainer.distributed import ranks
from trainer.evaluate import EvaluationSettings, Tokenizers, evaluate, read_set, write
from trainer.evaluation.layout import EvalSet
from trainer.latent.accounting import cost_per_position
from trainer.loop import State, train
from trainer.model import Decoder
from trainer.opening import Opened, opened
from trainer.trained import CHECKPOINTS

CELL, DONE = "cell.json", "done.json"
PR_SET_PDEATHSIG = 1


def run(folder: Path) -> dict[str, Any]:
    """Train and evaluate the cell of a folder; what `done.json` then holds."""
    begun = time.process_time()
    wall = time.perf_counter()
    task = json.loads((folder / CELL).read_text("utf-8"))
    config = of_json(task["config"], str(folder / CELL))
    ready = _opened(config, folder / "run")
    if task["equal"] == "data":
        config = config.model_copy(update={"stop": Stop(steps=steps_of(ready.data))})
    sets = [read_set(Path(place), name) for name, place in sorted(task["sets"].items())]
    asked = _Asked(sets, EvaluationSettings.model_validate_json(json.dumps(task["evaluation"])))
    cost = _flops_per_position(config, ready)
    steps = config.steps(cost)
    ready.data.spread(steps)
    held = None
    if task.get("held_out") is not None:
        asked_of = HeldOut.model_validate_json(json.dumps(task["held_out"]))
        held = HeldOutData(asked_of, config, ready.text, ready.speech)
    at = moments(task["at"], steps)
    endpoint = step_of(task["endpoint"], steps)
    result = train(
        config, folder / "run", at={step: asked.at(folder, step == endpoint, held) for step in at}
    )
    if result.stopped != "done":
        raise RuntimeError(
            f"the cell stopped at step {result.step} of {result.steps} ({result.stopped}): "
            + (
                "the data end before the budget does; allow more passes (epochs), or spend less"
                if result.stopped == "data"
                else "start the study again to go on"
            )
        )
    return {
        "steps": result.steps,
        "accuracy": {str(step): result.evaluations[step]["accuracy"] for step in sorted(at)},
        "held_out": {
            str(step): result.evaluations[step]["held_out"] for step in sorted(at) if held
        },
        "endpoint_step": endpoint,
        "read": {
            **counted(ready.data, result.steps),
            "global_positions": meter.global_positions(result.totals),
        },
        "flops": result.flops,
        # as stop.flops counts them; null where something else is equal
        "flops_at_every_head": None
        if config.stop.flops is None
        else cost * result.steps * config.data.packs * config.data.length,
        "parameters": _parameters(folder / "run"),
        "losses": {k: v for k, v in result.last.items() if k.startswith("loss")},
        "facts": ready.facts,
        "items": {one.name: one.digest for one in sets},
        "cpu_seconds": time.process_time() - begun,
        "wall_seconds": time.perf_counter() - wall,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    }


class _Asked:
    """Evaluates at a step. Tokenizers are kept, so that items are encoded once."""

    def __init__(self, sets: list[EvalSet], settings: EvaluationSettings) -> None:
        self._sets, self._settings = sets, settings
        self._tokenizers: Tokenizers | None = None

    def at(self, folder: Path, keep_items: bool, held: HeldOutData | None = None) -> Any:
        def ask(model: Decoder, state: State) -> Mapping[str, Any]:
            return {
                "accuracy": accuracy(model, state) if self._sets else {},
                "held_out": None if held is None else held.losses(model),
            }

        def accuracy(model: Decoder, state: State) -> Mapping[str, Any]:
            if self._tokenizers is None:
                self._tokenizers = Tokenizers(
                    state.opened.text,
                    state.opened.speech,
                    lead=state.config.data.text_lead,
                    words=state.vocabulary,
                )
            results = evaluate(model, self._tokenizers, self._sets, self._settings)
            if keep_items:
                write(results, folder / "items")
            return {
                f"{one.name}, {one.mode}": {
                    "chance": one.chance,
                    **{
                        name.removeprefix("accuracy."): estimate.value
                        for name, estimate in one.estimates.items()
                        if name.startswith("accuracy.")
                    },
                }
                for one in results.sets
            }

        return ask


def moments(at: list[Moment], steps: int) -> list[int]:
    """The steps of the moments of a run. Raises `ValueError` for one beyond its end."""
    found = sorted({step_of(moment, steps) for moment in at})
    if found[-1] > steps:
        raise ValueError(f"evaluation.at: step {found[-1]} of a run of {steps}")
    return found


def _opened(config: Config, out: Path) -> Opened:
    """The cell's data, for counting. The run opens them itself."""
    out.mkdir(parents=True, exist_ok=True)
    with ranks(config.compute.device) as group:
        return opened(config, out, group, again=(out / CHECKPOINTS).exists())


def _flops_per_position(config: Config, ready: Opened) -> float:
    if config.stop.flops is None:
        return 1.0  # not asked for: see Config.steps
    decoder = initial_decoder(config, ready.data.vocabulary, ready.text)
    return cost_per_position(config, decoder, ready.data)


def _parameters(out: Path) -> dict[str, int]:
    """Weights of the cell's model by part, as its log says."""
    found: dict[str, int] = next(
        line["parameters"] for line in journal.read(out) if "parameters" in line
    )
    return found


def _die_with_parent(parent: int) -> None:
    """A cell without its study would go on unseen, and hold its folder."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            raise SystemExit("the study that started this cell is gone")


def main(words: list[str]) -> int:
    folder, parent = Path(words[0]), int(words[1])
    _die_with_parent(parent)
    found = run(folder)
    part = folder / f"{DONE}.part"
    part.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", "utf-8")
    shutil.rmtree(folder / "run" / CHECKPOINTS, ignore_errors=True)  # studies keep numbers
    os.replace(part, folder / DONE)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
