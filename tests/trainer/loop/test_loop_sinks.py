"""The log's numbers in TensorBoard and Weights & Biases, where their packages are installed."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.loop.made_runs import steps_of
from trainer.config import Config, of_json
from trainer.loop import train


def logging(config: Config, **log: Any) -> Config:
    return of_json({**config.canonical(), "log": log, "stop": {"steps": 4}}, "made")


def test_tensorboard_gets_the_numbers_of_the_log(tiny: Config, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = logging(tiny, tensorboard=True)
    assert train(config, tmp_path, until=2).stopped == "paused"
    assert train(config, tmp_path).stopped == "done"
    read = EventAccumulator(str(tmp_path / "tensorboard"))
    read.Reload()
    lines = steps_of(tmp_path)
    for name in ("loss", "loss_text", "lr", "text_tokens", "gradient_norm"):
        scalars = [(one.step, one.value) for one in read.Scalars(name)]
        assert [step for step, _ in scalars] == [1, 2, 3, 4]
        assert [value for _, value in scalars] == pytest.approx([line[name] for line in lines])
    sets = [one.value for one in read.Scalars("sets/page/loss_text")]
    assert sets == pytest.approx([line["sets"]["page"]["loss_text"] for line in lines])
    waits = [one.value for one in read.Scalars("wait")]
    assert all(0 <= wait <= 1 for wait in waits)


@pytest.mark.slow
def test_weights_and_biases_gets_the_numbers_without_a_network(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    for name, value in {"MODE": "offline", "SILENT": "true", "ERROR_REPORTING": "false"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    for name in ("CACHE_DIR", "CONFIG_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{name}", str(tmp_path / name))
    assert train(logging(tiny, wandb="speechloom"), tmp_path / "out").stopped == "done"
    (own,) = (tmp_path / "out" / "wandb").glob("offline-run-*")
    (kept,) = own.glob("*.wandb")
    data = kept.read_bytes()
    assert (tmp_path / "out" / "wandb-id").read_text() in own.name
    for name in ("loss_text", "gradient_norm", "speech_seconds"):
        assert name.encode() in data
    assert json.dumps(steps_of(tmp_path / "out")[-1]["loss"])[:6].encode() in data
