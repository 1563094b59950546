"""Items that choose: cloze questions, pairs, endings. The likeliest option is the answer.

Three scores of an option x after a prompt q, all reported, for none is right everywhere:
`sum` = log p(x | q), which favours short options; `mean` = sum / positions of x; `gain` = log
p(x | q) - log p(x), which takes away how likely an option is without the question. Ties share: m
best options, the answer among them, give 1/m. Options are asked in an order drawn from (seed, id),
so that no place can be favoured by the code.
"""

import hashlib
import math
from collections.abc import Iterator, Sequence

import numpy as np

from schemas.ids import rng
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.intervals import Estimate, ratio
from trainer.evaluation.items import Cloze, Endings, Item, Mode, Pairs
from trainer.evaluation.laying import Laid, Run, Tokenizers, lay
from trainer.evaluation.layout import EvalSet
from trainer.evaluation.results import ItemResult
from trainer.evaluation.scoring import Asker

TIE = 1e-5  # of max(1, |best|): below it, float32 does not tell scores apart


def credit(scores: Sequence[float], answer: int) -> float:
    """1/m where the answer is one of m best options, else 0."""
    best = max(scores)
    near = TIE * max(1.0, abs(best))
    tied = [place for place, score in enumerate(scores) if best - score <= near]
    return 1 / len(tied) if answer in tied else 0.0


def order_of(item: Item, count: int, seed: int) -> tuple[int, ...]:
    """Places of the options in the order in which they are asked."""
    return tuple(rng(seed, "options", item.id).sample(range(count), count))


def runs_of(
    item: Cloze | Pairs | Endings, mode: Mode, found: EvalSet, tokenizers: Tokenizers, prefix: str
) -> tuple[list[Run], list[Run], list[Run], int]:
    """What stands before the options, what stays of it without the question, the options, and the
    answer's place."""
    folder = found.folder

    def heard(audio: str | None) -> Run:
        assert audio is not None, "modes are those that every item has sides for"
        return tokenizers.hear(folder / audio)

    def read(text: str | None) -> Run:
        assert text is not None, "modes are those that every item has sides for"
        return tokenizers.read(text)

    if isinstance(item, Cloze):
        question = heard(item.question.audio) if mode == "S-to-T" else read(item.question.text)
        fixed = tokenizers.prefix(prefix)
        return [question, fixed], [fixed], [read(text) for text in item.options], item.answer
    if isinstance(item, Pairs):
        both = (item.positive, item.negative)
        asked = [heard(one.audio) if mode == "S" else read(one.text) for one in both]
        return [], [], asked, 0
    prompt = read(item.prompt.text) if mode == "T-to-T" else heard(item.prompt.audio)
    asked = [heard(one.audio) if mode == "S-to-S" else read(one.text) for one in item.endings]
    return [prompt], [], asked, item.answer


def choose(
    asker: Asker,
    found: EvalSet,
    mode: Mode,
    tokenizers: Tokenizers,
    *,
    prefix: str,
    seed: int,
    skip_long: bool,
) -> tuple[list[ItemResult], list[str]]:
    """Every item's scores, in the set's order, and the ids of those that are too long."""
    results: list[ItemResult] = []
    skipped: list[str] = []
    # by item: order, answer's place in it, sizes of the options, keys of the options alone
    about: dict[int, tuple[tuple[int, ...], int, list[int], list[bytes]]] = {}
    alone: dict[bytes, float | None] = {}  # None: asked, and not answered yet
    waiting: dict[int, list[bytes]] = {}

    def bundles() -> Iterator[tuple[int, list[Laid]]]:
        for number, item in enumerate(found.items):
            assert isinstance(item, Cloze | Pairs | Endings)
            try:
                before, without, options, answer = runs_of(item, mode, found, tokenizers, prefix)
            except EvaluationError as error:
                raise EvaluationError(f"{found.where(number)}: {error}") from error
            _refuse_equal(options, found.where(number))
            order = order_of(item, len(options), seed)
            pieces = [lay([*before, options[k].asked()], tokenizers.words) for k in order]
            longest = max(map(len, pieces))
            if longest > asker.context:
                if not skip_long:
                    raise EvaluationError(
                        f"{found.where(number)}: {longest} positions in {mode}; the context is "
                        f"{asker.context}. Leave it out of the set, or set on_long to skip"
                    )
                skipped.append(item.id)
                continue
            keys: list[bytes] = []
            if before:
                for k in order:
                    piece = lay([*without, options[k].asked()], tokenizers.words)
                    key = hashlib.sha256(piece.ids.tobytes() + piece.codes.tobytes()).digest()
                    keys.append(key)
                    if key not in alone:
                        alone[key] = None
                        waiting.setdefault(number, []).append(key)
                        pieces.append(piece)
            about[number] = (order, order.index(answer), [len(options[k]) for k in order], keys)
            yield number, pieces

    for number, answers in asker.log_probabilities(bundles()):
        order, answer, sizes, keys = about.pop(number)
        sums = [math.fsum(one) for one in answers]
        for key, value in zip(waiting.pop(number, []), sums[len(order) :], strict=True):
            alone[key] = value
        scores = {"sum": sums[: len(order)]}
        scores["mean"] = [s / size for s, size in zip(scores["sum"], sizes, strict=True)]
        if keys:
            prior = [alone[key] for key in keys]
            scores["gain"] = [
                s - p for s, p in zip(scores["sum"], prior, strict=True) if p is not None
            ]
        item = found.items[number]
        results.append(
            ItemResult(
                id=item.id,
                cluster=item.cluster,
                engine=item.engine,
                voice=item.voice,
                answer=answer,
                order=order,
                tokens=tuple(sizes),
                scores={name: tuple(own) for name, own in scores.items()},
                correct={name: credit(own, answer) for name, own in scores.items()},
            )
        )
    return results, skipped


def accuracies(items: Sequence[ItemResult], level: float) -> tuple[dict[str, Estimate], float]:
    """Accuracy by score, and what guessing would reach."""
    clusters = [item.cluster for item in items]
    ones = np.ones(len(items))
    found = {
        f"accuracy.{name}": ratio(
            [item.correct[name] for item in items], ones, clusters, level=level, share=True
        )
        for name in items[0].correct
    }
    return found, math.fsum(1 / len(item.order) for item in items) / len(items)


def _refuse_equal(options: Sequence[Run], where: str) -> None:
    seen: dict[bytes, int] = {}
    for place, option in enumerate(options):
        key = np.asarray(option.content).tobytes()
        first = seen.setdefault(key, place)
        if first != place:
            raise EvaluationError(
                f"{where}: options {first} and {place} have the same tokens: this tokenizer does "
                "not tell them apart; leave the item out"
            )
