"""Weights and coverage of a run: in the trainer's form, with gaps, and no shard is made anew."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.balance import FILE, REPORT, Balance, Labelled, coverage_of, texts_of
from pipeline.layout import composition_folder
from pipeline.recipe import load_recipe
from schemas.manifest import read_manifest
from schemas.settings import SettingsError
from schemas.shard_index import read_index
from tests.laws import made_corpus
from tests.laws.made_corpus import Row
from tests.laws.runs import RECIPE, Ran, curate
from trainer.order import read_weights

FILES = ["talk0.wav", "talk1.wav", "talk3.wav"]
TEXTS = [
    "the football team scored a goal in the stadium before the referee came",
    "knead the flour and the butter and bake the bread in a hot oven",
    "the coach of the basketball team spoke of the championship and the medal",
]


def written(folder: Path, balance: str, name: str = "laws") -> Path:
    text = RECIPE.read_text(encoding="utf-8").replace("name: laws", f"name: {name}")
    text = re.sub(r"( +)- text_rate", r"\1- text_rate\n\1- topic\n\1- format", text)
    text = text.replace("{train: 0.8, valid: 0.1, test: 0.1}", "{train: 1.0, valid: 0, test: 0}")
    path = folder / f"{name}.yaml"
    path.write_text(f"{text}\nbalance: {balance}\n", encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Ran]:
    folder = tmp_path_factory.mktemp("balance")
    table = [Row(audio=f, text=t, speaker="voice") for f, t in zip(FILES, TEXTS, strict=True)]
    data = made_corpus.write_corpus(folder / "data", FILES, table)
    (folder / "wanted.txt").write_text(f"{TEXTS[1]}\n\n{TEXTS[1]}\nwith salt\n\n{TEXTS[0]}\n")
    even = load_recipe(written(folder, "{method: unimax, max_epochs: 4}"))
    same = "{method: target, reference: wanted.txt, max_epochs: 50}"
    target = load_recipe(written(folder, same, "target"))
    return (
        curate(data, folder / "out", recipe=even),
        curate(data, folder / "out", recipe=target),
    )


def files(run: Ran) -> tuple[dict[str, float], dict[str, Any]]:
    folder = composition_folder(run.result.compose_key)
    local = run.store.local(f"{folder}/{FILE}")
    assert local is not None
    return read_weights(str(local)), json.loads(run.store.get(f"{folder}/{REPORT}"))


def test_every_document_has_a_weight_that_the_trainer_reads(ran: tuple[Ran, Ran]) -> None:
    run = ran[1]  # the last to write beside these shards
    folder = composition_folder(run.result.compose_key)
    weights, told = files(run)
    manifest = read_manifest(lambda name: run.store.get(f"{folder}/{name}"))
    keys = {
        row.key
        for shard in manifest.shards
        for row in read_index(
            run.store.get(f"{folder}/{shard.name.removesuffix('.tar')}.parquet"), shard.name
        )
    }
    assert set(weights) == keys and len(keys) >= 3
    shown = sum(row["epochs"] * row["seconds"] for row in told["rows"])
    assert shown == pytest.approx(told["budget_seconds"], rel=1e-6)


def test_the_target_is_the_reference_as_the_same_classifier_labels_it(
    ran: tuple[Ran, Ran],
) -> None:
    _, told = files(ran[1])
    rows = {row["name"]: row for row in told["rows"]}
    assert {"food", "sports"} <= set(rows)
    for name in ("food", "sports"):
        shown = rows[name]["epochs"] * rows[name]["seconds"]
        assert shown / told["budget_seconds"] == pytest.approx(rows[name]["reference"], rel=1e-6)
    assert rows["food"]["gap"] > 0 > rows["sports"]["gap"]
    assert told["rows"][0]["name"] == "food"  # the largest gap first
    assert 0 < told["js"] < told["kl"] and told["smoke"] and told["reference_texts"] == 3


def test_another_method_makes_no_shard_again(ran: tuple[Ran, Ran]) -> None:
    one, other = ran
    assert one.result.compose_key == other.result.compose_key
    assert "compose" not in other.phases() and "select" not in other.phases()


def test_documents_carry_their_topic_and_the_report_shows_gaps(ran: tuple[Ran, Ran]) -> None:
    run = ran[1]
    page = run.store.get(f"report/{run.result.compose_key}/index.html").decode()
    assert "Coverage and weights" in page and "The largest gaps: food" in page
    assert "Smoke-quality labels" in page
    topics = set()
    folder = run.store.local(composition_folder(run.result.compose_key))
    assert folder is not None
    for tar in folder.rglob("*.tar"):
        topics |= set(re.findall(rb'"topic":"(\w*)"', tar.read_bytes()))
    assert {b"food", b"sports"} <= topics


@pytest.mark.parametrize(
    ("balance", "said"),
    [
        ("{by: domain.label}", "does not measure 'domain.label'"),
        ("{by: colour}", "'colour' is no column of clips"),
        ("{by: loudness.lufs}", "does not measure 'loudness.lufs' as a text"),
        ("{method: unimax}", "unimax needs max_epochs"),
        ("{method: target}", "needs target or reference"),
        ("{reference: nowhere.txt}", "'nowhere.txt' matches no file"),
        ("{by: format.label, reference: wanted.txt}", "labelled by topic or domain"),
    ],
)
def test_what_makes_no_sense_is_told_when_planned(tmp_path: Path, balance: str, said: str) -> None:
    (tmp_path / "wanted.txt").write_text("one\n")
    with pytest.raises(SettingsError, match=said):
        load_recipe(written(tmp_path, balance))


def test_paragraphs_are_texts(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\ntwo\n\n\nthree\n")
    assert list(texts_of(tmp_path / "a.txt", {})) == ["one two", "three"]


def test_documents_without_a_label_are_a_group_without_a_share() -> None:
    documents = [Labelled("a", "train", 30.0, "food"), Labelled("b", "train", 10.0, "")]
    found = coverage_of(documents, Balance(), {"food": 1.0, "health": 3.0}, 4, smoke=False)
    rows = {row.name: row for row in found.rows}
    assert rows["food"].share == 1.0 and rows[""].share == 0.0
    assert rows["health"].gap == 0.75 and rows["health"].seconds == 0
    assert [row.name for row in found.rows] == ["health", "", "food"]
