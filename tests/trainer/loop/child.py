"""A run in a process of its own, to be killed, signalled or started by torchrun.

python -m tests.trainer.loop.child CONFIG.json OUT [--until N] [--pace SECONDS] [--file-limit N]
"""

import argparse
import json
import math
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from trainer.config import of_json
from trainer.loop import Evaluation, State, train
from trainer.model import Decoder
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


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from error
