"""The measurement of a step: that both loops train on the same packs, and what it prints."""

import sys
from pathlib import Path

import pytest

from benchmarks import train_step
from trainer import journal
from trainer.config import of_json
from trainer.distributed import Ranks
from trainer.loop import initial_decoder
from trainer.objectives import losses
from trainer.opening import opened
from trainer.tensors import inputs


def test_an_interval_lies_around_the_median() -> None:
    assert train_step.interval([1.0] * 9) == (1.0, 1.0)
    low, high = train_step.interval([0.9, 0.95, 0.97, 0.98, 0.99, 1.0, 1.01, 1.02, 1.1])
    assert 0.9 <= low < 0.99 < high <= 1.1


@pytest.mark.slow
def test_both_loops_see_the_same_losses(tmp_path: Path) -> None:
    talk, page = train_step.made_shards(tmp_path, 12, stored=True)
    config = train_step.cpu_config(talk, page, steps=2, workers=0)
    narrow = {"depth": 1, "width": 32, "heads": 2}
    config = of_json({**config.canonical(), "model": narrow}, "made")
    assert train_step.our_loop(config, tmp_path / "out", lambda: 1.0 * next(ticks)) > 0
    held = opened(config, tmp_path / "out", Ranks(), again=True)
    assert all(one["stored_tokens"] for name, one in held.data.about().items() if name == "talk")
    given = next(held.data.batches())
    decoder = initial_decoder(config, held.data.vocabulary)
    batch = inputs(given.batch)
    found = losses(decoder, decoder(batch), batch)
    first = next(one for one in journal.read(tmp_path / "out") if one["event"] == "step")
    assert (found.total / found.number).item() == pytest.approx(first["loss"], rel=1e-6)
    assert train_step.hand_loop(config, tmp_path / "out", lambda: 1.0 * next(ticks)) > 0


ticks = iter(range(1, 100))


@pytest.mark.slow
def test_it_prints_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["benchmarks/train_step.py", "--pairs", "1", "--steps", "2", "--tokens", "flac"]
    monkeypatch.setattr(sys, "argv", given)
    assert train_step.main() in (0, 1)  # one pair of one step says nothing of speed
    said = capsys.readouterr().out
    assert "| by hand, flac |" in said
    assert "| ours, flac |" in said
