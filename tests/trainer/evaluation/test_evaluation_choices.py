"""Cloze, pairs and endings: scores worked out by hand, ties, refusals, what a knowing model and a
uniform one get, and that what shares a batch changes nothing."""

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.data.made_sets import ByteText, Energy
from tests.trainer.evaluation.toy_models import (
    Bigram,
    Oracle,
    cloze,
    flac,
    made_set,
    tokenizers,
)
from trainer.evaluate import EvaluationError, EvaluationSettings, evaluate
from trainer.evaluation.choices import credit, order_of
from trainer.evaluation.laying import Tokenizers
from trainer.evaluation.layout import EvalSet, write_set
from trainer.model import Decoder, ModelSettings
from trainer.orders import ordered
from trainer.tensors import Inputs

PREFIX = "Answer:"
SETTINGS = EvaluationSettings(answer_prefix=PREFIX, removals=10)
OPTIONS = (
    ("red", "blue", "green", "grey"),
    ("one", "two", "three", "ten"),
    ("Rome", "Oslo", "Bonn", "Bern"),
    ("cat", "dog", "owl", "hen"),
)


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> EvalSet:
    items = [cloze(k, OPTIONS[k % 4], k % 4, engine="toy", voice=f"v{k % 2}") for k in range(8)]
    return made_set(tmp_path_factory.mktemp("cloze") / "quiz", items, sounds=8)


def test_scores_of_a_bigram_are_those_worked_out_by_hand(questions: EvalSet) -> None:
    own = tokenizers()
    model = Bigram(own.words, seed=3)
    found = evaluate(model, own, [questions], SETTINGS).of("quiz", "S-to-T")
    for number, item in enumerate(found.items):
        texts = [list(f" {OPTIONS[number % 4][place]}".encode()) for place in item.order]
        sums = [model.chain(ord(":"), ids) for ids in texts]
        assert item.scores["sum"] == pytest.approx(sums, abs=1e-4)
        means = [s / len(ids) for s, ids in zip(sums, texts, strict=True)]
        assert item.scores["mean"] == pytest.approx(means, abs=1e-4)
        # a bigram sees the prefix alone, so nothing is gained by the question
        assert item.scores["gain"] == pytest.approx([0] * 4, abs=1e-4)
        assert item.tokens == tuple(map(len, texts))
        assert item.order[item.answer or 0] == number % 4
        assert item.correct["sum"] == float(max(sums) == sums[item.answer or 0])
        assert item.correct["gain"] == 0.25


def test_without_a_prefix_options_follow_the_text_marker(questions: EvalSet) -> None:
    own = tokenizers()
    model = Bigram(own.words, seed=4)
    found = evaluate(model, own, [questions], EvaluationSettings(answer_prefix=""))
    marker = own.words.marker("text")
    item = found.of("quiz", "S-to-T").items[0]
    texts = [list(f" {OPTIONS[0][place]}".encode()) for place in item.order]
    assert item.scores["sum"] == pytest.approx(
        [model.chain(marker, ids) for ids in texts], abs=1e-4
    )
    # read, the option follows the question's last byte; without the question, the marker
    item = found.of("quiz", "T-to-T").items[0]
    gains = [model.chain(ord("?"), ids) - model.chain(marker, ids) for ids in texts]
    assert item.scores["gain"] == pytest.approx(gains, abs=1e-4)


def test_a_model_that_knows_the_answer_scores_one(questions: EvalSet) -> None:
    own = tokenizers()
    wanted = {}
    for k, item in enumerate(questions.items):
        units = tuple(
            int(u) + own.words.speech_first
            for u in own.hear(questions.folder / f"audio/{k}.flac").content[:, 0]  # type: ignore[call-overload]
        )
        wanted[units] = tuple(f" {item.options[item.answer]}".encode())  # type: ignore[union-attr]
    prefix = tuple(f" {PREFIX}".encode())

    def knows(ids: tuple[int, ...], heard: bool) -> int | None:
        if not heard or own.words.marker("text") not in ids:
            return None
        at = ids.index(own.words.marker("text"))
        answer = prefix + wanted[ids[2:at]]
        said = ids[at + 1 :]
        return (
            answer[len(said)] if answer[: len(said)] == said and len(said) < len(answer) else None
        )

    found = evaluate(Oracle(own.words, knows), own, [questions], SETTINGS)
    heard = found.of("quiz", "S-to-T")
    for score in ("sum", "mean", "gain"):
        estimate = heard.estimates[f"accuracy.{score}"]
        assert (estimate.value, estimate.high) == (1.0, 1.0)
        assert estimate.low == pytest.approx(0.025 ** (1 / 8))
    # the same model that reads knows nothing: every option is as likely as its length says
    assert found.of("quiz", "T-to-T").estimates["accuracy.mean"].value == 0.25
    gap = found.across["quiz, read less heard, mean"]
    assert gap.value == -0.75


def test_a_uniform_model_scores_exactly_chance(questions: EvalSet) -> None:
    own = tokenizers()
    found = evaluate(Bigram(own.words, seed=None), own, [questions], SETTINGS)
    for mode in ("S-to-T", "T-to-T"):
        result = found.of("quiz", mode)  # type: ignore[arg-type]
        assert result.chance == 0.25
        assert result.estimates["accuracy.mean"].value == 0.25
        assert result.estimates["accuracy.gain"].value == 0.25
        # by sum, the shortest options are all that ties
        for item in result.items:
            shortest = min(item.tokens)
            expected = 1 / item.tokens.count(shortest)
            right = item.tokens[item.answer or 0] == shortest
            assert item.correct["sum"] == (expected if right else 0.0)


@pytest.mark.parametrize(
    ("scores", "answer", "expected"),
    [
        ([1.0, 0.0], 0, 1.0),
        ([1.0, 0.0], 1, 0.0),
        ([2.0, 2.0], 1, 0.5),
        ([2.0, 2.0, 2.0, 1.0], 2, 1 / 3),
        ([2.0, 2.0, 2.0, 1.0], 3, 0.0),
        ([-1.0, -1.0 + 1e-7], 0, 0.5),  # closer than float32 tells apart
        ([-100.0, -100.01], 1, 0.0),
    ],
)
def test_ties_share(scores: list[float], answer: int, expected: float) -> None:
    assert credit(scores, answer) == expected


@given(st.lists(st.integers(-5, 5), min_size=2, max_size=6))
def test_credits_of_all_answers_sum_to_one(scores: list[int]) -> None:
    values = [float(score) for score in scores]
    assert math.fsum(credit(values, k) for k in range(len(values))) == pytest.approx(1)


def test_places_are_drawn_by_seed_and_id(questions: EvalSet) -> None:
    first = [order_of(item, 4, 0) for item in questions.items]
    assert first == [order_of(item, 4, 0) for item in questions.items]
    assert first != [order_of(item, 4, 1) for item in questions.items]
    places = [0] * 4
    for number in range(2000):
        item = questions.items[0].model_copy(update={"id": f"x{number}"})
        places[order_of(item, 4, 0).index(1)] += 1
    assert min(places) > 420  # 500 each, give or take 19


def test_scores_do_not_depend_on_the_order_in_the_file(tmp_path: Path) -> None:
    own = tokenizers()
    model = Bigram(own.words, seed=8)
    turned = [OPTIONS[0][2], OPTIONS[0][0], OPTIONS[0][3], OPTIONS[0][1]]
    one = made_set(tmp_path / "one", [cloze(0, OPTIONS[0], 0)], sounds=1)
    two = made_set(tmp_path / "two", [cloze(0, turned, 1)], sounds=1)
    found = []
    for name, options in ((one, list(OPTIONS[0])), (two, turned)):
        item = evaluate(model, own, [name], SETTINGS).sets[0].items[0]
        found.append({options[k]: s for k, s in zip(item.order, item.scores["sum"], strict=True)})
        assert options[item.order[item.answer or 0]] == "red"
    assert found[0] == pytest.approx(found[1])


def test_options_that_a_tokenizer_does_not_tell_apart_are_refused(tmp_path: Path) -> None:
    class Blunt(ByteText):
        def encode(self, text: str) -> list[int]:
            return [b if b < 128 else 1 for b in text.encode()]

    found = made_set(tmp_path / "s", [cloze(0, ["ä", "ö"], 0)], sounds=1)
    own = Tokenizers(Blunt(), Energy())
    with pytest.raises(EvaluationError, match=r"items\.jsonl:1: 'q0': options 0 and 1 have the sa"):
        evaluate(Bigram(own.words), own, [found], SETTINGS)


def test_long_items_fail_or_are_left_out_by_name(tmp_path: Path) -> None:
    items = [cloze(0, OPTIONS[0], 0), cloze(1, ["x" * 300, "yes", "no", "so"], 1)]
    found = made_set(tmp_path / "s", items, sounds=2)
    own = tokenizers()
    small = SETTINGS.model_copy(update={"context": 64, "modes": ("S-to-T",)})
    with pytest.raises(EvaluationError, match=r"items\.jsonl:2: 'q1': 31\d positions"):
        evaluate(Bigram(own.words), own, [found], small)
    result = evaluate(
        Bigram(own.words), own, [found], small.model_copy(update={"on_long": "skip"})
    ).of("s", "S-to-T")
    assert result.skipped == ("q1",)
    assert [item.id for item in result.items] == ["q0"]
    assert result.notes == ("1 of 2 items are longer than the context",)


def endings(k: int, **more: object) -> dict[str, object]:
    own = [{"text": f"end {k} {e}", "audio": f"audio/e{k}{e}.flac"} for e in range(4)]
    prompt = {"text": f"Once {k} upon", "audio": f"audio/p{k}.flac"}
    return {"kind": "endings", "id": f"h{k}", "prompt": prompt, "endings": own, "answer": 2, **more}


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> EvalSet:
    audio: dict[str, Path | bytes] = {}
    for k in range(3):
        audio[f"audio/p{k}.flac"] = flac(100 + k, 5)
        audio |= {f"audio/e{k}{e}.flac": flac(10 * k + e, 2 + e) for e in range(4)}
    items = [endings(k, engine="espeak", voice="en") for k in range(3)]
    return write_set(tmp_path_factory.mktemp("endings") / "hella", items, audio)


def test_endings_in_three_modes(stories: EvalSet) -> None:
    own = tokenizers()
    model = Bigram(own.words, seed=5)
    found = evaluate(model, own, [stories], SETTINGS)
    assert [one.mode for one in found.sets] == ["S-to-S", "S-to-T", "T-to-T"]

    def units(name: str) -> list[int]:
        codes = own.hear(stories.folder / f"audio/{name}.flac").content
        return [int(code[0]) + own.words.speech_first for code in codes]  # type: ignore[index]

    item = found.of("hella", "S-to-S").items[1]
    last = units("p1")[-1]  # prompt and ending are tokenised apart and stand in one run
    expected = [model.chain(last, units(f"e1{e}")) for e in item.order]
    assert item.scores["sum"] == pytest.approx(expected, abs=1e-4)
    assert item.tokens == tuple(2 + e for e in item.order)
    alone = [model.chain(own.words.marker("speech"), units(f"e1{e}")) for e in item.order]
    gains = [a - b for a, b in zip(expected, alone, strict=True)]
    assert item.scores["gain"] == pytest.approx(gains, abs=1e-4)

    item = found.of("hella", "S-to-T").items[1]
    texts = [list(f" end 1 {e}".encode()) for e in item.order]
    expected = [model.chain(own.words.marker("text"), ids) for ids in texts]
    assert item.scores["sum"] == pytest.approx(expected, abs=1e-4)
    item = found.of("hella", "T-to-T").items[1]
    expected = [model.chain(ord("n"), ids) for ids in texts]
    assert item.scores["sum"] == pytest.approx(expected, abs=1e-4)
    assert found.of("hella", "S-to-S").spoken == (("espeak", "en", 3),)
    assert found.of("hella", "T-to-T").spoken == ()


def test_a_frame_weighs_the_mean_of_its_channels(stories: EvalSet) -> None:
    """dMel: sum over frames of the channels' mean log probability."""
    own = tokenizers(codebooks=5)
    model = Bigram(own.words, seed=6)
    item = evaluate(model, own, [stories], SETTINGS).of("hella", "S-to-S").items[0]
    # before every scored frame stands a frame, whose id is the same for all
    table = model.frames[own.words.speech_first].double().view(5, 64).log_softmax(-1)
    for place, ending in enumerate(item.order):
        codes = own.hear(stories.folder / f"audio/e0{ending}.flac").content
        each = [sum(float(table[c, code[c]]) for c in range(5)) / 5 for code in codes]  # type: ignore[index]
        assert item.scores["sum"][place] == pytest.approx(math.fsum(each), abs=1e-4)
        assert item.scores["mean"][place] == pytest.approx(math.fsum(each) / len(each), abs=1e-5)


def test_pairs(tmp_path: Path) -> None:
    def pair(k: int, good: str, bad: str) -> dict[str, object]:
        return {
            "kind": "pairs",
            "id": f"p{k}",
            "positive": {"text": good},
            "negative": {"text": bad},
        }

    found = write_set(tmp_path / "blimp", [pair(0, "ab", "ba"), pair(1, "aa", "bb")], {})
    own = tokenizers()
    model = Bigram(own.words, seed=7)
    result = evaluate(model, own, [found], SETTINGS).of("blimp", "T")
    marker = own.words.marker("text")
    item = result.items[0]
    expected = {t: model.chain(marker, list(f" {t}".encode())) for t in ("ab", "ba")}
    asked = [("ab", "ba")[k] for k in item.order]
    assert item.scores["sum"] == pytest.approx([expected[t] for t in asked], abs=1e-4)
    assert "gain" not in item.scores  # there is no question
    assert result.chance == 0.5
    even = evaluate(Bigram(own.words, seed=None), own, [found], SETTINGS).of("blimp", "T")
    assert even.estimates["accuracy.sum"].value == 0.5  # every pair is a tie


@pytest.mark.parametrize(
    ("codebooks", "order"),
    [(1, "parallel"), (4, "parallel"), (4, "delay"), (4, "flatten"), (4, "first")],
)
def test_what_shares_a_batch_changes_nothing(
    stories: EvalSet, questions: EvalSet, codebooks: int, order: str
) -> None:
    own = Tokenizers(ByteText(), ordered(Energy(codebooks), order))  # type: ignore[arg-type]
    model = Decoder(ModelSettings(depth=2, width=32, heads=2, initial_std=0.2), own.words, seed=1)
    model.train()
    scores = []
    for budget in (1, 400, 50_000):  # one item a forward, a few, all
        settings = SETTINGS.model_copy(update={"budget": budget})
        found = evaluate(model, own, [stories, questions], settings)
        scores.append(
            [s for one in found.sets for item in one.items for k in item.scores.values() for s in k]
        )
    assert model.training
    assert all(weight.grad is None for weight in model.parameters())
    assert len(scores[0]) > 100
    assert scores[1] == pytest.approx(scores[0], abs=1e-5, rel=0)
    assert scores[2] == pytest.approx(scores[0], abs=1e-5, rel=0)


def test_equal_pieces_are_asked_once(tmp_path: Path) -> None:
    class Counting(Bigram):
        pieces = 0

        def __call__(self, given: Inputs) -> torch.Tensor:
            self.pieces += int(((given.piece >= 0) & (given.place == 0)).sum())
            return super().__call__(given)

    first = cloze(0, OPTIONS[0], 0)
    again = {**first, "id": "again"}  # all eight pieces are those of the first
    other = {**first, "id": "other", "options": ["red", "pink"], "answer": 1}
    found = made_set(tmp_path / "s", [first, again, other], sounds=1)
    own = tokenizers()
    model = Counting(own.words)
    settings = SETTINGS.model_copy(update={"modes": ("S-to-T",), "budget": 1})
    items = evaluate(model, own, [found], settings).of("s", "S-to-T").items
    assert model.pieces == 8 + 2
    by_option = [
        {k: s for k, s in zip(item.order, item.scores["gain"], strict=True)} for item in items
    ]
    assert by_option[0] == by_option[1]
    assert by_option[2][0] == by_option[0][0]


def test_a_diverged_model_is_named(questions: EvalSet) -> None:
    own = tokenizers()
    model = Bigram(own.words)
    model.table = model.table * torch.nan
    with pytest.raises(EvaluationError, match="no numbers"):
        evaluate(model, own, [questions], SETTINGS)


def test_another_vocabulary_is_refused(questions: EvalSet) -> None:
    with pytest.raises(EvaluationError, match="evaluate with the tokenizers"):
        evaluate(Bigram(tokenizers(2).words), tokenizers(1), [questions], SETTINGS)


def test_a_text_model_is_asked_what_it_can_read(questions: EvalSet) -> None:
    own = Tokenizers(ByteText())
    found = evaluate(Bigram(own.words), own, [questions], SETTINGS)
    assert [one.mode for one in found.sets] == ["T-to-T"]
    assert found.not_run == {"quiz, S-to-T": "the model has no speech tokenizer"}
