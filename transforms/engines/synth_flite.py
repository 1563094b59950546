"""Flite, where the program is installed (`apt-get install flite`): small English voices, 16 kHz.

Each utterance is a process of its own, so it depends on nothing else. Recognizers understand it far
better than espeak-ng (docs/speaking.md). It has no times of words worth keeping, and no pitch.
"""

import functools
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

import numpy as np

from transforms.engines.models import ModelError, file_digest
from transforms.engines.synth_contract import (
    Answer,
    Manner,
    Single,
    Sound,
    SynthSettings,
    Unspoken,
    Voice,
)
from transforms.engines.synth_wav import read_wav

# Voice: its accent, and whether it is drawn unasked (kal speaks at 8 kHz).
_VOICES = {
    "awb": ("en-gb-scotland", True),
    "kal": ("en-us", False),
    "kal16": ("en-us", True),
    "rms": ("en-us", True),
    "slt": ("en-us", True),
}


def program() -> str:
    """Where flite is. Raises `ModelError`."""
    found = shutil.which("flite")
    if found is None:
        raise ModelError(
            "flite", "is not on PATH: apt-get install flite, or take espeak-ng, which needs nothing"
        )
    return found


@functools.lru_cache(maxsize=4)
def _listed(path: str) -> tuple[Voice, ...]:
    told = subprocess.run([path, "-lv"], capture_output=True, text=True, timeout=30, check=False)
    names = told.stdout.partition(":")[2].split()
    found = tuple(
        Voice(name=name, language="en", accent=accent, usual=usual)
        for name, (accent, usual) in _VOICES.items()
        if name in names
    )
    if not found:
        raise ModelError("flite", f"{path} lists no voice that is known: {told.stdout!r:.200}")
    return found


class Flite(Single):
    """The engine `flite`."""

    deterministic = True
    gives_times = False
    changes_pitch = False

    def __init__(self, variant: str = "", settings: SynthSettings | None = None) -> None:
        self.check_variant(variant)
        self.name = "flite"
        self.settings = settings or SynthSettings()
        self._program = program()
        self._voices = _listed(self._program)

    @classmethod
    def check_variant(cls, variant: str) -> None:
        if variant:
            raise ValueError(f"engine flite has no variants; write flite and voices: [{variant}]")

    @classmethod
    def fingerprint(cls, variant: str, settings: SynthSettings) -> dict[str, str]:
        """Of the program and of what it is linked with: the voices lie in libraries."""
        path = Path(program()).resolve()
        linked = subprocess.run(
            ["ldd", str(path)], capture_output=True, text=True, timeout=30, check=False
        )
        words = linked.stdout.split()
        libraries = sorted({word for word in words if word.startswith("/") and "flite" in word})
        digests = [file_digest(Path(name)) for name in (str(path), *libraries)]
        return {"flite": hashlib.sha256("".join(digests).encode()).hexdigest()}

    @classmethod
    def listed(cls, variant: str, settings: SynthSettings) -> tuple[Voice, ...]:
        return _listed(program())

    @property
    def rate(self) -> int:
        return 16_000

    def voices(self) -> tuple[Voice, ...]:
        return self._voices

    def begin(self, seed: int) -> Self:
        return self

    def say(self, text: str, voice: str, manner: Manner) -> Answer:
        if voice not in {known.name for known in self._voices}:
            raise KeyError(voice)
        if not any(character.isalnum() for character in text):
            return Sound(pcm=np.zeros(0, np.int16), rate=self.rate)  # flite would click
        with tempfile.TemporaryDirectory(prefix="speechloom-flite-") as folder:
            wave = Path(folder, "said.wav")
            words = Path(folder, "text")
            words.write_text(_plain(text), encoding="utf-8")
            stretch = f"duration_stretch={1 / manner.speed:.4f}"
            command = [self._program, "-voice", voice, "--setf", stretch]
            try:
                done = subprocess.run(
                    [*command, "-f", str(words), "-o", str(wave)],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    timeout=self.settings.timeout_seconds,
                    check=False,
                )
            except subprocess.TimeoutExpired:
                return Unspoken(
                    reason="timeout",
                    detail=f"flite took more than {self.settings.timeout_seconds:g} s",
                )
            if done.returncode or not wave.is_file():
                return Unspoken(reason="crashed", detail=f"flite ended with {done.returncode}")
            try:
                pcm, rate = read_wav(wave.read_bytes(), self.settings.max_seconds)
            except OverflowError as error:
                return Unspoken(reason="too_long", detail=str(error))
            except ValueError as error:
                return Unspoken(reason="crashed", detail=f"flite wrote {error}")
        return Sound(pcm=pcm, rate=rate)


def _plain(text: str) -> str:
    """Without what flite stumbles over: it knows ASCII, and reads the bytes of all else."""
    import unicodedata

    text = text.translate({0x2018: "'", 0x2019: "'", 0x201C: '"', 0x201D: '"', 0x2014: ", "})
    parts = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return "".join(c if c.isprintable() else " " for c in parts) + "\n"
