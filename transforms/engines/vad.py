"""Voice activity: how much each 32 ms of a recording sounds like speech, 0 to 1.

An engine answers for the whole of one channel, given block by block, and keeps no state between
two calls: the answer cannot depend on the recording before it, on how the samples were cut into
blocks, or on threads. The samples are held one block at a time; the answer takes 4 bytes per
32 ms, 4.5 MB for 10 hours. Thresholds, borders and units belong to the step that asks.

Silero runs straight through onnxruntime: importing its package would import torch (seconds and
half a gigabyte per worker) and set torch to one thread for the whole process. The price is that
the few lines which frame its input stand here; a test compares them with the package's own model.
"""

import difflib
import functools
import hashlib
import importlib.metadata
import importlib.util
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

RATE = 16_000  # hertz; what every engine is given
FRAME = 512  # samples per answer: 32 ms
FRAME_MS = 32
_BLOCK = 512  # frames per model call: 16.4 s

Pcm16 = npt.NDArray[np.int16]
Curve = npt.NDArray[np.float32]


class Vad(Protocol):
    """An engine. `probabilities` is a pure function of the samples, however they are cut."""

    def probabilities(self, blocks: Iterable[Pcm16]) -> Curve:
        """Speech probability per frame, shape [ceil(samples / FRAME)], finite, 0..1.

        `blocks` are consecutive PCM16 samples of one channel at `RATE`, of any sizes, shape [n].
        The last frame is completed with zeros. No samples give an empty answer.
        """
        ...

    @classmethod
    def fingerprint(cls) -> dict[str, str]:
        """What, beyond the settings, changes the answers: library versions, model digests.
        Loads no model."""
        ...


def regroup(blocks: Iterable[Pcm16], size: int) -> Iterator[Pcm16]:
    """The same samples in blocks of exactly `size`, the last one shorter; never an empty one."""
    waiting: list[Pcm16] = []
    held = 0
    for block in blocks:
        waiting.append(block)
        held += len(block)
        if held < size:
            continue
        joined = np.concatenate(waiting)
        whole = len(joined) - len(joined) % size
        for start in range(0, whole, size):
            yield joined[start : start + size]
        waiting, held = [joined[whole:]], len(joined) - whole
    if held:
        yield np.concatenate(waiting)


def at_rate(blocks: Iterable[Pcm16], rate: int) -> Iterator[Pcm16]:
    """The blocks resampled from `rate` to `RATE`: band-limited, streaming, zero delay.

    n samples become exactly ceil(n * RATE / rate), so that the engine's frames and the
    recording's 32 ms stretches stay the same in number.
    """
    if rate == RATE:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate, RATE, 1, dtype="float32", quality="HQ")
    taken = given = 0
    for block in regroup(blocks, rate * 8):
        taken += len(block)
        out = _to_pcm(stream.resample_chunk(block.astype(np.float32)))
        given += len(out)
        yield out
    tail = _to_pcm(stream.resample_chunk(np.zeros(0, np.float32), last=True))
    wanted = -(-taken * RATE // rate) - given  # the filter rounds to nearest, we round up
    yield np.pad(tail, (0, max(0, wanted - len(tail))))[: max(0, wanted)]


def _to_pcm(samples: npt.NDArray[np.float32]) -> Pcm16:
    return np.clip(np.rint(samples), -32768, 32767).astype(np.int16)


@functools.cache
def _file_digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Silero:
    """Silero VAD's recurrent network from its wheel, on one thread. 16 kHz.

    Source: the package `silero-vad`, file `silero_vad_16k_sequence.onnx`: one call answers for a
    block of frames, and the recurrent state goes in and out of the call.
    """

    _CONTEXT = 64  # samples of the previous frame that the network sees before each frame

    def __init__(self) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(
            str(self.model_path()), options, providers=["CPUExecutionProvider"]
        )

    @staticmethod
    def model_path() -> pathlib.Path:
        """The network's file inside the installed wheel, found without importing the package."""
        spec = importlib.util.find_spec("silero_vad")
        if spec is None or not spec.submodule_search_locations:
            raise ModuleNotFoundError(
                "the VAD engine silero needs the package silero-vad; install it, or choose "
                "another engine for the step segment (energy needs no model)"
            )
        path = pathlib.Path(spec.submodule_search_locations[0], "data/silero_vad_16k_sequence.onnx")
        if not path.is_file():
            raise FileNotFoundError(
                f"{path} is missing: the installed silero-vad "
                f"{importlib.metadata.version('silero-vad')} has no sequence model; 6.2 has"
            )
        return path

    @classmethod
    def fingerprint(cls) -> dict[str, str]:
        return {
            "onnxruntime": importlib.metadata.version("onnxruntime"),
            "model": _file_digest(cls.model_path()),
        }

    def probabilities(self, blocks: Iterable[Pcm16]) -> Curve:
        hidden = np.zeros((1, 1, 128), np.float32)
        cell = np.zeros((1, 1, 128), np.float32)
        context = np.zeros(self._CONTEXT, np.float32)
        answers: list[Curve] = []
        for block in regroup(blocks, FRAME * _BLOCK):
            frames = _frames(block)
            contexts = np.vstack([context, frames[:-1, -self._CONTEXT :]])
            context = frames[-1, -self._CONTEXT :]
            answer, hidden, cell = self._session.run(
                ["speech_probs", "hn", "cn"],
                {"input": np.hstack([contexts, frames]), "h": hidden, "c": cell},
            )
            answers.append(answer.reshape(-1))
        return _joined(answers)


class Energy:
    """Weightless reference: how far each frame rises above the quiet tenth of the recording.

    Good for clean recordings and for tests; it takes loud music for speech. A recording whose
    loud frames are less than `_CONTRAST` above its quiet ones holds no speech for it.
    """

    _CONTRAST = 12.0  # dB between the 10th and the 95th percentile; speech in rooms: 25 to 50
    _SHARE = 0.4  # of that range: where the probability is one half
    _FAINT = -70.0  # dBFS; below it nothing is speech (a 16-bit sample's step is -90)

    @classmethod
    def fingerprint(cls) -> dict[str, str]:
        return {"numpy": np.__version__}

    def probabilities(self, blocks: Iterable[Pcm16]) -> Curve:
        levels = _joined([_level(_frames(block)) for block in regroup(blocks, FRAME * _BLOCK)])
        if not len(levels):
            return levels
        quiet, loud = (float(level) for level in np.percentile(levels, (10, 95)))
        middle = max(quiet + self._SHARE * (loud - quiet), self._FAINT)
        if loud - quiet < self._CONTRAST:
            return np.zeros(len(levels), np.float32)
        smooth = np.convolve(np.pad(levels, 2, mode="edge"), np.full(5, 0.2), "valid")
        return (1 / (1 + np.exp((middle - smooth) / 3))).astype(np.float32)


class Whole:
    """Everything is speech: for ready-cut utterances, whose borders somebody else has chosen.

    Quieter frames are a little less so, in order that a cut that must be made falls there.
    """

    @classmethod
    def fingerprint(cls) -> dict[str, str]:
        return {"numpy": np.__version__}

    def probabilities(self, blocks: Iterable[Pcm16]) -> Curve:
        levels = _joined([_level(_frames(block)) for block in regroup(blocks, FRAME * _BLOCK)])
        return (1 + np.clip(levels, -100, 0) / 10_000).astype(np.float32)  # 0.99 .. 1


def _frames(block: Pcm16) -> npt.NDArray[np.float32]:
    """A block as rows of `FRAME` samples in -1..1, the last row completed with zeros."""
    padded = np.pad(block, (0, -len(block) % FRAME))
    return padded.reshape(-1, FRAME).astype(np.float32) / np.float32(32768)


def _level(frames: npt.NDArray[np.float32]) -> Curve:
    """Level of each row in dBFS, at least -100."""
    power = np.mean(np.square(frames, dtype=np.float64), axis=1)
    levels: Curve = (10 * np.log10(np.maximum(power, 1e-10))).astype(np.float32)
    return levels


def _joined(answers: list[Curve]) -> Curve:
    return np.concatenate(answers) if answers else np.zeros(0, np.float32)


ENGINES: dict[str, type[Vad]] = {"silero": Silero, "energy": Energy, "whole": Whole}


def engine(name: str) -> type[Vad]:
    """The engine's class. Raises `ValueError` with the nearest known name."""
    if name not in ENGINES:
        near = difflib.get_close_matches(name, ENGINES, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"unknown VAD engine {name!r}; did you mean {near!r}? Known: {', '.join(ENGINES)}"
        )
    return ENGINES[name]
