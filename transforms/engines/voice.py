"""Voice embeddings: 256 numbers per 1.6 s of speech that lie close together for one speaker.

The weights are Resemblyzer's VoiceEncoder (generalised end-to-end loss, Wan et al. 2018), read
from the installed wheel without importing the package, whose imports pull in librosa and a
compiled voice detector that nothing here needs. The network is three LSTM layers and one linear
layer, run by torch's oneDNN kernel (1.9 ms per window on one thread; torch's own loop and
explicit matrix products take 5.3).

Results must not depend on neighbours: an embedding changes in its last bits with the batch's
size and with the number of threads, so batches hold one channel's windows only, have one fixed
size (the last one is filled up with zeros), and run on one thread.
"""

import contextlib
import dataclasses
import functools
import hashlib
import importlib.util
import pathlib
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]

RATE = 16000  # hertz, of what the network hears
FFT = 400  # samples: 25 ms
HOP = 160  # samples: 10 ms
MELS = 40
WINDOW = 160  # mel frames the network hears at once: 1.6 s
STEP = 80  # mel frames from one window to the next: 0.8 s
SHORTEST = 20  # mel frames: less than 0.2 s of speech says nothing about its speaker
SIZE = 256  # numbers per embedding
BATCH = 16  # windows; part of the result, see above. Larger ones are no faster
LOUDNESS = -30.0  # dBFS to which quiet speech is raised, as in training
_HIDDEN, _LAYERS = 256, 3


class WeightsMissing(RuntimeError):
    """The voice encoder's weights are not installed."""


def weights_path() -> pathlib.Path:
    """The weights inside the installed Resemblyzer wheel. Raises `WeightsMissing`."""
    spec = importlib.util.find_spec("resemblyzer")  # finds a package, does not import it
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = pathlib.Path(folder) / "pretrained.pt"
        if path.is_file():
            return path
    raise WeightsMissing(
        "the diarizer 'resemblyzer' needs the file pretrained.pt of the package Resemblyzer, "
        "which is not installed; run `pip install --no-deps Resemblyzer==0.1.4`, or choose "
        "another diarizer"
    )


def weights_digest() -> str:
    """The sha256 of the weights: part of every key under which their results are stored."""
    return hashlib.sha256(weights_path().read_bytes()).hexdigest()


@functools.cache
def mel_filters() -> Float32:
    """Triangular filters on the Slaney mel scale, each of area 1 (in hertz), [201, 40].

    The scale is linear below 1 kHz (15 mels per kHz) and logarithmic above (27 mels per factor
    of 6.4), as in Slaney's Auditory Toolbox, which librosa follows.
    """
    knee, per_hertz, log_step = 1000.0, 3 / 200, np.log(6.4) / 27
    top = knee * per_hertz + np.log(RATE / 2 / knee) / log_step
    mels = np.linspace(0.0, top, MELS + 2)
    edges = np.where(
        mels < knee * per_hertz,
        mels / per_hertz,
        knee * np.exp(log_step * (mels - knee * per_hertz)),
    )
    bins = np.linspace(0.0, RATE / 2, FFT // 2 + 1)[:, None]
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    filters = np.maximum(0.0, np.minimum(rising, falling)) * 2 / (edges[2:] - edges[:-2])
    return np.asarray(filters, dtype=np.float32)


def mel_spectrogram(samples: Float32) -> Float32:
    """Power in 40 mel bands every 10 ms, [1 + len(samples) // 160, 40]; samples at 16 kHz.

    Frames are centred, with zeros beyond both ends, under a periodic Hann window. The last bits
    depend on the number of threads: call it inside `one_thread`.
    """
    padded = np.pad(samples, FFT // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)).astype(np.float32)
    spectrum = np.fft.rfft(frames * hann, axis=1)
    power = spectrum.real**2 + spectrum.imag**2
    return np.asarray(power.astype(np.float32) @ mel_filters(), dtype=np.float32)


def raised(samples: Float32) -> Float32:
    """Quiet speech raised to -30 dBFS; louder speech and digital silence as they are."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    target = 10.0 ** (LOUDNESS / 10)
    if power <= 0.0 or power >= target:
        return samples
    return samples * np.float32(np.sqrt(target / power))


def window_starts(frames: int) -> list[int]:
    """First mel frames of the windows over a stretch of `frames`; the last reaches its end.

    None below 0.2 s; one at 0 up to 1.6 s (a shorter stretch is repeated to fill its window).
    """
    if frames < SHORTEST:
        return []
    if frames <= WINDOW:
        return [0]
    starts = list(range(0, frames - WINDOW + 1, STEP))
    if starts[-1] + WINDOW < frames:
        starts.append(frames - WINDOW)
    return starts


def mel_windows(mel: Float32) -> list[Float32]:
    """The windows of one stretch, each [160, 40], at `window_starts(len(mel))`."""
    if len(mel) < WINDOW:
        repeats = -(-WINDOW // max(1, len(mel)))
        mel_tiled = np.tile(mel, (repeats, 1))[:WINDOW]
        return [mel_tiled for _ in window_starts(len(mel))]
    return [mel[start : start + WINDOW] for start in window_starts(len(mel))]


@functools.cache
def _thread_pools() -> Any:
    """The thread pools of the loaded libraries, found once: looking takes milliseconds."""
    import scipy.linalg  # noqa: F401  (brings a BLAS of its own, which must be there to be found)
    import threadpoolctl
    import torch  # noqa: F401

    return threadpoolctl.ThreadpoolController()


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """One thread for torch and for the linear algebra of numpy and scipy; restored after."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with _thread_pools().limit(limits=1):
            yield
    finally:
        torch.set_num_threads(before)


class Encoder(Protocol):
    """Turns windows of mel frames into unit vectors."""

    def embed(self, windows: Iterable[Float32]) -> Float32:
        """Unit vectors [n, d] of the windows ([160, 40] each) of one channel, in order."""
        ...


@dataclasses.dataclass(frozen=True)
class VoiceEncoder:
    """The network, ready to run. Holds no state between calls."""

    lstm: Any
    linear: Any

    def embed(self, windows: Iterable[Float32]) -> Float32:
        """Unit vectors [n, 256] of the windows ([160, 40] each) of one channel, in order.

        Takes the windows as they come: holds one batch of them, whatever their number.
        """
        import torch

        found: list[Float32] = []
        batch = torch.zeros(BATCH, WINDOW, MELS)
        slots, filled = batch.numpy(), 0

        def flush() -> None:
            slots[filled:] = 0.0
            hidden = self.lstm(batch)[1][0][-1]
            vectors = torch.relu(self.linear(hidden)).numpy()[:filled]
            norms = np.sqrt(np.sum(np.square(vectors, dtype=np.float64), axis=1, keepdims=True))
            found.append((vectors / np.maximum(norms, 1e-12)).astype(np.float32))

        with one_thread(), torch.inference_mode():
            for window in windows:
                slots[filled] = window
                filled += 1
                if filled == BATCH:
                    flush()
                    filled = 0
            if filled:
                flush()
        return np.concatenate(found) if found else np.zeros((0, SIZE), dtype=np.float32)


def load_encoder() -> VoiceEncoder:
    """The encoder with its published weights (5.7 MB). Raises `WeightsMissing`."""
    path = weights_path()
    return _encoder(str(path), path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=1)
def _encoder(path: str, modified: int) -> VoiceEncoder:
    """One per process, shared by streams and threads: it is never changed."""
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)["model_state"]
    lstm = torch.nn.LSTM(MELS, _HIDDEN, _LAYERS, batch_first=True)
    linear = torch.nn.Linear(_HIDDEN, SIZE)
    for name, module in (("lstm.", lstm), ("linear.", linear)):
        module.load_state_dict(
            {key.removeprefix(name): value for key, value in state.items() if key.startswith(name)}
        )
        module.eval().requires_grad_(False)
    return VoiceEncoder(lstm=lstm, linear=linear)
