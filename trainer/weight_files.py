"""Weights of a folder, by name: safetensors, in one file or several; never what can run code."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch


class InitializationError(ValueError):
    """A folder that cannot be the beginning of this model; the message says why."""


def weights_of(folder: Path) -> tuple[Callable[[str], torch.Tensor], list[str]]:
    """A reader of a folder's weights by name, and their names. Raises `InitializationError`."""
    from safetensors import SafetensorError, safe_open

    index, single = folder / "model.safetensors.index.json", folder / "model.safetensors"
    try:
        if index.is_file():
            where: Mapping[str, str] = read_json(index)["weight_map"]
            outside = {name for name in where.values() if Path(name).name != name}
            if outside:
                raise InitializationError(f"{index}: names files outside it: {sorted(outside)[:2]}")
        elif single.is_file():
            with safe_open(single, framework="pt") as file:
                where = dict.fromkeys(file.keys(), single.name)
        else:
            raise InitializationError(
                f"{folder} holds no model.safetensors. Pickled weights (.bin, .pt) are not read: "
                "save the model with safe_serialization"
            )

        def read(name: str) -> torch.Tensor:
            try:
                with safe_open(folder / where[name], framework="pt") as file:
                    found: torch.Tensor = file.get_tensor(name)
                    return found
            except (SafetensorError, OSError) as error:
                raise InitializationError(f"{folder / where[name]}: {error}") from error

        return read, list(where)
    except SafetensorError as error:
        raise InitializationError(f"{single}: {error}") from error


def tensors_of(path: Path) -> dict[str, torch.Tensor]:
    """All of one file. Raises `InitializationError`."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InitializationError(f"{path}: {error}") from error


def read_json(path: Path) -> dict[str, Any]:
    """A file's JSON object. Raises `InitializationError`."""
    try:
        found = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise InitializationError(f"{path} does not exist: is this a model's folder?") from error
    except ValueError as error:
        raise InitializationError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise InitializationError(f"{path} is no JSON object")
    return found
