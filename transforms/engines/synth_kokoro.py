"""Kokoro (82 million parameters, 24 kHz) from a local folder: `kokoro/FOLDER`.

Both published layouts are read: one `*.onnx`, the table of phonemes (`vocab` in `config.json`, or
`tokenizer.json`), and the voices, either as one archive of arrays (`voices*.bin`, `*.npz`) or one
file of float32 each (`voices/*.bin`). A voice is `[510, 1, 256]`: one style per number of phonemes.
Phonemes come from espeak-ng, so the Japanese and Mandarin voices, which need another source of
them, are left out.
"""

import functools
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

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

_RATE = 24_000
_LONGEST = 510  # phonemes in one call
_STYLE = 256
# The first letter of a voice is what it speaks.
_ACCENTS = {
    "a": "en-us",
    "b": "en-gb",
    "e": "es",
    "f": "fr-fr",
    "h": "hi",
    "i": "it",
    "p": "pt-br",
}
# What espeak-ng writes otherwise than the network's table.
_SPELT = {"r": "\u0279", "x": "k", "\u02b2": "j", "\u026c": "l", "g": "\u0261"}


def _wrong(folder: Path, message: str) -> ModelError:
    return ModelError("kokoro", f"the folder {folder} {message}")


def _one(folder: Path, *patterns: str) -> Path | None:
    found = sorted(path for pattern in patterns for path in folder.glob(pattern))
    return found[0] if found else None


@functools.lru_cache(maxsize=4)
def _files(folder: Path) -> tuple[Path, Path, tuple[Path, ...]]:
    """The network, the table of phonemes, and the voices."""
    network = _one(folder, "*.onnx", "onnx/*.onnx")
    table = _one(folder, "config.json", "tokenizer.json")
    archive = _one(folder, "voices*.bin", "*.npz")
    voices = (archive,) if archive else tuple(sorted(folder.glob("voices/*.bin")))
    if network is None or table is None or not voices:
        raise _wrong(
            folder,
            "holds no Kokoro: it needs one *.onnx, config.json with `vocab` (or tokenizer.json), "
            "and voices*.bin or voices/*.bin. Download them there once",
        )
    return network, table, voices


def _vocabulary(folder: Path) -> dict[str, int]:
    """The number of each phoneme."""
    for name in ("config.json", "tokenizer.json"):
        path = folder / name
        if not path.is_file():
            continue
        try:
            found = json.loads(path.read_bytes())
            table = found.get("vocab") or found.get("model", {}).get("vocab")
            if table:
                return {str(sign): int(number) for sign, number in table.items()}
        except (ValueError, AttributeError, TypeError) as error:
            raise _wrong(folder, f"has a broken {name}: {error}") from error
    raise _wrong(folder, "has no table of phonemes: `vocab` in config.json")


def _styles(folder: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The styles of each voice, [510, 256]."""
    _, _, files = _files(folder)
    try:
        if len(files) == 1 and files[0].parent == folder:
            with np.load(files[0], allow_pickle=False) as stored:
                arrays = {name: np.asarray(stored[name], np.float32) for name in stored.files}
        else:
            arrays = {path.stem: np.fromfile(path, "<f4") for path in files}
        return {name: array.reshape(-1, _STYLE) for name, array in arrays.items()}
    except (OSError, ValueError) as error:
        raise _wrong(folder, f"has broken voices: {error}") from error


class Kokoro(Stored):
    """The engine `kokoro`."""

    family = "kokoro"

    def __init__(self, variant: str = "", settings: SynthSettings | None = None) -> None:
        super().__init__(variant, settings)
        self._styles = _styles(self._place)
        self._vocabulary = _vocabulary(self._place)
        self._network = Network("kokoro", _files(self._place)[0])
        self._tokens = "input_ids" if "input_ids" in self._network.inputs else "tokens"
        self._network.need(self._tokens, "style", "speed")
        self._phonemizer = Phonemizer(self.settings)

    @classmethod
    def fingerprint(cls, variant: str, settings: SynthSettings) -> dict[str, str]:
        import importlib.metadata

        folder = Path(variant).expanduser()
        network, table, voices = _files(folder)
        names = [str(path.relative_to(folder)) for path in (network, table, *voices)]
        return {
            "model": files_digest(folder, names),
            "onnxruntime": importlib.metadata.version("onnxruntime"),
            **Espeak.fingerprint("", settings),
        }

    @classmethod
    def listed(cls, variant: str, settings: SynthSettings) -> tuple[Voice, ...]:
        names = sorted(_styles(Path(variant).expanduser()))
        return tuple(
            Voice(name=name, language=language_of(accent), accent=accent)
            for name in names
            if (accent := _ACCENTS.get(name[:1]))
        )

    @property
    def rate(self) -> int:
        return _RATE

    def close(self) -> None:
        self._phonemizer.close()

    def say(self, text: str, voice: str, manner: Manner) -> Answer:
        styles = self._styles[voice]
        phonemes = self._phonemizer(text, _ACCENTS[voice[:1]])
        if isinstance(phonemes, Unspoken):
            return phonemes
        numbers = self._numbers(phonemes)
        sounds: list[Any] = []
        length = 0
        most = min(_LONGEST, len(styles)) - 1
        for start in range(0, len(numbers), most):
            some = numbers[start : start + most]
            given = {
                self._tokens: np.array([[0, *some, 0]], np.int64),
                "style": styles[len(some)][None, :],
                "speed": self._speed(manner),
            }
            answer = self._network(given, _RATE, self.settings.max_seconds - length / _RATE)
            if isinstance(answer, Unspoken):
                return answer
            sounds.append(answer.pcm)
            length += len(answer.pcm)
        return Sound(pcm=np.concatenate([np.zeros(0, np.int16), *sounds]), rate=_RATE)

    def _numbers(self, phonemes: str) -> list[int]:
        signs = [sign if sign in self._vocabulary else _SPELT.get(sign, "") for sign in phonemes]
        return [self._vocabulary[sign] for sign in signs if sign in self._vocabulary]

    def _speed(self, manner: Manner) -> npt.NDArray[Any]:
        """As the export takes it: some have whole numbers only, and then no other speed than 1."""
        if "float" in self._network.inputs["speed"]:
            return np.array([manner.speed], np.float32)
        return np.array([1], np.int32 if "int32" in self._network.inputs["speed"] else np.int64)
