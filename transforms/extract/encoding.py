"""Bytes as text: by what they say of themselves, or not at all.

UTF-8 that is valid is UTF-8, whatever a page claims, for no other encoding looks like it. Else the
byte order mark or the charset that an HTML page declares decides, read as browsers read those names
(`latin-1` means windows-1252). Nothing is guessed: bytes that say nothing and are no UTF-8 are
refused, unless the recipe says what such files are in.
"""

import codecs
import functools
import re
from encodings.aliases import aliases

HEAD = 4096  # bytes of a page in which its declaration is looked for; browsers read 1024
_DECLARED = re.compile(
    rb"<meta[^>]{0,512}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{1,40})"
    rb"|<\?xml[^>]{0,256}?encoding\s*=\s*[\"']([A-Za-z0-9_.:-]{1,40})",
    re.IGNORECASE,
)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# As the web means these names: each is read as a superset of itself.
_MEANT = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
    "tis-620": "cp874",
}
_ALSO_CALLED = {
    "windows-874": "cp874",
    "x-sjis": "cp932",
    "x-gbk": "gb18030",
    "x-euc-jp": "euc_jp",
    "iso-8859-8-i": "iso8859-8",
    "x-mac-cyrillic": "mac-cyrillic",
}
_TEXTUAL = re.compile(
    r"cp\d{3,4}|iso8859-\d{1,2}|utf-8|utf-16(-[lb]e)?|koi8-[rut]|mac-\w+|gb18030|big5hkscs|"
    r"euc_jp|euc_jis_2004|shift_jis|iso2022_jp|hz|ptcp154|tis-620|kz1048"
)
BROKEN_SHARE = 0.001  # of characters that could not be decoded; more is another encoding
_BINARY = (
    *(b"%PDF", b"PK\x03\x04", b"\x1f\x8b", b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"\x7fELF"),
    *(b"Rar!", b"7z\xbc\xaf", b"BZh", b"\xfd7zXZ", b"\xd0\xcf\x11\xe0", b"\x28\xb5\x2f\xfd"),
    *(b"SQLite format 3", b"wOFF", b"wOF2", b"MZ\x90", b"OggS", b"ID3", b"RIFF", b"PAR1"),
)


class Unreadable(ValueError):
    """Bytes that are not text. `code`: binary or encoding."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def known(name: str) -> str | None:
    """What a charset's name means; None where it is no encoding of text that is taken."""
    return load().get(_plain(name))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


@functools.cache
def load() -> dict[str, str]:
    """Every encoding that is taken, by each of its names; each is imported as it is looked up."""
    found: dict[str, str] = {}
    for name in {*aliases, *aliases.values(), *_MEANT, "koi8_u", "koi8_t", "ptcp154", "kz1048"}:
        try:
            codec = codecs.lookup(name).name
        except LookupError:  # of another system
            continue
        meant = codecs.lookup(_MEANT.get(codec, codec)).name
        if _TEXTUAL.fullmatch(meant):
            found[_plain(name)] = meant
            found[_plain(codec)] = meant
    return {**found, **{_plain(name): meant for name, meant in _ALSO_CALLED.items()}}


def decoded(data: bytes, html: bool, fallback: str | None = None) -> str:
    """The text of a file. Raises `Unreadable`.

    `html`: whether a declaration inside counts. `fallback`: what files that say nothing are in.
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _tolerant(data[len(mark) :], encoding, "its byte order mark")
    if data.startswith(_BINARY) or b"\0" in data[:HEAD]:
        raise Unreadable("binary", f"it begins with {data[:8]!r}")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        first = f"byte {error.start + 1}, 0x{data[error.start]:02x}, is not UTF-8"
    declared = _declared(data) if html else None
    if declared is not None and declared[1] is None:
        raise Unreadable("encoding", f"it declares {declared[0]!r}, which is no known encoding")
    if declared is not None and declared[1] not in (None, "utf-8"):
        return _tolerant(data, str(declared[1]), "the page itself")
    repaired = data.decode("utf-8", "replace")
    if _broken(repaired) <= BROKEN_SHARE:
        return repaired.replace("\ufffd", "")
    if fallback is not None:
        return _tolerant(data, fallback, "the setting fallback_encoding")
    raise Unreadable("encoding", f"{first}, and nothing says what it is")


def _declared(data: bytes) -> tuple[str, str | None] | None:
    found = _DECLARED.search(data[:HEAD])
    if found is None:
        return None
    name = (found[1] or found[2]).decode("ascii")
    meant = known(name)
    # what could be read as ASCII up to here is not in two bytes a character
    return name, "utf-8" if meant is not None and meant.startswith("utf-16") else meant


def _tolerant(data: bytes, encoding: str, who: str) -> str:
    text = data.decode(encoding, "replace")
    share = _broken(text)
    if share > BROKEN_SHARE:
        raise Unreadable(
            "encoding", f"{share:.1%} of it is not {encoding}, which {who} says that it is"
        )
    return text.replace("\ufffd", "")


def _broken(text: str) -> float:
    return text.count("\ufffd") / max(len(text), 1)
