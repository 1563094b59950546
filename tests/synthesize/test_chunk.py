"""Scripts are cut into utterances that hold every word once, whatever the text and the rule."""

import dataclasses
import importlib.metadata
import itertools
import random
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.ids import bytes_digest
from schemas.pages import ANSWERER, ASKER, READER, Line, Script, Utterance, script_id
from schemas.records import Drop, Recording
from transforms.step import Scope
from transforms.synthesize.chunk import Chunk
from transforms.synthesize.span_units import is_speakable, units, worded

PAGE = bytes_digest(b"a page")
ROOT = Recording(id=PAGE, uri="a.html", size=1, seconds=0.0)
SCOPE = Scope(root=ROOT, seed=17)
SPLIT = Chunk().load()
ALL = ("sentences", "paragraphs", "poisson", "lst", "inserter", "inserter_sentences")


def script(*texts: str, language: str | None = "en", roles: tuple[str, ...] = ()) -> Script:
    lines = tuple(
        Line(role=roles[place] if roles else READER, text=text) for place, text in enumerate(texts)
    )
    return Script(
        id=script_id(PAGE, "page", 0, lines), page=PAGE, kind="page", language=language, lines=lines
    )


def chunked(step: Chunk, *scripts: Script, scope: Scope = SCOPE) -> list[Utterance | Drop]:
    return list(step(scripts, SPLIT, scope))


def texts(step: Chunk, *said: str, language: str = "en") -> list[str]:
    found = chunked(step, script(*said, language=language))
    assert all(isinstance(one, Utterance) for one in found), found
    return [one.text for one in found if isinstance(one, Utterance)]


def bare(text: str) -> str:
    return "".join(text.split())


LINE = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from(
            [
                *("One went.", "No!", "Dr. Bell came, sat; left", "x" * 60, "3.5", "e.g. this"),
                *("\n\n", "\n", "...", "\U0001f389", "\uff08他说\uff09", "今天天气很好。"),
                *("「はい」", "\u00a0", "\u200b", "\u2028"),
                *("Heading", "*** ***", "« Oui ! »", "नमस्ते।", "مرحبا، كيف؟"),
            ]
        ),
        max_size=40,
    ).map(" ".join),
)  # fmt: skip


@given(
    st.lists(LINE, min_size=1, max_size=3),
    st.sampled_from(ALL),
    st.sampled_from(["en", "zh", "ja", "ar", "th", "xx", None]),
    st.sampled_from([None, 1.0, 5.0]),
    st.integers(1, 8),
)
@example(["a.b c。d"], "sentences", "en", 1.0, 1)
@example(["Heading\n\nText. " * 30], "paragraphs", "en", 1.0, 3)
def test_no_word_is_lost_or_doubled(
    lines: list[str], by: str, language: str | None, seconds: float | None, least: int
) -> None:
    step = Chunk.model_validate({"by": by, "max_seconds": seconds, "min_words": least})
    one = script(*lines, language=language)
    found = chunked(step, one)
    drops = [item for item in found if isinstance(item, Drop)]
    if drops:
        assert [(item.id, item.reason) for item in found] == [(one.id, "no_words")]
        assert not is_speakable("".join(lines))
        return
    said = [item for item in found if isinstance(item, Utterance)]
    assert [item.index for item in said] == list(range(len(said)))
    assert [item.line for item in said] == sorted(item.line for item in said)
    assert len({item.id for item in said}) == len(said)
    for place, text in enumerate(lines):
        own = [item.text for item in said if item.line == place]
        assert bare("".join(own)) == bare(text)
        if text.isascii():  # words are parted by blanks: none is cut
            assert " ".join(own).split() == text.split()
        assert all(item == item.strip() and item for item in own)
    assert all(is_speakable(item.text) for item in said if item.spoken)


@given(LINE)
def test_words_tile_the_text(text: str) -> None:
    words = units(text)
    assert "".join(text[start:end] for start, end in words) == bare(text)
    assert all(a[1] <= b[0] for a, b in itertools.pairwise(words))
    found = worded(text, "en", SPLIT)
    assert len(found.ranks) == len(words) == len(found.weights) - 1
    if words:
        assert found.weight(0, len(words)) >= len(bare(text))


@given(LINE, st.sampled_from([1.0, 3.0, 20.0]), st.sampled_from([None, 4, 12]))
def test_what_is_spoken_keeps_to_the_limits(text: str, seconds: float, words: int | None) -> None:
    step = Chunk(max_seconds=seconds, max_words=words, min_words=1)
    for item in chunked(step, script(text)):
        if isinstance(item, Utterance) and item.spoken:
            found = worded(item.text, "en", SPLIT)
            count = len([word for word in found.words if is_speakable(item.text[slice(*word)])])
            if count > 1:  # one word is never cut, and what has no letter takes no time
                assert words is None or count <= words
                spare = len(found.words) - count
                assert spare or found.weight(0, len(found.words)) <= seconds * 15 + 1


def test_sentences_are_the_fine_chunks() -> None:
    text = (
        "Dr. Bell opened the door at 6.30 a.m. and went out. Nobody was there! "
        "\u201cWho knocked?\u201d he asked the cat.\n\nThe cat did not know. It slept on the mat."
    )
    assert texts(Chunk(), text) == [
        "Dr. Bell opened the door at 6.30 a.m. and went out.",
        "Nobody was there!",
        "\u201cWho knocked?\u201d he asked the cat.",
        "The cat did not know.",
        "It slept on the mat.",
    ]


def test_paragraphs_are_the_coarse_ones() -> None:
    first = "One came late. Two came early, and left."
    second = "Three stayed for the night. Four paid the bill."
    assert texts(Chunk(by="paragraphs"), f"{first}\n\n{second}") == [first, second]


def test_a_short_sentence_joins_its_neighbour_and_a_heading_what_follows() -> None:
    text = "The gate was shut. Why? Really? They went home.\n\nMarket days\n\nMonday is one."
    assert texts(Chunk(min_words=3), text) == [
        "The gate was shut. Why? Really?",
        "They went home.",
        "Market days\n\nMonday is one.",
    ]
    assert texts(Chunk(min_words=1), text)[1:3] == ["Why?", "Really?"]


def test_signs_alone_are_never_an_utterance() -> None:
    assert texts(Chunk(min_words=1), "One went out.\n\n* * *\n\nTwo came back.") == [
        "One went out.", "* * *\n\nTwo came back."
    ]  # fmt: skip
    found = chunked(Chunk(), script("What is it?", "\U0001f389", roles=(ASKER, ANSWERER)))
    assert [(one.text, one.spoken) for one in found if isinstance(one, Utterance)] == [
        ("What is it?", True), ("\U0001f389", False)
    ]  # fmt: skip


def test_an_overlong_sentence_is_cut_at_clauses_and_then_at_words() -> None:
    clauses = "They sold bread and cheese, apples and nails; rope for the boats, and lamps for all."
    assert texts(Chunk(max_seconds=3.2), clauses) == [
        "They sold bread and cheese, apples and nails;",
        "rope for the boats, and lamps for all.",
    ]
    plain = "one two three four five six seven eight nine ten"
    assert texts(Chunk(max_words=3), plain) == [
        "one two three", "four five", "six seven", "eight nine ten"
    ]  # fmt: skip
    crumb = "Well, " + " ".join(["so"] * 60)  # a clause of one word is no place to cut at
    assert texts(Chunk(max_seconds=8.0), crumb)[0].startswith("Well, so so")


def test_chinese_and_japanese_are_cut_at_their_own_signs() -> None:
    assert texts(Chunk(), "今天天气很好。我们去公园吧\uff01你觉得呢\uff1f", language="zh") == [
        "今天天气很好。", "我们去公园吧\uff01", "你觉得呢\uff1f"
    ]  # fmt: skip
    long = "我们早上去了市场、买了面包和奶酪、然后回家吃饭、下午又出去了"
    pieces = texts(Chunk(max_seconds=4.0), long, language="zh")
    assert len(pieces) == 2
    assert pieces[0].endswith("、")
    words = units("「はい」と言った。")
    assert ["「はい」と言った。"[slice(*word)] for word in words] == [
        "「は", "い」", "と", "言", "っ", "た。"
    ]  # fmt: skip


def test_roles_are_kept_and_nothing_crosses_a_line() -> None:
    question = script("Why is bread", "brown? Heat makes it so.", roles=(ASKER, ANSWERER))
    found = [one for one in chunked(Chunk(by="paragraphs"), question) if isinstance(one, Utterance)]
    assert [(one.role, one.line, one.text) for one in found] == [
        (ASKER, 0, "Why is bread"),
        (ANSWERER, 1, "brown? Heat makes it so."),
    ]
    assert {one.page for one in found} == {PAGE}


def test_word_spans_leave_text_between_what_is_spoken() -> None:
    text = " ".join(f"word{number}" for number in range(400)) + "."
    for by in ("poisson", "inserter", "lst"):
        found = chunked(Chunk.model_validate({"by": by}), script(text))
        spoken = [one.spoken for one in found if isinstance(one, Utterance)]
        assert len(spoken) == len(found) > 10
        assert True in spoken
        assert False in spoken


def test_a_spoken_span_keeps_to_the_limits_and_text_need_not() -> None:
    text = " ".join(f"word{number}" for number in range(300))
    step = Chunk(by="poisson", mean_words=30.0, max_words=6, min_words=1)
    found = [one for one in chunked(step, script(text)) if isinstance(one, Utterance)]
    assert max(len(one.text.split()) for one in found if one.spoken) <= 6
    assert max(len(one.text.split()) for one in found if not one.spoken) > 6


def test_a_word_that_nobody_can_say_takes_its_script_and_no_other() -> None:
    good, bad = script("One went out today."), script("See " + "x" * 10_000 + " for it.")
    kept, drop = chunked(Chunk(), good, bad)
    assert isinstance(kept, Utterance)
    assert isinstance(drop, Drop)
    assert (drop.id, drop.root, drop.reason) == (bad.id, PAGE, "unspeakable_word")
    assert (drop.score, drop.threshold, drop.seconds) == (10_000, 1_000, 0.0)


@pytest.mark.parametrize("text", ["", "   \n\n ", "* * *", "\U0001f389 \u2014 !", "\u200d\u00ad"])
def test_a_script_without_words_is_a_drop(text: str) -> None:
    one = script(text)
    (drop,) = chunked(Chunk(), one)
    assert isinstance(drop, Drop)
    assert (drop.id, drop.reason) == (one.id, "no_words")


@pytest.mark.parametrize("by", ALL)
def test_the_spans_are_drawn_by_seed_and_script_alone(by: str) -> None:
    step = Chunk.model_validate({"by": by})
    scripts = [script(f"Story {n}. " + "They sold bread at the gate. " * 40) for n in range(3)]
    together = chunked(step, *scripts)
    apart = [item for one in reversed(scripts) for item in chunked(step, one)]
    random.seed(5)
    assert sorted(together, key=lambda one: one.id) == sorted(apart, key=lambda one: one.id)
    other = chunked(step, *scripts, scope=dataclasses.replace(SCOPE, seed=18))
    drawn = by not in ("sentences", "paragraphs")
    assert (other != together) is drawn


def test_quality_and_language_come_from_the_script() -> None:
    smoke = dataclasses.replace(script("One went out today.", language="de"), quality="smoke")
    (found,) = chunked(Chunk(), smoke)
    assert isinstance(found, Utterance)
    assert (found.quality, found.language, found.said, found.role) == ("smoke", "de", None, READER)


def test_a_long_page_is_cut_in_little_time() -> None:
    """A hundred thousand words in one paragraph, without a full stop."""
    text = " ".join(f"word{number % 50}" for number in range(100_000))
    found = texts(Chunk(), text)
    assert " ".join(found) == text
    assert len(found) > 2_000


@pytest.mark.parametrize(
    "settings",
    [
        {"by": "words"},
        {"min_words": 0},
        {"max_words": 2, "min_words": 3},
        {"lst_min_words": 9, "lst_max_words": 3},
        {"by": "inserter", "mean_words": 3.0},
        {"eta": 0.9},
        {"max_seconds": 0},
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Chunk.model_validate(settings)


def test_the_splitter_is_in_the_fingerprint() -> None:
    assert Chunk().fingerprint()["sentencex"] == importlib.metadata.version("sentencex")


@pytest.mark.parametrize("said", [["One."], ["One.", "Three."], [], ["Two.", "One."]])
def test_a_splitter_that_loses_text_is_a_bug(said: list[str]) -> None:
    with pytest.raises(ValueError, match="splitter"):
        list(Chunk()([script("One. Two.")], lambda language, text: said, SCOPE))


@pytest.mark.parametrize("language", ["en", "de", "zh", "ar"])
@pytest.mark.parametrize("between", ["\n\n", "\n", " ", "  \n \n\n "])
def test_long_texts_are_kept_whole_whatever_the_splitter_leaves_out(
    language: str, between: str
) -> None:
    """sentencex loses blank lines of texts beyond some ten thousand characters."""
    said = [f"They sold {n} loaves at the gate. Nobody came \u2014 until noon?" for n in range(900)]
    text = between.join(said)
    assert len(text) > 40_000
    found = texts(Chunk(), text, language=language)
    assert " ".join(found).split() == text.split()
    assert len(found) >= 1_800 if language != "zh" else len(found) > 100


@pytest.mark.corpus
def test_real_texts_are_kept_whole(shared_corpus: Path) -> None:
    """Speeches and parallel texts of a corpus, in English, Arabic, Chinese and others."""
    files = sorted((shared_corpus / "text").rglob("*.txt"))
    assert len(files) > 20
    for path in files:
        text = path.read_text(encoding="utf-8", errors="replace")
        for by in ALL:
            said = texts(Chunk.model_validate({"by": by}), text, language=None)  # type: ignore[arg-type]
            assert bare("".join(said)) == bare(text), path.name
