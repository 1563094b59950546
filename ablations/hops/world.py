"""The hops world: 32 words, one secret cycle over them, documents that walk along it.

The cycle can be learnt from text alone. Which sound is which word can be learnt only where audio is
followed by text, for in a text chunk the later words follow from the first. So a policy that turns
from audio to text more often teaches more, which is the mechanism that interleaving is said to
have, built in. A study in this world tests whether the instrument sees a difference that is there;
it says nothing about real speech: one synthesizer, a closed vocabulary, no prosody.
"""

import dataclasses
import itertools
import random

WORDS = (
    "apple", "bridge", "candle", "dragon", "engine", "feather", "garden", "hammer",
    "island", "jacket", "kettle", "lemon", "mountain", "needle", "orange", "pepper",
    "quarter", "rabbit", "silver", "tiger", "umbrella", "village", "window", "yellow",
    "zebra", "cloud", "river", "spoon", "thunder", "basket", "chimney", "forest",
)  # fmt: skip
VOICES = ("en-us", "en-us+f1", "en-us+m3", "en-gb-scotland", "en-gb-x-rp", "en-us-nyc+f4")
SPEEDS = (130, 150, 170, 190, 210, 230)  # words a minute, as espeak-ng counts
PITCHES = (40, 50, 60)  # of 100
HELD_VOICE, HELD_SPEED = "en-us+f1", 170
SENTENCES = 16  # of a document
DRAWS = 3  # of distractors for each question
OPTIONS = 4


@dataclasses.dataclass(frozen=True, slots=True, order=True)
class Manner:
    """How a document or a question is spoken."""

    voice: str
    speed: int
    pitch: int


@dataclasses.dataclass(frozen=True, slots=True)
class Story:
    """One document: numbers of words along the cycle, one a sentence, all in one manner."""

    words: tuple[int, ...]
    manner: Manner


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """Which word follows? `options` are numbers of words."""

    id: str
    word: int
    options: tuple[int, ...]
    answer: int  # place in `options`
    manner: Manner


def cycle(seed: int) -> tuple[int, ...]:
    """The successor of each word: one cycle through all of them."""
    order = list(range(len(WORDS)))
    random.Random(f"hops/cycle/{seed}").shuffle(order)
    following = dict(itertools.pairwise([*order, order[0]]))
    return tuple(following[word] for word in range(len(WORDS)))


def stories(seed: int, count: int) -> list[Story]:
    """Documents in manners that are not held out, no two of them with the same sounds."""
    following = cycle(seed)
    manners = [
        Manner(voice, speed, pitch)
        for voice in VOICES
        for speed in SPEEDS
        for pitch in PITCHES
        if voice != HELD_VOICE and speed != HELD_SPEED
    ]
    every = [(word, manner) for word in range(len(WORDS)) for manner in manners]
    if not 0 < count <= len(every):
        raise ValueError(f"there are {len(every)} different documents, not {count}")
    random.Random(f"hops/stories/{seed}").shuffle(every)
    return [Story(walk(following, word), manner) for word, manner in every[:count]]


def walk(following: tuple[int, ...], word: int) -> tuple[int, ...]:
    """The words of a document that begins with `word`."""
    found = [word]
    while len(found) < SENTENCES:
        found.append(following[found[-1]])
    return tuple(found)


def held_out() -> list[Manner]:
    """The manners of questions: the voice that was held out, the speed, and both: 11."""
    return [
        Manner(voice, speed, PITCHES[1])
        for voice in VOICES
        for speed in SPEEDS
        if voice == HELD_VOICE or speed == HELD_SPEED
    ]


def questions(seed: int) -> list[Question]:
    """Every word in every manner that is held out, with `DRAWS` sets of options each.

    Distractors are any words but the answer and the word itself; every word is as often the answer
    as any other, so a model that does not hear is right by chance.
    """
    following = cycle(seed)
    found = []
    for word in range(len(WORDS)):
        for manner in held_out():
            for draw in range(DRAWS):
                name = f"{WORDS[word]}-{manner.voice}-{manner.speed}-{draw}"
                chance = random.Random(f"hops/question/{seed}/{name}")
                others = [w for w in range(len(WORDS)) if w not in (word, following[word])]
                options = chance.sample(others, OPTIONS - 1)
                answer = chance.randrange(OPTIONS)
                options.insert(answer, following[word])
                found.append(Question(name, word, tuple(options), answer, manner))
    return found


def sentence(word: int) -> str:
    return f"{WORDS[word]}."
