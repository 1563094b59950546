"""Which text was said? Held-out speech against all texts of a set, by the states of a model.

Chance is one over the number of different texts. Every chunk of a set that has both text and audio
is a pair; texts that stand twice are one candidate, and a spoken chunk is right where its own text
is the nearest. Sides are laid as the contrastive objective reads them: alone, after their marker.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import torch

from trainer.contrastive.pairs import Spans
from trainer.contrastive.settings import ContrastiveSettings
from trainer.contrastive.similarity import Side, scores, side
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.forwards import forwards
from trainer.evaluation.items import Gap
from trainer.evaluation.laying import Laid, Run, Tokenizers, lay
from trainer.evaluation.layout import EvalSet
from trainer.evaluation.scoring import quiet
from trainer.tensors import inputs

ROWS = 64  # spoken chunks compared with all texts at once


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Retrieved:
    """What one layer finds."""

    layer: int
    speech_to_text: float  # share of spoken chunks whose nearest text is their own
    text_to_speech: float  # share of texts whose nearest spoken chunk says them
    reciprocal_rank: float  # mean of 1 / place of the own text, speech to text


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Retrieval:
    """A set's answers, layer by layer, with what guessing would give."""

    spoken: int
    texts: int
    layers: tuple[Retrieved, ...]

    @property
    def chance(self) -> float:
        return 1 / self.texts

    def as_json(self) -> dict[str, Any]:
        layers = [dataclasses.asdict(one) for one in self.layers]
        return {
            "spoken": self.spoken, "texts": self.texts, "chance": self.chance, "layers": layers
        }  # fmt: skip


def retrieve(
    model: Any,
    tokenizers: Tokenizers,
    found: EvalSet,
    layers: Sequence[int] | None = None,
    *,
    similarity: Literal["cosine", "wasserstein"] = "cosine",
    budget: int = 8192,
    context: int = 2048,
) -> Retrieval:
    """Ask a decoder for the sides of a set's chunks and compare them in each of `layers` (None:
    all). Raises `EvaluationError` for a set without two different texts that were also spoken."""
    told = _chunks(found)
    texts = sorted({text for text, _ in told})
    if len(texts) < 2:
        raise EvaluationError(
            f"{found.folder}: retrieval needs two different chunks with text and audio, here are "
            f"{len(texts)}; `speechloom-train held-out --kind gap` makes such a set"
        )
    own = torch.tensor([texts.index(text) for text, _ in told])
    depth = int(model.settings.depth)
    chosen = tuple(range(depth + 1)) if layers is None else tuple(layers)
    written = [_alone(tokenizers.read(text), tokenizers) for text in texts]
    spoken = [_alone(tokenizers.hear(found.folder / audio), tokenizers) for _, audio in told]
    settings = ContrastiveSettings(sets=("any",), similarity=similarity, temperature=1.0)
    with quiet(model):
        read = _sides(model, tokenizers, written, chosen, budget, context)
        heard = _sides(model, tokenizers, spoken, chosen, budget, context)
        each = [_compared(n, read[n], heard[n], own, settings) for n in chosen]
    return Retrieval(spoken=len(told), texts=len(texts), layers=tuple(each))


def _chunks(found: EvalSet) -> list[tuple[str, str]]:
    """Text and audio of every chunk that has both, each once."""
    told: dict[tuple[str, str], None] = {}
    for item in found.items:
        if isinstance(item, Gap):
            for chunk in item.chunks:
                if chunk.text is not None and chunk.audio is not None:
                    told[chunk.text.strip(), chunk.audio] = None
    return list(told)


def _alone(run: Run, tokenizers: Tokenizers) -> Laid:
    """A side after its marker, as the objective cuts it: without the marker of a document."""
    whole = lay([run.asked()], tokenizers.words)
    arrays = (getattr(whole, one.name)[1:] for one in dataclasses.fields(Laid))
    return Laid(*arrays)


def _sides(
    model: Any,
    tokenizers: Tokenizers,
    pieces: Sequence[Laid],
    layers: Sequence[int],
    budget: int,
    context: int,
) -> dict[int, Side]:
    """The vectors of all pieces in each layer."""
    kept: dict[int, list[Side]] = {layer: [] for layer in layers}
    bundles = ((number, [piece]) for number, piece in enumerate(pieces))
    device = next(model.parameters()).device
    for forward in forwards(bundles, tokenizers.words, budget, context):
        given = inputs(forward.batch, device)
        spots = [spot for _, own in forward.bundles for _, spot in own]
        sizes = torch.tensor([len(laid) for _, own in forward.bundles for laid, _ in own])
        begin = torch.tensor([spot.row * given.length + spot.begin for spot in spots])
        spans = Spans((begin + 1).to(device), (begin + sizes).to(device))
        for number, states in enumerate(model.states(given)):
            if number in kept:
                kept[number].append(side(states, spans))
    return {layer: _joined(own) for layer, own in kept.items()}


def _joined(parts: Sequence[Side]) -> Side:
    longest = max(there.shape[1] for _, there in parts)
    pad = torch.nn.functional.pad
    vectors = [pad(one, (0, 0, 0, longest - one.shape[1])) for one, _ in parts]
    marks = [pad(there, (0, longest - there.shape[1])) for _, there in parts]
    return torch.cat(vectors), torch.cat(marks)


def _compared(
    layer: int, read: Side, heard: Side, own: torch.Tensor, settings: ContrastiveSettings
) -> Retrieved:
    parts = []
    for first in range(0, len(own), ROWS):
        some = (heard[0][first : first + ROWS], heard[1][first : first + ROWS])
        parts.append(scores(read, some, settings).T.cpu())
    alike = torch.cat(parts)  # [spoken, texts]
    mine = alike.gather(1, own[:, None])
    # ties count against the model: states that are all alike find nothing
    place = (alike >= mine).sum(dim=1)
    best = own[alike.argmax(dim=0)]
    return Retrieved(
        layer=layer,
        speech_to_text=float((place == 1).double().mean()),
        text_to_speech=float((best == torch.arange(alike.shape[1])).double().mean()),
        reciprocal_rank=float((1 / place.double()).mean()),
    )
