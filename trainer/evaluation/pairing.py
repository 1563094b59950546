"""Two models on the same items: differences are paired, and refused where nothing is comparable.

An interval here is over items of two trained models. Whether data made the difference is asked over
seeds, not over items: an ablation takes `paired` and does that.
"""

import numpy as np
import numpy.typing as npt

from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.intervals import Estimate, ratio
from trainer.evaluation.results import Results, SetResult

Floats = npt.NDArray[np.float64]


def paired(one: SetResult, two: SetResult, score: str = "sum") -> tuple[list[str], Floats, Floats]:
    """Clusters and credits of both, item by item. Raises `EvaluationError` for other items."""
    _comparable(one, two)
    return (
        [item.cluster for item in one.items],
        np.array([item.correct[score] for item in one.items]),
        np.array([item.correct[score] for item in two.items]),
    )


def difference(one: SetResult, two: SetResult, score: str = "sum", level: float = 0.95) -> Estimate:
    """Accuracy of one less that of two, with an interval over items (not over seeds)."""
    clusters, first, second = paired(one, two, score)
    return ratio(first - second, np.ones(len(first)), clusters, level=level)


def likelihoods(
    one: Results, two: Results, name: str, mode: str
) -> list[tuple[str, tuple[float, ...], tuple[float, ...]]]:
    """Items and their options' log likelihoods under two models.

    Raises `EvaluationError` where they are not on one scale: other items, or other tokenizers.
    """
    first, second = (
        next((s for s in results.sets if (s.name, s.mode) == (name, mode)), None)
        for results in (one, two)
    )
    if first is None or second is None:
        raise EvaluationError(f"{name} was not asked in {mode} by both")
    _comparable(first, second)
    if one.text_tokenizer != two.text_tokenizer or one.speech_tokenizer != two.speech_tokenizer:
        raise EvaluationError(
            f"{name}, {mode}: likelihoods of different tokenizers are not on one scale (text "
            f"{one.text_tokenizer} and {two.text_tokenizer}, speech {one.speech_tokenizer} and "
            f"{two.speech_tokenizer}); compare accuracies"
        )
    return [
        (a.id, a.scores["sum"], b.scores["sum"])
        for a, b in zip(first.items, second.items, strict=True)
    ]


def _comparable(one: SetResult, two: SetResult) -> None:
    if (one.digest, one.mode) != (two.digest, two.mode):
        raise EvaluationError(
            f"{one.name} in {one.mode} and {two.name} in {two.mode} are not the same items"
        )
    if [(i.id, i.order) for i in one.items] != [(i.id, i.order) for i in two.items]:
        raise EvaluationError(
            f"{one.name}, {one.mode}: the items asked differ (skipped for their length, or another "
            "seed): evaluate both with the same context and settings"
        )
