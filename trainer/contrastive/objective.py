"""Next-token prediction and the contrastive loss as one objective, in one pass of the model.

Packs of paired sets go through the model cut anew (`trainer.contrastive.pairs`), packs of all other
sets as they are, side by side in one batch: one pass, whatever a batch holds, so that ranks that
share weights always ask for the same ones. The loss of a step is

    mean over targets of next-token prediction + weight x mean over pairs of the contrastive loss

over the whole batch of all ranks. Either mean is left out where a step has none of it; so both
numbers are counted before the first pass.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from trainer.contrastive.gathering import gathered
from trainer.contrastive.pairs import Pairs, pairs
from trainer.contrastive.settings import ContrastiveSettings
from trainer.contrastive.similarity import own_losses, side
from trainer.data_settings import DataSettings
from trainer.distributed import Ranks
from trainer.failures import SetupError
from trainer.model import Decoder
from trainer.objectives import KINDS, NONE, LossWeights, kinds, losses
from trainer.pack import Batch
from trainer.tensors import Inputs, inputs, set_indices

CONTRAST = KINDS.index("contrast")


class ContrastiveObjective(nn.Module):
    """What `trainer.stepping.Objective` is, with pairs."""

    def __init__(
        self,
        decoder: Decoder,
        weights: LossWeights,
        settings: ContrastiveSettings,
        data: DataSettings,
        group: Ranks,
    ) -> None:
        super().__init__()
        self.decoder, self._weights, self._settings, self._group = decoder, weights, settings, group
        self._names = tuple(sorted(data.sets))
        depth = decoder.settings.depth
        try:
            self.layers = settings.chosen(depth)
        except ValueError as error:
            raise SetupError(str(error)) from error
        paired = [name in settings.sets for name in self._names]
        policies = [data.sets[name].policy for name in self._names]
        asr = [policy is not None and policy.kind == "asr" for policy in policies]
        self._paired, self._asr = torch.tensor(paired), torch.tensor(asr)
        self._scale, self._alone = 1.0, True

    def begin(self, batch: Batch) -> None:
        """Count a step's targets and pairs over all ranks, which decide what a pair weighs."""
        given, sets = _without_codes(batch), set_indices(batch, self._names)
        targets, number = self._counts(given, sets)
        both = torch.tensor([targets, number], dtype=torch.float64, device=self._group.device)
        targets, number = self._group.sum(both).tolist()
        self._alone = targets == 0
        self._scale = self._settings.weight
        if targets and number:
            self._scale *= targets / number

    def again(self, batch: Batch) -> float:
        """Positions of a batch that go through the model a second time."""
        if not self._settings.next_token:
            return 0.0
        return float(
            sum(len(pack.ids) for pack in batch.packs if pack.set_name in self._settings.sets)
        )

    def forward(self, given: Inputs, sets: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The fields of `Sums`, for packs of the sets [packs]; `begin` was called for the step."""
        paired, plain = self._split(sets)
        cut = self._cut(_some(given, paired), sets[paired])
        held = _joined(cut.given, _some(given, plain))
        states = dict(self._states(held))
        count, last = len(paired), self.decoder.settings.depth
        found = losses(
            self.decoder,
            states[last][count:],
            _some(given, plain),
            sets[plain],
            self._weights,
            len(self._names),
        )
        each = self._contrast({layer: states[layer][:count] for layer in self.layers}, cut)
        row = sets[paired][cut.text.first // given.length]
        sums, numbers = found.sums.clone(), found.numbers.clone()
        sums[:, CONTRAST].index_add_(0, row, each.detach().double())
        numbers[:, CONTRAST].index_add_(0, row, torch.ones_like(row))
        number = numbers[:, CONTRAST].sum() if self._alone else found.number
        return found.total + self._scale * each.sum(), number, sums, numbers

    def _states(self, held: Inputs) -> Any:
        wanted = {*self.layers, self.decoder.settings.depth}
        for number, states in enumerate(self.decoder.states(held)):
            if number in wanted:
                yield number, states

    def _contrast(self, states: dict[int, torch.Tensor], cut: Pairs) -> torch.Tensor:
        """The loss of each pair, summed over layers, in nats, [pairs]."""
        settings = self._settings
        any_state = next(iter(states.values()))
        total = any_state.new_zeros(len(cut.text), dtype=torch.float32)
        with torch.autocast(any_state.device.type, enabled=False):
            for layer in self.layers:
                text, speech = side(states[layer], cut.text), side(states[layer], cut.speech)
                all_text, all_speech, first = text, speech, 0
                if settings.gather:
                    all_text, first = gathered(text, self._group)
                    all_speech, _ = gathered(speech, self._group)
                total = total + own_losses(text, speech, all_text, all_speech, first, settings)
        return total

    def _split(self, sets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Numbers of the packs that hold pairs, and of those that are read as they are."""
        paired = self._paired.to(sets.device)[sets]
        plain = torch.ones_like(paired) if self._settings.next_token else ~paired
        return paired.nonzero()[:, 0], plain.nonzero()[:, 0]

    def _cut(self, given: Inputs, sets: torch.Tensor) -> Pairs:
        most = self._settings.position_shift
        shift = int(torch.randint(0, most + 1, ())) if most else 0
        return pairs(given, self._asr.to(sets.device)[sets], shift)

    def _counts(self, given: Inputs, sets: torch.Tensor) -> tuple[float, float]:
        paired, plain = self._split(sets)
        number = len(pairs(_some(given, paired), self._asr[sets[paired]]).text)
        weighs = torch.tensor([weight > 0 for weight in self._weights.by_kind])
        kind = kinds(_some(given, plain))
        targets = int(weighs[kind[kind != NONE]].sum())
        if self._weights.frame and self.decoder.code_heads is not None:
            spoken = [KINDS.index("speech"), KINDS.index("switch_speech")]
            targets += int(torch.isin(kind, torch.tensor(spoken)).sum())
        return float(targets), float(number)


def _without_codes(batch: Batch) -> Inputs:
    """What counting asks of packs: codes may be a thousand times as large."""
    bare = [dataclasses.replace(pack, codes=pack.codes[:, :0]) for pack in batch.packs]
    return inputs(dataclasses.replace(batch, packs=tuple(bare)))


def _some(given: Inputs, packs: torch.Tensor) -> Inputs:
    return Inputs(**{name: getattr(given, name)[packs] for name in FIELDS})


def _joined(one: Inputs, other: Inputs) -> Inputs:
    return Inputs(
        **{name: torch.cat([getattr(one, name), getattr(other, name)]) for name in FIELDS}
    )


FIELDS: Sequence[str] = ("ids", "codes", "modality", "piece", "place")
