"""pyannote.audio as a diarizer: neural segmentation that hears several voices at once.

The file is not called pyannote.py, which would shadow the package. Its import takes seconds and
1 GB, so it happens when the model is loaded. Results must not depend on neighbours, threads or
the process: a run is one window of one channel, on one thread, with a fixed seed that no other
user of torch's generator sees, without TensorFloat-32, and one at a time per process.

Its telemetry, on by default, is switched off before the import, whatever the environment says.
"""

import contextlib
import dataclasses
import importlib.metadata
import os
import pathlib
import threading
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from transforms.engines import pyannote_files, timeline, voice
from transforms.engines.device_memory import free_caches, twice
from transforms.engines.models import ModelError
from transforms.engines.voice import Float32
from transforms.engines.windowed import Heard, Voice, Windowed

if TYPE_CHECKING:
    from transforms.engines.diarizer import Options

# Whose versions may change the answer.
_LIBRARIES = ("pyannote.audio", "torch", "torchaudio", "lightning", "numpy", "scipy", "soxr")
SHORTEST = 10.0  # seconds; shorter sound is followed by silence, at least a segmentation window


@dataclasses.dataclass(frozen=True)
class Pyannote:
    """The engine `pyannote/<place>` before it is loaded: what it is, and how to make it."""

    place: str  # directory, or hub id with an optional @revision
    device: str = "auto"

    def __call__(self, options: "Options") -> Windowed:
        return Windowed(options, load(self.place, self.device))

    def fingerprint(self) -> dict[str, str]:
        pyannote_files.require_package()
        versions = {name: importlib.metadata.version(name) for name in _LIBRARIES}
        return {
            "model": pyannote_files.digest(pyannote_files.directory(self.place)),
            "device": device_of(self.device)[1],
            **versions,
        }

    @staticmethod
    def imports() -> tuple[str, ...]:
        return ("torch",)


def device_of(wanted: str) -> tuple[str, str]:
    """The torch device for `auto`, `cpu` or `cuda`, and its name in keys: "cpu", "cuda/NVIDIA ...".

    Raises `ModelError` where a GPU is asked for and there is none.
    """
    import torch

    present = wanted != "cpu" and torch.cuda.is_available()
    if wanted == "cuda" and not present:
        raise ModelError(
            "pyannote",
            "diarize.device is cuda, and torch finds no GPU: set it to auto or cpu, or run on a "
            "machine with one",
        )
    return ("cuda", f"cuda/{torch.cuda.get_device_name()}") if present else ("cpu", "cpu")


_listeners: dict[tuple[str, str], "Listener"] = {}
_loading = threading.Lock()


def load(place: str, device: str = "auto") -> "Listener":
    """The pipeline, ready to run: one per process for the same files, whatever steps use it.

    Its users take turns. Raises `ModelError`.
    """
    pyannote_files.require_package()
    path = pyannote_files.directory(place)
    name, _ = device_of(device)
    key = (pyannote_files.digest(path), name)
    with _loading:
        if key not in _listeners:
            _listeners[key] = _listener(path, place, name)
        return _listeners[key]


def _listener(path: pathlib.Path, place: str, name: str) -> "Listener":
    pyannote_files.check_pickles(path, place)
    if name == "cuda":
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # before the first product
    import torch

    pipeline = _loaded(path, place)
    _check_finite(pipeline, path, place)
    pipeline.to(torch.device(name))
    return Listener(pipeline)


class Listener:
    """A loaded pipeline as `windowed` asks it."""

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline
        self._shortest = max(SHORTEST, float(pipeline._segmentation.duration))
        self._lock = threading.Lock()

    def hear(self, samples: Float32, most_speakers: int | None) -> Heard:
        """Who speaks in one window; see `windowed.Listener`. Sound shorter than a segmentation
        window is padded with silence, and what is heard beyond its end left out. Raises
        `NoRoomError` where the device has no room, twice."""
        import torch

        seconds = len(samples) / timeline.RATE
        least = round(self._shortest * timeline.RATE)
        padded = np.pad(samples, (0, max(0, least - len(samples))))
        bounds = {} if most_speakers is None else {"max_speakers": most_speakers}

        def ask() -> Any:
            sound = {
                "waveform": torch.from_numpy(padded)[None],
                "sample_rate": timeline.RATE,
                "uri": "window",
            }
            try:
                return self._pipeline(sound, **bounds)
            except MemoryError as error:  # how the library tells of a full device
                raise RuntimeError(f"out of memory: {error}") from error

        with self._lock, _repeatable():
            said = twice(ask, free_caches)
        labels = said.speaker_diarization.labels()
        place = {label: number for number, label in enumerate(labels)}
        return Heard(
            turns=_voices(said.exclusive_speaker_diarization, place, seconds),
            voices=_voices(said.speaker_diarization, place, seconds),
            embeddings=np.asarray(said.speaker_embeddings, dtype=np.float32)[: len(labels)],
        )


def _voices(annotation: Any, place: dict[str, int], seconds: float) -> list[Voice]:
    found = [
        (max(0.0, float(span.start)), min(seconds, float(span.end)), place[label])
        for span, _, label in annotation.itertracks(yield_label=True)
    ]
    return sorted(voice for voice in found if voice[0] < voice[1])


@contextlib.contextmanager
def _repeatable() -> Iterator[None]:
    """One thread, one seed, one set of kernels; torch's own state is given back as it was."""
    import torch

    on_gpu = torch.cuda.is_available()
    deterministic = torch.are_deterministic_algorithms_enabled()
    only_warns = torch.is_deterministic_algorithms_warn_only_enabled()
    tensor_floats = torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32
    with (
        voice.one_thread(),
        torch.random.fork_rng(devices=range(torch.cuda.device_count()) if on_gpu else []),
        warnings.catch_warnings(),
        np.errstate(all="ignore"),
    ):
        # Means of no embeddings, fewer speakers than asked for: both are answers (NaN, fewer).
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        # Some CUDA kernels have no repeatable twin: those warn instead of stopping the run.
        torch.use_deterministic_algorithms(True, warn_only=on_gpu)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(deterministic, warn_only=only_warns)
            torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32 = tensor_floats


def _loaded(path: pathlib.Path, place: str) -> Any:
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it decodes no files here: torchcodec may be missing
        from pyannote.audio import Pipeline

        try:
            pipeline: Any = Pipeline.from_pretrained(path, token=False)
        except Exception as error:  # files of others can break in any way: say whose they are
            raise ModelError(
                f"pyannote/{place}",
                f"pyannote.audio cannot load the pipeline {path}: {type(error).__name__}: {error}",
            ) from error
    if not pipeline.instantiated:
        raise ModelError(
            f"pyannote/{place}",
            f"{path}/config.yaml lacks params of the pipeline: it needs those of the segmentation "
            "and of the clustering that its publisher found",
        )
    pipeline.legacy = False  # or it would not tell the exclusive turns
    return pipeline


def _check_finite(pipeline: Any, path: pathlib.Path, place: str) -> None:
    """Broken weights answer "nobody speaks" to everything, and all would be dropped."""
    import torch

    models = (
        ("segmentation", pipeline._segmentation.model),
        ("embedding", pipeline._embedding.model_),
    )
    for part, model in models:
        for name, values in model.state_dict().items():
            if values.is_floating_point() and not bool(torch.isfinite(values).all()):
                raise ModelError(
                    f"pyannote/{place}",
                    f"the {part} model of {path} has weights that are not finite ({name}): the "
                    "file is broken, fetch it again",
                )
