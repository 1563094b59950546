"""When two texts are the same: a spelling that forgets case, punctuation, symbols and spacing.

NFKC (so that ligatures, full-width forms and composed accents agree), case folded, apostrophes
and invisible characters removed, any other punctuation or symbol a space, spaces collapsed.
Combining marks stay: in Hindi or Arabic they are part of the word. For keys only: stored text is
never touched.
"""

import unicodedata

# First of all, because NFKC would turn the acute accent into a space and a combining accent.
_APOSTROPHES = dict.fromkeys(map(ord, "'\u2018\u2019\u201b\u02bc\u02b9`\u00b4\uff07"))


class _Plain(dict[int, str | None]):
    """A translation table that fills itself: what each character becomes."""

    def __missing__(self, code: int) -> str | None:
        character = chr(code)
        category = unicodedata.category(character)
        becomes: str | None = character
        if category in ("Cf", "Cn", "Cs", "Co"):
            becomes = None  # zero-width and bidirectional controls say nothing
        elif category[0] in "PSZC":
            becomes = " "
        self[code] = becomes
        return becomes


_PLAIN = _Plain()


_ASCII = bytes(
    ord(chr(code).lower()) if chr(code).isalnum() and code < 128 else 32 for code in range(256)
)


def same_text(text: str) -> str:
    """The spelling that equal texts share; "" where nothing is left."""
    if text.isascii():  # the same, and ten times as fast
        return b" ".join(text.encode("ascii").translate(_ASCII, b"'`").split()).decode("ascii")
    folded = unicodedata.normalize("NFKC", text.translate(_APOSTROPHES)).casefold()
    # Folding leaves what NFKC would compose, and so does taking a character out.
    plain = unicodedata.normalize("NFKC", folded).translate(_APOSTROPHES).translate(_PLAIN)
    return " ".join(unicodedata.normalize("NFC", plain).split())
