"""A batch as torch tensors on one device: what the model and the losses are handed.

Packs are numpy arrays in small types, because workers ship them; indices in torch are int64.
"""

import dataclasses

import numpy as np
import torch

from trainer.pack import Batch


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """Packs side by side. All int64, all on one device; meanings as in `trainer.pack.Pack`."""

    ids: torch.Tensor  # [packs, length]
    codes: torch.Tensor  # [packs, length, codebooks]
    modality: torch.Tensor  # [packs, length]
    piece: torch.Tensor  # [packs, length]; -1: padding
    place: torch.Tensor  # [packs, length]
    borders: torch.Tensor | None = None  # [packs, length]; None: nobody cuts patches
    patch: torch.Tensor | None = None  # [packs, length]; None: not cut yet

    @property
    def packs(self) -> int:
        return int(self.ids.shape[0])

    @property
    def length(self) -> int:
        return int(self.ids.shape[1])


def inputs(batch: Batch, device: torch.device | str = "cpu") -> Inputs:
    """The packs of a batch on a device. Raises `ValueError` for a batch without packs."""
    if not batch.packs:
        raise ValueError(f"step {batch.step}: a batch without packs has no tensors")

    def one(name: str) -> torch.Tensor:
        # converted on the host: uint16 has few kernels on devices
        whole = torch.from_numpy(batch.stacked(name).astype(np.int64))
        if torch.device(device).type == "cuda":
            return whole.pin_memory().to(device, non_blocking=True)
        return whole.to(device)

    return Inputs(
        ids=one("ids"),
        codes=one("codes"),
        modality=one("modality"),
        piece=one("piece"),
        place=one("place"),
        **{name: one(name) for name in ("borders", "patch") if _all_have(batch, name)},
    )


def _all_have(batch: Batch, name: str) -> bool:
    return all(getattr(pack, name) is not None for pack in batch.packs)


def set_indices(
    batch: Batch, names: tuple[str, ...], device: torch.device | str = "cpu"
) -> torch.Tensor:
    """Which of the sets `names` each pack is of, int64 [packs]. Raises `ValueError` for others."""
    places = {name: place for place, name in enumerate(names)}
    unknown = {pack.set_name for pack in batch.packs} - set(places)
    if unknown:
        raise ValueError(f"step {batch.step}: packs of unknown sets {sorted(unknown)}")
    return torch.tensor([places[pack.set_name] for pack in batch.packs], device=device)
