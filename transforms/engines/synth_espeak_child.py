"""The process that holds espeak-ng and never speaks: it forks one child per document, which does.

espeak-ng keeps state from one utterance to the next, and one seed of chance per process. A fork of
a parent that has only initialised the library always starts from the same state; the seed is set
anew in it (variants with breath draw noise, by default from the clock). So a document's samples
depend on its own calls alone.

Asked through stdin: u32 length and JSON. Answers on stdout: one letter, u32 length, bytes.
  "hello"                            -> J {rate, version, voices, variants}
  "document" seed                    -> (a fork takes over until "end")
     "say" text voice speed pitch    -> P samples (often), then J {marks, cut, ends}
     "phonemes" text voice           -> J {phonemes}
     "end"                           -> J {}
A child that dies is told as L {status}. Nothing but ctypes is imported: forks stay cheap.
"""

import ctypes
import json
import os
import re
import resource
import struct
import sys
from typing import Any

_WORD, _END = 1, 5
_SYNCHRONOUS, _UTF8, _CHARACTERS = 2, 1, 1
_RATE, _PITCH = 1, 3
_IPA = 0x02
_DONT_EXIT, _BLOCK_MS = 0x8000, 400  # the library must not end us; how much it gives at once
_FRAME = 1 << 18  # bytes of samples sent at once: 6 s, so that few switches of process are needed
_MOST = 64 << 20  # bytes of one question: a guard against a broken pipe, no limit in practice

NORMAL_SPEED, NORMAL_PITCH = 175, 50  # words a minute; of 99


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
    """espeak-ng, initialised."""

    def __init__(self, library: str, data: str) -> None:
        self._data = data
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

    def say(self, question: dict[str, Any]) -> None:
        if not self._choose(question["voice"]):
            return _tell(b"J", {"refused": "espeak-ng does not take this voice"})
        self._left: int = question["most"]
        self._samples = bytearray()
        self._marks: list[tuple[int, int, int]] = []
        self._ends: list[int] = []
        speed = round(NORMAL_SPEED * question["speed"])
        pitch = min(99, max(0, round(NORMAL_PITCH * question["pitch"])))
        self._espeak.espeak_SetParameter(_RATE, speed, 0)
        self._espeak.espeak_SetParameter(_PITCH, pitch, 0)
        data = question["text"].encode() + b"\0"
        size = ctypes.c_size_t(len(data))
        self._espeak.espeak_Synth(data, size, 0, _CHARACTERS, 0, _UTF8, None, None)
        self._espeak.espeak_Synchronize()
        self._flush()
        return _tell(b"J", {"marks": self._marks, "ends": self._ends, "cut": self._left < 0})

    def _heard(self, wave: Any, count: int, events: Any) -> int:
        at = 0
        while events[at].type != 0:
            event = events[at]
            if event.type == _WORD:
                self._marks.append((event.text_position, event.length, event.audio_position))
            elif event.type == _END:
                self._ends.append(event.audio_position)
            at += 1
        if wave and count > 0:
            self._left -= count
            if self._left < 0:
                return 1  # stop: more was said than is wanted
            self._samples += ctypes.string_at(wave, 2 * count)
            if len(self._samples) >= _FRAME:
                self._flush()
        return 0

    def _flush(self) -> None:
        if self._samples:
            _send(b"P", self._samples)
            self._samples = bytearray()

    def phonemes(self, question: dict[str, Any]) -> None:
        """IPA, clause by clause, each with the mark that ended it."""
        if not self._choose(question["voice"]):
            return _tell(b"J", {"refused": "espeak-ng does not take this voice"})
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
        return _tell(b"J", {"clauses": clauses})


def _send(kind: bytes, data: bytes | bytearray) -> None:
    view = memoryview(struct.pack("<cI", kind, len(data)) + data)
    while view:
        view = view[os.write(1, view) :]


def _tell(kind: bytes, answer: dict[str, Any]) -> None:
    _send(kind, json.dumps(answer).encode())


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
        (espeak.say if asked["ask"] == "say" else espeak.phonemes)(asked)


def main(library: str, data: str, memory_mb: int) -> None:
    most = memory_mb << 20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    espeak = Library(library, data)
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
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
