"""Neural codecs from a local folder: Mimi, EnCodec, DAC, and what answers like them.

`codec/FOLDER` or `codec/FOLDER@8` for the first 8 codebooks. Any model that `transformers` loads
and whose `encode` gives `audio_codes` [.., codebooks, frames] will do, one codebook of a finite
scalar quantiser too. A chunk is completed with silence to whole frames, so frame k covers samples
[k, k + 1) * hop; a model that disagrees with that is refused, for its tokens would have no place.
"""

import functools
import inspect
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.ids import bytes_digest, canonical_json
from schemas.shard_tokens import dtype_of
from schemas.token_frames import FrameGrid
from transforms.engines.hearing import heard
from transforms.engines.local_model import LocalModel, windows
from transforms.step import Pcm16

_COUNTED = re.compile(r"(.+)@([1-9]\d{0,2})")
PROBE = 8  # frames of silence that tell how many codebooks there are


class HubCodec:
    """Codes of a codec's encoder; several codebooks per position."""

    family = "codec"

    def __init__(self, variant: str = "") -> None:
        folder, wanted = self.parse(variant)
        self._local = LocalModel(folder, self.family)
        config = self._local.settings
        self.levels = _levels(self._local, config)
        self.grid = FrameGrid(rate=_rate(self._local, config), hop=_hop(self._local, config))
        self._wanted = wanted
        digest = ["codec", 1, self._local.digest(), wanted]
        self._digest = bytes_digest(canonical_json(digest).encode())
        self.name = f"codec-{self._digest[:8]}"

    @staticmethod
    def parse(variant: str) -> tuple[Path, int | None]:
        """The folder, and how many codebooks; None: all."""
        counted = _COUNTED.fullmatch(variant)
        folder = counted[1] if counted else variant
        if not folder:
            raise ValueError(
                "codec: write codec/FOLDER or codec/FOLDER@8 (the first 8 codebooks); the folder "
                "holds a model such as Mimi"
            )
        return Path(folder), int(counted[2]) if counted else None

    @property
    def rate_hz(self) -> float:
        return self.grid.rate_hz

    @functools.cached_property
    def codebooks(self) -> int:
        """As many as the model gives for silence, or as were asked for."""
        there = self._codes(np.zeros(PROBE * self.grid.hop, np.float32), PROBE).shape[1]
        if self._wanted and self._wanted > there:
            raise self._local.wrong(f"has {there} codebooks, {self._wanted} are asked for")
        return self._wanted or there

    def digest(self) -> str:
        return self._digest

    def encode(self, pcm: Pcm16, rate: int) -> npt.NDArray[Any]:
        """Codes [frames, codebooks] of one chunk."""
        found = [np.zeros((0, self.codebooks), np.int64)]
        samples = heard(pcm, rate, self.grid.rate)
        for window, count in windows(samples, self.grid.rate, self.grid.hop):
            filled = np.pad(window, (0, count * self.grid.hop - len(window)))
            found.append(self._codes(filled, count)[:, : self.codebooks])
        codes = np.concatenate(found)
        if codes.max(initial=0) >= self.levels or codes.min(initial=0) < 0:
            raise self._local.wrong(f"gives codes outside 0 .. {self.levels - 1}")
        return codes.astype(dtype_of(self.levels))

    @functools.cached_property
    def _options(self) -> dict[str, Any]:
        """All codebooks, where the number is asked for by name."""
        bandwidths = getattr(self._local.settings, "target_bandwidths", None)
        known = inspect.signature(self._local.model.encode).parameters
        return {"bandwidth": max(bandwidths)} if bandwidths and "bandwidth" in known else {}

    def _codes(self, samples: npt.NDArray[np.float32], count: int) -> npt.NDArray[np.int64]:
        """[frames, codebooks] of whole frames of samples."""
        import torch

        with self._local.running() as model:
            if not hasattr(model, "encode"):
                raise self._local.wrong(f"holds a {type(model).__name__}, which is no codec")
            answer = model.encode(torch.from_numpy(samples)[None, None], **self._options)
            codes = getattr(answer, "audio_codes", None)
        if codes is None or codes.is_floating_point():
            raise self._local.wrong(f"holds a {type(model).__name__}, which gives no audio_codes")
        while codes.ndim > 2 and codes.shape[0] == 1:
            codes = codes[0]
        if codes.ndim != 2 or codes.shape[1] != count:
            raise self._local.wrong(
                f"gives codes {tuple(codes.shape)} for {count} frames of {self.grid.hop} samples: "
                "they cannot be placed in time"
            )
        return np.ascontiguousarray(codes.numpy().T.astype(np.int64))


def _levels(local: LocalModel, config: Any) -> int:
    size = getattr(config, "codebook_size", None)
    sizes = getattr(config, "levels", None)  # of a finite scalar quantiser
    if isinstance(size, int) and size > 1:
        return size
    if isinstance(sizes, list) and sizes:
        return math.prod(sizes)
    raise local.wrong("does not say codebook_size in its config.json: is it a codec?")


def _rate(local: LocalModel, config: Any) -> int:
    rate = getattr(config, "sampling_rate", None)
    if not isinstance(rate, int) or rate < 1:
        raise local.wrong("does not say sampling_rate in its config.json: is it a codec?")
    return rate


def _hop(local: LocalModel, config: Any) -> int:
    rate, hop = _rate(local, config), getattr(config, "hop_length", None)
    frame_rate = getattr(config, "frame_rate", None)
    if hop is not None and int(hop) > 0:  # before frame_rate, which some round to whole hertz
        return int(hop)
    if frame_rate and (rate / frame_rate).is_integer():
        return int(rate / frame_rate)
    raise local.wrong("says neither hop_length nor a frame_rate that divides its sampling_rate")
