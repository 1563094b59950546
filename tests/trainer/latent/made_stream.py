"""The paper's stream of speech (arXiv 2510.06195, section A.10), made: 25 positions a second, words
of 0.35 s, 1.3 text tokens a word."""

from schemas.ids import digest_of
from schemas.records import Chunk, Document, Word
from schemas.token_frames import FrameGrid
from tests.trainer.data.made_sets import RATE, Energy


class Spelt:
    """Digits say how many tokens a word is: 1.3 on average where 3 of 10 words say `2`."""

    size = 3

    def encode(self, text: str) -> list[int]:
        return [int(word[-1]) for word in text.split() for _ in range(int(word[-1]))]


class At25Hz(Energy):
    """25 positions a second."""

    frames_per_second = 25.0

    def __init__(self) -> None:
        super().__init__()
        self.grid = FrameGrid(rate=RATE, hop=320)
        self.frames_per_second = self.grid.rate_hz


def stream(name: str, number: int, words: int) -> Document:
    """Words of 0.35 s, one after the other."""
    said = [f"w{2 if place % 10 < 3 else 1}" for place in range(number, number + words)]
    times = [place * 2800 / RATE for place in range(words + 1)]
    spoken = name == "talk"
    chunk = Chunk(
        clip=digest_of("clip", name, number),
        start=0.0,
        end=times[-1] if spoken else 0.0,
        text=" ".join(said),
        words=tuple(
            Word(text=word, start=a, end=b)
            for word, a, b in zip(said, times, times[1:], strict=False)
        )
        if spoken
        else (),
        times="measured" if spoken else "none",
        speaker="one",
        modality="both" if spoken else "text",
    )
    return Document(
        id=digest_of("document", name, number),
        stream=name,
        split="train",
        recording=digest_of("recording", name, number),
        language="en",
        topic="",
        licence="CC0",
        source="made",
        rate=RATE,
        quality="given",
        chunks=(chunk,),
    )
