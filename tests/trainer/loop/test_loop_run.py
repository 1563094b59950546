"""A run in this process: what it writes, how it stops and goes on, and what it refuses."""

import json
import math
import os
import random
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.trainer.loop.made_runs import config_of, losses_of, steps_of, with_data
from trainer import journal
from trainer.checkpoint import checkpoints
from trainer.config import Config, of_json
from trainer.loop import (
    BusyError,
    ChangedError,
    DivergedError,
    SetupError,
    State,
    initial_decoder,
    train,
)
from trainer.model import Decoder
from trainer.trained import open_trained


def changed(config: Config, **parts: Any) -> Config:
    return of_json({**config.canonical(), **parts}, "made")


def weights_of(out: Path) -> dict[str, torch.Tensor]:
    return dict(open_trained(out).decoder.named_parameters())


def same_weights(one: Path, other: Path) -> bool:
    a, b = weights_of(one), weights_of(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_learns_logs_and_saves(tiny: Config, tmp_path: Path) -> None:
    result = train(tiny, tmp_path)
    assert (result.stopped, result.step) == ("done", 8)
    lines = steps_of(tmp_path)
    assert [line["step"] for line in lines] == list(range(1, 9))
    assert lines[-1]["loss"] < lines[0]["loss"] * 0.95
    first = lines[0]
    assert first["loss_text"] == pytest.approx(math.log(305), abs=0.3)
    assert first["loss_speech"] == pytest.approx(math.log(16), abs=0.2)
    assert set(first["sets"]) == {"talk", "page"}
    assert "loss_speech" not in first["sets"]["page"]
    last = lines[-1]
    assert last["positions"] + last["padding"] == 8 * 4 * 128
    kinds = last["text_tokens"] + last["speech_positions"] + last["markers"]
    assert last["positions"] == kinds
    # every chunk's last position may be filled up: 40 / 3 positions a second
    assert last["speech_frames"] == round(last["speech_seconds"] * 40 / 3)
    assert 1 <= last["speech_positions"] / last["speech_frames"] < 1.2
    assert result.last["loss"] == last["loss"]
    assert [one.step for one in checkpoints(tmp_path / "checkpoints")] == [8]
    assert open_trained(tmp_path).step == 8


def test_the_logged_loss_is_the_mean_over_all_counted_targets(tiny: Config, tmp_path: Path) -> None:
    """From the parts of each set and kind, weighted by their numbers, over a window of steps."""
    config = changed(tiny, log={"every": 4}, stop={"steps": 4})
    seen: dict[str, Any] = {}
    train(config, tmp_path, on_line=seen.update)
    each, _ = tmp_path / "each", train(changed(tiny, stop={"steps": 4}), tmp_path / "each")
    singles = [line["loss"] for line in steps_of(each)]
    assert min(singles) < seen["loss"] < max(singles)
    assert len(steps_of(tmp_path)) == 1


def test_a_paused_run_goes_on_as_if_it_had_not_been(tiny: Config, tmp_path: Path) -> None:
    train(tiny, tmp_path / "whole")
    for until in (3, 4, 7):
        assert train(tiny, tmp_path / "parts", until=until).stopped == "paused"
    assert train(tiny, tmp_path / "parts").stopped == "done"
    assert steps_of(tmp_path / "parts") == steps_of(tmp_path / "whole")
    assert same_weights(tmp_path / "parts", tmp_path / "whole")


def test_a_finished_run_says_so_and_changes_nothing(tiny: Config, tmp_path: Path) -> None:
    config = changed(tiny, stop={"steps": 2})
    train(config, tmp_path)
    before = steps_of(tmp_path)
    result = train(config, tmp_path)
    assert (result.stopped, result.step, result.last["step"]) == ("done", 2, 2)
    assert steps_of(tmp_path) == before


def test_the_model_seed_decides_the_weights_and_the_data_seed_the_data(
    tiny: Config, tmp_path: Path
) -> None:
    config = changed(tiny, stop={"steps": 1})
    other_data = with_data(config, seed=5)
    other_model = changed(config, seed=5)
    found: dict[str, dict[str, Any]] = {}

    def look(model: Decoder, state: State) -> dict[str, Any]:
        return {"sum": float(sum(w.double().abs().sum() for w in model.parameters()))}

    for name, one in {"a": config, "data": other_data, "model": other_model}.items():
        result = train(one, tmp_path / name, at={0: look})
        found[name] = {"weights": result.evaluations[0], "words": result.totals["words"]}
    assert found["a"]["weights"] == found["data"]["weights"] != found["model"]["weights"]
    assert found["a"]["words"] == found["model"]["words"]
    assert losses_of(tmp_path / "a") != losses_of(tmp_path / "data")


def test_initial_weights_are_those_of_the_function(tiny: Config, tmp_path: Path) -> None:
    def look(model: Decoder, state: State) -> dict[str, Any]:
        again = initial_decoder(tiny, state.vocabulary)
        pairs = zip(model.parameters(), again.parameters(), strict=True)
        return {"same": all(torch.equal(a, b) for a, b in pairs)}

    result = train(changed(tiny, stop={"steps": 1}), tmp_path, at={0: look})
    assert result.evaluations == {0: {"same": True}}


def test_evaluations_change_nothing_and_are_kept(tiny: Config, tmp_path: Path) -> None:
    def meddle(model: Decoder, state: State) -> dict[str, Any]:
        assert not model.training
        assert not torch.is_grad_enabled()
        torch.manual_seed(99)
        random.seed(99)
        np.random.seed(99)
        torch.rand(1000)
        return {"step": state.step, "positions": sum(list(state.totals.values())[:3])}

    train(tiny, tmp_path / "plain")
    before = random.getstate()
    train(tiny, tmp_path / "asked", at={0: meddle, 3: meddle, 8: meddle}, until=5)
    result = train(tiny, tmp_path / "asked", at={0: meddle, 3: meddle, 8: meddle})
    assert random.getstate() == before
    assert steps_of(tmp_path / "asked") == steps_of(tmp_path / "plain")
    assert sorted(result.evaluations) == [0, 3, 8]
    assert [result.evaluations[step]["step"] for step in (0, 3, 8)] == [0, 3, 8]


def test_the_callers_generator_is_left_as_it_was(tiny: Config, tmp_path: Path) -> None:
    torch.manual_seed(7)
    wanted = torch.rand(3)
    torch.manual_seed(7)
    train(changed(tiny, stop={"steps": 1}), tmp_path)
    assert torch.equal(torch.rand(3), wanted)


@pytest.mark.parametrize(("loss", "none"), [({"speech": 0.0}, "code_heads.weight")])
def test_a_text_only_loss_leaves_the_heads_of_speech_alone(
    tiny: Config, tmp_path: Path, loss: dict[str, float], none: str
) -> None:
    config = changed(tiny, loss={**tiny.canonical()["loss"], **loss}, stop={"steps": 3})
    before: dict[str, torch.Tensor] = {}

    def look(model: Decoder, state: State) -> None:
        before.update({name: w.clone() for name, w in model.named_parameters()})

    config = changed(config, optimizer={**config.canonical()["optimizer"], "weight_decay": 0.0})
    train(config, tmp_path, at={0: look})
    after = weights_of(tmp_path)
    assert torch.equal(before[none], after[none])
    assert not torch.equal(before["code_tables.weight"], after["code_tables.weight"])
    assert "loss_speech" in steps_of(tmp_path)[0]


def test_accumulation_gives_the_same_gradient(tiny: Config, tmp_path: Path) -> None:
    """Parts hold unequal numbers of targets: a mean of means would differ in the first digits."""
    for name, parts in {"one": None, "two": 2, "four": 1}.items():
        train(changed(tiny, compute={"micro_packs": parts}, stop={"steps": 4}), tmp_path / name)
    one = steps_of(tmp_path / "one")
    for name in ("two", "four"):
        other = steps_of(tmp_path / name)
        for key in ("loss", "gradient_norm"):
            assert [x[key] for x in other] == pytest.approx([x[key] for x in one], rel=2e-5)


def test_bf16_learns_nearly_the_same(tiny: Config, tmp_path: Path) -> None:
    train(tiny, tmp_path / "fp32")
    train(changed(tiny, compute={"precision": "bf16"}), tmp_path / "bf16")
    one, other = losses_of(tmp_path / "fp32"), losses_of(tmp_path / "bf16")
    assert other == pytest.approx(one, rel=0.01)
    assert other != one
    assert all(weight.dtype == torch.float32 for weight in weights_of(tmp_path / "bf16").values())


@pytest.mark.parametrize("stop", [{"positions": 4 * 128 * 3.5}, {"flops": 1e9}])
def test_a_run_stops_by_positions_or_operations(
    tiny: Config, tmp_path: Path, stop: dict[str, float]
) -> None:
    result = train(changed(tiny, stop=stop), tmp_path)
    start = journal.read(tmp_path)[0]
    cost = 4 * 128 * (start["flops_per_position"] if "flops" in stop else 1)
    budget = next(iter(stop.values()))
    assert result.step * cost <= budget < (result.step + 1) * cost
    assert result.stopped == "done"
    assert result.flops < result.step * 4 * 128 * start["flops_per_position"]


def test_data_that_end_first_end_the_run(tiny: Config, tmp_path: Path) -> None:
    sets = tiny.canonical()["data"]["sets"]
    ended = {name: {**one, "epochs": 1} for name, one in sets.items()}
    config = changed(with_data(tiny, sets=ended), stop={"steps": 1000})
    result = train(config, tmp_path)
    assert result.stopped == "data"
    assert 0 < result.step < 1000
    again = train(config, tmp_path)
    assert (again.stopped, again.step) == ("data", result.step)


def test_sigterm_saves_and_the_run_goes_on(tiny: Config, tmp_path: Path) -> None:
    def tell(line: Any) -> None:
        if line["step"] == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    stopped = train(tiny, tmp_path / "told", on_line=tell)
    assert (stopped.stopped, stopped.step) == ("signal", 4)
    assert signal.getsignal(signal.SIGTERM) is before
    assert [one.step for one in checkpoints(tmp_path / "told" / "checkpoints")] == [4]
    train(tiny, tmp_path / "told")
    train(tiny, tmp_path / "plain")
    assert steps_of(tmp_path / "told") == steps_of(tmp_path / "plain")


def poison(step: int, value: float) -> Any:
    def put(model: Decoder, state: State) -> None:
        model.norm.weight[0] = value

    return {step: put}


def test_nan_stops_names_documents_and_keeps_the_last_good_checkpoint(
    tiny: Config, tmp_path: Path
) -> None:
    config = changed(tiny, checkpoint={"every": 2})
    with pytest.raises(DivergedError, match=r"the loss is nan.*step-0000000002") as caught:
        train(config, tmp_path, at=poison(3, math.nan))
    assert caught.value.step == 3
    assert len(caught.value.documents) > 0
    line = next(one for one in journal.read(tmp_path) if one["event"] == "diverged")
    assert tuple(line["documents"]) == caught.value.documents
    assert len(line["packs"]) == 4
    assert [one.step for one in checkpoints(tmp_path / "checkpoints")] == [2]
    assert all(bool(torch.isfinite(one).all()) for one in weights_of(tmp_path).values())
    train(config, tmp_path)  # the poison was no part of the run
    train(tiny, tmp_path / "plain")
    assert steps_of(tmp_path) == steps_of(tmp_path / "plain")


def test_only_the_part_that_is_not_finite_is_named(tiny: Config, tmp_path: Path) -> None:
    """A weight that only speech passes through: packs of pages stay finite."""

    def put(model: Decoder, state: State) -> None:
        assert model.code_tables is not None
        levels = model.vocabulary.levels  # level 0 stands where no speech is, too
        model.code_tables.weight.unflatten(0, (-1, levels))[:, 1:] = math.inf

    config = changed(tiny, compute={"micro_packs": 1})
    with pytest.raises(DivergedError) as caught:
        train(config, tmp_path, at={0: put})
    line = next(one for one in journal.read(tmp_path) if one["event"] == "diverged")
    assert len(line["packs"]) == 2  # of four: half of the positions are pages
    assert set(caught.value.documents) == set(line["documents"])


def test_a_loss_far_above_guessing_stops(tiny: Config, tmp_path: Path) -> None:
    with pytest.raises(DivergedError, match=r"not within 3 times .* of guessing"):
        train(tiny, tmp_path, at=poison(1, 1e4))


def test_a_gradient_above_its_bound_stops(tiny: Config, tmp_path: Path) -> None:
    config = changed(tiny, diverged={"gradient": 1e-3})
    with pytest.raises(DivergedError, match=r"norm of the gradient is .*above 0\.001"):
        train(config, tmp_path)


def test_changed_settings_are_shown_and_refused(tiny: Config, tmp_path: Path) -> None:
    train(tiny, tmp_path, until=2)
    other = changed(tiny, optimizer={"lr": 1e-4}, log={"every": 2})
    with pytest.raises(ChangedError, match=r"optimizer\.lr: 0\.003 -> 0\.0001\n") as caught:
        train(other, tmp_path)
    assert "log.every" not in str(caught.value)
    assert train(other, tmp_path, allow_changes=True).stopped == "done"


def test_a_longer_run_is_a_change_that_can_be_allowed(tiny: Config, tmp_path: Path) -> None:
    train(changed(tiny, stop={"steps": 2}), tmp_path)
    with pytest.raises(ChangedError, match=r"stop\.steps: 2 -> 4"):
        train(changed(tiny, stop={"steps": 4}), tmp_path)
    result = train(changed(tiny, stop={"steps": 4}), tmp_path, allow_changes=True)
    assert (result.stopped, result.step) == ("done", 4)


def test_other_shards_under_the_same_name_are_a_change(
    tiny: Config, talk: Path, page: Path, tmp_path: Path
) -> None:
    train(tiny, tmp_path, until=1)
    with pytest.raises(ChangedError, match=r"shards of set talk: digest \w{12} -> \w{12}"):
        train(config_of(page, page, stop={"steps": 8}), tmp_path)


def test_another_model_cannot_be_allowed(tiny: Config, tmp_path: Path) -> None:
    train(tiny, tmp_path, until=1)
    wider = changed(tiny, model={"depth": 2, "width": 64, "heads": 2})
    with pytest.raises(ChangedError, match="other sizes"):
        train(wider, tmp_path, allow_changes=True)
    other_codes = changed(tiny, speech={"tokenizer": "dmel/20x4"})
    with pytest.raises(ChangedError, match="vocabulary"):
        train(other_codes, tmp_path, allow_changes=True)


def test_an_out_with_a_run_is_not_begun_anew(tiny: Config, tmp_path: Path) -> None:
    train(tiny, tmp_path, until=1)
    with pytest.raises(SetupError, match="already holds a run at step 1"):
        train(tiny, tmp_path, resume=False)


def test_two_runs_in_one_out_are_refused(tiny: Config, tmp_path: Path) -> None:
    def second(model: Decoder, state: State) -> None:
        with pytest.raises(BusyError, match="another process trains"):
            train(tiny, tmp_path)

    train(changed(tiny, stop={"steps": 1}), tmp_path, at={0: second})


def test_a_missing_tokenizer_is_told_before_anything_starts(tiny: Config, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match=r"nowhere\.json"):
        train(changed(tiny, text={"tokenizer": str(tmp_path / "nowhere.json")}), tmp_path / "out")
    assert not (tmp_path / "out" / "checkpoints").exists()


def test_a_log_can_be_read_after_any_end(tmp_path: Path) -> None:
    log = journal.Journal(tmp_path)
    for step in (1, 2, 3):
        log.put("step", step, loss=float(step))
    log.close()
    with (tmp_path / journal.NAME).open("a") as file:
        file.write('{"event": "step", "st')  # killed here
    again = journal.Journal(tmp_path)
    again.put("resume", 1)
    again.put("step", 2, loss=math.nan)
    again.close()
    found = [(one["event"], one["step"], one.get("loss")) for one in journal.read(tmp_path)]
    assert found == [("step", 1, 1.0), ("resume", 1, None), ("step", 2, "nan")]
    assert all(json.loads(line) for line in (tmp_path / journal.NAME).read_text().splitlines())


def test_tensorboard_that_is_not_there_is_said(
    tiny: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "torch.utils.tensorboard", None)
    with pytest.raises(SetupError, match="pip install tensorboard"):
        train(changed(tiny, log={"tensorboard": True}), tmp_path)
