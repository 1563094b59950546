"""Latent models train, go on where they stopped, are shared by ranks, and are evaluated."""

import itertools
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.evaluation.toy_models import flac, tokenizers
from tests.trainer.latent.conftest import LATENT
from tests.trainer.loop.made_runs import losses_of, steps_of, written
from trainer import journal
from trainer.config import Config, of_json
from trainer.evaluate import EvaluationSettings, evaluate, write_set
from trainer.evaluation.forwards import forwards
from trainer.evaluation.laying import Run, lay
from trainer.export import ExportError, export
from trainer.latent.model import LatentDecoder, decoder_of
from trainer.latent.patching import BEGINS, cut
from trainer.latent.settings import PatchSettings
from trainer.loop import train
from trainer.model_settings import ModelSettings
from trainer.tensors import inputs
from trainer.trained import open_trained

COUNTED = ("text_tokens", "speech_positions", "patches", "markers", "global_positions", "words")
SPOKEN: dict[str, dict[str, Any]] = {
    "frames": {"tokenizer": "dmel/25x1"},
    "units": {"tokenizer": "dmel/25x1", "order": "first"},
}


def changed(config: Config, **parts: Any) -> Config:
    plain = config.canonical()
    for name, value in parts.items():
        plain[name] = {**plain[name], **value} if isinstance(plain[name], dict) else value
    return of_json(plain, "made")


def weights_of(out: Path) -> dict[str, torch.Tensor]:
    return {name: w.detach() for name, w in open_trained(out).decoder.named_parameters()}


@pytest.mark.parametrize("spoken", SPOKEN)
def test_a_latent_model_learns_frames_and_units(
    spoken: str, latent: Config, tmp_path: Path
) -> None:
    config = changed(latent, speech=SPOKEN[spoken], stop={"steps": 24}, optimizer={"lr": 1e-2})
    train(config, tmp_path)
    lines = steps_of(tmp_path)
    for kind in ("loss_text", "loss_speech"):
        assert lines[-1][kind] < 0.9 * lines[0][kind]
    last = lines[-1]
    assert last["global_positions"] == last["text_tokens"] + last["markers"] + last["patches"]
    # words of half a second at 40 Hz: a third of the steps has patches of about 20 positions
    each = [b["patches"] - a["patches"] for a, b in itertools.pairwise([{"patches": 0}, *lines])]
    spoken_each = [
        b["speech_positions"] - a["speech_positions"]
        for a, b in itertools.pairwise([{"speech_positions": 0}, *lines])
    ]
    sizes = [s / max(p, 1) for s, p in zip(spoken_each, each, strict=True) if s]
    assert min(sizes[:5]) > 6 and max(sizes[-5:]) <= 4
    assert last["flops"] > 0


def test_counted_in_positions_the_data_are_those_of_the_plain_model(
    latent: Config, tmp_path: Path
) -> None:
    """The `data` control: both read the same tokens at every step, the latent one for less."""
    data = latent.canonical()["data"]
    given = {"patches": {**data["patches"], "cut": "static", "count": "positions"}}
    ours = changed(latent, data=given, stop={"steps": 4})
    plain = changed(ours, data={"patches": None}, model={"latent": None})
    a, b = train(ours, tmp_path / "latent").totals, train(plain, tmp_path / "plain").totals
    assert {name: a[name] for name in a if name != "patches"} == {
        name: b[name] for name in b if name != "patches"
    }
    assert b["patches"] == b["speech_positions"] > 3 * a["patches"]


def test_a_budget_of_operations_is_spent(latent: Config, tmp_path: Path) -> None:
    """`stop.flops` counts every head everywhere, from plans; the run is as long as that says."""
    result = train(changed(latent, stop={"steps": None, "flops": 2e9}), tmp_path)
    start = next(one for one in journal.read(tmp_path) if one["event"] == "start")
    per_step = start["flops_per_position"] * 4 * 128
    assert result.step == int(2e9 // per_step) > 3
    assert 0.3 * 2e9 < result.flops < 1.1 * 2e9


def test_half_precision_is_near(latent: Config, tmp_path: Path) -> None:
    for precision in ("fp32", "bf16"):
        train(
            changed(latent, stop={"steps": 3}, compute={"precision": precision}),
            tmp_path / precision,
        )
    full, half = (losses_of(tmp_path / one) for one in ("fp32", "bf16"))
    assert half == pytest.approx(full, rel=0.02)
    assert half != full


def test_stopped_and_gone_on_with_it_is_the_same_run(latent: Config, tmp_path: Path) -> None:
    """By curriculum and with workers: weights, losses and patches, bit for bit."""
    train(latent, tmp_path / "whole")
    for until in (2, 5, None):
        workers = 0 if until == 5 else 1
        train(changed(latent, compute={"workers": workers}), tmp_path / "parts", until=until)
    assert losses_of(tmp_path / "parts") == losses_of(tmp_path / "whole")
    one, other = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("parallel", ["ddp", "fsdp"])
def test_two_ranks_read_and_learn_what_one_does(
    parallel: str, latent: Config, root: Path, tmp_path: Path
) -> None:
    """Packs of one set each: a rank may have no speech at all, and every weight has its part."""
    config = changed(latent, stop={"steps": 6}, compute={"parallel": parallel, "micro_packs": 1})
    launcher = ["torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = ["-m", "tests.trainer.loop.child", str(written(config, tmp_path))]
    done = subprocess.run(
        [sys.executable, "-m", *launcher, *command, str(tmp_path / "two")],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    train(config, tmp_path / "one")
    a, b = steps_of(tmp_path / "two"), steps_of(tmp_path / "one")
    assert [[line[key] for key in COUNTED] for line in a] == [
        [line[key] for key in COUNTED] for line in b
    ]
    for key in ("loss", "gradient_norm", "flops"):
        assert [line[key] for line in a] == pytest.approx([line[key] for line in b], rel=1e-4)


def test_evaluation_cuts_statically_at_chunks(tmp_path: Path) -> None:
    """What is asked is scored as the model scores a static cut of it, whatever lies beside it."""
    audio: dict[str, Path | bytes] = {"audio/p.flac": flac(7, 6)}
    audio |= {f"audio/e{e}.flac": flac(20 + e, 5 + e) for e in range(3)}
    endings = [{"text": f"end {e}", "audio": f"audio/e{e}.flac"} for e in range(3)]
    item = {
        "kind": "endings",
        "id": "h0",
        "prompt": {"text": "Once upon", "audio": "audio/p.flac"},
        "endings": endings,
        "answer": 1,
    }
    stories = write_set(tmp_path / "hella", [item], audio)
    own = tokenizers()
    settings = ModelSettings(
        depth=2, width=32, heads=2, initial_std=0.3, latent={"size": 4, "window": 4}
    )
    model = decoder_of(settings, own.words, seed=1).eval()
    asked = EvaluationSettings(modes=("S-to-S",), context=64)
    scores = evaluate(model, own, [stories], asked).of("hella", "S-to-S").items[0]
    prompt = own.hear(stories.folder / "audio/p.flac")
    for place, ending in enumerate(scores.order):
        other = own.hear(stories.folder / f"audio/e{ending}.flac")
        piece = lay([prompt, Run(other.content, True)], own.words)
        assert piece.begins is not None and np.flatnonzero(piece.begins).tolist() == [2, 8]
        (forward,) = forwards([(0, [piece])], own.words, 64, 64)
        (pack,) = forward.batch.packs
        flags = cut(pack, PatchSettings(size=4))
        assert np.flatnonzero(flags & BEGINS).tolist()[:4] == [2, 6, 8, 12]
        with torch.no_grad():
            hidden = model(inputs(forward.batch))[0]
        logs = model.text_logits(hidden).double().log_softmax(-1)
        expected = math.fsum(
            float(logs[at - 1, int(piece.ids[at])].detach()) for at in np.flatnonzero(piece.scored)
        )
        assert scores.scores["sum"][place] == pytest.approx(expected, abs=1e-4)


def test_export_is_refused_with_a_reason(latent: Config, tmp_path: Path) -> None:
    train(changed(latent, stop={"steps": 1}), tmp_path / "run")
    trained = open_trained(tmp_path / "run")
    assert isinstance(trained.decoder, LatentDecoder)
    with pytest.raises(ExportError, match=r"latent model cannot be exported.*Evaluate"):
        export(trained.decoder, trained.text, tmp_path / "folder", length=64)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"model": {"latent": None}}, "data.patches is given and model.latent is not"),
        ({"data": {"patches": None}}, "model.latent is given and data.patches is not"),
        ({"model": {"latent": {**LATENT, "size": 3}}}, "data.patches.size is 4 and model"),
        ({"speech": {"tokenizer": None}}, "speech.tokenizer is null"),
        ({"speech": {"tokenizer": "dmel/25x1", "order": "delay"}}, "take parallel or first"),
        ({"stop": {"steps": None, "positions": 9999}}, "give stop.steps or"),
        (
            {"data": {"patches": {"size": 4, "cut": "curriculum", "begin": 0.9}}},
            "begin 0.9 must not be after end",
        ),
    ],
)
def test_what_does_not_fit_is_told(latent: Config, parts: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        changed(latent, **parts)
