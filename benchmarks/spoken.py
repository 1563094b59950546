"""Speech with known words at known times, by the synthesizer of the espeakng-loader wheel.

espeak-ng keeps state from one utterance to the next: the same calls in the same order in a fresh
process give the same samples, and nothing else is promised. One voice at a time, one thread.
"""

import ctypes
import dataclasses

import numpy as np
import numpy.typing as npt

Pcm16 = npt.NDArray[np.int16]
RATE = 16_000

_WORD, _END = 1, 5  # kinds of events: a word begins, a clause ends
_SYNCHRONOUS, _UTF8, _SPEED, _PITCH = 2, 1, 1, 3


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_char * 8),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)

Times = list[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Spoken:
    """A text that was spoken: 16 kHz PCM16, and each word's start and end in seconds."""

    text: str
    pcm: Pcm16
    words: list[tuple[str, float, float]]

    @property
    def seconds(self) -> float:
        return len(self.pcm) / RATE


class Speaker:
    """The synthesizer of this process."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path().encode()
        self._rate: int = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, 1 << 15)
        if self._rate <= 0:
            raise RuntimeError("espeak-ng does not start: is espeakng-loader whole?")
        self._samples: list[bytes] = []
        self._starts: list[tuple[int, float]] = []  # text position and seconds
        self._ends: list[float] = []
        self._callback = _CALLBACK(self._keep)  # referenced for as long as the library may call it
        self._library.espeak_SetSynthCallback(self._callback)

    def _keep(self, wave: "ctypes._Pointer[ctypes.c_short]", count: int, events: object) -> int:
        if wave and count > 0:
            self._samples.append(ctypes.string_at(wave, count * 2))
        at = 0
        while events[at].type != 0:  # type: ignore[index]
            event = events[at]  # type: ignore[index]
            if event.type == _WORD:
                self._starts.append((event.text_position, event.audio_position / 1000))
            elif event.type == _END:
                self._ends.append(event.audio_position / 1000)
            at += 1
        return 0

    def say(self, text: str, voice: str, speed: int = 170, pitch: int = 50) -> Spoken:
        """A text in a voice of espeak-ng ("de", "en-us+f3"); words a minute, pitch 0..99."""
        import soxr

        self._samples, self._starts, self._ends = [], [], []
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise ValueError(f"espeak-ng has no voice {voice!r}")
        self._library.espeak_SetParameter(_SPEED, speed, 0)
        self._library.espeak_SetParameter(_PITCH, pitch, 0)
        data = text.encode() + b"\0"
        self._library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        native = np.frombuffer(b"".join(self._samples), "<i2").astype(np.float32)
        out = soxr.resample(native, self._rate, RATE)
        pcm = np.clip(np.rint(out), -32768, 32767).astype(np.int16)
        return Spoken(text, pcm, self._words(text, len(pcm) / RATE))

    def _words(self, text: str, seconds: float) -> list[tuple[str, float, float]]:
        """The tokens of a text with their times: a word ends where the next or its clause does."""
        starts: list[float | None] = []
        cursor = 0
        for token in text.split():
            first = text.index(token, cursor)
            cursor = first + len(token)
            hits = [at for place, at in self._starts if first < place <= cursor]
            starts.append(hits[0] if hits else None)
        known = [*(at for at in starts if at is not None), seconds]
        found = []
        for token, start in zip(text.split(), starts, strict=True):
            if start is None:  # read together with the word before
                start = found[-1][2] if found else 0.0
            later = [at for at in known if at > start]
            ends = [at for at in self._ends if at > start]
            end = min([*later, *ends, seconds])
            found.append((token, start, min(max(end, start), seconds)))
        return found
