"""Perplexity of held-out text: per token, per word, and in bits per byte.

Tokens depend on the tokenizer, words and bytes do not: compare models of different tokenizers by
bits per byte. Counted are the text's own tokens, the first one too; markers are not. A text longer
than the context is asked in windows that overlap by half: every token once, and after the first
window with at least half a context before it.
"""

import math
from collections.abc import Iterator, Sequence

from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.intervals import Estimate, ratio, through
from trainer.evaluation.items import Text
from trainer.evaluation.laying import Laid, Run, Tokenizers, lay
from trainer.evaluation.layout import EvalSet
from trainer.evaluation.results import ItemResult
from trainer.evaluation.scoring import Asker

MARKERS = 2  # before the text: document, text


def windows(tokens: int, room: int) -> list[tuple[int, int, int]]:
    """(first, asked, end) of each window of at most `room` tokens: [asked, end) are scored."""
    if room < 2:
        raise ValueError(f"no room for text: {room}")
    found = [(0, 0, min(tokens, room))]
    while found[-1][2] < tokens:
        asked = found[-1][2]
        end = min(asked + room // 2, tokens)
        found.append((max(end - room, 0), asked, end))
    return found


def read_texts(asker: Asker, found: EvalSet, tokenizers: Tokenizers) -> list[ItemResult]:
    """Nats, tokens, words and bytes of every text."""
    about: list[tuple[Text, int]] = []
    if asker.context < MARKERS + 2:
        raise EvaluationError(f"a context of {asker.context} has no room for text")

    def bundles() -> Iterator[tuple[int, list[Laid]]]:
        for number, item in enumerate(found.items):
            assert isinstance(item, Text)
            try:
                runs = [tokenizers.read(chunk) for chunk in item.chunks]
            except EvaluationError as error:
                raise EvaluationError(f"{found.where(number)}: {error}") from error
            ids = tuple(token for run in runs for token in run.content)
            about.append((item, len(ids)))
            yield (
                number,
                [
                    lay([Run(ids[first:asked]), Run(ids[asked:end], True)], tokenizers.words)
                    for first, asked, end in windows(len(ids), asker.context - MARKERS)
                ],
            )

    results = []
    for number, answers in asker.log_probabilities(bundles()):
        item, tokens = about[number]
        results.append(
            ItemResult(
                id=item.id,
                cluster=item.cluster,
                values={
                    "nats": -math.fsum(one for window in answers for one in window),
                    "tokens": float(tokens),
                    "words": float(sum(len(chunk.split()) for chunk in item.chunks)),
                    "bytes": float(sum(len(chunk.strip().encode()) for chunk in item.chunks)),
                },
            )
        )
    return results


def perplexities(items: Sequence[ItemResult], level: float) -> dict[str, Estimate]:
    """nats per token, exp of it per token and per word, bits per byte."""
    clusters = [item.cluster for item in items]

    def over(name: str) -> Estimate:
        nats = [item.values["nats"] for item in items]
        return ratio(nats, [item.values[name] for item in items], clusters, level=level)

    return {
        "nats_per_token": over("tokens"),
        "perplexity_per_token": through(over("tokens"), _exp),
        "perplexity_per_word": through(over("words"), _exp),
        "bits_per_byte": through(over("bytes"), _bits),
    }


def _exp(nats: float) -> float:
    return math.exp(min(nats, 700.0))  # beyond it, floats have no number


def _bits(nats: float) -> float:
    return nats / math.log(2)
