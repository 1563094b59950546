"""Text made comparable: case, punctuation and spelling that do not change what was said go away.

For comparing two answers and for filtering only. Nothing here is ever stored: a normalised text
has lost names' capitals, sentence ends and figures, and cannot be turned back. The rules are those
that Whisper's authors published with their error rates (package whisper-normalizer): English words,
numbers, titles and British spellings by the English rules, every other language by the basic ones.
"""

import functools
from typing import Any

# Written without spaces: word borders are a matter of taste there, signs are not.
UNSPACED = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km"})


@functools.cache
def _english() -> Any:
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()


@functools.cache
def _basic(split_letters: bool) -> Any:
    from whisper_normalizer.basic import BasicTextNormalizer

    return BasicTextNormalizer(remove_diacritics=False, split_letters=split_letters)


def normalized(text: str, language: str | None = None) -> str:
    """`text` as it is compared: words with one blank between them; "" where nothing is left.

    `language` is ISO 639-1; unknown and unlisted languages get the basic rules.
    """
    if language == "en":
        try:
            return " ".join(str(_english()(text)).split())
        except (AssertionError, ValueError, ArithmeticError):
            pass  # the number rules give up on figures of some thousand digits
    return " ".join(str(_basic(language in UNSPACED)(text)).split())


def compared_words(text: str, language: str | None = None) -> tuple[str, ...]:
    """The words (signs, where no blanks are written) that an error rate is counted over."""
    return tuple(normalized(text, language).split())


@functools.lru_cache(maxsize=1 << 16)
def word_key(word: str, language: str | None = None) -> str:
    """One word as it is compared; equal keys are the same word. Empty only for a blank word.

    A hesitation ("uhm") or a lone sign, of which the rules leave nothing, is compared as it is
    written: somebody heard it.
    """
    return normalized(word, language) or " ".join(word.casefold().split())


def fingerprint() -> dict[str, str]:
    """What changes the answers here."""
    import importlib.metadata

    return {"whisper-normalizer": importlib.metadata.version("whisper-normalizer")}
