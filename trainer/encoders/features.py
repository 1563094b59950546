"""Clips as tensors: log-mel positions, filled up to one length, and units where they are asked."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from trainer.encoders.clips import Clip
from trainer.encoders.objectives import Batch
from trainer.encoders.settings import EncoderConfig, HubertSettings
from trainer.failures import SetupError
from transforms.engines.kmeans import KMeans, LogMelFeatures
from transforms.engines.models import ModelError


class Features:
    """What an encoder hears of clips, and the units it is to tell. Raises `SetupError` for units
    that are missing or step through samples otherwise."""

    def __init__(self, config: EncoderConfig, length: int) -> None:
        own = config.encoder
        self._mel = LogMelFeatures(own.stride_ms, own.stack)
        self._length = length
        self.units: KMeans | None = None
        if isinstance(config.objective, HubertSettings):
            self.units = _units(config.objective.units, self._mel)

    @property
    def count(self) -> int:
        """How many units there are; 0 where none are asked."""
        return 0 if self.units is None else self.units.levels

    def batch(self, clips: Sequence[Clip], device: torch.device | str = "cpu") -> Batch:
        """Clips as an objective takes them. All are filled up to the longest clip there may be, so
        that a step costs what every step costs."""
        features = np.zeros((len(clips), self._length, self._mel.width), np.float32)
        there = np.zeros((len(clips), self._length), np.bool_)
        units = np.zeros((len(clips), self._length), np.int64)
        for row, clip in enumerate(clips):
            found = self._mel(clip.pcm, clip.rate)
            features[row, : len(found)], there[row, : len(found)] = found, True
            if self.units is not None:
                units[row, : len(found)] = self.units.encode(clip.pcm, clip.rate)[:, 0]
        return Batch(
            features=torch.from_numpy(features).to(device),
            there=torch.from_numpy(there).to(device),
            units=None if self.units is None else torch.from_numpy(units).to(device),
        )


def _units(path: str, mel: LogMelFeatures) -> KMeans:
    try:
        found = KMeans(path)
    except (ModelError, ValueError) as error:
        raise SetupError(f"objective.units: {error}") from error
    if found.grid.rate_hz != mel.grid.rate_hz:
        raise SetupError(
            f"objective.units: {Path(path)} has {found.grid.rate_hz:g} units a second, the encoder "
            f"{mel.grid.rate_hz:g} positions; train units with its stride_ms and stack"
        )
    return found
