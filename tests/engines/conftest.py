"""Real speech for the engines' tests: spoken by the synthesizer of the espeakng-loader wheel.

espeak-ng keeps state from one utterance to the next, so each is spoken by a fresh process; equal
text then gives equal samples. Nothing is stored in the repository and no Debian package is needed.
"""

import functools
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

_SPEAKER = """
import ctypes, sys, espeakng_loader
library = ctypes.CDLL(espeakng_loader.get_library_path())
data = espeakng_loader.get_data_path().encode()
rate = library.espeak_Initialize(2, 0, data, 1 << 15)
samples = []
def keep(wave, count, events):
    if wave and count > 0:
        samples.append(ctypes.string_at(wave, count * 2))
    return 0
kind = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)
callback = kind(keep)
library.espeak_SetSynthCallback(callback)
voice, text = sys.argv[1].encode(), sys.argv[2].encode() + b"\\0"
if rate <= 0 or library.espeak_SetVoiceByName(voice) != 0:
    sys.exit(f"espeak-ng cannot speak as {sys.argv[1]}")
library.espeak_Synth(text, ctypes.c_size_t(len(text)), 0, 1, 0, 1, None, None)
library.espeak_Synchronize()
sys.stdout.buffer.write(rate.to_bytes(4, "little") + b"".join(samples))
"""


@functools.cache
def _spoken(text: str, voice: str, rate: int) -> np.ndarray:
    import soxr

    done = subprocess.run(
        [sys.executable, "-c", _SPEAKER, voice, text], capture_output=True, check=True, timeout=60
    )
    native = int.from_bytes(done.stdout[:4], "little")
    samples = np.frombuffer(done.stdout[4:], "<i2").astype(np.float32)
    out = soxr.resample(samples, native, rate)
    pcm = np.clip(np.rint(out), -32768, 32767).astype(np.int16)
    pcm.flags.writeable = False
    return pcm


@pytest.fixture(scope="session")
def speak() -> Callable[..., np.ndarray]:
    """`speak(text, voice="en-us", rate=16000)`: PCM16 of a spoken sentence, shape [n]."""

    def speaker(text: str, voice: str = "en-us", rate: int = 16_000) -> np.ndarray:
        return _spoken(text, voice, rate)

    return speaker


@pytest.fixture(scope="session")
def whisper_toy() -> Path:
    """The folder of the small Whisper model that is ours."""
    return Path(__file__).resolve().parents[1] / "assets" / "whisper-toy"
