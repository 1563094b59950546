"""The modality gap: how far the next word's distribution after audio lies from that after text.

On held-out chunks c1 ... c(i+1) of one speaker, T(i+1) is predicted after A1 ... Ai and the marker
`text` (p_a), and after T1 ... Ti (p_t). Both softmaxes are renormalised over text ids; in nats. The
papers do not say which order of arguments is "reverse" (SpeLangy, arXiv 2510.20860, reports one
figure), so both are given: KL(p_a||p_t) and KL(p_t||p_a), over all tokens and at the first token
alone, where nothing of T(i+1) helps yet.

A small gap proves nothing by itself: a model that answers with the same distribution everywhere has
none. So it is never given without the loss of both sides, and beside it stands the gap with the
audio of another document in place of A1 ... Ai: hearing has to help.
"""

import math
from collections.abc import Iterator, Sequence

import torch

from schemas.ids import rng
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.forwards import forwards
from trainer.evaluation.intervals import Estimate, ratio
from trainer.evaluation.items import Gap
from trainer.evaluation.laying import Laid, Run, Tokenizers, lay
from trainer.evaluation.layout import EvalSet
from trainer.evaluation.results import ItemResult
from trainer.evaluation.scoring import LOGITS, Asker

# name: sum of it over a set's items / sum of what it is divided by
RATIOS = {
    "kl_audio_text": "tokens",  # KL(p_a || p_t), nats per token
    "kl_text_audio": "tokens",
    "kl_audio_text_first": "items",
    "kl_text_audio_first": "items",
    "loss_audio": "tokens",  # of T(i+1), over the whole vocabulary
    "loss_text": "tokens",
    "outside_audio": "tokens",  # probability of ids that are no text
    "outside_text": "tokens",
    "kl_other_text": "tokens",  # p_o: after the audio of another document
    "kl_text_other": "tokens",
    "loss_other": "tokens",
}


def divergence(p: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """KL(p || q) in nats, [rows], of log probabilities [rows, ids]; 0 log 0 is 0."""
    each = p.exp() * (p - q)
    return torch.where(p == -math.inf, torch.zeros_like(each), each).sum(-1).clamp(min=0.0)


def others(found: EvalSet, seed: int) -> list[int | None]:
    """By item: whose audio is the control. Another group's and, where there is one, another
    speaker's; drawn by (seed, id)."""
    items = [item for item in found.items if isinstance(item, Gap)]
    chosen: list[int | None] = []
    for item in items:
        other = [k for k, one in enumerate(items) if one.cluster != item.cluster]
        apart = [k for k in other if items[k].speaker != item.speaker] or other
        chosen.append(rng(seed, "gap", item.id).choice(apart) if apart else None)
    return chosen


def measure_gap(
    asker: Asker, found: EvalSet, tokenizers: Tokenizers, *, seed: int, skip_long: bool
) -> tuple[list[ItemResult], list[str]]:
    """Every item's sums, and the ids of those that are too long.

    Raises `EvaluationError` for a set of one document: it has no control.
    """
    control = others(found, seed)
    skipped: list[str] = []

    def bundles() -> Iterator[tuple[int, list[Laid]]]:
        for number, item in enumerate(found.items):
            assert isinstance(item, Gap)
            other = control[number]
            if other is None:
                raise EvaluationError(
                    f"{found.where(number)}: a gap needs the audio of another document as its "
                    "control, and all items are of one group"
                )
            try:
                text = [tokenizers.read(str(chunk.text)) for chunk in item.chunks]
                audio, foreign = _audio(found, number, tokenizers), _audio(found, other, tokenizers)
            except EvaluationError as error:
                raise EvaluationError(f"{found.where(number)}: {error}") from error
            asked = text[-1].asked()
            runs = ([*audio, asked], [*text[:-1], asked], [*foreign, asked])
            pieces = [lay(one, tokenizers.words) for one in runs]
            longest = max(map(len, pieces))
            if longest > asker.context:
                if not skip_long:
                    raise EvaluationError(
                        f"{found.where(number)}: {longest} positions; the context is "
                        f"{asker.context}. Shorten the chunks, or set on_long to skip"
                    )
                skipped.append(item.id)
                continue
            yield number, pieces

    results: list[ItemResult] = []
    for forward in forwards(bundles(), asker.words, asker.budget, asker.context):
        hidden, at = asker.hidden(forward), 0
        for number, pieces in forward.bundles:
            count = int(pieces[0][0].scored.sum())
            own = hidden[at : at + 3 * count].view(3, count, -1)
            at += 3 * count
            item = found.items[number]
            ids = torch.from_numpy(pieces[0][0].ids[pieces[0][0].scored]).long()
            values = _values(asker, own, ids.to(hidden.device))
            if not all(map(math.isfinite, values.values())):
                raise EvaluationError(f"{found.where(number)}: the model's answers are no numbers")
            results.append(
                ItemResult(
                    id=item.id,
                    cluster=item.cluster,
                    engine=item.engine,
                    voice=item.voice,
                    values=values,
                )
            )
    return results, skipped


def _audio(found: EvalSet, number: int, tokenizers: Tokenizers) -> list[Run]:
    item = found.items[number]
    assert isinstance(item, Gap)
    return [tokenizers.hear(found.folder / str(chunk.audio)) for chunk in item.chunks[:-1]]


def _values(asker: Asker, hidden: torch.Tensor, ids: torch.Tensor) -> dict[str, float]:
    """Sums over tokens, of hidden states [3, tokens, width] after audio, text, other audio."""
    sums = dict.fromkeys(RATIOS, 0.0) | {"tokens": float(len(ids)), "items": 1.0}
    block = max(LOGITS // (8 * asker.words.size), 1)
    for first in range(0, len(ids), block):
        part = slice(first, first + block)
        wanted = ids[part, None]
        sides = {}
        for place, side in enumerate(("audio", "text", "other")):
            p, inside, outside = asker.text_log_probabilities(hidden[place, part])
            sides[side] = p
            sums[f"loss_{side}"] -= float((p.gather(1, wanted)[:, 0] + inside).sum())
            if side != "other":
                sums[f"outside_{side}"] += float(outside.exp().sum())
        pairs = (("audio", "text"), ("text", "audio"), ("other", "text"), ("text", "other"))
        for one, two in pairs:
            found = divergence(sides[one], sides[two])
            sums[f"kl_{one}_{two}"] += float(found.sum())
            if first == 0 and "other" not in (one, two):
                sums[f"kl_{one}_{two}_first"] = float(found[0])
    return sums


def gaps(items: Sequence[ItemResult], level: float) -> dict[str, Estimate]:
    """Every figure of the gap with its interval: divergences and losses stay together."""
    clusters = [item.cluster for item in items]
    return {
        name: ratio(
            [item.values[name] for item in items],
            [item.values[under] for item in items],
            clusters,
            level=level,
        )
        for name, under in RATIOS.items()
    }
