"""Format: who speaks when decides what a recording is."""

import dataclasses
from typing import Any

import pytest

from tests.measure.test_topic import clip, scores
from transforms.measure.format import Format

READ = (
    "The harbour lay quiet beneath a pale morning sky, and the fishing boats had not returned. "
    "Along the quay an old woman counted baskets of silver herring without lifting her head."
)
TALK = "Um, I think, you know, I was like, uh, so tired. And then I just, um, went home."


def clips(*parts: tuple[str, float, str], **more: Any) -> list[Any]:
    """(speaker, seconds, text) one after the other."""
    found, at = [], 0.0
    for number, (speaker, seconds, text) in enumerate(parts):
        one = clip(text, number)
        found.append(dataclasses.replace(one, speaker=speaker, start=at, end=at + seconds, **more))
        at += seconds
    return found


ASKED = [("a", 3.0, "Why did you leave?"), ("b", 20.0, "Because of the rain.")] * 3
TALKED = [("a", 9.0, "It was a good day."), ("b", 10.0, "It was indeed, I agree.")] * 3


@pytest.mark.parametrize(
    ("parts", "label"),
    [
        ([("a", 30.0, READ)], "reading"),
        ([("a", 30.0, TALK)], "monologue"),
        ([("a", 30.0, "")], "monologue"),
        (ASKED, "interview"),
        (TALKED, "conversation"),
        ([("a", 9.0, "x"), ("b", 9.0, "y?"), ("c", 9.0, "z"), ("d", 9.0, "z")], "conversation"),
        ([*TALKED, ("a", 900.0, TALK)], "monologue"),
    ],
)
def test_labels_by_who_speaks(parts: list[tuple[str, float, str]], label: str) -> None:
    assert Format().judge(clips(*parts))["label"] == label


def test_a_telephone_and_two_channels_are_calls() -> None:
    assert Format().judge(clips(*TALKED, source_rate=8000))["label"] == "call"
    sides = [
        dataclasses.replace(c, channel=n % 2, speaker="s") for n, c in enumerate(clips(*TALKED))
    ]
    found = Format().judge(sides)
    assert (found["label"], found["speakers"]) == ("call", 2)
    silent = [dataclasses.replace(c, channel=0, speaker="s") for c in sides]
    assert Format().judge(silent)["label"] != "call"


def test_one_voice_on_a_telephone_is_no_call() -> None:
    assert Format().judge(clips(("a", 30.0, TALK), source_rate=8000))["label"] == "monologue"


def test_numbers_behind_the_rules() -> None:
    found = Format().judge(clips(*ASKED))
    assert found["speakers"] == 2 and found["questions"] == 0.5
    assert found["main_share"] == pytest.approx(60 / 69)
    assert found["turns_per_minute"] == pytest.approx(60 * 6 / 69)


def test_every_clip_of_a_recording_gets_the_same() -> None:
    found = scores(Format(), "Why?", "Well.", "Uh, I see.")
    assert len(found) == 3 and len(set(found)) == 1
    assert scores(Format()) == []
