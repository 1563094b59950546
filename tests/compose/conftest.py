"""Clips of made recordings: spans on the frame grid, words that fill them, gaps between."""

import hashlib

from hypothesis import strategies as st

from schemas.records import AudioRef, Clip, Word, clip_id, task_id

RATE = 16000
RECORDING = hashlib.sha256(b"recording").hexdigest()
TASK = task_id(RECORDING, None, None, None, None)


def clip(
    start: int,
    length: int,
    *,
    words: int = 3,
    speaker: str = "spk0",
    channel: int = 0,
    text: str | None = None,
    times: str = "measured",
    quality: str = "normal",
    language: str | None = "en",
    given: bool = False,
) -> Clip:
    """A clip of frames [start, start + length) with evenly spaced words "w<start>x<i>."."""
    step = length / max(words, 1)
    spoken = tuple(
        Word(
            text=f"w{start}x{i}",
            start=round(start + i * step) / RATE,
            end=round(start + (i + 0.8) * step) / RATE,
        )
        for i in range(words)
    )
    return Clip(
        id=clip_id(TASK, channel, start, start + length, RATE, speaker),
        task=TASK,
        recording=RECORDING,
        channel=channel,
        index=0,
        start=start / RATE,
        end=(start + length) / RATE,
        rate=RATE,
        speaker=speaker,
        speaker_given=given,
        text=" ".join(f"{w.text}." for w in spoken) if text is None else text,
        quality=quality,
        language=language,
        times=times if words else "none",
        words=spoken,
        audio=AudioRef(
            tar="0" * 64, offset=512, size=9, start=start, end=start + length, rate=RATE
        ),
    )


@st.composite
def clip_lists(draw: st.DrawFn, channels: int = 2) -> list[Clip]:
    """Clips of a task in order; in each channel they do not overlap."""
    found = []
    for channel in range(draw(st.integers(1, channels))):
        at = draw(st.integers(0, RATE))
        for _ in range(draw(st.integers(0, 8))):
            at += draw(st.integers(0, 4 * RATE))
            length = draw(st.integers(1, 8 * RATE))
            found.append(
                clip(
                    at,
                    length,
                    words=draw(st.integers(0, 4)),
                    speaker=draw(st.sampled_from(["spk0", "spk1"])),
                    channel=channel,
                    quality=draw(st.sampled_from(["given", "normal", "smoke"])),
                    language=draw(st.sampled_from([None, "de", "en"])),
                )
            )
            at += length
    return sorted(found, key=lambda c: (c.start, c.channel))
