"""In which format a recording is spoken: monologue, reading, interview, conversation or call.

Rules over who speaks when, from the clips of a whole recording; every clip of it gets the same
label. In this order:

- call: two channels with speech on both, or several speakers over a telephone (source rate of at
  most 8 kHz).
- one speaker has nearly all of the speech: a reading where the text is fluent (few fillers, few
  words of the first and second person, long sentences or a text that was given), else a monologue.
- two main speakers, of whom one asks and speaks less: an interview.
- anything else with several speakers: a conversation.

Trade-offs: speakers are as good as the diarizer, so an interview under one label is a monologue;
fillers, persons and questions are looked for in English, German, Spanish and French, and where a
recognizer leaves fillers out, talk looks read. `speakers`, `turns_per_minute` and the shares behind
the rules are columns too, so that other rules can be written as a filter.
"""

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import pydantic

from schemas.records import Clip, Scores
from transforms.measure.wording import words_of
from transforms.step import Measure, Scope

FILLERS = frozenset(
    words_of("uh um er erm hmm mm mhm yeah äh ähm hm tja halt eh este pues euh ben bah hein")
)
PERSONS = frozenset(
    words_of(
        "i i'm i've i'll me my you your you're we ich mich mir mein du dir dein ihr wir yo me mi "
        "tu te usted nosotros je j'ai moi mon vous votre nous"
    )
)
_SENTENCE = re.compile(r"[.!?\u2026\u3002\u061f]+")
_QUESTION = re.compile(r"[?\u061f\uff1f]")
TELEPHONE = 8000  # hertz


class Format(Measure):
    """Format of a clip's recording, and the numbers that decide it."""

    columns: ClassVar[dict[str, type]] = {
        "label": str,
        "speakers": int,
        "turns_per_minute": float,
        "main_share": float,
        "fillers": float,
        "questions": float,
    }
    needs_audio: ClassVar[bool] = False

    alone: float = pydantic.Field(
        0.9, gt=0.5, le=1, description="Share of speech from which on one speaker is alone (ours)"
    )
    pair: float = pydantic.Field(
        0.8, gt=0, le=1, description="Share of speech that the two of an interview have (ours)"
    )
    max_read_fillers: float = pydantic.Field(
        0.005, ge=0, le=1, description="Most fillers in a text that is read (share of words; ours)"
    )
    max_read_persons: float = pydantic.Field(
        0.04,
        ge=0,
        le=1,
        description="Most words of the first and second person in a reading (share; ours)",
    )
    min_read_sentence: float = pydantic.Field(
        9.0, ge=0, description="Shortest mean sentence in a reading (words; ours)"
    )
    min_asked: float = pydantic.Field(
        0.25, ge=0, le=1, description="Least share of turns that ask, of who interviews (ours)"
    )

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        found = self.judge(records) if records else {}
        values = tuple(found.get(name) for name in self.columns)
        for clip in records:
            yield Scores(id=clip.id, values=values)

    def judge(self, clips: Sequence[Clip]) -> Mapping[str, Any]:
        """The columns by name, for all clips of one recording."""
        ordered = sorted(clips, key=lambda c: (c.start, c.channel, c.end, c.id))
        seconds: dict[str, float] = defaultdict(float)
        channels: dict[int, float] = defaultdict(float)
        for clip in ordered:
            seconds[_speaker(clip)] += clip.seconds
            channels[clip.channel] += clip.seconds
        total = sum(seconds.values())
        turns = _turns(ordered)
        words = [word for clip in ordered for word in words_of(clip.text)]
        most = sorted(seconds.items(), key=lambda pair: (-pair[1], pair[0]))
        asked = [bool(_QUESTION.search(text)) for _, text in turns]
        numbers = {
            "speakers": len(seconds),
            "turns_per_minute": 60 * len(turns) / total if total else None,
            "main_share": most[0][1] / total if total else None,
            "fillers": sum(w in FILLERS for w in words) / len(words) if words else None,
            "questions": sum(asked) / len(asked),
        }
        return {"label": self._label(ordered, most, channels, turns, words), **numbers}

    def _label(
        self,
        clips: Sequence[Clip],
        most: Sequence[tuple[str, float]],
        channels: Mapping[int, float],
        turns: Sequence[tuple[str, str]],
        words: Sequence[str],
    ) -> str | None:
        total = sum(share for _, share in most)
        if not total:
            return None
        both = [share / total for share in channels.values()]
        if len(both) == 2 and min(both) > 1 - self.alone:
            return "call"
        alone = most[0][1] / total >= self.alone
        low = all(0 < clip.source_rate <= TELEPHONE for clip in clips)
        if low and not alone:
            return "call"
        if alone:
            return "reading" if self._read(clips, words) else "monologue"
        pair = sum(share for _, share in most[:2]) / total >= self.pair
        return "interview" if pair and self._asks(most, turns) else "conversation"

    def _read(self, clips: Sequence[Clip], words: Sequence[str]) -> bool:
        if not words:
            return False
        fillers = sum(word in FILLERS for word in words) / len(words)
        persons = sum(word in PERSONS for word in words) / len(words)
        text = " ".join(clip.text for clip in clips)
        sentences = [words_of(one) for one in _SENTENCE.split(text)]
        lengths = [len(one) for one in sentences if one]
        # A recognizer without marks gives one long sentence, which says nothing of its own.
        marked = len(lengths) > 1 or all(clip.quality == "given" for clip in clips)
        long = sum(lengths) / len(lengths) >= self.min_read_sentence
        return (
            fillers <= self.max_read_fillers
            and persons <= self.max_read_persons
            and marked
            and long
        )

    def _asks(self, most: Sequence[tuple[str, float]], turns: Sequence[tuple[str, str]]) -> bool:
        """Whether the one of the two who speaks less asks, and more often than the other."""
        shares = []
        for name, _ in most[:2]:
            mine = [bool(_QUESTION.search(text)) for who, text in turns if who == name]
            shares.append(sum(mine) / len(mine) if mine else 0.0)
        return shares[1] >= self.min_asked and shares[1] > shares[0]


def _speaker(clip: Clip) -> str:
    """Labels of a diarizer are local to a channel."""
    return clip.speaker if clip.speaker_given else f"{clip.channel}:{clip.speaker}"


def _turns(clips: Sequence[Clip]) -> list[tuple[str, str]]:
    """Speaker and text of each turn: consecutive clips of one speaker."""
    found: list[tuple[str, str]] = []
    for clip in clips:
        name = _speaker(clip)
        if found and found[-1][0] == name:
            found[-1] = (name, f"{found[-1][1]} {clip.text}")
        else:
            found.append((name, clip.text))
    return found
