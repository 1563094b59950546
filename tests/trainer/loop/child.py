"""A run in a process of its own, to be killed, signalled or started by torchrun.

python -m tests.trainer.loop.child CONFIG.json OUT [--until N] [--pace SECONDS] [--file-limit N]
    [--packs FOLDER] [--tell STEP]
"""

import argparse
import json
import math
import os
import resource
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from schemas.ids import bytes_digest
from trainer.config import of_json
from trainer.ending import end
from trainer.loop import Evaluation, State, train
from trainer.model import Decoder
from trainer.pack import Batch
from trainer.stepping import Stepper, Taken
from trainer.tensors import Inputs


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--until", type=int)
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--file-limit", type=int)
    parser.add_argument("--look", type=int, help="log the model's answer after this step")
    parser.add_argument("--poison", type=int, help="a weight of the last rank becomes NaN there")
    parser.add_argument("--packs", type=Path, help="write down what each rank trains on")
    parser.add_argument("--tell", type=int, help="the last rank gets a SIGTERM after this step")
    options = parser.parse_args()
    if options.file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_limit, options.file_limit))
    config = of_json(json.loads(options.config.read_text()), str(options.config))

    def line(values: Mapping[str, Any]) -> None:
        print(values["step"], flush=True)
        time.sleep(options.pace)

    at: dict[int, Evaluation] = {}
    if options.look is not None:
        at[options.look] = look
    if options.poison is not None:
        at[options.poison] = poison
    if options.tell is not None:
        at[options.tell] = tell
    if options.packs is not None:
        note_packs(options.packs)
    result = train(config, options.out, until=options.until, on_line=line, at=at)
    print(f"stopped {result.stopped} at {result.step}", flush=True)


def look(model: Decoder, state: State) -> dict[str, float]:
    """What the model says of one made row: heads and all."""
    ids = torch.arange(16)[None]
    zeros, codes = torch.zeros_like(ids), torch.zeros(1, 16, state.vocabulary.codebooks).long()
    given = Inputs(ids=ids, codes=codes, modality=zeros, piece=zeros, place=ids)
    return {"sum": float(model.text_logits(model(given)).abs().sum())}


def poison(model: Decoder, state: State) -> None:
    if state.ranks.rank == state.ranks.count - 1:
        model.norm.weight[0] = math.nan


def tell(model: Decoder, state: State) -> None:
    if state.ranks.rank == state.ranks.count - 1:
        os.kill(os.getpid(), signal.SIGTERM)


def note_packs(folder: Path) -> None:
    """Write each update's packs to FOLDER/RANK.jsonl: set, documents, chunks, digest of ids."""
    plain = Stepper.__call__

    def noted(self: Stepper, batch: Batch, step: int, steps: int, extra: Sequence[float]) -> Taken:
        rows = [
            [p.number, p.set_name, p.documents, p.chunks, bytes_digest(p.ids.tobytes())]
            for p in batch.packs
        ]
        with (folder / f"{self.group.rank}.jsonl").open("a") as file:
            file.write(json.dumps({"step": step, "packs": rows}) + "\n")
        return plain(self, batch, step, steps, extra)

    Stepper.__call__ = noted  # type: ignore[method-assign]


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        end(1)
    end(0)
