"""Speech models in a local folder that `transformers` reads: found, checked, digested, run.

Only safetensors weights and classes of the installed library: no pickle, no code from the folder,
no network. A model runs on one thread and one window of one chunk at a time, so that its answer
depends on nothing else.
"""

import contextlib
import functools
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from transforms.engines.models import ModelError, files_digest
from transforms.engines.voice import one_thread

WINDOW_SECONDS = 30  # a longer chunk is heard in windows of this length: memory stays bounded
SETTINGS = ("preprocessor_config.json",)


class LocalModel:
    """A folder with `config.json` and `*.safetensors`."""

    def __init__(self, folder: Path, family: str) -> None:
        self.folder, self.family = folder, family
        weights = sorted(path.name for path in folder.glob("*.safetensors"))
        if not (folder / "config.json").is_file() or not weights:
            raise self.wrong(
                "holds no config.json with *.safetensors. Download a model there once: "
                f"`hf download ORG/NAME --local-dir {folder}`; weights in another format must be "
                "converted"
            )
        settings = [name for name in SETTINGS if (folder / name).is_file()]
        self._files = ["config.json", *settings, *weights]
        self.config = self._json("config.json")
        self.preprocessor = self._json(SETTINGS[0]) if settings else {}

    def wrong(self, message: str) -> ModelError:
        return ModelError(self.family, f"the folder {self.folder} {message}")

    def _json(self, name: str) -> dict[str, Any]:
        try:
            found = json.loads((self.folder / name).read_bytes())
        except (ValueError, RecursionError) as error:
            raise self.wrong(f"has a broken {name}: {error}") from error
        if not isinstance(found, dict):
            raise self.wrong(f"has a broken {name}: it is no object")
        return found

    def digest(self) -> str:
        """Of its configuration and weights."""
        return files_digest(self.folder, self._files)

    @property
    def rate(self) -> int:
        """Hertz, of what the model hears; 16 kHz where no file says."""
        return int(self.preprocessor.get("sampling_rate", self.config.get("sampling_rate", 16_000)))

    @functools.cached_property
    def settings(self) -> Any:
        """The configuration with the library's defaults."""
        return self._from("AutoConfig")

    @functools.cached_property
    def model(self) -> Any:
        """The network with its weights, float32 on the CPU."""
        import torch

        options = {"use_safetensors": True, "dtype": torch.float32}
        return self._from("AutoModel", **options).eval().requires_grad_(False)

    def _from(self, what: str, **options: Any) -> Any:
        if importlib.util.find_spec("transformers") is None:
            raise ModelError(
                self.family, "needs the package transformers: pip install transformers"
            )
        import transformers
        from huggingface_hub.errors import StrictDataclassError

        quiet: Any = transformers.utils.logging.disable_progress_bar
        quiet()
        try:
            return getattr(transformers, what).from_pretrained(
                str(self.folder), local_files_only=True, trust_remote_code=False, **options
            )
        except (
            OSError,
            ValueError,
            TypeError,
            RuntimeError,
            KeyError,
            ImportError,
            StrictDataclassError,
        ) as error:
            raise self.wrong(f"cannot be loaded: {error}") from error

    @contextlib.contextmanager
    def running(self) -> Iterator[Any]:
        """The network, for one forward pass after the other."""
        import torch

        model = self.model
        with one_thread(), torch.inference_mode():
            yield model


def windows(
    samples: npt.NDArray[Any], rate: int, hop: int
) -> Iterator[tuple[npt.NDArray[np.float32], int]]:
    """A chunk's samples, full scale 1, in windows of whole hops, and each one's frames."""
    size = max(1, WINDOW_SECONDS * rate // hop) * hop
    for start in range(0, len(samples), size):
        window = samples[start : start + size].astype(np.float32) / np.float32(32768)
        yield window, -(-len(window) // hop)
