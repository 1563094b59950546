"""Whole runs: resumed bit for bit, exported, made into units, probed, and gridded."""

import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from schemas.settings import SettingsError
from schemas.shard import ShardError
from trainer import journal
from trainer import units as units_command
from trainer.__main__ import main
from trainer.encoders import flops
from trainer.encoders.clips import Clips, ClipState, batches
from trainer.encoders.exporting import export, open_encoder
from trainer.encoders.features import Features
from trainer.encoders.grid import cells, load_grid, shape_for
from trainer.encoders.grid import run as run_grid
from trainer.encoders.model import SpeechEncoder
from trainer.encoders.objectives import objective_of
from trainer.encoders.pretraining import pretrain
from trainer.encoders.probe import accuracy, read_table
from trainer.encoders.settings import EncoderSettings, load_encoder_config
from trainer.encoders.validating import held_out_loss
from trainer.failures import ChangedError, SetupError
from trainer.shard_sets import open_sets
from transforms.engines.kmeans import KMeans, encoder_features
from transforms.engines.models import ModelError
from transforms.engines.tokenizer import load

KINDS = ("hubert", "wav2vec", "tera")


def weights_of(out: Path) -> dict[str, torch.Tensor]:
    return dict(open_encoder(out)[0].named_parameters())


def losses_of(out: Path) -> list[float]:
    return [line["loss"] for line in journal.read(out) if line["event"] == "step"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_is_resumed_exactly(kind: str, config_of: Any, tmp_path: Path) -> None:
    config = config_of(kind)
    whole = pretrain(config, tmp_path / "whole")
    for until in (1, 4, None):
        parts = pretrain(config, tmp_path / "parts", until=until)
    assert losses_of(tmp_path / "parts") == losses_of(tmp_path / "whole")
    one, two = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert (parts.step, parts.loss, parts.seconds) == (6, whole.loss, whole.seconds)
    assert all(math.isfinite(loss) for loss in losses_of(tmp_path / "whole"))


def test_what_changed_is_told(config_of: Any, tmp_path: Path) -> None:
    pretrain(config_of("tera"), tmp_path, until=2)
    with pytest.raises(ChangedError, match=r"encoder\.depth: 2 -> 3"):
        pretrain(config_of("tera", encoder={"depth": 3, "width": 32, "heads": 2}), tmp_path)


@pytest.mark.parametrize("kind", ["hubert", "tera"])  # what noise hides, wav2vec cannot tell
def test_it_learns(kind: str, config_of: Any, tmp_path: Path) -> None:
    config = config_of(kind, stop={"steps": 40}, data={"streams": ["talk"], "max_documents": 3})
    pretrain(config, tmp_path)
    found = [line for line in journal.read(tmp_path) if line["event"] == "step"]
    first, last = (sum(line["masked"] for line in part) / 8 for part in (found[:8], found[-8:]))
    assert last < 0.9 * first


def test_clips_are_every_window_once_an_epoch(config_of: Any) -> None:
    config = config_of("tera")
    [shards] = open_sets(config.reading())
    clips = Clips(shards, config.reading(), 1.5, 0.2)
    source = clips.after(ClipState())
    epoch = []
    state = ClipState()
    while True:
        clip, state = next(source)
        if state.epoch:
            break
        epoch.append(clip)
    again = [(clip.document, clip.start)]
    seen = [(one.document, one.start) for one in epoch]
    assert len(set(seen)) == len(seen)
    assert sum(one.seconds for one in epoch) == pytest.approx(clips.unique_seconds, rel=0.02)
    assert all(0.2 <= one.seconds <= 1.5 for one in epoch)
    again += [(one.document, one.start) for one, _ in (next(source) for _ in seen[1:])]
    assert sorted(again) == sorted(seen)
    assert again != seen


def test_clips_go_on_from_any_state(config_of: Any) -> None:
    config = config_of("tera")
    [shards] = open_sets(config.reading())
    clips = Clips(shards, config.reading(), 1.5, 0.2)
    held = [pair for _, pair in zip(range(60), clips.after(ClipState()), strict=False)]
    for place in (0, 7, 31, 58):
        clip, state = next(clips.after(held[place][1]))
        wanted, wanted_state = held[place + 1]
        assert state == wanted_state
        assert np.array_equal(clip.pcm, wanted.pcm)
        assert ClipState.of_json(json.loads(json.dumps(vars_of(state)))) == state


def vars_of(state: ClipState) -> dict[str, int]:
    return {"epoch": state.epoch, "window": state.window, "clip": state.clip}


def test_a_set_without_sound_is_refused(config_of: Any, tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"no document has 0\.2 s of sound"):
        pretrain(config_of("tera", data={"streams": ["page"]}), tmp_path)


def test_units_of_another_rate_are_refused(config_of: Any, tmp_path: Path) -> None:
    config = config_of("hubert", encoder={"depth": 1, "width": 32, "heads": 2, "stack": 1})
    with pytest.raises(SetupError, match="25 units a second, the encoder 50"):
        pretrain(config, tmp_path)


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_exported_weights_say_the_same_in_numpy(layer: int, config_of: Any, tmp_path: Path) -> None:
    config = config_of("tera")
    pretrain(config, tmp_path / "run")
    folder = export(tmp_path / "run", tmp_path / "model")
    encoder, _, step = open_encoder(tmp_path / "run")
    assert step == 6
    [shards] = open_sets(config.reading())
    clips = Clips(shards, config.reading(), 1.5, 0.2)
    held, _ = next(batches(clips, ClipState(), 3))
    batch = Features(config, flops.positions_per_clip(config)).batch(held)
    with torch.no_grad():
        states = encoder(batch.features, batch.there)[layer]
    features = encoder_features(folder, layer)
    for row, clip in enumerate(held):
        found = features(clip.pcm, clip.rate)
        assert len(found) == features.grid.positions(len(clip.pcm), clip.rate)
        assert np.allclose(found, states[row, : len(found)].numpy(), atol=1e-4)
        assert int(batch.there[row].sum()) == len(found)


def test_units_of_an_exported_encoder(config_of: Any, talk: Path, tmp_path: Path) -> None:
    """The folder is the k-means tokenizer's local encoder: units, digest, and refusals."""
    pretrain(config_of("tera"), tmp_path / "run")
    assert main(["encoders", "export", str(tmp_path / "run"), "--to", str(tmp_path / "enc")]) == 0
    out = tmp_path / "u.safetensors"
    options = ["--shards", str(talk), "--units", "8", "--out", str(out), "--passes", "2"]
    assert units_command.main([*options, "--encoder", str(tmp_path / "enc"), "--layer", "1"]) == 0
    tokenizer = load(f"kmeans/{out}")
    pcm = np.random.default_rng(0).normal(0, 500, 16_000).astype(np.int16)
    codes = tokenizer.encode(pcm, 16_000)
    assert codes.shape == (26, 1) and codes.max() < 8
    with pytest.raises(SetupError, match="never written over"):
        export(tmp_path / "run", tmp_path / "enc")
    weights = tmp_path / "enc" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(ModelError, match="was trained for"):
        KMeans(str(out))
    with pytest.raises(ModelError, match="none of 0 to 2"):
        encoder_features(tmp_path / "enc", 3)


def test_flops_are_those_that_torch_counts(config_of: Any) -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    config = config_of("tera")
    length = flops.positions_per_clip(config)
    model = objective_of(SpeechEncoder(config.encoder), config.objective, 0)
    features = torch.rand(3, length, 160, requires_grad=True)
    there = torch.ones(3, length, dtype=torch.bool)
    counter = FlopCounterMode(display=False)
    with counter, sdpa_kernel(SDPBackend.MATH):  # whose products it counts one by one
        states = model.encoder(features, there)[-1]
        model.head(states).sum().backward()
    parts = flops.flops_per_position(config.encoder, config.objective, length)
    assert set(parts) == set(flops.PARTS)
    assert flops.flops_per_step(config) == pytest.approx(counter.get_total_flops(), rel=0.01)


def test_a_budget_buys_whole_steps(config_of: Any) -> None:
    config = config_of("tera")
    cost = flops.flops_per_step(config)
    rich = config_of("tera", stop={"flops": 7.9 * cost})
    assert flops.steps(rich) == 7
    with pytest.raises(ValueError, match="less than one step"):
        flops.steps(config_of("tera", stop={"flops": 0.5 * cost}))


@pytest.mark.parametrize("depth", [3, 6, 12])
def test_shapes_have_equal_parameters(depth: int) -> None:
    base = EncoderSettings()
    found = shape_for(1_200_000, depth, base)
    assert flops.parameters(found)["blocks"] == pytest.approx(1_200_000, rel=0.01)
    assert found.depth == depth and 2 < found.sizes[1] / found.width < 3.5
    with pytest.raises(ValueError, match="too few"):
        shape_for(1000, depth, base)


def test_parameters_are_counted(config_of: Any) -> None:
    config = config_of("tera")
    encoder = SpeechEncoder(config.encoder)
    counted = flops.parameters(config.encoder)
    assert sum(counted.values()) == sum(one.numel() for one in encoder.parameters())
    assert counted["blocks"] == sum(one.numel() for one in encoder.blocks.parameters())


GRID = """
name: toy
question: Is the deep one better?
encoders: [tera]
settings:
  clips: 2
  seconds: 1.0
  encoder: {depth: 1, width: 32}
parameters: 20000
shapes: {slim: 4, small: 1}
hours: [null, 0.002]
budgets: [4.0e+8]
seeds: [1, 2]
"""


def test_a_grid_is_gone_on_with(talk: Path, tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    grid = load_grid(tmp_path / "grid.yaml")
    every = list(cells(grid, str(talk)))
    assert len(every) == 8
    slim, small = (next(c for c in every if c.shape == name) for name in ("slim", "small"))
    assert (slim.config.encoder.depth, small.config.encoder.depth) == (4, 1)
    assert slim.config.encoder.width < small.config.encoder.width
    out = tmp_path / "out"
    out.mkdir()
    rows = run_grid(grid, every, out)
    told = (out / "results.md").read_text()
    assert "slim - small" in told and "2 seeds" in told
    assert all(row["flops"] <= 4e8 for row in rows)
    few = [row for row in rows if row["hours"] is not None]
    assert min(row["passes"] for row in few) > max(
        row["passes"] for row in rows if row["hours"] is None and row["shape"] == few[0]["shape"]
    )
    before = {path: path.stat().st_mtime_ns for path in out.rglob("done.json")}
    assert run_grid(grid, every, out) == rows
    assert before == {path: path.stat().st_mtime_ns for path in out.rglob("done.json")}
    from trainer.budget.points import read_points

    assert len(read_points(out / "points-tera-slim.csv")) == 4


def test_the_shipped_configs_and_grid(talk: Path, units: Path) -> None:
    root = Path(__file__).resolve().parents[3]
    for name in KINDS:
        assert load_encoder_config(name, (), str(talk)).objective.kind == name
    grid = load_grid(root / "ablations" / "slim_vs_small.yaml")
    every = list(cells(grid, str(talk), {"hubert:objective.units": str(units)}))
    assert len(every) == 3 * 2 * 5
    assert {cell.config.objective.kind for cell in every} == set(KINDS)
    assert every[0].config.objective.units == str(units)  # type: ignore[union-attr]
    with pytest.raises(SettingsError, match="shape"):
        load_grid(root / "ablations" / "slim_vs_small.yaml", ["shape={a: 1}"])


def test_the_held_out_loss_is_the_same_for_the_same_model(config_of: Any, tmp_path: Path) -> None:
    pretrain(config_of("hubert"), tmp_path)
    one = held_out_loss(tmp_path, "valid", 2)
    assert one == held_out_loss(tmp_path, "valid", 2)
    assert 0 < one < 12
    with pytest.raises(ShardError):
        held_out_loss(tmp_path, "test", 2)


def tones(folder: Path, count: int = 6) -> Path:
    """Clips of two pitches, labelled by pitch; the loudness says nothing."""
    (folder / "audio").mkdir(parents=True)
    chance = np.random.default_rng(0)
    with (folder / "table.csv").open("w", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(["audio", "label", "split"])
        for number in range(2 * count):
            pitch = 300 if number % 2 else 900
            time = np.arange(8000) / 16_000
            wave = np.sin(2 * np.pi * pitch * time) * chance.uniform(2000, 9000)
            wave += chance.normal(0, 200, len(time))
            soundfile.write(folder / "audio" / f"{number}.wav", wave.astype(np.int16), 16_000)
            split = "test" if number >= count else "train"
            table.writerow([f"audio/{number}.wav", f"{pitch} Hz", split])
    return folder / "table.csv"


def test_a_probe_finds_what_is_there(config_of: Any, tmp_path: Path, capsys: Any) -> None:
    pretrain(config_of("tera"), tmp_path / "run")
    export(tmp_path / "run", tmp_path / "enc")
    table = tones(tmp_path / "tones")
    assert main(["probe", "--table", str(table), "--encoder", str(tmp_path / "enc")]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [one["layer"] for one in found] == ["0", "1", "2", "log-mel"]
    assert all(one["accuracy"] == 1.0 and one["chance"] == 0.5 for one in found)


def test_a_probe_finds_nothing_where_nothing_is(tmp_path: Path) -> None:
    table = tones(tmp_path / "tones", 40)
    rows = read_table(table)
    vectors = np.random.default_rng(1).normal(size=(len(rows), 4))
    found = accuracy(vectors, rows, "noise")
    assert 0.3 < found.accuracy < 0.7
    assert (found.trained, found.asked, found.labels) == (40, 40, 2)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("audio,label\na.wav,x\n", "no split"),
        ("audio,label,split\nnone.wav,x,train\n", "no such file"),
        ("audio,label,split\naudio/0.wav,x,dev\n", "neither train nor test"),
        ("audio,label,split\naudio/0.wav,x,train\n", "two labels"),
    ],
)
def test_a_wrong_table_is_told(text: str, said: str, tmp_path: Path) -> None:
    table = tones(tmp_path / "tones")
    table.write_text(text)
    with pytest.raises(SetupError, match=said):
        read_table(table)


def test_the_command_trains(talk: Path, tmp_path: Path, capsys: Any) -> None:
    command = ["encoders", "train", "tera", "--shards", str(talk), "--out", str(tmp_path / "o")]
    sets = ["--set", "encoder.depth=1", "--set", "clips=2", "--set", "stop={steps: 2}"]
    assert main([*command, *sets]) == 0
    assert "done at step 2 of 2" in capsys.readouterr().out


def test_ablate_runs_a_grid(talk: Path, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "grid.yaml").write_text(GRID)
    few = ["--set", "hours=[null]", "--set", "seeds=[1]", "--out", str(tmp_path / "out")]
    command = ["ablate", str(tmp_path / "grid.yaml"), *few]
    assert main(command) == 2
    assert "asks for --data speech=SHARDS" in capsys.readouterr().err
    assert main([*command, "--data", f"speech={talk}"]) == 0
    assert "slim - small" in capsys.readouterr().out
