"""The command line: what it prints, its exit codes, and that asking for help loads nothing slow."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.trainer.loop.made_runs import steps_of
from trainer.__main__ import commands, main
from trainer.progress import Progress, duration, progress_line
from trainer.text import load_text_tokenizer

SMALL = ["model.depth=2", "model.width=32", "data.length=128", "stop.steps=3", "text.size=300"]


def arguments(talk: Path, out: Path, *more: str) -> list[str]:
    sets = [part for text in (*SMALL, "model.heads=2") for part in ("--set", text)]
    return ["train", "--shards", str(talk), "--out", str(out), *sets, *more]


def test_training_says_where_everything_is_and_goes_on(
    talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    given = arguments(talk, out, "--set", "data.sets.shards.policy=deterministic")
    assert main([*given, "--until", "2"]) == 0
    said = capsys.readouterr().out
    assert "smoke: training in" in said
    assert "paused; the same command goes on: step 2 of 3" in said
    assert main(given) == 0
    said = capsys.readouterr().out
    assert "step 3/3 | loss" in said
    assert "done: step 3 of 3" in said
    for line in said.splitlines():
        name, _, value = line.partition("  ")
        if name in ("checkpoint", "log", "settings"):
            assert Path(value.strip()).exists()
    assert [line["step"] for line in steps_of(out)] == [1, 2, 3]
    assert load_text_tokenizer(out).size <= 300
    assert main(given) == 0


def test_changes_are_refused_with_a_diff(
    talk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = arguments(talk, tmp_path, "--set", "data.sets.shards.policy=deterministic")
    assert main([*given, "--until", "1"]) == 0
    other = [*given, "--set", "optimizer.lr=1e-5"]
    assert main(other) == 2
    assert "optimizer.lr: 0.002 -> 1e-05" in capsys.readouterr().err
    assert main([*other, "--allow-changes"]) == 0


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (["--set", "data.sets.shards.policy=zigzag"], 2, "there is no policy 'zigzag'"),
        (["--config", "missing.yaml"], 2, "missing.yaml"),
        (["--set", "data.sets.shards.split=night"], 1, "has no shards of split 'night'"),
        (["--set", "speech.tokenizer=wavs"], 2, "wavs"),
        (["--set", "stop={flops: 5}"], 2, "less than one step"),
    ],
)
def test_errors_are_one_line_and_a_code(
    change: list[str],
    code: int,
    message: str,
    talk: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*arguments(talk, tmp_path / "out"), *change]) == code
    said = capsys.readouterr().err
    assert said.startswith("speechloom-train: ")
    assert message in said
    assert "Traceback" not in said


def test_a_tokenizer_is_trained_once_and_never_written_over(
    talk: Path, page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "bpe" / "tokenizer.json"
    given = ["tokenizer", "--shards", str(talk), "--shards", str(page), "--out", str(out)]
    assert main([*given, "--size", "270"]) == 0
    made = load_text_tokenizer(out)
    assert made.size == 270
    assert made.digest in capsys.readouterr().out
    assert made.decode(made.encode(" d3c1w0 ÿ")) == " d3c1w0 ÿ"
    assert main([*given, "--size", "270"]) == 2
    assert "never written over" in capsys.readouterr().err
    out.unlink()
    assert main([*given, "--size", "90000"]) == 2


def test_an_export_of_a_run_gives_the_same_logits(talk: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    from trainer.tensors import Inputs
    from trainer.trained import open_trained

    given = arguments(talk, tmp_path / "run", "--set", "data.sets.shards.policy=deterministic")
    assert main(given) == 0
    assert main(["export", str(tmp_path / "run"), "--out", str(tmp_path / "x")]) == 0
    trained = open_trained(tmp_path / "run")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "x")
    ids = torch.arange(40)[None]
    zeros = torch.zeros_like(ids)
    codes = torch.zeros(1, 40, trained.vocabulary.codebooks, dtype=torch.long)
    with torch.no_grad():
        hidden = trained.decoder(
            Inputs(ids=ids, codes=codes, modality=zeros, piece=zeros, place=ids)
        )
        assert torch.allclose(theirs(ids).logits, trained.decoder.text_logits(hidden), atol=1e-5)


def test_help_names_every_command_and_loads_nothing_slow(root: Path) -> None:
    assert {"train", "tokenizer", "export"} <= commands().keys()
    assert all(10 < len(meaning) < 100 for meaning in commands().values())
    code = (
        "import sys\nfrom trainer.__main__ import parser\nparser().format_help()\n"
        "print(sorted({'torch', 'numpy', 'pydantic', 'transformers'} & set(sys.modules)))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_a_line_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    line = {
        "step": 12,
        "steps": 300,
        "loss": 4.4444,
        "loss_text": 5.1,
        "positions_per_second": 20300.4,
        "wait": 0.021,
        "mfu": 0.4,
        "seconds": 1.0,
    }
    assert progress_line(line, 600.0) == (
        "step 12/300 | loss 4.444 (text 5.100) | 20,300 positions/s | waiting 2% | MFU 40% | "
        "10 min left"
    )
    assert [duration(s) for s in (9.6, 600, 36000)] == ["10 s", "10 min", "10.0 h"]
    shown = Progress(sys.stdout)
    for step in (1, 2, 300):
        shown({**line, "step": step})
    shown.close()
    said = capsys.readouterr().out
    assert "step 1/300" in said
    assert "step 2/300" not in said  # not a terminal: at times, and the last
    assert "step 300/300" in said
