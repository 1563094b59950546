"""Our own pretrained speech encoder, run in numpy: features of one of its layers for units.

A folder holds `config.json` (model_type speechloom-mel-encoder) and `model.safetensors`, as
`speechloom-train encoders export` writes them. It hears log-mel frames as dMel and log-mel units
are made of, so a position is where theirs is. Attention and products are float32; a chunk above
30 s is heard in windows, so that memory stays bounded.
"""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

from transforms.engines.kmeans import LogMelFeatures
from transforms.engines.models import ModelError, files_digest
from transforms.step import Pcm16

KIND = "speechloom-mel-encoder"
FILES = ("config.json", "model.safetensors")
FORMAT = 1
MIDDLE, SPREAD = 4.5, 2.0  # as in training (trainer.encoders.model)
WINDOW_SECONDS = 30
Array = Any  # float32 arrays


def is_ours(folder: Path) -> bool:
    """Whether a folder says that it holds such an encoder."""
    try:
        about = json.loads((folder / FILES[0]).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(about, dict) and about.get("model_type") == KIND


class MelEncoderFeatures:
    """Hidden states of one layer: 0 is what enters the first block, `depth` what leaves the last
    norm."""

    def __init__(self, folder: Path, layer: int) -> None:
        self._folder = folder
        about = json.loads((folder / FILES[0]).read_bytes())
        if about.get("format") != FORMAT or not (folder / FILES[1]).is_file():
            raise self._wrong(f"is no encoder of format {FORMAT} with {FILES[1]}")
        try:
            sizes = {name: int(about[name]) for name in ("depth", "width", "heads", "hidden")}
            stride, stack = int(about["stride_ms"]), int(about["stack"])
            self._eps, self._theta = float(about["norm_eps"]), float(about["rope_theta"])
        except (KeyError, TypeError, ValueError) as error:
            raise self._wrong(f"has a broken {FILES[0]}: {error!r}") from error
        self._depth, self._heads = sizes["depth"], sizes["heads"]
        if not 0 <= layer <= self._depth:
            raise self._wrong(f"has {self._depth} layers: {layer} is none of 0 to {self._depth}")
        self.layer, self.width = layer, sizes["width"]
        self._mel = LogMelFeatures(stride, stack)
        self.grid = self._mel.grid

    def _wrong(self, message: str) -> ModelError:
        return ModelError("kmeans", f"the folder {self._folder} {message}")

    def about(self) -> dict[str, Any]:
        digest = files_digest(self._folder, list(FILES))
        return {"kind": "encoder", "digest": digest, "layer": self.layer}

    def __call__(self, pcm: Pcm16, rate: int) -> Array:
        """States [positions, width] of one chunk."""
        features = self._mel(pcm, rate)
        size = max(round(WINDOW_SECONDS * self.grid.rate_hz), 1)
        found = [np.zeros((0, self.width), np.float32)]
        for first in range(0, len(features), size):
            found.append(self._states(features[first : first + size]))
        return np.concatenate(found)

    @functools.cached_property
    def _weights(self) -> dict[str, Array]:
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            return load_file(self._folder / FILES[1])
        except (SafetensorError, OSError) as error:
            raise self._wrong(f"cannot be read: {error}") from error

    def _states(self, features: Array) -> Array:
        own = self._weights
        x = (features - np.float32(MIDDLE)) / np.float32(SPREAD)
        x = x @ own["projection.weight"].T + own["projection.bias"]
        turn = self._turn(len(x))
        for number in range(min(self.layer, self._depth)):
            name = f"blocks.{number}."
            x = x + self._attended(x, name, turn)
            y = self._normed(x, own[name + "feed_norm.weight"])
            gate = y @ own[name + "feed.gate.weight"].T
            gate = gate / (1 + np.exp(-gate))
            x = x + (gate * (y @ own[name + "feed.up.weight"].T)) @ own[name + "feed.down.weight"].T
        if self.layer == self._depth:
            x = self._normed(x, own["norm.weight"])
        return x.astype(np.float32)

    def _attended(self, x: Array, name: str, turn: tuple[Array, Array]) -> Array:
        own, length = self._weights, len(x)
        y = self._normed(x, own[name + "attention_norm.weight"])
        parts = (y @ own[name + "attention.projection.weight"].T).reshape(
            length, 3, self._heads, -1
        )
        query, key, value = (parts[:, n].transpose(1, 0, 2) for n in range(3))
        query, key = _rotated(query, *turn), _rotated(key, *turn)
        alike = query @ key.transpose(0, 2, 1) / np.float32(np.sqrt(query.shape[-1]))
        alike = np.exp(alike - alike.max(axis=-1, keepdims=True))
        seen = (alike / alike.sum(axis=-1, keepdims=True)) @ value
        return seen.transpose(1, 0, 2).reshape(length, -1) @ own[name + "attention.out.weight"].T

    def _normed(self, x: Array, weight: Array) -> Array:
        mean = np.square(x).mean(axis=-1, keepdims=True)
        return x / np.sqrt(mean + np.float32(self._eps)) * weight

    def _turn(self, length: int) -> tuple[Array, Array]:
        half = self.width // self._heads // 2
        steps = np.arange(half, dtype=np.float32) / half
        frequency = np.float32(self._theta) ** -steps
        angle = np.arange(length, dtype=np.float32)[:, None] * frequency
        return np.cos(angle), np.sin(angle)


def _rotated(x: Array, cos: Array, sin: Array) -> Array:
    one, other = np.split(x, 2, axis=-1)
    return np.concatenate([one * cos - other * sin, other * cos + one * sin], axis=-1)
