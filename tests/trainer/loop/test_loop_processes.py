"""Runs in processes of their own: killed at random points, and shared by two ranks."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.loop.made_runs import steps_of, with_data, written
from trainer import journal
from trainer.checkpoint import checkpoints
from trainer.config import Config, of_json
from trainer.loop import BusyError, train
from trainer.trained import open_trained

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CHILD = "tests.trainer.loop.child"
COUNTED = ("step", "text_tokens", "speech_positions", "markers", "words", "documents", "withheld")


def changed(config: Config, **parts: Any) -> Config:
    return of_json({**config.canonical(), **parts}, "made")


def killed(config: Path, out: Path, root: Path, step: int, wait: float) -> int:
    """Start a run, kill it a little after a step, and say which step that was."""
    command = [sys.executable, "-m", CHILD, str(config), str(out)]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        seen = 0
        for line in child.stdout:
            seen = int(line)
            if seen >= step:
                time.sleep(wait)
                child.send_signal(signal.SIGKILL)
                break
    assert child.returncode == -signal.SIGKILL
    return seen


def same_weights(one: Path, other: Path) -> bool:
    a, b = (dict(open_trained(out).decoder.named_parameters()) for out in (one, other))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize(("workers", "kills"), [(0, 10), (1, 2), (2, 2)])
def test_killed_at_random_points_a_run_goes_on_bit_for_bit(
    workers: int, kills: int, tiny: Config, root: Path, tmp_path: Path
) -> None:
    """Losses, counts, gradient norms and weights; 50 steps and more after the last kill.

    A checkpoint every second step takes as long as a step, so that kills fall into writing, too.
    """
    config = changed(
        tiny, stop={"steps": 100}, checkpoint={"every": 2}, compute={"workers": workers}
    )
    chance = random.Random(workers)
    points = sorted(chance.randint(1, 45) for _ in range(kills))
    file = written(config, tmp_path)
    ended = [killed(file, tmp_path / "out", root, one, chance.uniform(0, 0.06)) for one in points]
    assert train(config, tmp_path / "out").stopped == "done"
    resumed = [one["step"] for one in journal.read(tmp_path / "out") if one["event"] == "resume"]
    assert ended[-1] <= 50
    assert len(resumed) > kills // 2  # a kill before the first checkpoint begins anew
    plain = changed(tiny, stop={"steps": 100}, checkpoint={"every": 50})
    train(plain, tmp_path / "plain")
    assert steps_of(tmp_path / "out") == steps_of(tmp_path / "plain")
    assert len(steps_of(tmp_path / "out")) == 100
    assert same_weights(tmp_path / "out", tmp_path / "plain")


def test_another_process_in_the_same_out_is_refused(
    tiny: Config, root: Path, tmp_path: Path
) -> None:
    config = changed(tiny, stop={"steps": 10_000})
    command = [sys.executable, "-m", CHILD, str(written(config, tmp_path)), str(tmp_path / "out")]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        with pytest.raises(BusyError, match="another process trains"):
            train(config, tmp_path / "out")
        child.kill()


def on_two(config: Path, out: Path, root: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The run on two ranks."""
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [sys.executable, "-m", *launcher, "-m", CHILD, str(config), str(out), *options],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_one_rank_then_two_then_one_read_and_learn_the_same(
    parallel: str, tiny: Config, root: Path, tmp_path: Path
) -> None:
    """The same global batch: the same documents at each step, and the same losses but for the
    last digits of sums in another order."""
    config = changed(tiny, stop={"steps": 9}, compute={"parallel": parallel, "micro_packs": 1})
    train(config, tmp_path / "out", until=3)
    done = on_two(written(config, tmp_path), tmp_path / "out", root, "--until", "6", "--look", "6")
    assert done.returncode == 0, done.stderr[-3000:]
    (shared,) = [c for c in checkpoints(tmp_path / "out" / "checkpoints") if c.step == 6]
    assert len(list(shared.path.glob("*.safetensors"))) == 2
    assert train(config, tmp_path / "out").stopped == "done"
    plain: dict[str, float] = {}

    def look(model: Any, state: Any) -> dict[str, float]:
        from tests.trainer.loop import child

        plain.update(child.look(model, state))
        return plain

    train(config, tmp_path / "plain", at={6: look})
    a, b = steps_of(tmp_path / "out"), steps_of(tmp_path / "plain")
    assert [[line[key] for key in COUNTED] for line in a] == [
        [line[key] for key in COUNTED] for line in b
    ]
    for key in ("loss", "gradient_norm", "loss_text", "loss_speech"):
        assert [line[key] for line in a] == pytest.approx([line[key] for line in b], rel=1e-4)
    assert [line["loss"] for line in a[:3]] == [line["loss"] for line in b[:3]]
    looked = [one for one in journal.read(tmp_path / "out") if one["event"] == "evaluation"]
    assert looked[0]["result"]["sum"] == pytest.approx(plain["sum"], rel=1e-4)
    starts = [one["ranks"] for one in journal.read(tmp_path / "out") if "ranks" in one]
    assert starts == [1, 2, 1]


def test_what_one_rank_reads_wrongly_stops_both_and_names_its_documents(
    tiny: Config, root: Path, tmp_path: Path
) -> None:
    config = changed(tiny, checkpoint={"every": 1})
    done = on_two(written(config, tmp_path), tmp_path / "out", root, "--poison", "2")
    assert done.returncode != 0
    assert done.stderr.count("DivergedError: update 2: the loss is nan") == 2
    (line,) = [one for one in journal.read(tmp_path / "out") if one["event"] == "diverged"]
    assert line["packs"] == [10, 11]  # of packs 8 to 11, the second rank's
    assert [one.step for one in checkpoints(tmp_path / "out" / "checkpoints")] == [1, 2]


def test_a_batch_that_two_ranks_cannot_share_is_refused(
    tiny: Config, root: Path, tmp_path: Path
) -> None:
    config = with_data(tiny, packs=3)
    done = on_two(written(config, tmp_path), tmp_path / "out", root)
    assert done.returncode != 0
    assert "SetupError: rank 0 of 2 cannot share 3 packs evenly" in done.stderr
