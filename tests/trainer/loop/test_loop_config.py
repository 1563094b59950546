"""Configs: read strictly, filled with shards, compared, and what they may not ask for."""

from pathlib import Path

import pytest

from schemas.settings import SettingsError
from tests.trainer.loop.made_runs import with_data
from trainer.config import Config, Stop, differences, load_config, of_json

TWO = """
name: two
model: {depth: 2, width: 32, heads: 2}
data:
  sets:
    talk: {share: 40}
    page: {share: 60}
stop: {steps: 3}
"""


@pytest.fixture
def two(tmp_path: Path) -> Path:
    path = tmp_path / "two.yaml"
    path.write_text(TWO)
    return path


def test_a_written_config_loads_to_itself(tiny: Config, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(tiny.text_form())
    assert load_config(path) == tiny
    assert of_json(tiny.canonical(), "again") == tiny


def test_shards_go_to_the_sets_they_name_in_any_order(two: Path) -> None:
    for given in (["talk=/a", "/b"], ["/b", "talk=/a"]):
        config = load_config(two, shards=given)
        assert (config.data.sets["talk"].shards, config.data.sets["page"].shards) == ("/a", "/b")


def test_one_path_for_two_sets_is_refused(two: Path) -> None:
    with pytest.raises(SettingsError, match=r"sets talk, page have no shards.*talk=PATH"):
        load_config(two, shards=["/a"])


def test_a_set_without_shards_is_named(two: Path) -> None:
    with pytest.raises(SettingsError, match=r"two\.yaml.*data\.sets\.page\.shards: is missing"):
        load_config(two, shards=["talk=/a"])


def test_a_path_too_many_is_refused() -> None:
    with pytest.raises(SettingsError, match=r"every set has its shards"):
        load_config("smoke", shards=["/a", "/b"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("optimiser.lr=1", r"unknown key.*optimizer"),
        ("optimizer.lr=-1", "above 0"),
        ("optimizer.betas=[0.9, 1.0]", "below 1"),
        ("stop.positions=1e6", "exactly one of steps, positions and flops"),
        ("model=null", "either model, with sizes, or initial.folder"),
        ("schedule.kind=sgdr", "not one of the choices"),
        ("needs=[mind_reading]", r"does not do this: mind_reading \(unknown\)"),
        ("needs=[telepathy]", r"telepathy \(unknown\)"),
        ("compute.device=tpu", "not one of the choices"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(two: Path, change: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load_config(two, [change], ["talk=/a", "page=/b"])


def test_budgets_become_whole_steps_within_them(tiny: Config) -> None:
    per_step = tiny.data.packs * tiny.data.length

    def steps(**stop: float) -> int:
        return tiny.model_copy(update={"stop": Stop(**stop)}).steps(100.0)  # type: ignore[arg-type]

    assert steps(positions=per_step * 3 + 1.0) == 3
    assert steps(positions=per_step * 3.0) == 3
    assert steps(flops=per_step * 100.0 * 5) == 5
    assert steps(steps=7) == 7
    with pytest.raises(ValueError, match="less than one step"):
        steps(positions=per_step - 1.0)


def test_differences_show_what_matters_and_nothing_else(tiny: Config) -> None:
    before = tiny.canonical()
    moved = {"talk": {**before["data"]["sets"]["talk"], "shards": "/elsewhere"}}
    same = with_data(tiny, sets=before["data"]["sets"] | moved, cache="/tmp/c").canonical()
    same["log"]["every"], same["compute"]["workers"] = 5, 2
    assert differences(before, same) == []
    other = tiny.canonical()
    other["optimizer"]["lr"] = 1e-4
    other["data"]["sets"]["extra"] = {"shards": "/x", "share": 2.0}
    assert differences(before, other) == [
        "data.sets.extra.share: (not there) -> 2.0",
        "optimizer.lr: 0.003 -> 0.0001",
    ]
