"""Text made comparable: what goes away, what stays, and that no text whatever is too strange."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from transforms.engines.normalizer import UNSPACED, compared_words, normalized, word_key

LANGUAGES = st.sampled_from([None, "en", "de", "zh", "th", "hi", "ar", "tlh"])


@pytest.mark.parametrize(
    ("text", "language", "expected"),
    [
        ("Don't stop, Mr. Smith!", "en", "do not stop mister smith"),
        ("The colour of twenty-one cars", "en", "the color of 21 cars"),
        ("Don't stop, Mr. Smith!", None, "don t stop mr smith"),
        ("Wo ist das alte Fahrrad?", "de", "wo ist das alte fahrrad"),
        ("Straße, café.", "de", "straße café"),
        ("你好、世界", "zh", "你 好 世 界"),
        ("你好、世界", None, "你好 世界"),
        ("  ", "en", ""),
        ("?!", "de", ""),
        ("one (laughs) two", None, "one two"),
    ],
)
def test_what_is_compared(text, language, expected):
    assert normalized(text, language) == expected
    assert compared_words(text, language) == tuple(expected.split())


@pytest.mark.parametrize(
    ("word", "key"),
    [
        ("Cat.", "cat"),
        ("don't", "do not"),
        ("Uhm,", "uhm"),
        ("Uhm", "uhm"),
        ("—", "—"),
        (" ", ""),
        ("²", "2"),
    ],
)
def test_a_word_has_a_key_unless_it_is_blank(word, key):
    assert word_key(word, "en") == key


@given(text=st.text(), language=LANGUAGES)
def test_no_text_is_too_strange(text, language):
    done = normalized(text, language)
    assert done == " ".join(done.split())
    assert (word_key(text, language) == "") == (not text.split())


# Every character that Unicode calls a number, a bracket or a currency sign, in places where the
# English number rules look at what stands before and after.
@given(
    text=st.lists(
        st.one_of(
            st.characters(categories=["Nd", "Nl", "No", "Sc", "Ps", "Pe", "Lm", "Mn"]),
            st.sampled_from([" ", ".", ",", "-", "%", "$", "twenty ", " and a half ", "million"]),
        ),
        max_size=12,
    ).map("".join)
)
def test_no_number_is_too_strange_in_english(text):
    assert isinstance(normalized(text, "en"), str)


def test_basic_rules_are_taken_where_the_english_ones_give_up():
    assert normalized("Don't! " + "9" * 5000, "en") == "don t " + "9" * 5000


def test_unspaced_languages_are_compared_sign_by_sign():
    assert {"zh", "ja", "th"} <= UNSPACED
    assert all(len(compared_words("世界", language)) == 2 for language in UNSPACED)
