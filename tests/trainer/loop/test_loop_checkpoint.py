"""Checkpoints: whole or not there, read without running anything, refused where altered."""

import errno
import json
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.trainer.loop.made_runs import steps_of, written
from trainer import checkpoint
from trainer.checkpoint import CheckpointError, checkpoints, load, newest, read_state, save
from trainer.config import Config
from trainer.distributed import Ranks
from trainer.loop import train
from trainer.trained import open_trained

ALONE = Ranks()
STATE = {"config": {}, "note": "a state"}


def tensors(value: float = 1.0) -> dict[str, torch.Tensor]:
    return {"model.a": torch.full((3, 2), value), "model.b": torch.arange(4.0) * value}


def saved(folder: Path, step: int = 5, keep: int = 2) -> Path:
    return save(folder, step, tensors(step), STATE, ALONE, keep).path


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    path = saved(tmp_path)
    assert read_state(path) == {**STATE, "format": 1, "step": 5}
    found = {name: torch.zeros_like(one) for name, one in tensors().items()}
    load(path, found, ALONE)
    assert all(torch.equal(found[name], one) for name, one in tensors(5).items())
    part = {"model.b": torch.zeros(4)}
    load(path, part, ALONE)
    assert torch.equal(part["model.b"], torch.arange(4.0) * 5)


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (1, 2, 3, 10):
        saved(tmp_path, step)
    assert [one.step for one in checkpoints(tmp_path)] == [3, 10]
    assert newest(tmp_path / "nowhere") is None


def test_no_file_is_a_pickle(tmp_path: Path) -> None:
    names = {one.name for one in saved(tmp_path).iterdir()}
    assert {Path(name).suffix for name in names} == {".json", ".safetensors"}


def test_what_a_killed_run_left_is_no_checkpoint_and_is_removed(tmp_path: Path) -> None:
    left = tmp_path / "step-0000000009.partial"
    left.mkdir()
    (left / "shard.safetensors").write_bytes(b"half")
    assert newest(tmp_path) is None
    saved(tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["step-0000000005"]


def cut(path: Path) -> None:
    (file,) = path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1])


def flip(path: Path) -> None:
    (file,) = path.glob("*.safetensors")
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(bytes(data))


def lose(path: Path) -> None:
    next(path.glob("*.safetensors")).unlink()


def link(path: Path) -> None:
    (file,) = path.glob("*.safetensors")
    file.rename(path.parent / "elsewhere")
    file.symlink_to(path.parent / "elsewhere")


def add(path: Path) -> None:
    save_file({"model.c": torch.zeros(1)}, path / "more.safetensors")


def edit(path: Path) -> None:
    state = json.loads((path / checkpoint.STATE).read_text())
    (path / checkpoint.STATE).write_text(json.dumps({**state, "step": 1000}))


def unmark(path: Path) -> None:
    (path / checkpoint.COMPLETE).unlink()


def nonsense(path: Path) -> None:
    (path / checkpoint.COMPLETE).write_text("[]")


def outside(path: Path) -> None:
    (path / checkpoint.COMPLETE).write_text(json.dumps({"files": {"../../etc/passwd": [1, "x"]}}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, "bytes that were written"),
        (flip, "altered, its sha256 differs"),
        (lose, "is missing"),
        (link, "bytes that were written"),
        (add, "more.safetensors is not one of its files"),
        (edit, "bytes that were written|altered"),
        (unmark, "not a complete checkpoint"),
        (nonsense, "complete.json"),
        (outside, "no file of a checkpoint"),
    ],
)
def test_damage_is_refused_and_the_way_on_is_named(
    damage: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    saved(tmp_path, 4)
    path = saved(tmp_path, 5)
    damage(path)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_state(path)
    if damage is not outside:
        assert "to go on from step-0000000004, move this folder away" in str(caught.value)


class Bomb:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("name", [".metadata", "model.pt", "shard-00001-model.safetensors"])
def test_a_hostile_pickle_is_refused_and_never_run(name: str, tiny: Config, tmp_path: Path) -> None:
    """Even where its digest is right: nothing in a checkpoint is unpickled."""
    train(tiny, tmp_path / "out", until=1)
    (one,) = checkpoints(tmp_path / "out" / "checkpoints")
    fallen = tmp_path / "fallen"
    (one.path / name).write_bytes(pickle.dumps(Bomb(fallen)))
    with pytest.raises(CheckpointError, match="not one of its files"):
        train(tiny, tmp_path / "out")
    sums = json.loads((one.path / checkpoint.COMPLETE).read_text())
    data = (one.path / name).read_bytes()
    sums["files"][name] = [len(data), __import__("hashlib").sha256(data).hexdigest()]
    (one.path / checkpoint.COMPLETE).write_text(json.dumps(sums))
    with pytest.raises(CheckpointError, match=r"no file of a checkpoint|cannot be read"):
        train(tiny, tmp_path / "out")
    with pytest.raises(CheckpointError):
        open_trained(tmp_path / "out")
    assert not fallen.exists()


@pytest.mark.parametrize("key", ["data", "updates", "model", "vocabulary", "config", "totals"])
@pytest.mark.parametrize("value", [None, "x", {"a": {"b": []}}])
def test_a_state_that_is_not_ours_is_refused(
    key: str, value: object, tiny: Config, tmp_path: Path
) -> None:
    train(tiny, tmp_path, until=1)
    (one,) = checkpoints(tmp_path / "checkpoints")
    state = json.loads((one.path / checkpoint.STATE).read_text())
    (one.path / checkpoint.STATE).write_text(json.dumps({**state, key: value}))
    sums = json.loads((one.path / checkpoint.COMPLETE).read_text())
    data = (one.path / checkpoint.STATE).read_bytes()
    sums["files"][checkpoint.STATE] = [len(data), __import__("hashlib").sha256(data).hexdigest()]
    (one.path / checkpoint.COMPLETE).write_text(json.dumps(sums))
    with pytest.raises(Exception, match=r"not ours|not the state|began with other") as caught:
        train(tiny, tmp_path)
    assert type(caught.value).__name__ in ("CheckpointError", "DataError", "ChangedError")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"model.x": torch.zeros(1)}, "holds no model.x"),
        ({"model.a": torch.zeros(2, 3)}, r"model.a is \(3, 2\), this model's is \(2, 3\)"),
    ],
)
def test_another_models_tensors_are_refused(
    wanted: dict[str, torch.Tensor], message: str, tmp_path: Path
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load(saved(tmp_path), wanted, ALONE)


def test_a_full_disk_keeps_the_last_good_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any point of writing, here at the very end, and whatever the next one is."""
    saved(tmp_path, 4)
    real = os.fsync

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"No space left.*last good one is .*0004.*make room"):
        saved(tmp_path, 5)
    monkeypatch.setattr(checkpoint.os, "fsync", real)
    assert [one.name for one in tmp_path.iterdir()] == ["step-0000000004"]
    read_state(tmp_path / "step-0000000004")


@pytest.mark.slow
def test_a_run_that_may_write_no_large_file_says_so_and_goes_on_later(
    tiny: Config, tmp_path: Path, root: Path
) -> None:
    """A real limit of the system, below the size of the weights, in a process of its own."""
    train(tiny, tmp_path / "out", until=2)
    command = [sys.executable, "-m", "tests.trainer.loop.child", str(written(tiny, tmp_path))]
    ended = subprocess.run(
        [*command, str(tmp_path / "out"), "--file-limit", "200000"],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    assert "CheckpointError" in ended.stderr
    assert "could not be written: File too large" in ended.stderr
    assert "the last good one is" in ended.stderr
    assert [one.step for one in checkpoints(tmp_path / "out" / "checkpoints")] == [2]
    assert not list((tmp_path / "out" / "checkpoints").glob("*.partial"))
    train(tiny, tmp_path / "out")
    train(tiny, tmp_path / "plain")
    assert steps_of(tmp_path / "out") == steps_of(tmp_path / "plain")
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
