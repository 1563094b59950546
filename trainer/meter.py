"""What a run has read and how fast: counts by kind of position, losses, rates, MFU.

Counts are of all ranks, summed once a step in one vector of float64, in which whole numbers are
exact. Losses are kept as sums and numbers of targets and divided when a line of the log is written:
a line's loss is the mean over the targets of its steps, not a mean of means.
"""

import dataclasses
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from trainer.latent.accounting import Counts, by_part
from trainer.latent.patching import BEGINS
from trainer.model import Decoder
from trainer.objectives import KINDS, Sums
from trainer.pack import MARKER, PADDING, SPEECH, TEXT, Batch, Pack, Vocabulary

# Dense bf16 of one device (10^12 operations a second), as its maker states it.
PEAKS = {
    "H200": 989.0,
    "H100 PCIe": 756.0,
    "H100": 989.0,
    "A100": 312.0,
    "L40S": 362.0,
    "L4": 121.0,
}
COUNTS = (
    "text_tokens",
    "speech_positions",
    "markers",
    "padding",
    "speech_seconds",
    "words",
    "withheld",
    "documents",
    "patches",
)
POSITIONS = COUNTS[:3]  # that hold something


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """Sums over all ranks and accumulated parts of one step."""

    total: float  # weighted loss, summed
    number: float  # counted targets
    sums: tuple[tuple[float, ...], ...]  # [sets][kinds]
    numbers: tuple[tuple[float, ...], ...]
    counts: tuple[float, ...]  # in the order of COUNTS

    @property
    def loss(self) -> float:
        return self.total / self.number if self.number else math.nan


def counts(batch: Batch) -> torch.Tensor:
    """Of one rank's packs, in the order of `COUNTS`, float64."""
    kinds = torch.zeros(4, dtype=torch.float64)
    for pack in batch.packs:
        kinds += torch.bincount(torch.from_numpy(pack.modality).long(), minlength=4).double()
    packs = batch.packs
    rest = [
        sum(pack.seconds for pack in packs),
        sum(pack.words for pack in packs),
        sum(pack.withheld for pack in packs),
        sum(len(pack.documents) for pack in packs),
        sum(_patches(pack) for pack in packs),
    ]
    order = [TEXT, SPEECH, MARKER, PADDING]
    return torch.cat([kinds[order], torch.tensor(rest, dtype=torch.float64)])


def _patches(pack: Pack) -> int:
    """Patches of a pack; where nobody cuts, every position of speech is one."""
    if pack.patch is None:
        return int((pack.modality == SPEECH).sum())
    return int((pack.patch & BEGINS > 0).sum())


def global_positions(totals: Mapping[str, float]) -> float:
    """What the blocks ran over: text tokens, markers, and patches of speech."""
    return totals["text_tokens"] + totals["markers"] + totals["patches"]


def as_vector(parts: Sequence[Sums], batch: Batch, extra: Sequence[float]) -> torch.Tensor:
    """A rank's share of a step in one vector, float64; `extra` is summed with it."""
    device = parts[0].total.device
    losses = [
        torch.stack([part.total.detach() for part in parts]).double().sum().view(1),
        torch.stack([part.number for part in parts]).double().sum().view(1),
        torch.stack([part.sums for part in parts]).sum(dim=0).view(-1),
        torch.stack([part.numbers for part in parts]).double().sum(dim=0).view(-1),
    ]
    own = torch.cat([counts(batch), torch.tensor(extra, dtype=torch.float64)])
    return torch.cat([*losses, own.to(device)])


def of_vector(vector: torch.Tensor, sets: int) -> tuple[Step, list[float]]:
    """The step, and the sums of `extra`."""
    values, size = vector.tolist(), sets * len(KINDS)
    table = [values[2 : 2 + size], values[2 + size : 2 + 2 * size]]
    sums, numbers = (
        tuple(tuple(one[i : i + len(KINDS)]) for i in range(0, size, len(KINDS))) for one in table
    )
    found = Step(
        total=values[0],
        number=values[1],
        sums=sums,
        numbers=numbers,
        counts=tuple(values[2 + 2 * size : 2 + 2 * size + len(COUNTS)]),
    )
    return found, values[2 + 2 * size + len(COUNTS) :]


class Window:
    """The steps of one line of the log."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.steps: list[Step] = []
        self.seconds = self.waited = 0.0
        self.flops = 0.0

    def add(self, step: Step, seconds: float, waited: float, flops: float) -> None:
        self.steps.append(step)
        self.seconds, self.waited = self.seconds + seconds, self.waited + waited
        self.flops += flops

    def losses(self) -> dict[str, Any]:
        """`loss` as trained on, then each kind's own mean; of each set as well."""
        number = sum(step.number for step in self.steps)
        total = sum(step.total for step in self.steps)
        each = {name: self._kinds([place]) for place, name in enumerate(self.names)}
        return {
            "loss": total / number if number else None,
            **self._kinds(range(len(self.names))),
            "sets": each,
        }

    def positions(self) -> float:
        """That hold something."""
        return sum(sum(step.counts[: len(POSITIONS)]) for step in self.steps)

    def rates(self, peak: float | None, ranks: int) -> dict[str, Any]:
        """Positions a second, the share of time spent waiting for data, and MFU (None: unknown)."""
        seconds = max(self.seconds, 1e-9)
        return {
            "positions_per_second": self.positions() / seconds,
            "wait": self.waited / seconds,
            "mfu": None if peak is None else self.flops / seconds / (peak * 1e12 * ranks),
        }

    def _kinds(self, places: Sequence[int]) -> dict[str, float]:
        found = {}
        for kind, name in enumerate(KINDS):
            number = sum(step.numbers[place][kind] for step in self.steps for place in places)
            if number:
                total = sum(step.sums[place][kind] for step in self.steps for place in places)
                found[f"loss_{name}"] = total / number
        return found


def added(totals: Mapping[str, float], step: Step) -> dict[str, float]:
    """A run's counts with a step's added."""
    return {
        name: totals.get(name, 0.0) + value for name, value in zip(COUNTS, step.counts, strict=True)
    }


def flops(
    model: Decoder, step: Step, length: int, again: float = 0.0, packs: int | None = None
) -> float:
    """Of a step: every position through the blocks, and through each head where it was asked.

    `again`: positions that went through the blocks a second time. `packs` of the step: what a
    latent model counts by (`trainer.latent.accounting`)."""
    positions = sum(step.counts[: len(POSITIONS) + 1])
    by_kind = {name: sum(row[place] for row in step.numbers) for place, name in enumerate(KINDS)}
    spoken = by_kind["speech"] + by_kind["switch_speech"]
    worded = sum(by_kind.values()) - by_kind["contrast"] - spoken
    if model.code_heads is None:
        worded, spoken = worded + spoken, 0.0
    if model.settings.latent is not None:
        counted = dict(zip(COUNTS, step.counts, strict=True))
        given = Counts(
            packs=positions / length if packs is None else packs,
            plain=counted["text_tokens"] + counted["markers"] + counted["padding"],
            speech=counted["speech_positions"],
            patches=counted["patches"],
            text_targets=worded,
            speech_targets=spoken,
        )
        return sum(by_part(model.settings, model.vocabulary, given).values())
    shares = worded / positions, spoken / positions
    found = positions * model.flops_per_position(length, *shares)
    if again:
        found += again * model.flops_per_position(length, 0.0, 0.0)
    # a model with an encoder of its own hears every position of speech as often as it reads it
    heard = step.counts[COUNTS.index("speech_positions")] * (1 + again / positions)
    return found + heard * getattr(model, "heard_flops", 0.0)


def against_guessing(step: Step, vocabulary: Vocabulary) -> Iterator[tuple[str, float, float]]:
    """Text and speech, each with its mean loss in a step and that of guessing among its ids."""
    one = vocabulary.codebooks == 1 or not vocabulary.levels
    sizes = {"text": vocabulary.size, "speech": vocabulary.size if one else vocabulary.levels}
    for name, size in sizes.items():
        place = KINDS.index(name)
        number = sum(row[place] for row in step.numbers)
        if number:
            yield name, sum(row[place] for row in step.sums) / number, math.log(size)


def peak_tflops(device: torch.device, given: float | None) -> float | None:
    """What MFU is a share of: as set, else by the device's name; None where neither is known."""
    if given is not None or device.type != "cuda":
        return given
    name = torch.cuda.get_device_name(device)
    return next((peak for part, peak in PEAKS.items() if part in name), None)
