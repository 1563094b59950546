"""Discrete units: each position is the nearest of k centres, of log-mel or of an encoder's layer.

The artefact is one safetensors file: the centres, and in its metadata what they are centres of.
For an encoder it names the model's folder, relative to itself, and the folder's digest, so that
units are never made with another model than they were trained for. Distances are summed in
float64: in which order then decides between two centres only where they are equally near.
`transforms.engines.kmeans_fit` trains centres; `python -m trainer.units` is the command.
"""

import functools
import json
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from schemas.ids import bytes_digest, canonical_json
from schemas.shard_tokens import dtype_of
from schemas.token_frames import FrameGrid
from transforms.engines import dmel
from transforms.engines.hearing import heard
from transforms.engines.local_model import LocalModel, windows
from transforms.engines.models import ModelError, file_digest
from transforms.step import Pcm16

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

FORMAT = 1
ROWS = 4096  # positions compared with all centres at once


class Features(Protocol):
    """What is clustered: one vector per position of a chunk."""

    grid: FrameGrid
    width: int

    def about(self) -> dict[str, Any]:
        """All that decides the vectors, as plain JSON."""
        ...

    def __call__(self, pcm: Pcm16, rate: int) -> Float32:
        """Vectors [positions, width] of one chunk."""
        ...


class LogMelFeatures:
    """log10 mel amplitudes as in dMel, kept within its range; `stack` frames side by side."""

    def __init__(self, stride_ms: int = 25, stack: int = 1) -> None:
        dmel.DMel.parse(f"{stride_ms}x{stack}")
        hop = stride_ms * dmel.RATE // 1000
        self.grid = FrameGrid(rate=dmel.RATE, hop=hop, stack=stack, centred=True)
        self.width = dmel.CHANNELS * stack

    def about(self) -> dict[str, Any]:
        stride_ms = self.grid.hop * 1000 // dmel.RATE
        return {"kind": "logmel", "stride_ms": stride_ms, "stack": self.grid.stack}

    def __call__(self, pcm: Pcm16, rate: int) -> Float32:
        lowest, highest = dmel.centres()[[0, -1]]
        mel = np.clip(self._mel(heard(pcm, rate, dmel.RATE)), lowest, highest)
        return dmel.stacked(mel - lowest, self.grid.stack)  # filled up as dMel is

    @functools.cached_property
    def _mel(self) -> dmel.LogMel:
        return dmel.LogMel(self.grid.hop)


class EncoderFeatures:
    """Hidden states of one layer of a HuBERT-like encoder (HuBERT, wav2vec 2.0, WavLM ...).

    Frame k begins at sample k * hop; the last frames of a window are completed with silence, so
    that there are ceil(samples / hop) of them. `layer` 0 is what enters the first block.
    """

    def __init__(self, folder: Path, layer: int) -> None:
        self._local = LocalModel(folder, "kmeans")
        config = self._local.settings
        strides, kernels = getattr(config, "conv_stride", ()), getattr(config, "conv_kernel", ())
        if not strides or len(strides) != len(kernels):
            raise self._local.wrong(
                f"holds a {config.model_type}, which does not step through samples by "
                "convolutions; units need an encoder such as HuBERT, wav2vec 2.0 or WavLM"
            )
        if not 0 <= layer <= config.num_hidden_layers:
            raise self._local.wrong(
                f"has {config.num_hidden_layers} layers: layer {layer} is none of 0 .. "
                f"{config.num_hidden_layers}"
            )
        hop, reach = 1, 1
        for stride, kernel in zip(strides, kernels, strict=True):
            reach += (kernel - 1) * hop
            hop *= stride
        self.layer, self.width, self._reach = layer, int(config.hidden_size), reach
        self.grid = FrameGrid(rate=self._local.rate, hop=hop)

    def about(self) -> dict[str, Any]:
        return {"kind": "encoder", "digest": self._local.digest(), "layer": self.layer}

    def __call__(self, pcm: Pcm16, rate: int) -> Float32:
        import torch

        found = [np.zeros((0, self.width), np.float32)]
        hop = self.grid.hop
        with self._local.running() as model:
            for window, count in windows(heard(pcm, rate, self.grid.rate), self.grid.rate, hop):
                if self._local.preprocessor.get("do_normalize"):
                    window = (window - window.mean()) / np.sqrt(window.var() + 1e-7)
                filled = np.zeros(max(len(window), (count - 1) * hop + self._reach), np.float32)
                filled[: len(window)] = window
                states = model(torch.from_numpy(filled)[None], output_hidden_states=True)
                found.append(states.hidden_states[self.layer][0, :count].numpy())
        return np.concatenate(found)


def encoder_features(folder: Path, layer: int) -> Features:
    """Of a model in a folder: one of ours (`speechloom-train encoders`), or one that `transformers`
    reads. Raises `ModelError`."""
    from transforms.engines import mel_encoder

    if mel_encoder.is_ours(folder):
        return mel_encoder.MelEncoderFeatures(folder, layer)
    return EncoderFeatures(folder, layer)


class KMeans:
    """One codebook of k units: `kmeans/FILE.safetensors`."""

    family = "kmeans"
    codebooks: int = 1

    def __init__(self, variant: str = "") -> None:
        path = self.parse(variant)
        self.centres, about = read_centres(path)
        self.features = features_of(about, path)
        if self.features.width != self.centres.shape[1]:
            raise _wrong(path, f"centres {self.centres.shape} of {self.features.width} numbers")
        self.grid, self.levels = self.features.grid, len(self.centres)
        self._digest = bytes_digest(
            canonical_json(["kmeans", 1, file_digest(path), self.features.about()]).encode()
        )
        self.name = f"kmeans-{self._digest[:8]}"

    @staticmethod
    def parse(variant: str) -> Path:
        """The artefact's path."""
        if not variant.endswith(".safetensors"):
            raise ValueError(
                f"kmeans/{variant}: write kmeans/FILE.safetensors, made by `python -m "
                "trainer.units`"
            )
        return Path(variant)

    @property
    def rate_hz(self) -> float:
        return self.grid.rate_hz

    def digest(self) -> str:
        return self._digest

    def encode(self, pcm: Pcm16, rate: int) -> npt.NDArray[Any]:
        """Units [positions, 1]: the nearest centre, the first of equally near ones."""
        found = nearest_centres(self.features(pcm, rate), self.centres)
        return found.astype(dtype_of(self.levels))[:, None]


def nearest_centres(vectors: npt.NDArray[Any], centres: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """The place of the nearest centre of each vector, [n]."""
    wide = centres.astype(np.float64)
    lengths = np.square(wide).sum(axis=1)
    found = [np.zeros(0, np.int64)]
    for start in range(0, len(vectors), ROWS):
        block = vectors[start : start + ROWS].astype(np.float64)
        found.append(np.argmin(lengths - 2.0 * (block @ wide.T), axis=1))
    return np.concatenate(found)


def write_centres(
    path: Path, centres: Float32, features: Features, encoder: str, trained: dict[str, Any]
) -> None:
    """The artefact. `encoder`: the model's folder, relative to the file; "" for log-mel.

    The same bytes for the same arguments. `trained`: what they were trained on and how, for people.
    """
    from safetensors.numpy import save_file

    about = {"format": FORMAT, "features": features.about(), "encoder": encoder, "trained": trained}
    save_file({"centres": centres}, path, {"about": canonical_json(about)})


def read_centres(path: Path) -> tuple[Float32, dict[str, Any]]:
    """Centres [k, width] and what `write_centres` said of them. Raises `ModelError`."""
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        raise _wrong(path, "there is no such file; make it with `python -m trainer.units`")
    try:
        with safe_open(path, framework="numpy") as file:
            about = json.loads((file.metadata() or {})["about"])
            centres = file.get_tensor("centres")
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise _wrong(path, f"it holds no centres: {error}") from error
    sound = centres.ndim == 2 and len(centres) >= 2 and centres.dtype == np.float32
    if not sound or not np.isfinite(centres).all() or about.get("format") != FORMAT:
        raise _wrong(
            path,
            f"centres of format {about.get('format')}, {centres.dtype} {centres.shape}; needed are "
            f"finite float32 [k, width] of format {FORMAT}",
        )
    return centres, about


def features_of(about: dict[str, Any], path: Path) -> Features:
    """What the centres of an artefact are centres of. Raises `ModelError`."""
    wanted = about["features"]
    found: Features
    if wanted.get("kind") == "logmel":
        found = LogMelFeatures(wanted["stride_ms"], wanted["stack"])
    elif wanted.get("kind") == "encoder":
        found = encoder_features(path.parent / about["encoder"], wanted["layer"])
    else:
        raise _wrong(path, f"centres of {wanted.get('kind')!r}, which this version does not know")
    if found.about() != wanted:
        raise _wrong(
            path, f"was trained for {wanted}; {path.parent / about['encoder']} is {found.about()}"
        )
    return found


def _wrong(path: Path, message: str) -> ModelError:
    return ModelError("kmeans", f"the file {path}: {message}")
