"""How fast the training loop is: against the same model in a hand loop that has no data path.

    python benchmarks/train_step.py [--pairs 9] [--steps 12]         on this CPU, one thread
    python benchmarks/train_step.py --device cuda [--config 124m]    on a GPU: MFU, waiting for data

On a CPU, runs of both loops take turns from the same weights; what is compared are positions per
second, filled ones, over the same packs. The loop reads stored tokens, or FLAC and makes dMel as it
goes; the hand loop has all batches in memory before its clock starts. CPU time, or wall time where
`--workers` prepare data beside it. The median share is printed with an interval from resampling the
pairs. Goal: at least 0.97.
On a GPU, the shipped sizes train on made shards with stored tokens, and the log's own figures are
printed: goals are 50 % MFU at 1B and less than 2 % of the time waiting.
"""

import argparse
import pathlib
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import torch

from benchmarks import circumstances as on
from schemas.shard_tokens import TokenizerEntry
from tests.trainer.data import made_sets
from trainer import journal
from trainer.config import Config, load_config, of_json
from trainer.distributed import Ranks
from trainer.loop import initial_decoder, train
from trainer.objectives import losses
from trainer.opening import opened
from trainer.tensors import inputs, set_indices
from transforms.engines import tokenizer

GOAL = 0.97
SPEECH = "dmel/20x4"


class Stored:
    """A tokenizer as `made_sets.write_set` stores its tokens."""

    def __init__(self) -> None:
        self._engine = tokenizer.load(SPEECH)
        self.name = self._engine.name
        self.encode = self._engine.encode

    def entry(self) -> TokenizerEntry:
        return TokenizerEntry(
            name=self.name,
            engine=self._engine.family,
            digest=self._engine.digest(),
            codebooks=self._engine.codebooks,
            levels=self._engine.levels,
            grid=self._engine.grid,
        )


def made_shards(folder: pathlib.Path, documents: int, stored: bool) -> tuple[str, str]:
    """A set of made speech and one of made text."""
    talk = made_sets.speech_documents("talk", documents, seed=1, chunks=(4, 12))
    page = made_sets.text_documents("page", documents, seed=2)
    tokens: Any = Stored() if stored else None
    made_sets.write_set(folder / "talk", talk, per_shard=64, tokens=tokens)
    made_sets.write_set(folder / "page", page, per_shard=64)
    return str(folder / "talk"), str(folder / "page")


def cpu_config(talk: str, page: str, steps: int, workers: int) -> Config:
    """A decoder of 4 blocks of width 256: a step is most of a second, as on a laptop."""
    plain = {
        "name": "train-step",
        "model": {"depth": 4},
        "data": {
            "sets": {
                "talk": {"shards": talk, "policy": "deterministic"},
                "page": {"shards": page},
            },
            "length": 512,
            "packs": 4,
            "block_packs": 16,
        },
        "text": {"size": 400},
        "speech": {"tokenizer": SPEECH},
        "stop": {"steps": steps},
        "compute": {"workers": workers, "device": "cpu"},
    }
    return of_json(plain, "benchmark")


def our_loop(config: Config, out: pathlib.Path, clock: Callable[[], float]) -> float:
    """Positions per second; the first step, which opens files, is left out."""
    marks: list[tuple[float, float]] = []
    train(config, out, on_line=lambda line: marks.append((clock(), line["positions"])))
    return (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])


def hand_loop(config: Config, out: pathlib.Path, clock: Callable[[], float]) -> float:
    """The least that trains the same model on the same packs, which it already holds."""
    torch.set_num_threads(1)
    held = opened(config, out, Ranks(), again=True)
    names = tuple(sorted(config.data.sets))
    data = held.data
    ready = []
    for given in data.batches(steps=config.steps(1.0)):
        filled = sum(int((pack.modality != 3).sum()) for pack in given.batch.packs)
        ready.append((inputs(given.batch), set_indices(given.batch, names), filled))
    decoder = initial_decoder(config, data.vocabulary)
    settings = config.optimizer
    optimizer = torch.optim.AdamW(decoder.parameters(), lr=settings.lr, fused=True)
    begun = 0.0
    for place, (given_inputs, sets, _) in enumerate(ready):
        if place == 1:
            begun = clock()
        found = losses(decoder, decoder(given_inputs), given_inputs, sets, config.loss, len(names))
        loss: Any = found.total / found.number
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decoder.parameters(), settings.clip or 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        float(loss.detach())
    return float(sum(filled for _, _, filled in ready[1:])) / (clock() - begun)


def interval(shares: Sequence[float], draws: int = 2000) -> tuple[float, float]:
    """95 % of the medians of resampled pairs."""
    chance = random.Random(0)
    medians = sorted(statistics.median(chance.choices(shares, k=len(shares))) for _ in range(draws))
    return medians[draws // 40], medians[-draws // 40 - 1]


def on_cpu(options: argparse.Namespace, folder: pathlib.Path) -> bool:
    clock = time.perf_counter if options.workers else time.process_time
    where = f"{options.workers} workers, wall" if options.workers else "in process, CPU"
    print(on.head(f"loop ({where} time)", "positions per second", "share", "95 %", "goal"))
    reached = True
    for kind in options.tokens or ["stored", "flac"]:
        own = folder / kind
        talk, page = made_shards(own, 120, kind == "stored")
        config = cpu_config(talk, page, options.steps, options.workers)
        train(of_json({**config.canonical(), "stop": {"steps": 2}}, "warm"), own / "warm")
        shares, ours, hands = [], [], []
        for pair in range(options.pairs):
            ours.append(our_loop(config, own / f"out{pair}", clock))
            hands.append(hand_loop(config, own / f"out{pair}", clock))
            shares.append(ours[-1] / hands[-1])
        share, (low, high) = statistics.median(shares), interval(shares)
        print(on.row(f"by hand, {kind}", f"{statistics.median(hands):,.0f}", "1.00", "", ""))
        row = (f"ours, {kind}", f"{statistics.median(ours):,.0f}", f"{share:.3f}")
        print(on.row(*row, f"{low:.3f} to {high:.3f}", GOAL), flush=True)
        reached = reached and share >= GOAL
    return reached


def on_cuda(options: argparse.Namespace, folder: pathlib.Path) -> bool:
    talk, page = made_shards(folder, 4000, stored=True)
    print(on.head("config", "positions per second", "MFU", "waiting for data", "GB"))
    for name in options.config or ["124m", "400m", "1b"]:
        overrides = [f"stop={{steps: {options.steps}}}", "log.every=5", "data.packs=64"]
        # made words are of digits: a tokenizer of 32,000 entries cannot be trained on them
        overrides += ["text.size=400", f"compute.workers={options.workers or 4}"]
        config = load_config(name, overrides, [f"speech={talk}", f"text={page}"])
        train(config, folder / name)
        lines = [line for line in journal.read(folder / name) if line["event"] == "step"]
        lines = lines[len(lines) // 2 :]  # compiled and warm
        mean = {
            key: statistics.mean(line[key] or 0.0 for line in lines)
            for key in ("positions_per_second", "mfu", "wait")
        }
        held = torch.cuda.max_memory_allocated() / 1e9
        speed, mfu = f"{mean['positions_per_second']:,.0f}", f"{mean['mfu']:.1%}"
        print(on.row(name, speed, mfu, f"{mean['wait']:.1%}", f"{held:.0f}"), flush=True)
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--pairs", type=int, default=9, help="of runs, on a CPU (9)")
    parser.add_argument("--steps", type=int, default=12, help="of a run (12)")
    parser.add_argument("--workers", type=int, default=0, help="that prepare data (0)")
    parser.add_argument("--tokens", action="append", choices=("stored", "flac"), help="(both)")
    parser.add_argument("--config", action="append", help="on a GPU: which sizes (all three)")
    options = parser.parse_args()
    print(on.circumstances())
    with tempfile.TemporaryDirectory() as folder:
        work = on_cuda if options.device == "cuda" else on_cpu
        reached = work(options, pathlib.Path(folder))
    return 0 if reached else 1


if __name__ == "__main__":
    sys.exit(main())
