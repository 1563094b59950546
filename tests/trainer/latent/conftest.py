"""Shards that latent runs read, and a run's settings."""

from pathlib import Path
from typing import Any

import pytest

from tests.trainer.data.made_sets import speech_documents, text_documents, write_set
from tests.trainer.loop.made_runs import config_of
from trainer.config import Config

PATCHES: dict[str, Any] = {"size": 4, "cut": "curriculum"}
LATENT: dict[str, Any] = {"size": 4, "width": 16, "heads": 1, "window": 16}


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("talk"), speech_documents("talk", 24, seed=1))


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("page"), text_documents("page", 30, seed=2))


@pytest.fixture(scope="session")
def latent(talk: Path, page: Path) -> Config:
    """A latent run by curriculum on frames at 40 Hz, packs of 128 global positions."""
    plain = config_of(talk, page).canonical()
    data = {**plain["data"], "patches": {**PATCHES, "count": "patches"}}
    model = {"depth": 2, "width": 32, "heads": 2, "latent": LATENT}
    speech = {"tokenizer": "dmel/25x1"}
    return config_of(talk, page, data=data, model=model, speech=speech, stop={"steps": 9})
