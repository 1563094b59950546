"""Rules of text corpora, lexical diversity and readability: at their borders, and on any text."""

import dataclasses
import math
import random
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_sound import RATE, make_clip, make_scope, score

from schemas.records import Clip
from transforms.measure.corpus_rules import RULES, breaks
from transforms.measure.lexical import Lexical, entropy, mattr, mtld
from transforms.measure.readability import Readability, syllables
from transforms.measure.text_rules import TextRules
from transforms.measure.text_statistics import duplicate_ngram, statistics, top_ngram
from transforms.step import Measure

PROSE = (
    "The ferry that leaves at seven is seldom late, and those who have to be in town by eight "
    "know it well. They stand with their cups of coffee along the rail, look out over the grey "
    "water and talk about the weather, the price of fish and what the children said at breakfast. "
    "Nobody hurries. When the lights of the harbour come up, one after another, somebody begins "
    "to fold a newspaper, and that is the sign for all the others."
)
BARE = PROSE.lower().replace(".", "").replace(",", "")  # as many recognizers write it


def clip(text: str, language: str | None = "en") -> Clip:
    return dataclasses.replace(make_clip(0, RATE, text=text), language=language)


def row(step: Measure, text: str, language: str | None = "en") -> dict[str, object]:
    (scores,) = score(step, [clip(text, language)], make_scope())
    return dict(zip(step.columns, scores.values, strict=True))


def broken(text: str, kind: str = "speech", language: str = "en") -> list[str]:
    return list(breaks(text, statistics(text, language), kind))  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [PROSE, BARE, PROSE.upper(), "yes", "no no no no no", "42"])
def test_honest_speech_breaks_no_rule(text: str) -> None:
    assert broken(text) == []


def test_a_page_is_asked_for_what_speech_is_not() -> None:
    assert broken("yes. thank you.") == []
    broken_by_a_page = ["gopher:words", "gopher:stop_words", "c4:sentences"]
    assert broken("yes. thank you.", "page") == broken_by_a_page
    menu = "\n".join(f"Menu entry {n}" for n in range(30))
    assert "fineweb:short_lines" in broken(menu, "page")
    assert broken(BARE, "page") == []


def test_text_without_any_sentence_mark_is_not_asked_for_one() -> None:
    bare = statistics(BARE)
    assert (bare.punctuated, bare.sentences, bare.terminal_lines) == (False, 0, None)
    lines = [f"line number {n} of some text that is not short at all" for n in range(9)]
    assert "fineweb:sentence_ends" not in broken("\n".join(lines))
    assert "fineweb:sentence_ends" in broken("\n".join([lines[0] + ". And", *lines[1:]]))


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("# tag # tag " * 5, "gopher:symbols"),
        ("wait ... what ... no ... yes", "gopher:symbols"),
        ("\n".join(f"- item {n} of the list" for n in range(10)), "gopher:bullets"),
        ("\n".join(f"more on subject {n} ..." for n in range(5)), "gopher:ellipses"),
        (" ".join(["a"] * 60), "gopher:word_length"),
        (" ".join(["uninterruptedness"] * 60), "gopher:word_length"),
        (" ".join(f"{n} 2 3 fish" for n in range(20)), "gopher:alphabetic"),
        (" ".join(f"word{n}" for n in range(60)), "gopher:stop_words"),
        ("\n".join(["the same line again"] * 4 + ["another"]), "gopher_repetition:lines"),
        ("\n\n".join(["the same part again"] * 4 + ["another"]), "gopher_repetition:paragraphs"),
        ("x. " + "\n".join(["long line that repeats"] * 2 + ["other"] * 5),
         "gopher_repetition:line_text"),
        (" ".join(["thank you"] * 20 + [f"word{n}" for n in range(40)]),
         "gopher_repetition:top_2gram"),
        (" ".join(["so it goes and goes again"] * 4 + [f"w{n}" for n in range(50)]),
         "gopher_repetition:repeated_5gram"),
        ("function() { return 1 }", "c4:phrases"),
        ("Lorem IPSUM dolor sit amet", "c4:phrases"),
        ("A b. " + "\n".join(f"headline without an end {n}" for n in range(20)),
         "fineweb:sentence_ends"),
        ("\n".join(["a line that stands here twice"] * 2
                   + [f"another line, number {n}" for n in range(9)]),
         "fineweb:line_text"),
    ],
)  # fmt: skip
def test_each_rule_is_broken_by_what_it_is_about(text: str, rule: str) -> None:
    assert rule in broken(text)


def test_short_speech_may_repeat_itself() -> None:
    assert broken("left right left right left right left right") == []
    assert broken("left right " * 40) != []


def test_a_language_without_a_list_has_no_stop_words() -> None:
    text = " ".join(f"word{n}" for n in range(60))
    assert statistics(text, "xx").stop_words is None
    assert statistics(text, None).stop_words is None
    assert "gopher:stop_words" not in broken(text, language="xx")
    assert statistics("der Hund und die Katze", "de-AT").stop_words == 3


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("渡轮七点出发,最后一班公共汽车一个小时以后才会离开这里的码头。明天不开船。", "zh"),
        ("תודה רבה לכולם. המעבורת יוצאת בשבע והאוטובוס האחרון יוצא שעה מאוחר יותר.", "he"),
        ("\u202bالقطار يصل في الساعة السابعة. ثم تتبعه الحافلة.\u202c", "ar"),  # noqa: RUF001
        ("नाव सात बजे निकलती है। आख़िरी बस एक घंटे बाद जाती है।", "hi"),
    ],
)
def test_other_scripts_are_judged_by_their_own_marks(text: str, language: str) -> None:
    found = statistics(text, language)
    assert found.sentences == 2
    assert broken(text, language=language) == []
    if language == "zh":
        assert found.mean_word_length is None


def test_columns_hold_the_verdicts_and_the_counts() -> None:
    good = row(TextRules(), PROSE)
    assert (good["gopher"], good["gopher_repetition"], good["c4"], good["fineweb"]) == (True,) * 4
    assert good["failed"] == ""
    assert good["sentences"] == 4
    bad = row(TextRules(), "# {x} #")
    assert (bad["gopher"], bad["c4"], bad["failed"]) == (False, False, "gopher:symbols c4:phrases")
    assert set(row(TextRules(), " \n").values()) == {None}


def test_rules_have_names_of_their_own() -> None:
    names = [(rule.family, rule.name) for rule in RULES]
    assert len(set(names)) == len(names)
    assert {rule.family for rule in RULES} == {"gopher", "gopher_repetition", "c4", "fineweb"}


def test_ngrams_against_counting_by_hand() -> None:
    words = ["aa", "b", "aa", "b", "ccc"]
    assert top_ngram(words, 2) == 6 / 9
    assert top_ngram(words, 3) == 0.0
    assert top_ngram(["a"], 2) is None
    assert duplicate_ngram(words, 2) == 3 / 9
    assert duplicate_ngram(["no"] * 4, 1) == 6 / 8
    assert duplicate_ngram(["no"] * 4, 2) == 4 / 8 or duplicate_ngram(["no"] * 4, 2) == 6 / 8


def test_lexical_diversity_against_its_definition() -> None:
    chance = random.Random(0)
    words = [f"w{chance.randrange(30)}" for _ in range(200)]
    windows = [len(set(words[i : i + 25])) / 25 for i in range(len(words) - 24)]
    assert mattr(words, 25) == pytest.approx(np.mean(windows))
    assert mattr(["a"] * 30, 25) == 1 / 25
    assert mattr([str(n) for n in range(30)], 25) == 1
    assert mtld([str(n) for n in range(30)]) == 30
    assert mtld(["a"] * 30) == 2
    assert entropy(["a", "b", "a", "b"]) == 1
    assert entropy(["a"]) == 0
    rich, poor = row(Lexical(), PROSE), row(Lexical(), "the same old story " * 20)
    assert rich["mattr"] > 0.8 > 0.3 > poor["mattr"]  # type: ignore[operator]
    assert rich["mtld"] > poor["mtld"]  # type: ignore[operator]
    assert row(Lexical(), "too short") == {
        "distinct_share": 1.0, "mattr": None, "mtld": None, "entropy": 1.0
    }  # fmt: skip
    assert row(Lexical(), "")["entropy"] is None


def test_readability_knows_what_it_does_not_know() -> None:
    easy = "The cat sat on the mat. It saw a dog. The dog ran off."
    hard = (
        "Institutional considerations notwithstanding, comprehensive administrative "
        "reorganisation remains practically indispensable everywhere."
    )
    grades = [row(Readability(), text)["grade"] for text in (easy, hard)]
    assert grades[0] < 2 < 15 < grades[1]  # type: ignore[operator]
    found = row(Readability(), easy)
    assert (found["words_per_sentence"], found["long_words"]) == (14 / 3, 0.0)
    assert found["lix"] == 14 / 3
    assert row(Readability(), easy, "de")["grade"] is None
    bare = row(Readability(), BARE)
    assert bare["long_words"] is not None and bare["lix"] is None
    assert set(row(Readability(), "short text").values()) == {None}
    assert set(row(Readability(), "渡轮七点出发最后一班公共汽车").values()) == {None}
    assert [syllables(w) for w in ("cat", "table", "make", "free", "idea", "nth")] == [
        1,
        2,
        1,
        1,
        2,
        1,
    ]


@settings(max_examples=80, deadline=None)
@given(st.text(max_size=200) | st.text("ab .\n#-{\u202e\u05d0", max_size=200))
def test_any_text_gets_plain_finite_values(text: str) -> None:
    for step in (TextRules(), TextRules(kind="page"), Lexical(), Readability()):
        for (name, value), kind in zip(row(step, text).items(), step.columns.values(), strict=True):
            assert value is None or type(value) is kind, name
            assert not isinstance(value, float) or math.isfinite(value)
            if name.endswith(("share", "lines", "paragraphs")) or "gram" in name:
                assert value is None or 0 <= value <= 1, name  # type: ignore[operator]


@pytest.mark.parametrize("piece", ["a ", "\n", "\n \n", "a\n\n", ".", "# ", "a. ", "...", "{"])
def test_hostile_text_takes_linear_time(piece: str) -> None:
    def spent(characters: int) -> float:
        text = piece * (characters // len(piece))
        began = time.process_time()
        for step in (TextRules(), Lexical(), Readability()):
            row(step, text)
        return time.process_time() - began

    spent(1000)
    short, long = spent(5_000), spent(40_000)
    assert long < 8 * 4 * max(short, 0.005)  # quadratic would be 64
