"""Log probabilities of the positions that are asked, many pieces at a time.

As in training (`trainer.objectives`): the text head answers for text and for single units over the
whole vocabulary, code heads for frames of several codebooks, whose log probability is the mean of
its channels' (so a frame weighs like a token, and frames of different tokenizers are never on one
scale). Logits are made only for asked positions, in blocks, and always in float32.
"""

import contextlib
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.forwards import Forward, forwards
from trainer.evaluation.laying import Laid
from trainer.pack import TEXT, Vocabulary
from trainer.tensors import Inputs, inputs

LOGITS = 1 << 26  # float32 logits that are held at once: 256 MiB


class Model(Protocol):
    """What is asked of a decoder: see `trainer.model.Decoder`."""

    @property
    def vocabulary(self) -> Vocabulary: ...

    def __call__(self, given: Inputs) -> torch.Tensor: ...

    def text_logits(self, hidden: torch.Tensor) -> torch.Tensor: ...

    def code_logits(self, hidden: torch.Tensor) -> torch.Tensor: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Asker:
    """A model and how it is asked. Use inside `quiet`."""

    model: Any  # `Model`
    words: Vocabulary
    device: torch.device
    budget: int  # positions of a forward
    context: int  # longest piece
    precision: Literal["float32", "bfloat16"] = "float32"

    def hidden(self, forward: Forward) -> torch.Tensor:
        """Hidden states before each asked position, [asked, width], in the order of the pieces."""
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16"):
            found: torch.Tensor = self.model(inputs(forward.batch, self.device))
        rows, columns = [], []
        for _, pieces in forward.bundles:
            for laid, spot in pieces:
                own = np.flatnonzero(laid.scored)
                rows.append(np.full(len(own), spot.row))
                columns.append(own + (spot.begin - 1))
        row, column = (torch.from_numpy(np.concatenate(one)) for one in (rows, columns))
        return found[row.to(self.device), column.to(self.device)]

    def log_probabilities(
        self, bundles: Iterable[tuple[int, Sequence[Laid]]]
    ) -> Iterator[tuple[int, list[npt.NDArray[np.float64]]]]:
        """By bundle and piece: the log probability of each asked position, in nats.

        Raises `EvaluationError` where the model answers with something that is no number.
        """
        for forward in forwards(bundles, self.words, self.budget, self.context):
            laid = [one for _, pieces in forward.bundles for one, _ in pieces]
            flat = self._answers(self.hidden(forward), laid)
            if not np.isfinite(flat).all():
                raise EvaluationError(
                    "the model gives log probabilities that are no numbers; it has diverged, or "
                    "its weights were not loaded"
                )
            at = 0
            for number, pieces in forward.bundles:
                own = []
                for one, _ in pieces:
                    count = int(one.scored.sum())
                    own.append(flat[at : at + count])
                    at += count
                yield number, own

    def text_log_probabilities(
        self, hidden: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log probabilities over text ids alone, renormalised, float64 [asked, text]; then the log
        of what all text ids have together, and of what all others have, [asked] each."""
        logits = self.model.text_logits(hidden).double()
        text, other = logits.split([self.words.text, self.words.size - self.words.text], dim=-1)
        whole = logits.logsumexp(-1)
        return text.log_softmax(-1), text.logsumexp(-1) - whole, other.logsumexp(-1) - whole

    def _answers(self, hidden: torch.Tensor, laid: Sequence[Laid]) -> npt.NDArray[np.float64]:
        ids = np.concatenate([one.ids[one.scored] for one in laid]).astype(np.int64)
        codes = np.concatenate([one.codes[one.scored] for one in laid]).astype(np.int64)
        modality = np.concatenate([one.modality[one.scored] for one in laid])
        found = np.zeros(len(ids), np.float64)
        by_id = (modality == TEXT) | (self.words.codebooks == 1)
        for places, size, answer, wanted in (
            (np.flatnonzero(by_id), self.words.size, self._words, ids),
            (np.flatnonzero(~by_id), codes.shape[1] * self.words.levels, self._frames, codes),
        ):
            block = max(LOGITS // max(size, 1), 1)
            for first in range(0, len(places), block):
                own = places[first : first + block]
                state = hidden[torch.from_numpy(own).to(self.device)]
                nats = answer(state, torch.from_numpy(wanted[own]).to(self.device))
                found[own] = -nats.double().cpu().numpy()
        return found

    def _words(self, state: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        logits = self.model.text_logits(state).float()
        return F.cross_entropy(logits, wanted, reduction="none")

    def _frames(self, state: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        logits = self.model.code_logits(state).float()
        each = F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none")
        each = each.view(wanted.shape)
        if self.words.pad is None:
            return each.mean(-1)
        real = (wanted != self.words.pad).to(each.dtype)
        return (each * real).sum(-1) / real.sum(-1)


@contextlib.contextmanager
def quiet(model: Any) -> Iterator[None]:
    """No gradients, no dropout; afterwards the model is as it was."""
    training = getattr(model, "training", False)
    if training:
        model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        if training:
            model.train()
