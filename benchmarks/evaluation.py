"""How fast items are asked: options packed into rows, against one item a forward.

    python benchmarks/evaluation.py [--questions 100] [--repeats 5]

Spoken cloze items of four options on a small decoder of random weights, CPU seconds on one thread,
medians of repeats in turns. Sound is tokenised before the clock starts. `share of the model` is the
part of the time that passes inside the decoder's blocks: the rest is laying out, packing, heads and
statistics, which is what evaluation costs beside the model.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from trainer.evaluate import EvaluationSettings, Tokenizers, evaluate, write_set
from trainer.evaluation.layout import EvalSet
from trainer.model import Decoder, ModelSettings
from trainer.tokens import speech_tokenizer
from transforms import flac

RATE = 16_000
DRAWS = 3  # of options for each question
BUDGETS = (1, 2048, 8192, 32_768)


class Bytes:
    """Every byte of UTF-8 is a token."""

    size = 256

    def encode(self, text: str) -> list[int]:
        return list(text.encode())


class Timed(Decoder):
    """A decoder that knows how long its blocks took."""

    seconds = 0.0

    def forward(self, given: Any) -> torch.Tensor:
        begun = time.process_time()
        found = super().forward(given)
        Timed.seconds += time.process_time() - begun
        return found


def made(folder: pathlib.Path, questions: int) -> EvalSet:
    """Questions of two seconds of noise; options are four of 32 words."""
    chance = np.random.default_rng(0)
    audio: dict[str, pathlib.Path | bytes] = {}
    items = []
    for question in range(questions):
        name = f"audio/{question}.flac"
        audio[name] = flac.encode(chance.integers(-900, 900, 2 * RATE).astype(np.int16), RATE)
        for draw in range(DRAWS):
            options = [f"word{word}" for word in chance.choice(32, 4, replace=False)]
            items.append(
                {
                    "kind": "cloze",
                    "id": f"{question}-{draw}",
                    "group": str(question),
                    "question": {"audio": name},
                    "options": options,
                    "answer": 0,
                }
            )
    return write_set(folder, items, audio)


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """CPU seconds, and those of the model in them."""
    Timed.seconds = 0.0
    begun = time.process_time()
    work()
    return time.process_time() - begun, Timed.seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=100, help="each asked three times (100)")
    parser.add_argument("--repeats", type=int, default=5, help="of each budget (5)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tokenizers = Tokenizers(Bytes(), speech_tokenizer("dmel/25x3"))
    model = Timed(ModelSettings(depth=4, width=128, heads=4), tokenizers.words)
    with tempfile.TemporaryDirectory() as folder:
        found = made(pathlib.Path(folder) / "set", options.questions)
        work = {
            budget: (
                lambda budget=budget: evaluate(
                    model, tokenizers, [found], EvaluationSettings(budget=budget)
                )
            )
            for budget in BUDGETS
        }
        seconds(work[BUDGETS[0]])  # sounds are kept as codes from here on
        times: dict[int, list[tuple[float, float]]] = {budget: [] for budget in BUDGETS}
        for _ in range(options.repeats):
            for budget, one in work.items():
                times[budget].append(seconds(one))
    print(on.circumstances())
    print(
        f"{len(found.items)} items of four options, {model.settings.depth} blocks of width "
        f"{model.settings.width}, {options.repeats} repeats, CPU time on one thread.\n"
    )
    print(on.row("positions of a forward", "items per CPU s", "of one item", "share of the model"))
    print(on.row("--:", "--:", "--:", "--:"))
    base = statistics.median(whole for whole, _ in times[BUDGETS[0]])
    for budget, pairs in times.items():
        whole = statistics.median(pair[0] for pair in pairs)
        share = statistics.median(inside / all_ for all_, inside in pairs)
        print(
            on.row(
                "one item" if budget == 1 else f"{budget:,}",
                f"{len(found.items) / whole:,.0f}",
                f"{base / whole:.2f}",
                f"{share:.2f}",
            )
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
