"""A local ONNX file as a function of samples: opened on one CPU thread, checked, fingerprinted.

For models that hear a stretch of sound and answer with numbers: one input, `[1, samples]` or
`[samples]`, float32 in -1..1; the first output holds the numbers in its last axis, and whatever
other axes it has (one row per stretch) are averaged. Nothing is downloaded: the path is a setting.
"""

import functools
import hashlib
import importlib.metadata
import pathlib
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


class OnnxModelError(RuntimeError):
    """A model's file is missing, cannot be opened, or does not take or give what is asked."""


def file_of(path: str) -> pathlib.Path:
    """The model's file. Raises `OnnxModelError` that says what to do where there is none."""
    found = pathlib.Path(path).expanduser()
    if not found.is_file():
        raise OnnxModelError(
            f"there is no ONNX model at {path!r}: put the file there, correct the setting `model`, "
            "or leave the setting out"
        )
    return found


def fingerprint(path: str) -> dict[str, str]:
    """The digest of the file and the library's version: what changes the answers."""
    found = file_of(path).resolve()
    return {
        "model": _digest(found, found.stat().st_mtime_ns, found.stat().st_size),
        "onnxruntime": importlib.metadata.version("onnxruntime"),
    }


@functools.lru_cache(maxsize=8)
def _digest(path: pathlib.Path, changed: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class OnnxModel:
    """One opened model. Answers depend on the samples given alone."""

    def __init__(self, path: str) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        found = file_of(path)
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(found), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common base of their own
            raise OnnxModelError(
                f"{path!r} cannot be opened as an ONNX model ({type(error).__name__}: {error}): "
                "is it whole, and of an operator set that this onnxruntime knows?"
            ) from error
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) > 2:
            raise OnnxModelError(
                f"{path!r} must take one float input of shape [samples] or [1, samples]; it takes "
                + ", ".join(f"{i.name}: {i.type} {i.shape}" for i in inputs)
            )
        self.path = path
        self._input = inputs[0].name
        self._batched = len(inputs[0].shape) == 2

    def __call__(self, sound: npt.NDArray[np.float32]) -> Floats:
        """The numbers for samples in -1..1, shape [samples]. Raises where they are not finite."""
        given = sound[None, :] if self._batched else sound
        try:
            answer = np.asarray(self._session.run(None, {self._input: given})[0], np.float64)
        except Exception as error:  # as above
            raise OnnxModelError(
                f"the model {self.path!r} refused {len(sound)} samples ({error}): does its window "
                "agree with the setting `window_seconds`?"
            ) from error
        numbers: Floats = answer.reshape(-1, answer.shape[-1] if answer.ndim else 1).mean(axis=0)
        if not np.isfinite(numbers).all():
            raise OnnxModelError(f"the model {self.path!r} answered {numbers.tolist()}")
        return numbers
