"""Cells as if they had been trained: what `results` and the page are tested on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from trainer.ablation.study import Study

STEPS = (10, 20, 30)

STUDY: dict[str, Any] = {
    "name": "made",
    "question": "Is <b>more</b> better?",
    "limits": "None of it happened.",
    "seeds": [1, 2, 3, 4, 5, 6],
    "equal": "positions",
    "arms": {"more": {"about": "more of it"}, "less": {}},
    "controls": {
        "same": {"arm": "more"},
        "permuted_audio": {"arm": "more"},
        "text_only": {"arm": "more"},
    },
    "evaluation": {"sets": {"heard": "heard", "read": "read"}, "at": list(STEPS)},
    "endpoint": {"set": "heard", "at": 20},
    "second": {"set": "heard", "first": 10, "last": 30},
    "floor": {"set": "read", "mode": "T-to-T", "at": 20, "least": 0.9},
    "claims": [{"name": "more over less", "better": "more", "worse": "less"}],
}


def study(**changes: Any) -> Study:
    return Study.model_validate(STUDY | changes)


def written(folder: Path, **changes: Any) -> Path:
    """The study as a file."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY | changes, sort_keys=False), "utf-8")
    return path


def cell(heard: float, read: float = 1.0, *, loss: float = 0.5) -> dict[str, Any]:
    """A cell whose accuracy rises to `heard` at step 20 and stays."""
    accuracy: dict[str, Mapping[str, Any]] = {}
    for step in STEPS:
        value = heard if step >= 20 else (heard + 0.25) / 2
        accuracy[str(step)] = {
            "heard, S-to-T": {"chance": 0.25, "sum": value, "mean": value, "gain": value},
            "read, T-to-T": {"chance": 0.25, "sum": read, "mean": read, "gain": read},
        }
    return {
        "steps": 30,
        "accuracy": accuracy,
        "endpoint_step": 20,
        "read": {
            "documents": 10,
            "spoken_documents": 8,
            "pieces": 12,
            "text_positions": 100,
            "speech_positions": 200,
            "markers": 50,
            "padding": 50,
            "words_read": 90,
            "words_heard": 80,
            "speech_to_text": 32,
            "text_to_speech": 24,
            "steps": 30,
            "hours_heard": 0.5,
            "unique_hours_heard": 0.25,
            "passes": {"speech": 2.0},
        },
        "flops": 1e9,
        "losses": {"loss": loss},
        "facts": {},
        "items": {},
        "cpu_seconds": 3.0,
        "wall_seconds": 4.0,
        "peak_bytes": 1,
    }


def cells(
    levels: Mapping[str, float], seeds: int = 6, spread: float = 0.02
) -> dict[tuple[str, int], dict[str, Any]]:
    """Cells of each arm at its level, moved a little and alike by seed, and by arm as well."""
    found = {}
    for place, (arm, level) in enumerate(levels.items()):
        for seed in range(1, seeds + 1):
            own = np.random.default_rng([seed, place]).normal(0, spread / 4)
            moved = spread * ((seed * 7) % 5 - 2) + own
            found[arm, seed] = cell(level + moved)
    return found
