"""Two ranks of one run: which documents each trains on, and that a signal to any stops all."""

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.trainer.loop.made_runs import steps_of, written
from trainer import journal
from trainer.checkpoint import checkpoints
from trainer.config import Config, of_json
from trainer.loop import train

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
CHILD = ["-m", "tests.trainer.loop.child"]
ON_TWO = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *CHILD]
COUNTED = ("step", "text_tokens", "speech_positions", "markers", "words", "documents", "withheld")


def ran(root: Path, *command: str | Path) -> str:
    """What a command printed, which has to succeed."""
    done = subprocess.run(
        [sys.executable, *map(str, command)], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def packs_by_step(folder: Path, ranks: int) -> list[list[Any]]:
    """Packs of each update as they were trained on, the first rank's before the second's."""
    found: list[list[Any]] = []
    for rank in range(ranks):
        for line in (folder / f"{rank}.jsonl").read_text().splitlines():
            row = json.loads(line)
            if row["step"] == len(found):
                found.append([])
            found[row["step"]] += row["packs"]
    return found


def test_one_rank_and_two_train_on_the_same_documents_in_the_same_order(
    tiny: Config, root: Path, tmp_path: Path
) -> None:
    """Number, set, documents, chunks and ids of every pack, as the updates got them."""
    file = written(tiny, tmp_path)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    ran(root, *CHILD, file, tmp_path / "a", "--packs", tmp_path / "one")
    ran(root, *ON_TWO, file, tmp_path / "b", "--packs", tmp_path / "two")
    one, two = packs_by_step(tmp_path / "one", 1), packs_by_step(tmp_path / "two", 2)
    assert one == two
    assert len(one) == 8
    assert [pack[0] for packs in one for pack in packs] == list(range(32))
    assert {pack[1] for packs in one for pack in packs} == {"talk", "page"}
    assert all(pack[2] for packs in one for pack in packs)


def test_a_signal_to_one_rank_saves_and_stops_both(
    tiny: Config, root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "told"
    said = ran(root, *ON_TWO, written(tiny, tmp_path), out, "--tell", "3")
    assert said.count("stopped signal at 4") == 2
    assert [one.step for one in checkpoints(out / "checkpoints")] == [4]
    assert journal.read(out)[-1]["stopped"] == "signal"
    assert train(tiny, out).stopped == "done"
    train(tiny, tmp_path / "plain")
    a, b = steps_of(out), steps_of(tmp_path / "plain")
    assert [[x[key] for key in COUNTED] for x in a] == [[x[key] for key in COUNTED] for x in b]
    assert [x["loss"] for x in a] == pytest.approx([x["loss"] for x in b], rel=1e-4)


def test_a_signal_to_the_launcher_saves_and_stops_both(
    tiny: Config, root: Path, tmp_path: Path
) -> None:
    """As a cluster ends a job: torchrun hands the signal on and waits for its ranks."""
    out = tmp_path / "out"
    config = of_json({**tiny.canonical(), "stop": {"steps": 10_000}}, "made")
    command = [sys.executable, *ON_TWO, str(written(config, tmp_path)), str(out)]
    with subprocess.Popen(
        [*command, "--pace", "0.05"], cwd=root, stdout=subprocess.PIPE, text=True
    ) as launcher:
        assert launcher.stdout is not None
        for line in launcher.stdout:
            if line.strip() == "3":
                launcher.send_signal(signal.SIGTERM)
                break
        rest = launcher.stdout.read()
        assert launcher.wait() != 0
    assert rest.count("stopped signal at") == 2
    (saved,) = checkpoints(out / "checkpoints")
    assert 3 < saved.step < 10_000
    assert journal.read(out)[-1]["event"] == "end"
    assert steps_of(out)[-1]["step"] == saved.step
