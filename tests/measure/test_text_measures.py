"""Measures of text: language behind its gate, rates, repetition."""

import math
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_sound import RATE, make_clip, make_scope, score

from transforms.engines.language import Guess
from transforms.measure.language import Language
from transforms.measure.text_rate import TextRate, compression_ratio
from transforms.measure.wording import count_characters, count_letters, count_words, unspaced_share
from transforms.step import Measure

SENTENCES = {
    "en": "The ferry leaves at seven, and the last bus follows an hour later.",
    "de": "Die Fähre fährt um sieben, und der letzte Bus folgt eine Stunde später.",
    "fr": "Le bateau part à sept heures et le dernier bus suit une heure plus tard.",
    "es": "El barco sale a las siete y el último autobús sale una hora después.",
    "ru": "Паром уходит в семь, последний автобус идёт часом позже.",
    "ar": "تغادر العبارة في الساعة السابعة ثم تتبعها آخر حافلة بعد ساعة واحدة",
    "he": "המעבורת יוצאת בשבע והאוטובוס האחרון יוצא שעה מאוחר יותר",
    "hi": "नाव सात बजे निकलती है और आख़िरी बस एक घंटे बाद जाती है",
    "zh": "渡轮七点出发,最后一班公共汽车一个小时以后才会离开这里的码头",
    "ja": "フェリーは七時に出て、最後のバスは一時間後に出発します。",
    "th": "เรือข้ามฟากออกเวลาเจ็ดโมง และรถเมล์เที่ยวสุดท้ายออกอีกหนึ่งชั่วโมงต่อมา",
}


def values(measure: Measure, text: str, seconds: float = 4.0) -> tuple[object, ...]:
    (scores,) = score(measure, [make_clip(0, int(seconds * RATE), text=text)], make_scope())
    return scores.values


@pytest.mark.parametrize("code", SENTENCES)
def test_language_of_a_sentence(code: str) -> None:
    language, probability = values(Language(), SENTENCES[code])
    assert language == code
    assert 0.3 < probability <= 1.0


def test_capitals_and_line_breaks_do_not_change_the_language() -> None:
    plain = values(Language(), SENTENCES["fr"].lower())
    assert values(Language(), SENTENCES["fr"].upper()) == plain
    assert values(Language(), SENTENCES["fr"].lower().replace(" ", "\n")) == plain


@pytest.mark.parametrize(
    "text",
    ["", "   \n", "yes okay thank you", "1234 5678 9012 3456 7890 1234", "好的", "...", "🎉" * 40],
)
def test_text_too_short_to_tell_has_no_language(text: str) -> None:
    assert values(Language(), text) == (None, None)


def test_the_gate_counts_words_and_letters() -> None:
    assert Language(min_words=3, min_chars=0).long_enough("one two three")
    assert not Language(min_words=4, min_chars=0).long_enough("one two three")
    assert Language(min_words=0, min_chars=11).long_enough("one two three")
    assert not Language(min_words=0, min_chars=12).long_enough("one two three")
    assert not Language(min_words=0, min_chars=0).long_enough("")
    assert Language().long_enough(SENTENCES["th"])  # no spaces, so no words to count


class Marked:
    """An engine that says which text it was asked about."""

    def guess(self, texts: list[str]) -> list[Guess]:
        return [Guess(text.split()[0], 0.5) for text in texts]


def test_each_clip_gets_the_answer_to_its_own_text() -> None:
    texts = ["aa " + "word " * 8, "short", "bb " + "word " * 8, ""]
    clips = [make_clip(i * 10, i * 10 + 5, text=text) for i, text in enumerate(texts)]
    scores = list(Language()(clips, Marked(), make_scope()))
    assert [s.id for s in scores] == [c.id for c in clips]
    assert [s.values[0] for s in scores] == ["aa", None, "bb", None]


def test_language_key_holds_the_models_digest() -> None:
    assert len(Language().fingerprint()["lid.176.ftz"]) == 64


def test_rates_are_counts_over_seconds() -> None:
    assert values(TextRate(), "So, it's  a well-known fact.", 2.0)[:3] == (5, 2.5, 23 / 2)
    assert values(TextRate(), "", 2.0) == (0, 0.0, 0.0, None)
    assert values(TextRate(), "word", 0.0)[:3] == (1, None, None)


def test_compression_ratio_is_bytes_over_zlib_bytes() -> None:
    text = "So it goes. "
    data = text.strip().encode()
    assert compression_ratio(text) == len(data) / len(zlib.compress(data))
    assert compression_ratio("thanks for watching " * 20) > 2.4
    assert compression_ratio(SENTENCES["en"]) < 1.3
    assert compression_ratio(" \n") is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one two  three", 3),
        ("don't well-known 3.5 e-mail", 4),
        (" - ... !? ", 0),
        ("渡轮七点出发", 6),
        ("ok 好的 now", 4),
        ("フェリー", 4),
        ("한국어 문장", 2),
        ("سلام دنیا", 2),
        ("नाव सात", 2),
    ],
)
def test_words_of_many_scripts(text: str, words: int) -> None:
    assert count_words(text) == words


def test_letters_and_characters() -> None:
    assert count_letters("a1 é-漢!") == 3
    assert count_characters(" a\u00a0b\n c ") == 3
    assert unspaced_share("abc") == 0.0
    assert unspaced_share("") == 0.0
    assert unspaced_share("漢a") == 0.5


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=4))
def test_any_text_gives_one_finite_plain_score(texts: list[str]) -> None:
    clips = [make_clip(i * 10, i * 10 + 5, text=text) for i, text in enumerate(texts)]
    for measure in (TEXT_RATE, LANGUAGE):
        scores = list(measure(clips, MODELS[measure.name()], make_scope()))
        assert [s.id for s in scores] == [c.id for c in clips]
        for scored in scores:
            for kind, got in zip(measure.columns.values(), scored.values, strict=True):
                assert got is None or type(got) is kind
                assert not isinstance(got, float) or math.isfinite(got)
                assert kind is not float or got is None or got >= 0


TEXT_RATE, LANGUAGE = TextRate(), Language(min_words=0, min_chars=0)
MODELS = {measure.name(): measure.load() for measure in (TEXT_RATE, LANGUAGE)}
