"""Which positions of a clip are hidden: spans that begin by chance, from a generator of the step.

As in wav2vec 2.0 and HuBERT: every position begins a span with some chance, spans may overlap, and
what reaches beyond the end is cut. A clip in which none begins gets one, for a clip without a
masked position teaches nothing; filling is never masked, and one position always stays, for the
rest has to follow from something.
"""

import torch


def spans(
    there: torch.Tensor, chance: float, span: int, generator: torch.Generator
) -> torch.Tensor:
    """Masked positions, bool [clips, positions], of those that hold sound."""
    device, there = there.device, there.cpu()
    clips, length = there.shape
    begins = torch.rand(clips, length, generator=generator) < chance
    forced = torch.rand(clips, generator=generator)
    kept = torch.rand(clips, generator=generator)
    sizes = there.sum(dim=1)
    none = ~(begins & there).any(dim=1)
    at = (forced * sizes).long().clamp(max=length - 1)
    begins[none.nonzero()[:, 0], at[none]] = True
    found = torch.zeros(clips, length + span, dtype=torch.bool)
    for offset in range(span):
        found[:, offset : offset + length] |= begins & there
    found = found[:, :length] & there
    whole = (found.sum(dim=1) == sizes).nonzero()[:, 0]
    found[whole, (kept * sizes).long().clamp(max=length - 1)[whole]] = False
    return found.to(device)
