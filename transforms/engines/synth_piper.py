"""Piper voices from a local path: `piper/FILE.onnx`, with `FILE.onnx.json` beside it.

A voice is a VITS network that takes phonemes of espeak-ng as numbers, three scales (noise, length,
noise of lengths) and, where it has several, a speaker. By default both noises are 0, which gives
the same samples each time; with noise the network draws from a generator that cannot be reset
between documents, so the engine then promises nothing.
"""

import functools
import json
import unicodedata
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
    language_of,
)
from transforms.engines.synth_espeak import Espeak
from transforms.engines.synth_network import Network
from transforms.engines.synth_phonemes import Phonemizer
from transforms.engines.synth_stored import Stored

_PAD, _BEGIN, _END = "_", "^", "$"


def _wrong(message: str) -> ModelError:
    return ModelError("piper", message)


@functools.lru_cache(maxsize=16)
def _config(path: Path) -> dict[str, Any]:
    beside = path.with_name(path.name + ".json")
    if not path.is_file() or not beside.is_file():
        raise _wrong(
            f"{path} or {beside.name} beside it is missing: download both files of a Piper voice, "
            "and write piper/PATH/TO/VOICE.onnx"
        )
    try:
        found = json.loads(beside.read_bytes())
        int(found["audio"]["sample_rate"])
        if not {_PAD, _BEGIN, _END} <= found["phoneme_id_map"].keys():
            raise KeyError("phoneme_id_map")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _wrong(f"{beside} is no configuration of a Piper voice: {error!r}") from error
    return dict(found)


def _accent(config: dict[str, Any]) -> str:
    code = config.get("language", {}).get("code") or config.get("espeak", {}).get("voice") or ""
    return str(code).replace("_", "-").lower()


class Piper(Stored):
    """The engine `piper`."""

    family = "piper"

    def __init__(self, variant: str = "", settings: SynthSettings | None = None) -> None:
        super().__init__(variant, settings)
        self.deterministic = self.settings.noise == 0
        self._config = _config(self._place)
        self._network = Network("piper", self._place)
        self._network.need("input", "input_lengths", "scales")
        self._speakers = _speakers(self._place, self._config)
        if len(self._speakers) > 1:
            self._network.need("sid")
        self._phonemizer: Phonemizer | None = None
        if self._config.get("phoneme_type", "espeak") != "text":
            spelt = str(self._config.get("espeak", {}).get("voice", ""))
            self._espeak_voice = _espeak_voice(spelt, self.settings)
            self._phonemizer = Phonemizer(self.settings)

    @classmethod
    def check_variant(cls, variant: str) -> None:
        if not variant.endswith(".onnx"):
            raise ValueError(f"engine piper needs a voice: piper/PATH/VOICE.onnx, not {variant!r}")

    @classmethod
    def fingerprint(cls, variant: str, settings: SynthSettings) -> dict[str, str]:
        path = Path(variant).expanduser()
        _config(path)
        import importlib.metadata

        return {
            "model": files_digest(path.parent, (path.name, path.name + ".json")),
            "onnxruntime": importlib.metadata.version("onnxruntime"),
            **Espeak.fingerprint("", settings),
        }

    @classmethod
    def listed(cls, variant: str, settings: SynthSettings) -> tuple[Voice, ...]:
        path = Path(variant).expanduser()
        config = _config(path)
        accent = _accent(config)
        return tuple(
            Voice(name=name, language=language_of(accent), accent=accent)
            for name in sorted(_speakers(path, config))
        )

    @property
    def rate(self) -> int:
        return int(self._config["audio"]["sample_rate"])

    def close(self) -> None:
        if self._phonemizer is not None:
            self._phonemizer.close()

    def say(self, text: str, voice: str, manner: Manner) -> Answer:
        speaker = self._speakers[voice]
        phonemes: str | Unspoken = text
        if self._phonemizer is not None:
            phonemes = self._phonemizer(text, self._espeak_voice)
        if isinstance(phonemes, Unspoken):
            return phonemes
        ids = self._ids(phonemes)
        if len(ids) <= 3:  # nothing but its ends
            return Sound(pcm=np.zeros(0, np.int16), rate=self.rate)
        scales = self._config.get("inference", {})
        noise = self.settings.noise
        given: dict[str, Any] = {
            "input": np.array([ids], np.int64),
            "input_lengths": np.array([len(ids)], np.int64),
            "scales": np.array(
                [
                    noise * float(scales.get("noise_scale", 0.667)),
                    float(scales.get("length_scale", 1.0)) / manner.speed,
                    noise * float(scales.get("noise_w", 0.8)),
                ],
                np.float32,
            ),
        }
        if "sid" in self._network.inputs:
            given["sid"] = np.array([speaker], np.int64)
        return self._network(given, self.rate, self.settings.max_seconds)

    def _ids(self, phonemes: str) -> list[int]:
        """The numbers of phonemes, a pad after each; those that the voice lacks are left out."""
        table = self._config["phoneme_id_map"]
        ids = [*table[_BEGIN], *table[_PAD]]
        for phoneme in unicodedata.normalize("NFD", phonemes):
            if phoneme in table and phoneme not in (_PAD, _BEGIN, _END):
                ids += [*table[phoneme], *table[_PAD]]
        return [*ids, *table[_END]]


def _speakers(path: Path, config: dict[str, Any]) -> dict[str, int]:
    """The voices of a file and their numbers."""
    named = config.get("speaker_id_map") or {}
    if int(config.get("num_speakers", 1)) <= 1 or not named:
        return {path.stem: 0}
    return {f"{path.stem}#{name}": int(number) for name, number in named.items()}


def _espeak_voice(spelt: str, settings: SynthSettings) -> str:
    """Our name of the voice whose phonemes a network was trained on."""
    known = {voice.name for voice in Espeak.listed("", settings)}
    for name in (
        spelt.lower(),
        f"{spelt.lower()}-{spelt.lower()}",
        "en-gb" if spelt == "en" else "",
    ):
        if name in known:
            return name
    raise _wrong(f"espeak-ng has no voice {spelt!r}, which the phonemes of this model are of")
