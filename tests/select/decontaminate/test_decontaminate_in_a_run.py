"""Decontamination through the whole pipeline, up to the file that the trainer's test reads."""

import json
import re
from pathlib import Path

import pytest

from pipeline.contamination import FLAGGED, REPORT
from pipeline.layout import composition_folder
from pipeline.phases.select import read_verdicts
from pipeline.recipe import load_recipe
from schemas.settings import SettingsError
from tests.laws import made_corpus
from tests.laws.made_corpus import Row
from tests.laws.runs import RECIPE, Ran, curate
from trainer.evaluation.contamination import read_flags

FILES = ["talk0.wav", "talk1.wav", "talk3.wav"]
TEXTS = [
    "well which river flows through the old town of bern",
    "witch river flows thru the old town off bern in switserland",
    "nothing of the kind was asked on this long afternoon",
]
QUESTION = "Which river flows through the old town of Bern in Switzerland?"


def written(folder: Path, step: str, items: str) -> Path:
    """A recipe with one more step, beside its evaluation set."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "quiz.jsonl").write_text(items, encoding="utf-8")
    text = RECIPE.read_text(encoding="utf-8")
    path = folder / "recipe.yaml"
    path.write_text(re.sub(r"( +)- dedup", rf"\1- dedup\n\1- decontaminate: {step}", text))
    return path


ITEMS = json.dumps({"id": "bern", "question": QUESTION}) + '\n{"id": "x", "question": "Who?"}\n'


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("leaks")
    table = [Row(audio=f, text=t, speaker="voice") for f, t in zip(FILES, TEXTS, strict=True)]
    data = made_corpus.write_corpus(folder / "data", FILES, table)
    recipe = load_recipe(written(folder / "recipes", "{against: quiz.jsonl}", ITEMS))
    return curate(data, folder / "out", recipe=recipe)


def test_clips_leave_by_the_rule_that_found_them(ran: Ran) -> None:
    (stream,) = ran.result.streams
    rows = read_verdicts(ran.store, stream.select_key, [b.id for b in stream.blocks]).to_pylist()
    left = {row["reason"]: row for row in rows if not row["kept"]}
    assert set(left) == {"ngram_overlap", "fuzzy_overlap"}
    assert all(row["step"] == "decontaminate" for row in left.values())
    assert left["ngram_overlap"]["detail"].startswith("quiz/bern: which river flows")
    folder = composition_folder(ran.result.compose_key)
    (told,) = json.loads(ran.store.get(f"{folder}/{REPORT}"))["sets"]
    assert told["clips"] == sum(not row["kept"] for row in rows)
    assert 0 < told["clips"] < len(rows)


def test_flagged_items_are_what_the_trainer_reads(ran: Ran, tmp_path: Path) -> None:
    data = ran.store.get(f"{composition_folder(ran.result.compose_key)}/{FLAGGED}")
    (tmp_path / "flagged.jsonl").write_bytes(data)
    flags = read_flags(tmp_path / "flagged.jsonl", {"quiz": {"bern", "x"}, "other": {"bern"}})
    assert flags == {"quiz": {"bern"}, "other": set()}
    assert json.loads(data) == {"set": "quiz", "id": "bern", "kinds": ["fuzzy", "ngram"]}


def test_the_report_counts_hits_and_shows_them_in_context(ran: Ran) -> None:
    folder = composition_folder(ran.result.compose_key)
    told = json.loads(ran.store.get(f"{folder}/{REPORT}"))
    (one,) = told["sets"]
    assert told["flagged"] == {"quiz": 1}
    assert (one["items"], one["items_out_of_reach"], one["rate"]) == (2, 1, 0.5)
    assert [hit["kind"] for hit in one["hits"]] == ["ngram", "fuzzy"]
    assert one["hits"][0]["context"].startswith("well [ which river flows through")
    page = ran.store.get(f"report/{ran.result.compose_key}/index.html").decode()
    assert "Evaluation sets" in page and "well [ which river flows through" in page


@pytest.mark.parametrize(
    ("step", "items", "said"),
    [
        ("{against: nowhere.jsonl}", ITEMS, "'nowhere.jsonl' matches no file"),
        ("{against: quiz.jsonl}", '{"id": "a"}\n', r"quiz\.jsonl:1: has none of the columns"),
        ("{against: quiz.jsonl}", "\n", r"quiz\.jsonl:1: holds no item"),
        ("{against: quiz.jsonl, audio: 0.5}", ITEMS, r"reads fingerprint\.code"),
    ],
)
def test_what_cannot_be_used_is_told_when_planned_with_its_line(
    tmp_path: Path, step: str, items: str, said: str
) -> None:
    with pytest.raises(SettingsError, match=said) as caught:
        load_recipe(written(tmp_path, step, items))
    line = next(
        number
        for number, text in enumerate((tmp_path / "recipe.yaml").read_text().splitlines(), 1)
        if "decontaminate" in text
    )
    assert f"recipe.yaml:{line}" in str(caught.value)
