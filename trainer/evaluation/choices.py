"""Items that choose: cloze questions, pairs, endings. The likeliest option is the answer.

Three scores of an option x after a prompt q, all reported, for none is right everywhere:
`sum` = log p(x | q), which favours short options; `mean` = sum / positions of x; `gain` = log
p(x | q) - log p(x), which takes away how likely an option is without the question. Ties share: m
best options, the answer among them, give 1/m. Options are asked in an order drawn from (seed, id),
so that no place can be favoured by the code.
"""

import dataclasses
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence

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


@dataclasses.dataclass(frozen=True, slots=True)
class _Plan:
    """An item that is being asked. Lists are in the order in which options are asked."""

    item: Item
    order: tuple[int, ...]
    answer: int
    sizes: tuple[int, ...]
    after: list[bytes]  # keys of the options after the prompt
    alone: list[bytes]  # keys of the options without it; [] where there is no prompt


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
    """Every item's scores, in the set's order, and the ids of those that are too long.

    Equal pieces (an option that many items have, asked alone) are asked once.
    """
    plans: list[_Plan] = []
    skipped: list[str] = []
    known: dict[bytes, float] = {}
    asked: set[bytes] = set()
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
            after = [lay([*before, options[k].asked()], tokenizers.words) for k in order]
            longest = max(map(len, after))
            if longest > asker.context:
                if not skip_long:
                    raise EvaluationError(
                        f"{found.where(number)}: {longest} positions in {mode}; the context is "
                        f"{asker.context}. Leave it out of the set, or set on_long to skip"
                    )
                skipped.append(item.id)
                continue
            alone = [lay([*without, options[k].asked()], tokenizers.words) for k in order if before]
            keys = [_key(piece) for piece in (*after, *alone)]
            plans.append(
                _Plan(
                    item=item,
                    order=order,
                    answer=order.index(answer),
                    sizes=tuple(len(options[k]) for k in order),
                    after=keys[: len(after)],
                    alone=keys[len(after) :],
                )
            )
            new = {k: piece for k, piece in zip(keys, (*after, *alone), strict=True)}
            new = {k: piece for k, piece in new.items() if k not in asked}
            if new:
                asked.update(new)
                waiting[number] = list(new)
                yield number, list(new.values())

    for number, answers in asker.log_probabilities(bundles()):
        for key, each in zip(waiting.pop(number), answers, strict=True):
            known[key] = math.fsum(each)
    return [_result(plan, known) for plan in plans], skipped


def _result(plan: _Plan, known: Mapping[bytes, float]) -> ItemResult:
    sums = [known[key] for key in plan.after]
    scores = {
        "sum": tuple(sums),
        "mean": tuple(total / size for total, size in zip(sums, plan.sizes, strict=True)),
    }
    if plan.alone:
        pairs = zip(sums, plan.alone, strict=True)
        scores["gain"] = tuple(total - known[key] for total, key in pairs)
    return ItemResult(
        id=plan.item.id,
        cluster=plan.item.cluster,
        engine=plan.item.engine,
        voice=plan.item.voice,
        answer=plan.answer,
        order=plan.order,
        tokens=plan.sizes,
        scores=scores,
        correct={name: credit(own, plan.answer) for name, own in scores.items()},
    )


def _key(piece: Laid) -> bytes:
    """Of what is asked: the same positions in the same chunks with the same ones scored."""
    found = hashlib.sha256(piece.ids.tobytes())
    found.update(piece.codes.tobytes())
    found.update(piece.scored.tobytes())
    if piece.begins is not None:
        found.update(piece.begins.tobytes())
    return found.digest()


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
