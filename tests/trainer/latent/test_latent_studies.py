"""Studies that compare plain and latent models at equal units, data and operations."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from schemas.settings import SettingsError
from tests.trainer.evaluation.toy_models import cloze, made_set
from trainer.ablation.cell import CELL, run
from trainer.ablation.checks import ArmResult, checks_of
from trainer.ablation.plan import plan
from trainer.config import Config, of_json
from trainer.evaluate import EvaluationSettings

HOPS = "ablations/hops_lst.yaml"


def test_each_claim_is_planned_as_equal_as_it_says(root: Path) -> None:
    study = plan(root / HOPS).study
    assert [claim.equal for claim in study.claims] == ["units", "positions", "flops"]
    for change, said in (
        ("arms.lst-units.settings.data.length=100", "patches at equal units.*equal: units, but"),
        (
            "arms.lst-data.settings.data.patches.count=patches",
            "patches at equal data.*patches a step",
        ),
        ("arms.lst-flops.settings.stop={flops: 9e9}", "patches at equal operations.*9000000000"),
        ("arms.lst-flops.settings.stop={steps: 9}", "patches at equal operations.*stops at None"),
    ):
        with pytest.raises(SettingsError, match=said):
            plan(root / HOPS, [change])
    with pytest.raises(SettingsError, match="say `equal` in every comparison"):
        plan(root / HOPS, ["equal=units"])


def arm(name: str, **read: float) -> ArmResult:
    found = {"text_positions": 10.0, "markers": 2.0, "padding": 3.0, **read}
    return ArmResult(
        name=name,
        about="",
        seeds=(1,),
        endpoint={},
        over_seeds=None,
        second={},
        curves={},
        floor={},
        read=found,
        flops=read.get("flops", 0.0),
        cpu_seconds=0.0,
        loss=None,
    )


def test_what_was_read_is_compared_as_each_claim_says(root: Path) -> None:
    study = plan(root / HOPS).study
    arms = {
        "base": arm("base", speech_positions=85, global_positions=97),
        "lst-units": arm("lst-units", speech_positions=340, global_positions=97),
        "lst-data": arm("lst-data", speech_positions=86, global_positions=33),
        "base-flops": arm("base-flops", speech_positions=85, flops=100.0),
        "lst-flops": arm("lst-flops", speech_positions=170, flops=97.0),
        **{name: arm(name) for name in study.of_controls()},
    }
    found = {one.name: one.holds for one in checks_of(study, arms, None) if "equal" in one.name}
    assert found == {
        "equal (patches at equal units)": True,
        "equal (patches at equal data)": False,  # one position more
        "equal (patches at equal operations)": True,
    }


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sets") / "quiz"
    made_set(folder, [cloze(k, [f"one {k}", f"two {k}"], k % 2) for k in range(2)], sounds=2)
    return folder


def cells(latent: Config, questions: Path, folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """A cell of each arm, in this process."""
    plain = latent.canonical()
    static = {"size": 4, "cut": "static"}
    arms: dict[str, dict[str, Any]] = {
        "base": {"model": {"latent": None}, "data": {"patches": None}},
        "units": {"data": {"patches": {**static, "count": "patches"}}},
        "data": {"data": {"patches": {**static, "count": "positions"}}},
    }
    for name, parts in arms.items():
        whole = {**plain, "stop": {"steps": 3}}
        for part, values in parts.items():
            whole[part] = {**plain[part], **values}
        task = {
            "config": of_json(whole, "made").canonical(),
            "equal": "claims",
            "sets": {"quiz": str(questions)},
            "evaluation": EvaluationSettings(context=128).model_dump(mode="json"),
            "at": ["end"],
            "endpoint": "end",
        }
        (folder / name).mkdir()
        (folder / name / CELL).write_text(json.dumps(task))
        yield name, run(folder / name)


def test_cells_say_what_both_kinds_of_models_read(
    latent: Config, questions: Path, tmp_path: Path
) -> None:
    found = dict(cells(latent, questions, tmp_path))
    reads = {name: one["read"] for name, one in found.items()}
    for name in ("base", "units"):
        assert reads[name]["global_positions"] + reads[name]["padding"] == 3 * 4 * 128
    own = ("text_positions", "speech_positions", "markers", "padding", "documents", "words_heard")
    assert {key: reads["data"][key] for key in own} == {key: reads["base"][key] for key in own}
    assert reads["data"]["global_positions"] < 0.8 * reads["base"]["global_positions"]
    assert reads["units"]["speech_positions"] > 1.3 * reads["base"]["speech_positions"]
    assert found["data"]["flops"] != found["base"]["flops"]
    for one in found.values():
        assert set(one["accuracy"]["3"]) == {"quiz, S-to-T", "quiz, T-to-T"}
