"""Shards of noise, units of them, and tiny configs, made once."""

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[3]))

from tests.trainer.data.made_sets import speech_documents, text_documents, write_set
from trainer import units as units_command
from trainer.encoders.settings import EncoderConfig, config_of_json


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    documents = [
        *speech_documents("talk", 12, seed=1),
        *speech_documents("talk", 4, seed=5, split="valid"),
        *text_documents("page", 3, seed=2),
    ]
    return write_set(tmp_path_factory.mktemp("talk"), _named(documents))


def _named(documents: list[Any]) -> list[Any]:
    """Each id once: documents of two splits were drawn by the same numbers."""
    import dataclasses

    from schemas.ids import digest_of

    return [
        dataclasses.replace(one, id=digest_of("own", number))
        for number, one in enumerate(documents)
    ]


@pytest.fixture(scope="session")
def units(talk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("units") / "u.safetensors"
    options = ["--shards", str(talk), "--units", "12", "--out", str(out)]
    assert units_command.main([*options, "--stride-ms", "20", "--stack", "2", "--passes", "2"]) == 0
    return out


@pytest.fixture
def config_of(talk: Path, units: Path) -> Any:
    def made(kind: str, **changes: Any) -> EncoderConfig:
        objective = {
            "hubert": {"kind": "hubert", "units": str(units), "width": 16},
            "wav2vec": {"kind": "wav2vec", "distractors": 8, "entries": 8, "width": 16},
            "tera": {"kind": "tera"},
        }[kind]
        plain = {
            "name": "tiny",
            "encoder": {"depth": 2, "width": 32, "heads": 2},
            "objective": {**objective, **changes.pop("objective", {})},
            "data": {"shards": str(talk), **changes.pop("data", {})},
            "clips": 3,
            "seconds": 1.5,
            "optimizer": {"lr": 3e-3},
            "schedule": {"kind": "linear", "warmup": 2},
            "stop": {"steps": 6},
        }
        return config_of_json({**plain, **changes}, "made")

    return made
