"""A study's file: what it must say before it runs, and the configs that it makes."""

from pathlib import Path

import pydantic
import pytest

from schemas.settings import SettingsError
from tests.trainer.ablation.made_cells import STUDY, study, written
from trainer.ablation.moments import step_of
from trainer.ablation.plan import OTHER_ORDER, plan

ROOT = Path(__file__).resolve().parents[3]
SETS = {
    "data.sets": {
        "speech": {"shards": "data:web", "policy": "deterministic"},
        "text": {"shards": "/shards/text", "policy": "text_only"},
    }
}
GIVEN = {"web": {"shards": "/shards/web"}}


def planned(tmp_path, **changes):
    return plan(written(tmp_path, settings=SETS, data=GIVEN, **changes))


def config_of(found, arm, seed=1):
    return found.config(arm, seed, lambda name: f"/resolved/{name}")


@pytest.mark.parametrize("name", ["same", "permuted_audio", "text_only"])
def test_a_control_is_there_or_its_absence_has_a_reason(name):
    controls = {k: v for k, v in STUDY["controls"].items() if k != name}
    with pytest.raises(pydantic.ValidationError, match=f"the control {name} is missing"):
        study(controls=controls)
    with pytest.raises(pydantic.ValidationError, match=f"the control {name} is missing"):
        study(controls=controls | {"without": {name: "  "}})
    left = study(controls=controls | {"without": {name: "there is no audio"}})
    assert name not in left.names()
    both = STUDY["controls"] | {"without": {name: "there is no audio"}}
    with pytest.raises(pydantic.ValidationError, match="both given and left out"):
        study(controls=both)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"claims": [{"name": "x", "better": "mor", "worse": "less"}]}, "'mor'; there are"),
        ({"seeds": [1, 1]}, "seeds are different"),
        ({"arms": {"same": {}, "more": {}, "less": {}}}, "two arms are called 'same'"),
        ({"endpoint": {"set": "heard", "at": 25}}, "does not hold 25"),
        ({"endpoint": {"set": "hard", "at": 20}}, "'hard'; there are heard, read"),
        ({"second": {"set": "heard", "first": 10, "last": 40}}, "does not hold the step 40"),
        ({"arms": {"more": {"seeds": [9]}, "less": {}}}, "seed 9, which is not the study's"),
        ({"evaluation": {"sets": {"heard": "x"}, "at": ["30"]}}, "is no moment"),
        ({"data": {"web": {"shards": "x", "needs": "y"}}}, "give one of shards"),
        ({"data": {"web": {"recipe": "x"}}}, "recipe and data belong together"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(changes, said):
    with pytest.raises(pydantic.ValidationError, match=said):
        study(**changes)


def test_moments_are_steps_or_shares():
    assert [step_of(moment, 200) for moment in (30, "25%", "end", 0)] == [30, 50, 200, 0]


def test_arms_of_a_seed_share_weights_and_order_and_a_a_has_another_order(tmp_path):
    found = planned(tmp_path)
    for seed in (1, 4):
        every = {arm: config_of(found, arm, seed) for arm in found.study.names()}
        assert {config.seed for config in every.values()} == {seed}
        others = {c.data.seed for arm, c in every.items() if arm != "same"}
        assert others == {seed} and every["same"].data.seed == seed + OTHER_ORDER
    assert config_of(found, "same").model == config_of(found, "more").model


def test_controls_change_one_thing(tmp_path):
    found = planned(tmp_path)
    base, permuted = config_of(found, "more"), config_of(found, "permuted_audio")
    assert permuted.data.permute_audio and not base.data.permute_audio
    assert permuted.data.model_copy(update={"permute_audio": False}) == base.data
    text = config_of(found, "text_only")
    assert {one.policy.kind for one in text.data.sets.values() if one.policy} == {"text_only"}


def test_names_of_data_become_places(tmp_path):
    found = planned(tmp_path)
    sets = config_of(found, "more").data.sets
    assert (sets["speech"].shards, sets["text"].shards) == ("/resolved/web", "/shards/text")


def test_cells_come_seed_by_seed_and_arms_may_have_fewer(tmp_path):
    arms = {"more": {}, "less": {"seeds": [2]}}
    cells = list(planned(tmp_path, arms=arms, seeds=[1, 2]).cells())
    names = ["more", "same", "permuted_audio", "text_only"]
    assert cells == [(n, 1) for n in names] + [(n, 2) for n in ("more", "less", *names[1:])]


def test_all_that_is_wrong_with_configs_is_told_with_its_arm(tmp_path):
    arms = {"more": {"settings": {"data.pack": 4}}, "less": {"settings": {"stop.steps": 0}}}
    with pytest.raises(SettingsError) as caught:
        planned(tmp_path, arms=arms)
    text = str(caught.value)
    assert "data.pack" in text and "(arm more)" in text and "(arm less)" in text


def test_arms_that_spend_differently_are_refused(tmp_path):
    arms = {"more": {}, "less": {"settings": {"stop.steps": 50}}}
    with pytest.raises(SettingsError, match="equal: positions, but it stops at"):
        planned(tmp_path, arms=arms)
    with pytest.raises(SettingsError, match=r"equal: flops needs stop"):
        planned(tmp_path, equal="flops")
    with pytest.raises(SettingsError, match="equal: data reads every set once"):
        planned(tmp_path, equal="data")


def test_data_that_nothing_makes_are_refused(tmp_path):
    path = written(tmp_path, settings=SETS, data={})
    with pytest.raises(SettingsError, match="nothing here is called 'web'"):
        plan(path)


def test_the_user_gives_what_a_study_needs(tmp_path):
    path = written(tmp_path, settings=SETS, data={"web": {"needs": "crawled speech"}})
    with pytest.raises(SettingsError, match=r"--data web=PATH\. Needed: crawled speech"):
        plan(path)
    assert plan(path, (), {"web": "/x"}).study.data["web"].shards == "/x"
    with pytest.raises(SettingsError, match="the study asks for"):
        plan(path, (), {"web": "/x", "wab": "/y"})


def test_a_study_can_be_scaled_from_outside(tmp_path):
    path = written(tmp_path, settings=SETS, data=GIVEN)
    found = plan(path, ["seeds=[7]", "settings.stop.steps=40"])
    assert found.study.seeds == (7,)
    assert config_of(found, "less", 7).stop.steps == 40
    # one setting of a part leaves the others as they were
    found = plan(path, ["settings.schedule.kind=constant", "arms.less.settings.optimizer.lr=0.5"])
    assert config_of(found, "less").schedule.warmup == config_of(plan(path), "less").schedule.warmup
    assert config_of(found, "less").optimizer.lr == 0.5 != config_of(found, "more").optimizer.lr
    found = plan(path, ["settings.stop={positions: 1e6}"])
    assert config_of(found, "more").stop.positions == 1e6


# one of them is a grid of encoders, which tests/trainer/encoders plans
SHIPPED = sorted(set((ROOT / "ablations").glob("*.yaml")) - {ROOT / "ablations/slim_vs_small.yaml"})


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_study_can_be_planned(path):
    import yaml

    needs = [
        name for name, entry in yaml.safe_load(path.read_text())["data"].items() if "needs" in entry
    ]
    found = plan(path, (), {name: f"/data/{name}" for name in needs})
    assert len(found.study.seeds) >= 8 and found.study.claims
    assert {"same", "permuted_audio", "text_only"} <= set(found.study.names())
    assert f"make ablate ABLATION=ablations/{path.name}" in path.read_text()


def test_the_papers_three_and_the_made_world_are_shipped():
    names = {path.stem for path in SHIPPED}
    assert {"fine_vs_coarse", "synthetic", "deterministic_vs_stochastic", "hops"} <= names


def test_the_example_of_the_document_can_be_planned(tmp_path):
    text = (ROOT / "docs" / "ablations.md").read_text("utf-8")
    (tmp_path / "study.yaml").write_text(text.split("```yaml\n")[1].split("```")[0], "utf-8")
    found = plan(tmp_path / "study.yaml", (), {"web": "/data/web"})
    assert found.study.names() == ("fine", "coarse", "same", "permuted_audio", "text_only")
