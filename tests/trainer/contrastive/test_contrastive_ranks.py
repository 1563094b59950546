"""Two ranks: negatives of each alone, or of both, and the gradient of one process's loss."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.loop.made_runs import config_of, steps_of, written
from trainer.config import Config, of_json
from trainer.loop import train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CHILD = ["-m", "tests.trainer.loop.child"]
ON_TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *CHILD]


def paired(talk: Path, page: Path, **contrastive: Any) -> Config:
    plain = config_of(talk, page).canonical()
    plain["contrastive"] = {"sets": ["talk"], **contrastive}
    plain["data"]["sets"] = {
        "talk": {"shards": str(talk), "policy": "asr"},
        "page": {"shards": str(page)},
    }
    plain["stop"] = {"steps": 4}
    return of_json(plain, "made")


def on_two(config: Config, folder: Path, root: Path) -> list[dict[str, Any]]:
    command = [sys.executable, *ON_TWO, str(written(config, folder)), str(folder / "two")]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return steps_of(folder / "two")


def test_gathered_two_ranks_learn_what_one_process_does(
    talk: Path, page: Path, root: Path, tmp_path: Path
) -> None:
    """The same negatives, so the same losses and gradients, though ranks have other numbers of
    pairs: one of them may have none at all."""
    config = paired(
        talk, page, gather=True, symmetric=True, similarity="wasserstein", layers="last"
    )
    two = on_two(config, tmp_path, root)
    train(config, tmp_path / "one")
    one = steps_of(tmp_path / "one")
    for key in ("loss", "loss_contrast", "loss_text", "gradient_norm"):
        assert [line[key] for line in two] == pytest.approx([line[key] for line in one], rel=1e-3)


def test_alone_a_rank_has_fewer_negatives(
    talk: Path, page: Path, root: Path, tmp_path: Path
) -> None:
    """The first step, before any weight differs: fewer to tell apart is easier."""
    config = paired(talk, page, layers="last")
    two = on_two(config, tmp_path, root)
    train(config, tmp_path / "one", until=1)
    [one] = steps_of(tmp_path / "one")
    assert two[0]["loss_contrast"] < one["loss_contrast"] - 0.1
    assert two[0]["loss_text"] == pytest.approx(one["loss_text"], rel=1e-4)
