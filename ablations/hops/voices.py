"""Speak every word of the world in every manner with espeak-ng, from the wheel espeakng-loader.

espeak-ng keeps state from one utterance to the next, so the same text sounds a little different
each time; but the same calls in the same order, from the start of a process, give the same samples.
So the whole bank is spoken by one fresh process: `python voices.py FILE` writes it. (Variants with
breath, +f2, +f3 and +f5, also depend on the clock: they are not used.) The samples are those of
this version of the library; another one gives another bank.
"""

import ctypes
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

HERE = Path(__file__).resolve().parent
RATE = 16_000
PEAK = 0.5  # of full scale
QUIET = 0.01  # of the peak: what is softer at the ends is cut off
SYNCHRONOUS, UTF8, NO_BREAKS = 2, 1, 1
SPEED, PITCH = 1, 3  # parameters of espeak_SetParameter

Pcm16 = npt.NDArray[np.int16]


class Espeak:
    """The library, once per process."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library: Any = ctypes.CDLL(espeakng_loader.get_library_path())
        data = str(espeakng_loader.get_data_path()).encode()
        self.rate = self._library.espeak_Initialize(SYNCHRONOUS, 0, data, 1 << 15)
        if self.rate <= 0:
            raise RuntimeError("espeak-ng does not start: is the wheel espeakng-loader whole?")
        self._heard: list[npt.NDArray[np.int16]] = []
        kind = ctypes.CFUNCTYPE(
            ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
        )

        def callback(samples: Any, count: int, events: Any) -> int:
            if samples and count > 0:
                self._heard.append(np.ctypeslib.as_array(samples, shape=(count,)).copy())
            return 0

        self._callback = kind(callback)  # kept: the library calls it as long as it lives
        self._library.espeak_SetSynthCallback(self._callback)

    def say(self, text: str, voice: str, speed: int, pitch: int) -> npt.NDArray[np.int16]:
        """Samples at `rate`, as the library gives them."""
        self._heard.clear()
        if self._library.espeak_SetVoiceByName(voice.encode()):
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        self._library.espeak_SetParameter(SPEED, speed, 0)
        self._library.espeak_SetParameter(PITCH, pitch, 0)
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, UTF8, None, None)
        self._library.espeak_Synchronize()
        if not self._heard:
            raise RuntimeError(f"espeak-ng said nothing for {text!r} as {voice!r}")
        return np.concatenate(self._heard)


def levelled(samples: npt.NDArray[np.int16], rate: int) -> Pcm16:
    """At 16 kHz, without its quiet ends, at one peak."""
    import soxr

    wave = soxr.resample(samples.astype(np.float64), rate, RATE, quality="HQ")
    loud = np.flatnonzero(np.abs(wave) > QUIET * np.abs(wave).max())
    wave = wave[loud[0] : loud[-1] + 1]
    return np.rint(wave * (PEAK * 32767 / np.abs(wave).max())).astype(np.int16)


def name(word: str, voice: str, speed: int, pitch: int) -> str:
    return f"{word}/{voice}/{speed}/{pitch}"


def bank(path: Path) -> dict[str, Pcm16]:
    """All utterances, by `name`: spoken by a fresh process into `path`, once."""
    if not path.exists():
        part = path.with_suffix(".part.npz")
        subprocess.run([sys.executable, str(HERE / "voices.py"), str(part)], check=True)
        part.replace(path)
    with np.load(path, allow_pickle=False) as stored:
        samples, ends, names = stored["samples"], stored["ends"], stored["names"]
    starts = [0, *ends[:-1]]
    return {
        str(key): samples[first:last] for key, first, last in zip(names, starts, ends, strict=True)
    }


def _speak(path: Path) -> None:
    sys.path.insert(0, str(HERE))
    from world import PITCHES, SPEEDS, VOICES, WORDS

    espeak = Espeak()
    said: dict[str, Pcm16] = {}
    for voice in VOICES:
        for speed in SPEEDS:
            for pitch in PITCHES:
                for word in WORDS:
                    heard = espeak.say(word, voice, speed, pitch)
                    said[name(word, voice, speed, pitch)] = levelled(heard, espeak.rate)
    np.savez(
        path,
        samples=np.concatenate(list(said.values())),
        ends=np.cumsum([len(one) for one in said.values()]),
        names=np.array(list(said)),
    )


if __name__ == "__main__":
    _speak(Path(sys.argv[1]))
