"""Clips over made sound: what a measure sees of the world, without a pipeline."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.signal import lfilter

from schemas.ids import digest_of
from schemas.records import Clip, Score, Scores, Task, clip_id, task_id
from transforms.step import Measure, Pcm16, Scope

RATE = 16_000


@dataclasses.dataclass(frozen=True)
class Sound:
    """The samples of one channel in memory, as `transforms.step.Audio` wants them."""

    pcm: Pcm16
    rate: int = RATE

    def channels(self) -> Sequence[int]:
        return (0,)

    def length(self, channel: int) -> int:
        return len(self.pcm)

    def read(self, channel: int, start: int, end: int) -> Pcm16:
        return self.pcm[start:end]


def make_clip(start: int, end: int, rate: int = RATE, text: str = "", index: int = 0) -> Clip:
    """A clip over frames [start, end) of channel 0."""
    recording = digest_of("recording")
    task = task_id(recording, None, None, None, None)
    return Clip(
        id=clip_id(task, 0, start, end, rate, "spk0"),
        task=task,
        recording=recording,
        channel=0,
        index=index,
        start=start / rate,
        end=end / rate,
        rate=rate,
        speaker="spk0",
        text=text,
    )


def make_scope(pcm: Pcm16 | None = None, rate: int = RATE) -> Scope:
    recording = digest_of("recording")
    root = Task(id=task_id(recording, None, None, None, None), recording=recording)
    return Scope(root=root, seed=17, audio=None if pcm is None else Sound(pcm, rate))


def to_pcm(wave: np.ndarray) -> Pcm16:
    return np.clip(np.rint(wave * 32768), -32768, 32767).astype(np.int16)


def speechlike(seconds: float, seed: int, rate: int = RATE) -> np.ndarray:
    """Bursts of coloured noise with the rhythm of syllables, with pauses: mean power 0.01."""
    rng = np.random.default_rng(seed)
    length = int(seconds * rate)
    envelope = np.zeros(length)
    at = 0
    while at < length:
        long = int(rng.uniform(0.12, 0.3) * rate)
        burst = np.hanning(long) * rng.uniform(0.2, 1)
        end = min(length, at + long)
        envelope[at:end] += burst[: end - at]
        pause = 0.0 if rng.random() < 0.75 else rng.uniform(0.1, 0.5)
        at += int(long * rng.uniform(0.7, 1.0)) + int(pause * rate)
    sound = lfilter([1.0], [1.0, -1.6, 0.8], rng.standard_normal(length)) * envelope
    return sound * 0.1 / np.sqrt(np.mean(sound**2))


def score(measure: Measure, clips: Sequence[Clip], scope: Scope) -> list[Scores]:
    """A measure's answers over the clips of one sound, its model loaded as a worker does."""
    return list(measure(clips, measure.load(), scope))


def value(measure: Measure, pcm: Pcm16, rate: int = RATE) -> Score:
    """A measure's first column for one clip over the whole of a sound."""
    (scores,) = score(measure, [make_clip(0, len(pcm), rate)], make_scope(pcm, rate))
    return scores.values[0]
