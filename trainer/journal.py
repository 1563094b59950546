"""What a run writes down: one JSON object per line in OUT/log.jsonl, and where asked to others.

The file is only ever added to. A resumed run says from which step it went on; `read` leaves out
what a killed run wrote after that step, so that the steps of a log follow each other whatever
happened. TensorBoard and Weights & Biases get the numbers of the same lines.
"""

import contextlib
import importlib
import json
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from trainer.config import LogSettings
from trainer.failures import SetupError

NAME = "log.jsonl"
BEGINNINGS = ("start", "resume")  # a line that makes void what stands above it for later steps


class Sink(Protocol):
    """Somewhere else that numbers go."""

    def put(self, step: int, numbers: Mapping[str, float]) -> None: ...
    def close(self) -> None: ...


class Journal:
    """The log of a run, opened for adding. Only the first rank has one that writes."""

    def __init__(self, out: Path, sinks: tuple[Sink, ...] = (), *, quiet: bool = False) -> None:
        self._file = None if quiet else _whole_lines(out / NAME)
        self._sinks = sinks

    def put(self, event: str, step: int, **values: Any) -> None:
        """One line. Numbers that are no numbers (NaN, infinity) are written as text."""
        if self._file is None:
            return
        line = {"event": event, "step": step, "time": round(time.time(), 3), **values}
        self._file.write(json.dumps(_plain(line), allow_nan=False) + "\n")
        self._file.flush()
        if event == "step":
            for sink in self._sinks:
                sink.put(step, dict(_numbers(values)))

    def close(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())
            self._file.close()
        for sink in self._sinks:
            sink.close()


def read(path: Path) -> list[dict[str, Any]]:
    """The lines of a log that count: of steps that were taken twice, the later ones.

    `path` is the file or the OUT that holds it. An incomplete last line is left out. Raises
    `ValueError` for any other line that is not JSON.
    """
    file = path / NAME if path.is_dir() else path
    found: list[dict[str, Any]] = []
    for number, text in enumerate(file.read_text(encoding="utf-8").split("\n")[:-1], 1):
        try:
            line = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{file}:{number}: not a line of a log: {error}") from error
        if line["event"] in BEGINNINGS:
            found = [one for one in found if one["step"] <= line["step"] and line["step"]]
        found.append(line)
    return found


def sinks(settings: LogSettings, out: Path, name: str, config: Mapping[str, Any]) -> Iterator[Sink]:
    """The other places that were asked for. Raises `SetupError` where a package is missing."""
    if settings.tensorboard:
        yield _TensorBoard(out)
    if settings.wandb is not None:
        yield _Wandb(settings.wandb, out, name, config)


class _TensorBoard:
    def __init__(self, out: Path) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise SetupError(
                "log.tensorboard needs the package tensorboard: pip install tensorboard"
            ) from error
        self._writer: Any = SummaryWriter(str(out / "tensorboard"))

    def put(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class _Wandb:
    def __init__(self, project: str, out: Path, name: str, config: Mapping[str, Any]) -> None:
        try:
            wandb: Any = importlib.import_module("wandb")
        except ImportError as error:
            raise SetupError("log.wandb needs the package wandb: pip install wandb") from error
        self._run: Any = wandb.init(
            project=project, name=name, id=_own_id(out), resume="allow", dir=str(out), config=config
        )

    def put(self, step: int, numbers: Mapping[str, float]) -> None:
        self._run.log(dict(numbers), step=step)

    def close(self) -> None:
        self._run.finish()


def _own_id(out: Path) -> str:
    """The same for each part of a run that was resumed: kept in OUT."""
    kept = out / "wandb-id"
    with contextlib.suppress(FileExistsError):
        kept.open("x").write(os.urandom(8).hex())
    return kept.read_text()


def _whole_lines(path: Path) -> Any:
    """The file, opened for adding, without the piece of a line that a killed run left."""
    path.touch()
    with path.open("rb+") as file:
        data = file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            file.truncate(whole)
    return path.open("a", encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(child) for key, child in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(child) for child in value]
    return value


def _numbers(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Every number below a mapping, by its path with slashes."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            yield from _numbers(child, f"{path}/{key}" if path else str(key))
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield path, float(value)
