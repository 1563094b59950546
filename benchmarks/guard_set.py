"""A labelled set for the hallucination guard: real speech with right text, and text that is wrong.

Genuine: ordinary sentences, fast speech, lists of numbers (in words and in digits), people who
repeat themselves, phrases of subtitles said in earnest. Invented: loops at the end of a right
beginning or from the start, loops that the recognizer is sure of, phrases and sentences where
nobody speaks (silence, hiss, hum, chords, clicks), text that breaks off. Speech is synthetic, in
six languages; texts, noises and errors are made here, after what such recognizers are known to do,
so the figures say how the guard does on *these* faults. A fluent wrong sentence of the right length
over real speech is not in it: neither text nor sound shows that, only a second engine or the
recognizer's own doubt. Every second sentence belongs to the development half, the others to the
test half.
"""

import dataclasses
import random
from collections.abc import Callable, Iterator

import numpy as np

from benchmarks.guard_texts import TEXTS
from benchmarks.spoken import RATE, Pcm16, Speaker, Spoken
from schemas.ids import digest_of
from schemas.records import Clip, TimesOrigin, Transcript, Word, clip_id

Tokens = list[tuple[str, float, float]]


@dataclasses.dataclass(frozen=True)
class Case:
    """One clip with its sound, and whether its text is right."""

    clip: Clip
    pcm: Pcm16
    kind: str
    language: str
    genuine: bool
    half: str  # "development" or "test"


def make(per_kind: int, seed: int = 17) -> list[Case]:
    """`per_kind` cases of every kind and language, half of them of each half of the set."""
    speaker = Speaker()
    cases = []
    for language in TEXTS:
        for kind, (genuine, maker) in KINDS.items():
            for number in range(per_kind):
                rng = random.Random(f"{seed} {language} {kind} {number}")
                maker_of_this = _Maker(speaker, language, number % 2, rng)
                pcm, tokens = maker(maker_of_this)
                cases.append(
                    Case(
                        clip=_clip(f"{language} {kind} {number}", pcm, tokens, kind, rng),
                        pcm=pcm,
                        kind=kind,
                        language=language,
                        genuine=genuine,
                        half=("development", "test")[number % 2],
                    )
                )
    return cases


@dataclasses.dataclass(frozen=True)
class _Maker:
    speaker: Speaker
    language: str
    half: int
    rng: random.Random

    def say(self, text: str, slowest: int = 130, fastest: int = 210) -> Spoken:
        voice = TEXTS[self.language].voice + self.rng.choice(["", "+f2", "+f4", "+m3", "+m4"])
        speed = self.rng.randint(slowest, fastest)
        return self.speaker.say(text, voice, speed, self.rng.randint(30, 70))

    def sentences(self, count: int) -> str:
        mine = TEXTS[self.language].sentences[self.half :: 2]
        return " ".join(self.rng.sample(mine, count))

    def of(self, texts: tuple[str, ...]) -> str:
        return self.rng.choice(texts[self.half :: 2])


Sound = tuple[Pcm16, Tokens]


def _in_a_room(maker: _Maker, spoken: Spoken) -> Sound:
    """The speech after and before a pause, with hiss 15 to 45 dB below it, at some level."""
    rng = maker.rng
    before, after = (round(rng.uniform(0.0, 0.6) * RATE) for _ in range(2))
    sound = np.pad(spoken.pcm.astype(np.float64), (before, after))
    level = np.sqrt(np.mean(spoken.pcm.astype(np.float64) ** 2)) * 10 ** (-rng.uniform(15, 45) / 20)
    sound = (sound + level * _hiss(len(sound), rng)) * rng.uniform(0.2, 1.0)
    shift = before / RATE
    return _pcm(sound), [(word, a + shift, b + shift) for word, a, b in spoken.words]


def _hiss(length: int, rng: random.Random) -> np.ndarray:
    return np.random.default_rng(rng.getrandbits(32)).standard_normal(length)


def _pcm(sound: np.ndarray) -> Pcm16:
    return np.clip(np.rint(sound), -32768, 32767).astype(np.int16)


# -- genuine ----------------------------------------------------------------------------------


def ordinary(maker: _Maker) -> Sound:
    return _in_a_room(maker, maker.say(maker.sentences(maker.rng.randint(1, 3))))


def fast(maker: _Maker) -> Sound:
    return _in_a_room(maker, maker.say(maker.sentences(maker.rng.randint(1, 3)), 260, 340))


def numbers(maker: _Maker) -> Sound:
    count = maker.rng.randint(4, 14)
    digits = [maker.rng.randint(0, 9) for _ in range(count)]
    if maker.rng.random() < 0.5:
        return _in_a_room(maker, maker.say(", ".join(map(str, digits))))
    names = TEXTS[maker.language].numbers
    if maker.rng.random() < 0.5:  # counting up
        digits = [i % 10 for i in range(count)]
    return _in_a_room(maker, maker.say(", ".join(names[i] for i in digits)))


def repeating(maker: _Maker) -> Sound:
    texts, rng = TEXTS[maker.language], maker.rng
    if rng.random() < 0.5:
        said = ", ".join([maker.of(texts.words)] * rng.randint(3, 10)) + "."
    else:
        said = ", ".join([maker.of(texts.refrains)] * rng.randint(2, 5)) + "."
    if rng.random() < 0.5:
        said += " " + maker.sentences(1)
    return _in_a_room(maker, maker.say(said))


def in_earnest(maker: _Maker) -> Sound:
    return _in_a_room(maker, maker.say(maker.of(TEXTS[maker.language].invented)))


# -- invented ---------------------------------------------------------------------------------


def loop(maker: _Maker) -> Sound:
    """Speech; of its text a beginning is right, then a phrase repeats until the tokens run out."""
    rng = maker.rng
    pcm, tokens = _in_a_room(maker, maker.say(maker.sentences(rng.randint(1, 3))))
    kept = tokens[: round(len(tokens) * rng.choice([0.0, 0.2, 0.5, 0.8]))]
    words = maker.sentences(1).split()
    size = rng.choice([1, 2, 3, 4, 5, 6, 8])
    first = rng.randrange(max(1, len(words) - size))
    phrase = words[first : first + size]
    times = round(np.exp(rng.uniform(np.log(6), np.log(40)))) * (3 if size == 1 else 1)
    start = kept[-1][2] if kept else 0.0
    return pcm, kept + _spread(phrase * min(times, 220 // size + 1), start, len(pcm) / RATE)


def on_nothing(maker: _Maker) -> Sound:
    """No speech; one or two phrases, or a sentence."""
    rng = maker.rng
    length = round(rng.uniform(1.0, 12.0) * RATE)
    pcm = _pcm(rng.choice(_SOUNDS)(length, rng))
    said = maker.of(TEXTS[maker.language].invented)
    if rng.random() < 0.3:
        said += " " + maker.of(TEXTS[maker.language].invented)
    elif rng.random() < 0.2:
        said = maker.sentences(1)
    end = min(length / RATE, rng.uniform(1.0, 4.0))
    return pcm, _spread(said.split(), 0.0, end)


def broken_off(maker: _Maker) -> Sound:
    """Speech; its text ends after a tenth to a half of the words."""
    pcm, tokens = _in_a_room(maker, maker.say(maker.sentences(maker.rng.randint(2, 4))))
    return pcm, tokens[: max(1, round(len(tokens) * maker.rng.uniform(0.1, 0.5)))]


def _spread(words: list[str], start: float, end: float) -> Tokens:
    end = max(start, end)
    step = (end - start) / max(1, len(words))
    return [(w, start + i * step, start + (i + 1) * step) for i, w in enumerate(words)]


def _silence(length: int, rng: random.Random) -> np.ndarray:
    return np.zeros(length)


def _room(length: int, rng: random.Random) -> np.ndarray:
    return 10 ** rng.uniform(0.3, 3.2) * _hiss(length, rng)


def _hum(length: int, rng: random.Random) -> np.ndarray:
    turn = 2 * np.pi * np.arange(length) / RATE * rng.choice([50, 60])
    return sum(rng.uniform(200, 2000) / k * np.sin(k * turn) for k in (1, 2, 3, 5)) + _room(
        length, rng
    )


def _chords(length: int, rng: random.Random) -> np.ndarray:
    sound = np.zeros(length)
    at = 0
    while at < length:
        long = min(length - at, round(rng.uniform(0.3, 1.0) * RATE))
        turn = 2 * np.pi * np.arange(long) / RATE * rng.choice([131, 165, 196, 220, 262])
        tones = sum(np.sin(turn * ratio) for ratio in (1, 1.25, 1.5, 2, 3, 4))
        sound[at : at + long] = tones * np.exp(-np.arange(long) / RATE * 2) * 2000
        at += long
    return sound


def _clicks(length: int, rng: random.Random) -> np.ndarray:
    sound = 20 * _hiss(length, rng)
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(length)
        long = min(length - at, round(rng.uniform(0.005, 0.08) * RATE))
        sound[at : at + long] += 6000 * _hiss(long, rng) * np.exp(-np.linspace(0, 5, long))
    return sound


_SOUNDS: list[Callable[[int, random.Random], np.ndarray]] = [
    _silence,
    _room,
    _hum,
    _chords,
    _clicks,
]

KINDS: dict[str, tuple[bool, Callable[[_Maker], Sound]]] = {
    "ordinary": (True, ordinary),
    "fast": (True, fast),
    "numbers": (True, numbers),
    "repeating": (True, repeating),
    "in earnest": (True, in_earnest),
    "loop": (False, loop),
    "confident loop": (False, loop),
    "on nothing": (False, on_nothing),
    "broken off": (False, broken_off),
}

_SURE = {"ordinary", "fast", "numbers", "repeating", "in earnest", "confident loop"}


def _clip(name: str, pcm: Pcm16, tokens: Tokens, kind: str, rng: random.Random) -> Clip:
    """The clip as an engine would have made it: a third each with word times that are measured
    (and off by up to 0.1 s), estimated, and absent."""
    seconds = len(pcm) / RATE
    text = " ".join(word for word, _, _ in tokens)
    times: TimesOrigin = rng.choice(("measured", "estimated", "none"))
    low, high = (0.7, 1.0) if kind in _SURE else (0.2, 0.95)
    words = []
    for word, start, end in tokens if times != "none" else []:
        first = min(max(0.0, start + rng.uniform(-0.1, 0.1)), seconds)
        last = min(max(first, end + rng.uniform(-0.1, 0.1)), seconds)
        words.append(Word(text=word, start=first, end=last, confidence=rng.uniform(low, high)))
    sure = rng.uniform(-0.5, -0.05) if kind in _SURE else rng.uniform(-1.5, -0.3)
    heard = Transcript(
        engine="made",
        text=text,
        words=tuple(words),
        times=times,
        mean_log_probability=sure,
        no_speech_probability=rng.uniform(0.0, 0.3 if kind in _SURE else 0.9),
    )
    task = digest_of("guard", name)
    return Clip(
        id=clip_id(task, 0, 0, len(pcm), RATE, "spk0"),
        task=task,
        recording=digest_of("guard recording", name),
        channel=0,
        index=0,
        start=0.0,
        end=seconds,
        rate=RATE,
        speaker="spk0",
        text=text,
        quality="normal",
        times=times,
        words=tuple(words),
        transcripts=(heard,),
    )


def halves(cases: list[Case]) -> Iterator[tuple[str, list[Case]]]:
    """The development half, then the test half."""
    for half in ("development", "test"):
        yield half, [case for case in cases if case.half == half]
