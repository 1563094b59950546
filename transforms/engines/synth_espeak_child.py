"""The process that holds espeak-ng and never speaks: it forks one child per document, which does.

espeak-ng keeps state from one utterance to the next, and one seed of chance per process. A fork of
a parent that has only initialised the library always starts from the same state; the seed is set
anew in it (variants with breath draw noise, by default from the clock). So a document's samples
depend on its own calls alone.

Asked through stdin: u32 length and JSON. Answers on stdout: one letter, u32 length, JSON. Samples
lie in memory that both processes see, the window: pipes would copy them four times.
  "hello"                            -> J {rate, version, voices, variants}
  "document" seed                    -> (a fork takes over until "end")
     "say" text voice speed pitch    -> J {frames, marks, cut, ends}; and P {frames} before it
                                        wherever the window is full, until a byte comes back
     "phonemes" text voice           -> J {clauses}
     "end"                           -> J {}
A child that dies is told as L {status}. Nothing but ctypes is imported: forks stay cheap.
"""

import ctypes
import json
import mmap
import os
import re
import resource
import struct
import sys
from collections.abc import Callable
from typing import Any

_WORD, _END = 1, 5
_SYNCHRONOUS, _UTF8, _CHARACTERS = 2, 1, 1
_RATE, _PITCH = 1, 3
_IPA = 0x02
_DONT_EXIT, _BLOCK_MS = 0x8000, 400  # the library must not end us; how much it gives at once
_MOST = 64 << 20  # bytes of one question: a guard against a broken pipe, no limit in practice

NORMAL_SPEED, NORMAL_PITCH = 175, 50  # words a minute; of 99


_Address = ctypes.c_char * 0  # of memory: the place is all that is wanted


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


class _Voice(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("unused", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Library:
    """espeak-ng, initialised. What it says is laid into `window`; `emptied` is called with the
    number of frames in it where there is no more room, and they may be written over after it."""

    def __init__(
        self, library: str, data: str, window: mmap.mmap, emptied: Callable[[int], None]
    ) -> None:
        self._data = data
        self._window, self._emptied = _Address.from_buffer(window), emptied
        self._begin, self._room = ctypes.addressof(self._window), len(window) // 2
        self._espeak = ctypes.CDLL(library)
        self._espeak.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        self._espeak.espeak_TextToPhonemes.restype = ctypes.c_char_p
        self._espeak.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        self.rate: int = self._espeak.espeak_Initialize(
            _SYNCHRONOUS, _BLOCK_MS, data.encode(), _DONT_EXIT
        )
        if self.rate <= 0:
            raise RuntimeError(f"espeak-ng does not start with the data in {data}")
        self._callback = _CALLBACK(self._heard)  # referenced for as long as the library may call it
        self._espeak.espeak_SetSynthCallback(self._callback)
        self._voice = ""

    def version(self) -> str:
        self._espeak.espeak_Info.restype = ctypes.c_char_p
        said: bytes = self._espeak.espeak_Info(None)
        return said.decode()

    def voices(self) -> list[tuple[str, str]]:
        """Identifier and first language tag of each voice whose dictionary is there."""
        listed = self._espeak.espeak_ListVoices(None)
        found, at = [], 0
        while listed[at]:
            identifier = listed[at].contents.identifier.decode()
            tag = ctypes.string_at(listed[at].contents.languages + 1).decode()
            if os.path.isfile(f"{self._data}/{self._dictionary(identifier, tag)}_dict"):
                found.append((identifier, tag))
            at += 1
        return found

    def _dictionary(self, identifier: str, tag: str) -> str:
        with open(f"{self._data}/lang/{identifier}", encoding="utf-8") as file:
            named = re.search(r"(?m)^dictionary\s+(\S+)", file.read())
        return named[1] if named else tag.split("-")[0]

    def variants(self) -> list[str]:
        return sorted(os.listdir(f"{self._data}/voices/!v"))

    def seed(self, seed: int) -> None:
        self._espeak.espeak_ng_SetRandSeed(seed)

    def _choose(self, voice: str) -> bool:
        if voice != self._voice and self._espeak.espeak_SetVoiceByName(voice.encode()) != 0:
            return False
        self._voice = voice
        return True

    def say(self, question: dict[str, Any]) -> dict[str, Any]:
        if not self._choose(question["voice"]):
            return {"refused": "espeak-ng does not take this voice"}
        self._left: int = question["most"]
        self._held = 0  # frames in the window
        self._marks: list[tuple[int, int]] = []
        self._ends: list[int] = []
        speed = round(NORMAL_SPEED * question["speed"])
        pitch = min(99, max(0, round(NORMAL_PITCH * question["pitch"])))
        self._espeak.espeak_SetParameter(_RATE, speed, 0)
        self._espeak.espeak_SetParameter(_PITCH, pitch, 0)
        data = question["text"].encode() + b"\0"
        size = ctypes.c_size_t(len(data))
        self._espeak.espeak_Synth(data, size, 0, _CHARACTERS, 0, _UTF8, None, None)
        self._espeak.espeak_Synchronize()
        return {
            "frames": self._held,
            "marks": self._marks,
            "ends": self._ends,
            "cut": self._left < 0,
        }

    def _heard(self, wave: Any, count: int, events: Any) -> int:
        at = 0
        while (event := events[at]).type != 0:
            if event.type == _WORD:
                self._marks.append((event.text_position, event.audio_position))
            elif event.type == _END:
                self._ends.append(event.audio_position)
            at += 1
        if wave and count > 0:
            self._left -= count
            if self._left < 0:
                return 1  # stop: more was said than is wanted
            self._keep(wave, count)
        return 0

    def _keep(self, wave: Any, count: int) -> None:
        if self._held + count > self._room:
            self._emptied(self._held)
            self._held = 0
        ctypes.memmove(self._begin + 2 * self._held, wave, 2 * count)
        self._held += count

    def phonemes(self, question: dict[str, Any]) -> dict[str, Any]:
        """IPA, clause by clause, each with the mark that ended it."""
        if not self._choose(question["voice"]):
            return {"refused": "espeak-ng does not take this voice"}
        held = ctypes.create_string_buffer(question["text"].encode() + b"\0")
        start = ctypes.addressof(held)
        at = ctypes.c_void_p(start)
        clauses = []
        while at.value:
            before = at.value - start
            said = self._espeak.espeak_TextToPhonemes(ctypes.byref(at), _UTF8, _IPA)
            after = len(held.raw) if at.value is None else at.value - start
            text = held.raw[before:after].decode("utf-8", "replace").strip("\0")
            clauses.append([(said or b"").decode("utf-8", "replace"), text])
        return {"clauses": clauses}


def _tell(kind: bytes, answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode()
    view = memoryview(struct.pack("<cI", kind, len(data)) + data)
    while view:
        view = view[os.write(1, view) :]


def _hand_over(frames: int) -> None:
    """Have the worker take what is in the window."""
    _tell(b"P", {"frames": frames})
    _read(1)


def _read(count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = os.read(0, count - len(data))
        if not piece:
            os._exit(0)  # the worker is gone
        data += piece
    return data


def _question() -> dict[str, Any]:
    (length,) = struct.unpack("<I", _read(4))
    if length > _MOST:
        os._exit(3)
    asked: dict[str, Any] = json.loads(_read(length))
    return asked


def _document(espeak: Library, seed: int) -> None:
    """The life of a fork."""
    espeak.seed(seed)
    while True:
        asked = _question()
        if asked["ask"] == "end":
            _tell(b"J", {})
            os._exit(0)
        spent = resource.getrusage(resource.RUSAGE_SELF)
        limit = int(spent.ru_utime + spent.ru_stime + asked["seconds"]) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.RLIM_INFINITY))
        _tell(b"J", (espeak.say if asked["ask"] == "say" else espeak.phonemes)(asked))


def main(library: str, data: str, memory_mb: int, window: int) -> None:
    most = memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with mmap.mmap(window, 0) as shared:
        _serve(Library(library, data, shared, _hand_over))


def _serve(espeak: Library) -> None:
    while True:
        asked = _question()
        if asked["ask"] == "hello":
            hello = {"voices": espeak.voices(), "variants": espeak.variants()}
            _tell(b"J", {"rate": espeak.rate, "version": espeak.version(), **hello})
            continue
        child = os.fork()
        if child == 0:
            _document(espeak, asked["seed"])
        _, status = os.waitpid(child, 0)
        if status:
            _tell(b"L", {"status": os.waitstatus_to_exitcode(status)})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
