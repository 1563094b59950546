"""MeloTTS (the synthesizer of Krist) from a local folder, where its package is installed.

`melo/FOLDER` with `config.json` and `checkpoint.pth` of one language. Its package is not on the
index under that name and brings an old transformers, so it belongs into an environment of its own;
it loads a BERT model by name, which must lie in the hub's cache. The network draws noise; the
generator is seeded for every utterance, so that a document is the same each time.
"""

import functools
import importlib.metadata
import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np

from transforms.engines.models import ModelError, files_digest
from transforms.engines.synth_contract import (
    Answer,
    Manner,
    Sound,
    SynthSettings,
    Unspoken,
    Voice,
)
from transforms.engines.synth_stored import Stored
from transforms.engines.synth_wav import from_float

_FILES = ("config.json", "checkpoint.pth")
_ACCENTS = {
    "EN-US": ("en", "en-us"),
    "EN-BR": ("en", "en-gb"),
    "EN_INDIA": ("en", "en-in"),
    "EN-AU": ("en", "en-au"),
    "EN-Default": ("en", "en"),
    "ES": ("es", "es"),
    "FR": ("fr", "fr"),
    "ZH": ("zh", "zh"),
    "JP": ("ja", "ja"),
    "KR": ("ko", "ko"),
}


@functools.lru_cache(maxsize=4)
def _config(folder: Path) -> dict[str, Any]:
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if missing:
        raise ModelError(
            "melo",
            f"the folder {folder} holds no {' and no '.join(missing)}: download both files of one "
            "language of MeloTTS there once, and write melo/PATH",
        )
    try:
        found = json.loads((folder / "config.json").read_bytes())
        if not found["data"]["spk2id"]:
            raise KeyError("spk2id")
        int(found["data"]["sampling_rate"])
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError("melo", f"{folder}/config.json is not of MeloTTS: {error!r}") from error
    return dict(found)


def _speakers(folder: Path) -> dict[str, int]:
    return {str(name): int(at) for name, at in _config(folder)["data"]["spk2id"].items()}


class Melo(Stored):
    """The engine `melo`."""

    family = "melo"

    def __init__(self, variant: str = "", settings: SynthSettings | None = None) -> None:
        super().__init__(variant, settings)
        self._speakers = _speakers(self._place)
        _package()
        from melo.api import TTS

        try:
            self._model: Any = TTS(
                language=next(iter(self._speakers)).replace("_", "-").split("-")[0],
                device="cpu",
                use_hf=True,
                config_path=str(self._place / _FILES[0]),
                ckpt_path=str(self._place / _FILES[1]),
            )
        except (OSError, ValueError, RuntimeError, KeyError) as error:
            raise ModelError(
                "melo", f"the folder {self._place} cannot be loaded: {error}"
            ) from error
        self._seed = 0

    @classmethod
    def fingerprint(cls, variant: str, settings: SynthSettings) -> dict[str, str]:
        folder = Path(variant).expanduser()
        _config(folder)
        return {
            "model": files_digest(folder, _FILES),
            "melo": _package(),
            "torch": importlib.metadata.version("torch"),
        }

    @classmethod
    def listed(cls, variant: str, settings: SynthSettings) -> tuple[Voice, ...]:
        found = []
        for name in sorted(_speakers(Path(variant).expanduser())):
            language, accent = _ACCENTS.get(name, (name[:2].lower(), name.lower()))
            found.append(Voice(name=name, language=language, accent=accent))
        return tuple(found)

    @property
    def rate(self) -> int:
        return int(_config(self._place)["data"]["sampling_rate"])

    def begin(self, seed: int) -> "Melo":
        self._seed = seed
        return self

    def say(self, text: str, voice: str, manner: Manner) -> Answer:
        speaker = self._speakers[voice]
        import torch

        from transforms.engines.voice import one_thread

        with one_thread(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            try:
                wave = self._model.tts_to_file(
                    text, speaker, output_path=None, speed=manner.speed, quiet=True
                )
            except (RuntimeError, ValueError, IndexError, AssertionError) as error:
                return Unspoken(reason="refused", detail=f"MeloTTS: {error!s:.200}")
        if len(wave) > self.settings.max_seconds * self.rate:
            return Unspoken(
                reason="too_long",
                detail=f"{len(wave) / self.rate:.1f} s, at most {self.settings.max_seconds:g}",
            )
        try:
            return Sound(pcm=from_float(np.asarray(wave, np.float32)), rate=self.rate)
        except ValueError as error:
            return Unspoken(reason="refused", detail=f"MeloTTS gave {error}")


def _package() -> str:
    """The version of the package. Raises `ModelError` where there is none."""
    if importlib.util.find_spec("melo") is None:
        raise ModelError(
            "melo",
            "needs MeloTTS: install its package from its own repository (docs/speaking.md), or "
            "take kokoro or piper, which need a model only",
        )
    for name in ("melotts", "melo"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return "unknown"
