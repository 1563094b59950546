"""Tiny runs for the tests of the loop, and their logs without what depends on the clock."""

import json
from pathlib import Path
from typing import Any

from trainer import journal
from trainer.config import Config, load_config, of_json

CLOCK = {"time", "seconds", "positions_per_second", "wait", "mfu"}


def config_of(talk: Path, page: Path, **changes: Any) -> Config:
    """Two sets, packs of 128 positions, 4 a step, two narrow blocks, a step in 20 ms.

    `changes` replace whole parts: `stop={"steps": 5}`.
    """
    plain: dict[str, Any] = {
        "name": "tiny",
        "model": {"depth": 2, "width": 32, "heads": 2},
        "data": {
            "sets": {
                "talk": {"shards": str(talk), "policy": "deterministic"},
                "page": {"shards": str(page)},
            },
            "length": 128,
            "packs": 4,
            "block_packs": 16,
        },
        "text": {"size": 300},
        "speech": {"tokenizer": "dmel/25x3"},
        "optimizer": {"lr": 3e-3},
        "schedule": {"kind": "wsd", "warmup": 2},
        "stop": {"steps": 8},
    }
    return of_json({**plain, **changes}, "made")


def with_data(config: Config, **changes: Any) -> Config:
    """The config with other settings of its data."""
    plain = config.canonical()
    plain["data"] |= changes
    return of_json(plain, "made")


def steps_of(out: Path) -> list[dict[str, Any]]:
    """The log's steps, without what depends on the clock."""
    lines = [line for line in journal.read(out) if line["event"] == "step"]
    return [{k: v for k, v in line.items() if k not in CLOCK} for line in lines]


def losses_of(out: Path) -> list[float]:
    return [line["loss"] for line in steps_of(out)]


def written(config: Config, folder: Path) -> Path:
    """The config as a file for a child process."""
    path = folder / "config.json"
    path.write_text(json.dumps(config.canonical()))
    return path


def shipped(name: str, sets: tuple[str, ...], *overrides: str) -> Config:
    """A shipped config with some path for the shards of each of its sets."""
    return load_config(name, overrides, [f"{one}=shards/{one}" for one in sets])
