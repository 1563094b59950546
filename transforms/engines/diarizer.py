"""Who speaks when: every stretch of speech of a channel, cut into turns of one speaker each.

An engine is given the stretches that hold speech and answers for all of their frames, so nothing
can be lost between the two; what it hears no voice in it says is nobody's. Speakers are called
spk0, spk1, ... in order of first appearance; naming them better is the step's business.

`resemblyzer` listens to 1.6 s at a time, every 0.8 s (`voice`), and groups what it heard
(`clustering`). Most changes of speaker fall between two stretches; one inside a stretch is put
where the sound is quietest around the middle between two windows. Overlapping speech goes to one
speaker: knowing better takes a model that hears both, which `pyannote/<directory or hub id>` does
(`pyannote_pipeline`).
"""

import bisect
import dataclasses
import difflib
import importlib.metadata
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np

from schemas.records import Turn
from transforms.engines import clustering, timeline, voice
from transforms.engines.pyannote_files import place_of
from transforms.engines.pyannote_pipeline import Pyannote
from transforms.engines.turns import Stretches, checked, without_short
from transforms.engines.voice import Float32
from transforms.step import Audio, Pcm16

PIECE = 60  # seconds of a stretch that are held at once; a multiple of the windows' 0.8 s
_LIBRARIES = ("numpy", "scipy", "soxr", "torch")  # whose versions may change the answer
_PER_SECOND = 100  # points at which the loudness is known, and a turn may begin


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    """What a recipe may set; each engine uses what it knows.

    `max_speakers` None: as many as there are.
    """

    min_turn_seconds: float = 0.5
    max_speakers: int | None = None
    block_windows: int = clustering.BLOCK
    same_speaker: float = clustering.SAME_SPEAKER
    window_seconds: float = 1200.0
    window_overlap_seconds: float = 60.0
    link_similarity: float = 0.7


class Diarizer(Protocol):
    """An engine, loaded. Answers depend on one channel's samples alone, not on calls before."""

    def turns(self, audio: Audio, channel: int, stretches: Stretches, rate: int) -> Sequence[Turn]:
        """Turns that cover the stretches exactly: ascending, none across a stretch's border.

        `stretches` in frames of `channel`, ascending and disjoint; `rate` in hertz. A turn's
        times are frame / rate. Two turns that touch inside a stretch differ in speaker. Where
        an engine hears no voice, the speaker is `turns.NOBODY`; one that hears several voices at
        once answers with `turns.Spoken`, which tell where.
        """
        ...


class Engine(Protocol):
    """An engine by its name: what makes it, and what it is."""

    def __call__(self, options: Options) -> Diarizer:
        """The engine, loaded."""
        ...

    def fingerprint(self) -> dict[str, str]:
        """What, beyond the settings, changes the answers: library versions, model digests.

        Needs no loaded model, because planning a run asks for it.
        """
        ...

    def imports(self) -> tuple[str, ...]:
        """What `Step.imports` says of it."""
        ...


class One:
    """Weightless reference: all that is said in a channel is said by one speaker."""

    def __init__(self, options: Options) -> None:
        del options

    def turns(self, audio: Audio, channel: int, stretches: Stretches, rate: int) -> list[Turn]:
        return [_turn(0, start, end, rate) for start, end in checked(stretches)]

    @staticmethod
    def fingerprint() -> dict[str, str]:
        return {}

    @staticmethod
    def imports() -> tuple[str, ...]:
        return ()


@dataclasses.dataclass(frozen=True, slots=True)
class _Heard:
    """One stretch, listened to."""

    windows: list[Float32]
    centres: list[int]  # frame in the middle of each window, ascending
    loudness: list[Float32]  # mean square of every 10 ms, piece by piece


class Resemblyzer:
    """Voice embeddings of Resemblyzer's encoder, grouped by spectral clustering."""

    def __init__(self, options: Options, encoder: voice.Encoder | None = None) -> None:
        self._options = options
        self._encoder = encoder or voice.load_encoder()

    @staticmethod
    def fingerprint() -> dict[str, str]:
        versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
        return {"weights": voice.weights_digest(), **versions}

    @staticmethod
    def imports() -> tuple[str, ...]:
        return ("torch", "scipy.linalg", "scipy.cluster.hierarchy", "scipy.ndimage")

    def turns(self, audio: Audio, channel: int, stretches: Stretches, rate: int) -> list[Turn]:
        stretches = checked(stretches)
        expected = sum(_window_count(end - start, rate) for start, end in stretches)
        if expected < 2 * clustering.FEWEST or self._options.max_speakers == 1:
            return One(self._options).turns(audio, channel, stretches, rate)
        heard: list[_Heard] = []

        def windows() -> Iterator[Float32]:
            for start, end in stretches:
                found = _listen(audio, channel, start, end, rate)
                yield from found.windows
                heard.append(dataclasses.replace(found, windows=[]))

        with voice.one_thread():
            embeddings = self._encoder.embed(windows())
            labels = clustering.clusters(
                embeddings,
                block=self._options.block_windows,
                same_speaker=self._options.same_speaker,
                max_speakers=self._options.max_speakers,
            )
            leaning = _leaning(embeddings, labels)
        ends = np.cumsum([len(found.centres) for found in heard])[:-1]
        own = [part.tolist() for part in np.split(labels, ends)]
        guests = _nearest_labels(stretches, own)
        least = round(self._options.min_turn_seconds * rate)
        spoken: list[tuple[int, int, int]] = []
        for (start, end), found, said, guest, shares in zip(
            stretches, heard, own, guests, np.split(leaning, ends), strict=True
        ):
            borders = _borders(found, said, shares, start, end, rate)
            runs = zip(said or [guest], borders[:-1], borders[1:], strict=True)
            spoken += without_short(list(runs), least)
        names = {speaker: name for name, speaker in enumerate(dict.fromkeys(s for s, *_ in spoken))}
        return [_turn(names[speaker], start, end, rate) for speaker, start, end in spoken]


def _turn(speaker: int, start: int, end: int, rate: int) -> Turn:
    return Turn(speaker=f"spk{speaker}", start=start / rate, end=end / rate)


def _pieces(start: int, end: int, rate: int) -> Iterator[tuple[int, int]]:
    for first in range(start, end, PIECE * rate):
        yield first, min(end, first + PIECE * rate)


def _window_count(length: int, rate: int) -> int:
    return sum(
        len(voice.window_starts(_mel_frames(b - a, rate))) for a, b in _pieces(0, length, rate)
    )


def _mel_frames(length: int, rate: int) -> int:
    return 1 + round(length * voice.RATE / rate) // voice.HOP


def _listen(audio: Audio, channel: int, start: int, end: int, rate: int) -> _Heard:
    found = _Heard([], [], [])
    for first, last in _pieces(start, end, rate):
        samples = audio.read(channel, first, last)
        mel = voice.mel_spectrogram(voice.raised(timeline.heard(samples, rate)))
        half = min(len(mel), voice.WINDOW) / 2
        found.windows.extend(voice.mel_windows(mel))
        found.centres.extend(
            first + round((begin + half) * voice.HOP * rate / voice.RATE)
            for begin in voice.window_starts(len(mel))
        )
        found.loudness.append(_loudness(samples, rate // _PER_SECOND))
    return found


def _loudness(samples: Pcm16, size: int) -> Float32:
    """Mean square of every `size` samples; a rest at the end is left out."""
    whole = len(samples) - len(samples) % size
    rows = samples[:whole].astype(np.float32).reshape(-1, size)
    return np.asarray(np.mean(np.square(rows), axis=1), dtype=np.float32)


def _nearest_labels(stretches: Stretches, own: list[list[int]]) -> list[int]:
    """For each stretch the label at the near end of the stretch closest to it that has one.

    Of two that are equally close the earlier counts: an answer of "yes" belongs to whoever
    spoke, as likely as not.
    """
    known = [index for index, labels in enumerate(own) if labels]
    answers = []
    for index, (start, end) in enumerate(stretches):
        place = bisect.bisect_left(known, index)
        before = known[place - 1] if place > 0 else None
        after = known[place] if place < len(known) else None
        if before is not None and (
            after is None or start - stretches[before][1] <= stretches[after][0] - end
        ):
            answers.append(own[before][-1])
        else:
            answers.append(own[after][0] if after is not None else 0)
    return answers


def _leaning(embeddings: Float32, labels: clustering.Labels) -> Float32:
    """How far the change between each window and the next lies from the first one's centre, [n].

    As a share of the way to the second one's. A window that hears some of the next speaker leans
    towards that speaker's mean: the change is taken to be where the leaning, linear in time,
    favours neither. One half where the speaker stays; the last value means nothing.
    """
    shares = np.full(len(labels), 0.5, dtype=np.float32)
    means = np.stack([embeddings[labels == k].mean(axis=0) for k in range(int(labels.max()) + 1)])
    means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
    for index in np.flatnonzero(labels[:-1] != labels[1:]):
        across = means[labels[index]] - means[labels[index + 1]]
        before = max(0.0, float(np.dot(embeddings[index], across)))
        after = max(0.0, -float(np.dot(embeddings[index + 1], across)))
        if before + after > 0:
            shares[index] = before / (before + after)
    return shares


def _borders(
    found: _Heard, labels: list[int], shares: Float32, start: int, end: int, rate: int
) -> list[int]:
    """Where each window's share of the stretch begins, and its end: one more than windows.

    Between windows of different labels the border goes to the quietest 10 ms within a quarter
    of their distance from where `shares` puts it.
    """
    centres = found.centres
    borders = [start]
    loudness = np.concatenate(found.loudness)
    size = rate // _PER_SECOND
    for index in range(1, len(centres)):
        apart = centres[index] - centres[index - 1]
        border = centres[index - 1] + round(apart * float(shares[index - 1]))
        if labels[index - 1] != labels[index]:
            first = max(0, (border - apart // 4 - start) // size)
            last = (border + apart // 4 - start) // size + 1
            around = loudness[first:last]
            if len(around):
                border = start + (first + int(np.argmin(around))) * size + size // 2
        borders.append(min(max(border, borders[-1] + 1), end - 1))
    return [*borders, end]


ENGINES: dict[str, Engine] = {"resemblyzer": Resemblyzer, "one": One}
BY_PLACE = "pyannote"  # its model is named after it: pyannote/<directory or hub id>


def engine(name: str, device: str = "auto") -> Engine:
    """The engine of a name. Raises `ValueError` with the nearest known name.

    `device`: auto, cpu or cuda, for engines that can use a GPU.
    """
    if name == BY_PLACE or name.startswith(f"{BY_PLACE}/"):
        return Pyannote(place_of(name), device)
    if name not in ENGINES:
        known = [*ENGINES, f"{BY_PLACE}/<directory or hub id>"]
        near = difflib.get_close_matches(name, [*ENGINES, BY_PLACE], n=1, cutoff=0.0)[0]
        raise ValueError(
            f"unknown diarizer {name!r}; did you mean {near!r}? Known: {', '.join(known)}"
        )
    return ENGINES[name]
