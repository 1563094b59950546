"""How alike two sides are in one layer, and the loss of telling each text's own speech.

States are taken at the positions of content alone: markers say which side it is, and would part the
sides. Everything here is float32, whatever the model computes in.
"""

import torch
import torch.nn.functional as F

from trainer.contrastive.pairs import Spans
from trainer.contrastive.settings import ContrastiveSettings
from trainer.contrastive.sinkhorn import divergences

Side = tuple[torch.Tensor, torch.Tensor]  # vectors [pairs, most, width]; which count [pairs, most]


def side(states: torch.Tensor, spans: Spans) -> Side:
    """The vectors of one side of every pair, from states [packs, length, width]."""
    flat = states.flatten(0, 1)
    most = int(spans.sizes.max()) if len(spans) else 0
    at = spans.first[:, None] + torch.arange(most, device=flat.device)
    there = at < spans.last[:, None]
    return flat[torch.where(there, at, spans.first[:, None])].float(), there


def pooled(own: Side) -> torch.Tensor:
    """The mean over positions, of length 1, [pairs, width]."""
    vectors, there = own
    sums = (vectors * there[..., None]).sum(dim=1)
    return F.normalize(sums / there.sum(dim=1, keepdim=True), dim=-1)


def scores(text: Side, speech: Side, settings: ContrastiveSettings) -> torch.Tensor:
    """Similarity of every text with every speech, divided by the temperature: [texts, speeches]."""
    if settings.similarity == "cosine":
        alike = pooled(text) @ pooled(speech).T
    else:
        (x, x_there), (y, y_there) = text, speech
        alike = -divergences(
            F.normalize(x, dim=-1),
            x_there,
            F.normalize(y, dim=-1),
            y_there,
            p=settings.p,
            blur=settings.blur,
        )
    return alike / settings.temperature


def own_losses(
    text: Side,
    speech: Side,
    all_text: Side,
    all_speech: Side,
    first: int,
    settings: ContrastiveSettings,
) -> torch.Tensor:
    """Cross-entropy of telling each pair's other side among all, in nats, [pairs].

    `text` and `speech` are this rank's; pair i is number `first + i` among all of them.
    """
    wanted = first + torch.arange(len(text[0]), device=text[0].device)
    found = F.cross_entropy(scores(text, all_speech, settings), wanted, reduction="none")
    if settings.symmetric:
        back = scores(all_text, speech, settings).T
        found = (found + F.cross_entropy(back, wanted, reduction="none")) / 2
    return found
