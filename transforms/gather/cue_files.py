"""Timed text from a side file: WebVTT (.vtt) or SubRip (.srt), as published transcripts come.

Only what decides data is read: times, text, and the speaker of WebVTT's `<v Name>`; styles,
regions, notes, positions and tags are passed over. Nothing is guessed: a line of times that cannot
be read refuses the file. Cues that overlap are joined to one, for nobody says which words belong to
which part of the overlap; the speaker stays only where both have the same. (W3C WebVTT, section 4.)
"""

import html
import os
import re
from collections.abc import Iterator, Sequence

from schemas.records import Cue

MAX_BYTES = 4 << 20
SUFFIXES = (".vtt", ".srt")

_TIME = r"(?:(\d{1,4}):)?([0-5]?\d):([0-5]?\d)[.,](\d{1,3})"
_SPAN = re.compile(rf"\s*{_TIME}\s+-->\s+{_TIME}(?:\s.*)?")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]+)>")
_TAG = re.compile(r"<[^>]*>")


class CueError(ValueError):
    """A file of cues cannot be read; the message begins with its line."""

    def __init__(self, line: int, what: str) -> None:
        super().__init__(f"{line}: {what}")


def read_cues(path: str, suffix: str = "") -> tuple[Cue, ...]:
    """The cues of a file, by start, none overlapping, none empty. Times in seconds.

    `suffix`: which kind it is, where its name does not say.

    Raises `CueError` where it is no such file, `OSError` where it cannot be read.
    """
    suffix = suffix or os.path.splitext(path)[1].lower()
    if suffix not in SUFFIXES:
        raise CueError(1, f"a file of cues ends in {' or '.join(SUFFIXES)}")
    with open(path, "rb") as stream:
        data = stream.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise CueError(1, f"more than {MAX_BYTES} bytes")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CueError(data[: error.start].count(b"\n") + 1, "not UTF-8; save it so") from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\0", "\ufffd").split("\n")
    if suffix == ".vtt" and not re.match(r"WEBVTT(?:[ \t]|$)", lines[0]):
        raise CueError(1, "a WebVTT file begins with WEBVTT")
    found = [cue for block in _blocks(lines) for cue in _cue(*block)]
    if not found:
        raise CueError(1, "no cues in it")
    return joined(found)


def joined(cues: Sequence[Cue]) -> tuple[Cue, ...]:
    """Cues by start, those that overlap as one; those without text left out."""
    found: list[Cue] = []
    for cue in sorted((c for c in cues if c.text), key=lambda c: (c.start, c.end)):
        if found and cue.start < found[-1].end:
            last = found[-1]
            found[-1] = Cue(
                start=last.start,
                end=max(last.end, cue.end),
                text=f"{last.text} {cue.text}",
                speaker=last.speaker if last.speaker == cue.speaker else None,
            )
        else:
            found.append(cue)
    return tuple(found)


def _blocks(lines: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Runs of lines between empty ones, with the number of the first."""
    block: list[str] = []
    for number, line in enumerate([*lines, ""], 1):
        if line.strip():
            block.append(line)
        elif block:
            yield number - len(block), block
            block = []


def _cue(number: int, block: list[str]) -> Iterator[Cue]:
    """The cue of a block; none for headers, notes and styles."""
    at = next((place for place, line in enumerate(block[:2]) if "-->" in line), None)
    if at is None:
        if any("-->" in line for line in block):
            raise CueError(number, "times stand in the middle of a block; put an empty line before")
        return
    match = _SPAN.fullmatch(block[at])
    if match is None:
        raise CueError(number + at, f"times cannot be read: {block[at].strip()[:60]!r}")
    start, end = _seconds(match.groups()[:4]), _seconds(match.groups()[4:])
    if end <= start:
        raise CueError(number + at, f"the cue ends ({end:g} s) before it begins ({start:g} s)")
    for line in block[at + 1 :]:
        if "-->" in line:
            raise CueError(number + at, "two lines of times in one block; an empty line lacks")
    said = " ".join(block[at + 1 :])
    voice = _VOICE.search(said)
    text = " ".join(html.unescape(_TAG.sub("", said)).split())
    speaker = html.unescape(voice[1]).strip()[:1000] if voice else None
    yield Cue(start=start, end=end, text=text, speaker=speaker or None)


def _seconds(parts: Sequence[str | None]) -> float:
    hours, minutes, seconds, fraction = parts
    thousandths = int((fraction or "0").ljust(3, "0"))
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return (whole * 1000 + thousandths) / 1000
