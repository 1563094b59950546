"""A synthesizer's ONNX network from a local path: opened on one thread, asked by names, checked."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.engines.models import ModelError
from transforms.engines.synth_contract import Answer, Sound, Unspoken
from transforms.engines.synth_wav import from_float


class Network:
    """One opened network. Answers depend on what is given alone, unless it draws by itself."""

    def __init__(self, family: str, path: Path) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            self._session: Any = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common base of their own
            raise ModelError(
                family,
                f"{path} cannot be opened as an ONNX model ({type(error).__name__}: {error}): is "
                "it whole, and of an operator set that this onnxruntime knows?",
            ) from error
        self.family, self.path = family, path
        self.inputs = {one.name: str(one.type) for one in self._session.get_inputs()}

    def need(self, *names: str) -> None:
        """Raises `ModelError` where an input is missing."""
        if missing := [name for name in names if name not in self.inputs]:
            raise ModelError(
                self.family,
                f"{self.path} has no input {', '.join(missing)}; it takes "
                f"{', '.join(sorted(self.inputs))}. Is it a model of {self.family}?",
            )

    def __call__(self, given: dict[str, Any], rate: int, max_seconds: float) -> Answer:
        """The sound for what is given, by names of inputs."""
        try:
            answer = self._session.run(None, given)[0]
        except Exception as error:  # as above
            return Unspoken(reason="refused", detail=f"the network failed: {error!s:.200}")
        wave: npt.NDArray[np.float32] = np.asarray(answer, np.float32).reshape(-1)
        if len(wave) > max_seconds * rate:
            seconds = len(wave) / rate
            return Unspoken(reason="too_long", detail=f"{seconds:.1f} s, at most {max_seconds:g}")
        try:
            return Sound(pcm=from_float(wave), rate=rate)
        except ValueError as error:
            return Unspoken(reason="refused", detail=f"the network gave {error}")
