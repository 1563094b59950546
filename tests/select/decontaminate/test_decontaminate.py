"""Decontaminate: which clips share what with which items, and that blocks do not matter."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pydantic
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.records import Drop
from schemas.tables import arrow_schema, from_table
from tests.select.made_rows import make_id, make_row, make_rows
from transforms.engines.fingerprinter import fingerprint
from transforms.engines.print_code import to_code
from transforms.select.columns import MissingColumns
from transforms.select.decontaminate import Decontaminate
from transforms.select.overlap import Grams, runs_of

BERN = "Which river flows through the old town of Bern in Switzerland today?"
VIOLIN = "How many strings does an ordinary violin have?"


@pytest.fixture
def quiz(tmp_path: Path) -> Path:
    rows = [
        {"id": "bern", "question": BERN, "options": ["the Aare", "the Rhine"], "answer": 0},
        {"id": "violin", "question": VIOLIN, "answer": "four"},
        {"id": "tiny", "question": "Who is it?"},
    ]
    path = tmp_path / "quiz.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def words_only(path: Path, **values: Any) -> Decontaminate:
    return Decontaminate(against=str(path), fuzzy=None, **values)


def drops(step: Decontaminate, rows: pa.Table) -> list[Drop]:
    table = step.judge(rows)
    assert table.schema == arrow_schema(Drop)
    return from_table(table, Drop)


def items(step: Decontaminate, rows: pa.Table) -> dict[tuple[str, str], dict[str, Any]]:
    hits = step.limits([step.survey(rows)]).to_pylist()
    return {(row["item"], row["kind"]): row for row in hits if row["what"] == "item"}


def test_six_words_in_common_are_a_hit_and_five_are_none(quiz: Path) -> None:
    six = make_row(0, text="so, which RIVER flows -- through the old one")
    five = make_row(1, text="so, which RIVER flows -- through an old one")
    (drop,) = drops(words_only(quiz), make_rows(six, five))
    assert drop.id == make_id(0) and drop.reason == "ngram_overlap"
    assert (drop.score, drop.threshold, drop.seconds) == (6.0, 6.0, 2.0)
    assert drop.detail == "quiz/bern: which river flows through the old"


@pytest.mark.parametrize(("words", "told"), [(6, 6), (8, 8), (12, 12), (14, 13)])
def test_the_longest_run_up_to_thirteen_is_told(tmp_path: Path, words: int, told: int) -> None:
    item = " ".join(f"w{number}" for number in range(20))
    (tmp_path / "long.jsonl").write_text(json.dumps({"text": item}))
    leak = " ".join(item.split()[3 : 3 + words])
    (drop,) = drops(words_only(tmp_path / "long.jsonl"), make_rows(make_row(0, text=f"a {leak} b")))
    assert drop.score == told


def test_a_run_goes_on_from_a_clip_to_the_next_but_not_over_a_missing_one(quiz: Path) -> None:
    task = make_id("one recording")
    first = make_row(0, task=task, index=4, text="which river flows")
    second = make_row(1, task=task, index=5, text="through the old town")
    assert {d.id for d in drops(words_only(quiz), make_rows(first, second))} == {
        make_id(0),
        make_id(1),
    }
    assert drops(words_only(quiz), make_rows(first, second | {"index": 6})) == []
    assert drops(words_only(quiz), make_rows(first, second | {"task": make_id("other")})) == []


def test_question_and_answer_in_one_breath_are_an_item_too(quiz: Path) -> None:
    text = "of Bern in Switzerland today the Aare"  # 4 words of the question, 2 of the answer
    row = make_rows(make_row(0, text=text))
    assert items(words_only(quiz), row)["bern", "ngram"]["shared"] == text.lower()


def test_noted_clips_stay_and_are_counted_all_the_same(quiz: Path) -> None:
    rows = make_rows(make_row(0, text=BERN), make_row(1, text="nothing of the kind"))
    step = words_only(quiz, hits="note")
    assert drops(step, rows) == []
    (note,) = from_table(step.notes(rows), Drop)
    assert note.id == make_id(0) and note.score == 12
    assert set(items(step, rows)) == {("bern", "ngram")}
    assert words_only(quiz).notes(rows).num_rows == 0


def test_what_no_rule_can_find_is_counted(quiz: Path) -> None:
    step = words_only(quiz)
    (total,) = [row for row in step.limits([]).to_pylist() if row["what"] == "set"]
    assert (total["set"], total["count"], total["out_of_reach"]) == ("quiz", 3, 1)


def test_misheard_words_are_found_and_other_questions_are_not(quiz: Path) -> None:
    step = Decontaminate(against=str(quiz))
    heard = make_row(0, text="um witch river flows through thee old town off Bern in switserland")
    other = make_row(1, text="which mountain stands above the little village of Zermatt in Valais")
    found = items(step, make_rows(heard, other))
    assert set(found) == {("bern", "fuzzy")}
    assert 0.8 <= found["bern", "fuzzy"]["score"] < 1
    assert found["bern", "fuzzy"]["clip"] == make_id(0)
    (drop,) = drops(step, make_rows(heard, other))
    assert drop.reason == "fuzzy_overlap" and drop.threshold == 0.8


def test_an_exact_leak_is_told_as_one_although_it_is_alike_too(quiz: Path) -> None:
    (drop,) = drops(Decontaminate(against=str(quiz)), make_rows(make_row(0, text=VIOLIN)))
    assert drop.reason == "ngram_overlap" and drop.score == 8


def test_writing_from_right_to_left_and_without_spaces(tmp_path: Path) -> None:
    arabic = "ما هي عاصمة فرنسا الحديثة في هذا اليوم"
    chinese = "哪一条河流过伯尔尼的老城区"
    rows = [{"id": "ar", "question": arabic}, {"id": "zh", "question": chinese}]
    path = tmp_path / "two.jsonl"
    path.write_text("\n".join(json.dumps(row, ensure_ascii=False) for row in rows))
    noisy = "\u202b" + arabic.replace("هي", "هِي") + "\u202c؟"
    clips = make_rows(
        make_row(0, text=noisy),
        make_row(1, text="请问,河流过伯尔尼的"),
        make_row(2, text="\U0001f600 "),
    )
    found = items(words_only(path), clips)
    assert {key: row["clip"] for key, row in found.items()} == {
        ("ar", "ngram"): make_id(0),
        ("zh", "ngram"): make_id(1),
    }


def test_a_template_of_many_items_flags_every_one_of_them(tmp_path: Path) -> None:
    path = tmp_path / "many.jsonl"
    lines = [{"text": f"tell me in your own words what x{n} means"} for n in range(100)]
    path.write_text("\n".join(map(json.dumps, lines)))
    rows = make_rows(make_row(0, text="Tell me in your own words what you think"))
    found = items(words_only(path), rows)
    assert len(found) == 100
    assert {row["clip"] for row in found.values()} == {make_id(0)}
    assert {row["shared"].split()[0] for row in found.values()} == {"tell"}


def test_sounds_of_items_are_heard_in_clips(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    sounds = []
    for seed in range(2):  # tones that glide: something that has landmarks
        time = np.arange(6 * 16_000) / 16_000
        sound = sum(
            np.sin(
                2 * np.pi * (chance.uniform(300, 3000) * time + 40 * np.cos(seed + speed * time))
            )
            for speed in chance.uniform(1, 7, 8)
        )
        sounds.append((sound * 2000 + chance.normal(0, 300, len(time))).astype(np.int16))
    soundfile.write(tmp_path / "q.wav", sounds[0], 16_000)
    path = tmp_path / "heard.jsonl"
    path.write_text(json.dumps({"id": "q", "audio": "q.wav"}))
    clips = []
    for number, sound in enumerate([sounds[0] // 3, sounds[1]]):
        printed = fingerprint(sound, 16_000)
        assert printed is not None
        clips.append(make_row(number, text="", fingerprint__code=to_code(printed)))
    step = Decontaminate(against=str(path), audio=0.5)
    assert "fingerprint.code" in step.needs()
    (drop,) = drops(step, make_rows(*clips, make_row(9)))
    assert drop.id == make_id(0) and drop.reason == "audio_overlap" and drop.score > 0.5
    assert step.fingerprint()["sounds"] != words_only(path).fingerprint()["sounds"] == []


def test_a_column_that_no_row_has_is_told_with_its_measure(quiz: Path) -> None:
    rows = make_rows(make_row(0, text=BERN)).drop_columns("fingerprint.code")
    with pytest.raises(MissingColumns, match="the measure 'fingerprint' provides"):
        Decontaminate(against=str(quiz), audio=0.5).judge(rows)


@pytest.mark.parametrize(
    "wrong",
    [{"against": 7}, {"ngrams": (2, 13)}, {"ngrams": (9, 6)}, {"columns": {"q": "query"}}],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Decontaminate(**({"against": "x.jsonl"} | wrong))


def test_the_key_follows_the_bytes_of_the_sets(quiz: Path) -> None:
    before = words_only(quiz).fingerprint()
    assert before == words_only(quiz).fingerprint()
    quiz.write_text(quiz.read_text() + '{"text": "one more"}\n')
    assert words_only(quiz).fingerprint() != before


def test_a_file_that_cannot_be_used_is_told_when_the_step_is_bound(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="names no evaluation set"):
        Decontaminate().bound(tmp_path)
    with pytest.raises(ValueError, match="matches no file"):
        Decontaminate(against="evals/*.jsonl").bound(tmp_path)
    (tmp_path / "evals").mkdir()
    (tmp_path / "evals" / "a.jsonl").write_text('{"text": "one two"}')
    assert Decontaminate(against="evals/*.jsonl").bound(tmp_path).files() == (
        (tmp_path / "evals" / "a.jsonl").resolve(),
    )


words = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=14)


def plainly(texts: list[list[str]], text: list[str], least: int) -> int:
    """The longest run of at least `least` words in common, up to 13; 0 for none. Slow and plain."""
    found = 0
    for one in texts:
        for length in range(least, 14):
            runs = {tuple(one[at : at + length]) for at in range(len(one) - length + 1)}
            if any(tuple(text[at : at + length]) in runs for at in range(len(text) - length + 1)):
                found = max(found, length)
    return found


@settings(max_examples=200)
@given(st.lists(words, min_size=1, max_size=4), st.lists(words, min_size=1, max_size=5))
def test_packed_hashing_agrees_with_comparing_words(
    texts: list[list[str]], rows: list[list[str]]
) -> None:
    grams = Grams([" ".join(one) for one in texts], 6, 13)
    runs = runs_of(make_rows(*(make_row(n, text=" ".join(row)) for n, row in enumerate(rows))))
    shared, every = grams.find(runs)
    for number, row in enumerate(rows):
        mine = runs.owner[shared.at] == number
        longest = int(shared.length[mine].max()) if mine.any() else 0
        assert longest == plainly(texts, row, 6)
    hit = {n for n, one in enumerate(texts) if any(plainly([one], row, 6) for row in rows)}
    assert set(every.text.tolist()) == hit == set(shared.text.tolist())


@settings(max_examples=30)
@given(st.randoms(use_true_random=False), st.integers(1, 4))
def test_blocks_and_their_order_do_not_matter(chance: random.Random, parts: int) -> None:
    folder = Path(__file__).parent / "made"
    step = Decontaminate(against=str(folder / "quiz.jsonl"))
    texts = ["which river flows through the old town", "how many strings does an ordinary violin"]
    rows = [make_row(n, text=f"x{n} {chance.choice([*texts, 'nothing'])} y") for n in range(12)]
    whole = step.limits([step.survey(make_rows(*rows))])
    order = rows[:]
    chance.shuffle(order)
    cut = [make_rows(*order[at::parts]) for at in range(parts)]
    assert step.limits([step.survey(block) for block in cut]).equals(whole)
    assert (
        sum(step.judge(block, whole).num_rows for block in cut)
        == step.judge(make_rows(*rows)).num_rows
    )
