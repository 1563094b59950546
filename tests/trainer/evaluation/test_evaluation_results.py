"""Results on disk, the contamination test in an evaluation, pairing, and the table converter."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.trainer.evaluation.toy_models import Bigram, cloze, flac, made_set, tokenizers
from trainer.__main__ import main
from trainer.evaluate import EvaluationError, EvaluationSettings, evaluate, write
from trainer.evaluation import quest
from trainer.evaluation.contamination import read_flags
from trainer.evaluation.items import plain
from trainer.evaluation.layout import EvalSet, read_set
from trainer.evaluation.markdown import markdown
from trainer.evaluation.pairing import difference, likelihoods, paired

SETTINGS = EvaluationSettings(answer_prefix="Answer:", removals=200)


@pytest.fixture(scope="module")
def quizzes(tmp_path_factory: pytest.TempPathFactory) -> list[EvalSet]:
    folder = tmp_path_factory.mktemp("sets")
    made = []
    for name, count in (("web", 6), ("trivia", 5)):
        items = [
            cloze(k, [f"a{k}", f"bb{k}", f"ccc{k}", f"d{k}"], k % 4, group=f"page{k // 2}")
            for k in range(count)
        ]
        made.append(made_set(folder / name, items, sounds=count))
    return made


def test_results_are_written_and_the_same_each_time(quizzes: list[EvalSet], tmp_path: Path) -> None:
    own = tokenizers()
    model = Bigram(own.words, seed=11)
    found = [
        write(evaluate(model, own, quizzes, SETTINGS, about={"model": "toy"}), tmp_path / name)
        for name in ("one", "two")
    ]
    for one, two in zip(*found, strict=True):
        assert one.read_bytes() == two.read_bytes()
    summary = json.loads(found[0][0].read_text())
    assert summary["format"] == 1
    assert summary["about"] == {"model": "toy"}
    assert summary["settings"]["answer_prefix"] == "Answer:"
    assert summary["speech_tokenizer"].startswith("energy ")
    assert [(s["name"], s["mode"]) for s in summary["sets"]] == [
        ("web", "S-to-T"),
        ("web", "T-to-T"),
        ("trivia", "S-to-T"),
        ("trivia", "T-to-T"),
    ]
    rows = [json.loads(line) for line in found[0][1].read_text().splitlines()]
    assert len(rows) == 22
    for one in summary["sets"]:
        own_rows = [r for r in rows if (r["set"], r["mode"]) == (one["name"], one["mode"])]
        for score in ("sum", "mean", "gain"):
            estimate = one["estimates"][f"accuracy.{score}"]
            mean = sum(row["correct"][score] for row in own_rows) / len(own_rows)
            assert estimate["value"] == pytest.approx(mean)
            assert estimate["low"] <= mean <= estimate["high"]
            assert (estimate["items"], estimate["clusters"]) == (len(own_rows), 3)
    mean = summary["across"]["mean of 2 cloze sets, S-to-T, sum"]["value"]
    values = [s["estimates"]["accuracy.sum"]["value"] for s in summary["sets"]]
    assert mean == pytest.approx((values[0] + values[2]) / 2)
    text = found[0][2].read_text()
    assert text == markdown(evaluate(model, own, quizzes, SETTINGS, about={"model": "toy"}))
    assert "| web | S-to-T | 6 | 3 | 25.0 |" in text
    assert "they say nothing about another seed" in text


def test_text_from_files_stays_in_its_cell(quizzes: list[EvalSet], tmp_path: Path) -> None:
    items = [cloze(0, ["a", "b"], 0, engine="x|y", voice="<script>")]
    found = made_set(tmp_path / "odd|name", items, sounds=1)
    own = tokenizers()
    text = markdown(evaluate(Bigram(own.words), own, [found], SETTINGS))
    assert "<script>" not in text
    row = next(line for line in text.split("\n") if line.startswith("| odd"))
    assert row.replace("\\|", "").count("|") == 10


def test_modes_that_were_not_run_are_said(quizzes: list[EvalSet]) -> None:
    own = tokenizers()
    settings = SETTINGS.model_copy(update={"modes": ("T-to-T",)})
    found = evaluate(Bigram(own.words), own, quizzes[:1], settings)
    assert found.not_run == {"web, S-to-T": "not asked for"}
    assert "web, S-to-T: not asked for" in markdown(found)
    with pytest.raises(KeyError):
        found.of("web", "S-to-T")


def test_sets_need_names_of_their_own(quizzes: list[EvalSet]) -> None:
    own = tokenizers()
    for sets in ([], [quizzes[0], quizzes[0]]):
        with pytest.raises(EvaluationError, match="different names"):
            evaluate(Bigram(own.words), own, sets, SETTINGS)


def test_flagged_items_are_tested_in_every_mode(quizzes: list[EvalSet], tmp_path: Path) -> None:
    flags = tmp_path / "flags.jsonl"
    flags.write_text('{"set": "web", "id": "q1"}\n\n{"set": "elsewhere", "id": "q9"}\nq4\n')
    own = tokenizers()
    found = evaluate(Bigram(own.words, seed=2), own, quizzes, SETTINGS, flagged=flags)
    assert [one.contamination["sum"].flagged for one in found.sets] == [2, 2, 1, 1]
    result = found.of("web", "S-to-T")
    rest = [item.correct["sum"] for item in result.items if item.id not in ("q1", "q4")]
    test = result.contamination["sum"]
    assert test.clean == pytest.approx(sum(rest) / 4)
    assert test.removals == 200
    assert test.p is not None and 0 < test.p <= 1
    assert "## Without the flagged items" in markdown(found)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("q77", r":1: 'q77' is no item of trivia, web"),
        ('{"set": "web", "id": "q77"}', r":1: 'q77' is no item of web"),
        ('{"id": "q1"}', r":1: needs \{"),
        ('{"set": "web", "id": 3}', ":1: set and id are texts"),
        ('{"set": ', ":1: needs"),
    ],
)
def test_flags_of_another_set_are_refused(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "flags"
    path.write_text(line + "\n")
    with pytest.raises(EvaluationError, match=message):
        read_flags(path, {"web": {"q1"}, "trivia": {"q1"}})
    with pytest.raises(EvaluationError, match="cannot be read"):
        read_flags(tmp_path / "none", {"web": {"q1"}})


def test_two_models_are_paired_item_by_item(quizzes: list[EvalSet]) -> None:
    own = tokenizers()
    one, two = (evaluate(Bigram(own.words, seed=s), own, quizzes, SETTINGS) for s in (1, 2))
    a, b = one.of("web", "S-to-T"), two.of("web", "S-to-T")
    clusters, first, second = paired(a, b)
    assert clusters == ["group page0"] * 2 + ["group page1"] * 2 + ["group page2"] * 2
    assert first.tolist() == [item.correct["sum"] for item in a.items]
    found = difference(a, b)
    assert found.value == pytest.approx((first - second).mean())
    same = difference(a, a)
    assert (same.low, same.value, same.high) == (0.0, 0.0, 0.0)
    rows = likelihoods(one, two, "web", "S-to-T")
    assert rows[0] == ("q0", a.items[0].scores["sum"], b.items[0].scores["sum"])
    with pytest.raises(EvaluationError, match="not the same items"):
        paired(a, one.of("web", "T-to-T"))
    with pytest.raises(EvaluationError, match="not the same items"):
        paired(a, one.of("trivia", "S-to-T"))
    turned = evaluate(Bigram(own.words), own, quizzes, SETTINGS.model_copy(update={"seed": 5})).of(
        "web", "S-to-T"
    )
    with pytest.raises(EvaluationError, match="items asked differ"):
        paired(a, turned)


def test_likelihoods_of_other_tokenizers_are_never_compared(quizzes: list[EvalSet]) -> None:
    results = []
    for codebooks in (1, 2):
        own = tokenizers(codebooks)
        results.append(evaluate(Bigram(own.words), own, quizzes, SETTINGS))
    with pytest.raises(EvaluationError, match="not on one scale"):
        likelihoods(*results, "web", "S-to-T")
    paired(*(one.of("web", "S-to-T") for one in results))  # accuracies may be


ROWS: list[dict[str, Any]] = [
    {"question": "Largest ocean?", "options": ["Arctic", "Pacific"], "answer": 1, "page": "aa"},
    {"question": "Smallest?", "options": ["Arctic", "Pacific"], "answer": "arctic", "page": "aa"},
    {"question": "Deepest?", "options": ["Indian", "Pacific"], "answer": 1, "page": "bb"},
]


def table(folder: Path, rows: list[Any], name: str = "t.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("spoken", [False, True])
def test_a_table_of_questions_becomes_a_set(tmp_path: Path, form: str, spoken: bool) -> None:
    rows = [dict(row) for row in ROWS]
    if spoken:
        for k, row in enumerate(rows):
            (tmp_path / f"say{k}.flac").write_bytes(flac(k))
            row |= {"audio": f"say{k}.flac", "engine": "espeak-ng", "voice": "en"}
    if form == "jsonl":
        source = table(tmp_path, rows)
    elif form == "csv":
        source = tmp_path / "t.csv"
        columns = list(rows[0])
        cells = [
            [json.dumps(row[c]) if c == "options" else str(row[c]) for c in columns] for row in rows
        ]
        cells = [[f'"{one.replace(chr(34), chr(34) * 2)}"' for one in row] for row in cells]
        for number, row in enumerate(cells):  # CSV has no numbers: the answer by its text
            row[columns.index("answer")] = ("Pacific", "arctic", "Pacific")[number]
        source.write_text("\n".join([",".join(columns), *(",".join(row) for row in cells)]) + "\n")
    else:
        source = tmp_path / "t.parquet"
        for row in rows:
            row["answer"] = row["options"][row["answer"]] if row["answer"] == 1 else "arctic"
        pq.write_table(pa.Table.from_pylist(rows), source)
    assert main(["questions", "--table", str(source), "--out", str(tmp_path / "set")]) == 0
    found = read_set(tmp_path / "set")
    assert found.modes == (("S-to-T", "T-to-T") if spoken else ("T-to-T",))
    assert [item.group for item in found.items] == ["aa", "aa", "bb"]
    assert [item.answer for item in found.items] == [1, 0, 1]  # type: ignore[union-attr]
    assert len({item.id for item in found.items}) == 3
    own = tokenizers()
    result = evaluate(Bigram(own.words), own, [found], SETTINGS).sets[0]
    assert result.estimates["accuracy.sum"].clusters == 2
    if spoken:
        assert result.spoken == (("espeak-ng", "en", 3),)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "x", "answer": 0}, "no page"),
        (ROWS[0] | {"answer": "Indian"}, "the answer 'Indian' is 0 of the options"),
        (ROWS[0] | {"answer": 7}, "answer is 7"),
        (ROWS[0] | {"options": "Arctic"}, "not a list of texts"),
        (ROWS[0] | {"questoin": "x"}, "unknown column 'questoin'; did you mean question"),
        (ROWS[0] | {"audio": "no.flac"}, "audio 'no.flac': no such file"),
        (ROWS[0] | {"options": None}, "no options; give them"),
        (ROWS[0] | {"page": 3}, "page is 3, not a text"),
        ("text", "str, not an object"),
    ],
)
def test_rows_that_do_not_fit_are_told(
    tmp_path: Path, row: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    source = table(tmp_path, [ROWS[2], row])
    out = tmp_path / "set"
    assert main(["questions", "--table", str(source), "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert ":2" in said
    assert not out.exists()


def test_pages_of_training_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pages = tmp_path / "pages.txt"
    pages.write_text("cc\nbb\n")
    options = ["--table", str(table(tmp_path, ROWS)), "--training-pages", str(pages)]
    assert main(["questions", *options, "--out", str(tmp_path / "set")]) == 2
    assert "1 of 3 questions are on pages of training" in capsys.readouterr().err
    pages.write_text("cc\n")
    assert main(["questions", *options, "--out", str(tmp_path / "set")]) == 0


def test_distractors_are_answers_of_other_pages(tmp_path: Path) -> None:
    rows = [{"question": f"q{k}?", "answer": f"answer {k}", "page": f"p{k // 3}"} for k in range(9)]
    source = table(tmp_path, [*rows, {"question": "again?", "answer": "Answer 0", "page": "p9"}])
    one, two, three = (
        quest.convert(source, tmp_path / name, distractors=3, seed=seed)
        for name, seed in (("one", 0), ("two", 0), ("three", 1))
    )
    assert one.items == two.items != three.items
    pages = {plain(row["answer"]): row["page"] for row in rows[1:]}
    for item, row in zip(one.items, rows, strict=False):
        options = [plain(option) for option in item.options]  # type: ignore[union-attr]
        assert options.pop(item.answer) == row["answer"]  # type: ignore[union-attr]
        assert len(set(options)) == 3
        assert row["page"] not in {pages[option] for option in options if option in pages}
        assert row["answer"] not in options
    assert len({item.answer for item in one.items}) > 1  # type: ignore[union-attr]
    # of ten answers three are on the item's own page, and one is its own under another spelling
    message = "7 distractors are asked for, and other pages have 6 other answers"
    with pytest.raises(EvaluationError, match=message):
        quest.convert(source, tmp_path / "four", distractors=7)
