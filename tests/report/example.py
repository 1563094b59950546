"""A made run to render: tones for voices, our own words, seconds that add up to the sample."""

import dataclasses

import numpy as np

from pipeline.report import histogram, preview
from pipeline.report.content import (
    ClipCard,
    ClipScore,
    DocumentCard,
    DocumentChunk,
    DropCount,
    DroppedCard,
    FunnelRow,
    RunSummary,
    ShardRow,
    Share,
    Threshold,
    Totals,
)
from schemas.ids import digest_of

RATE = 16000

SENTENCES = (
    "The ferry leaves the harbour at six, and nobody on board seems to mind the rain.",
    "We keep the good rope in the blue shed and the bad rope everywhere else.",
    "When the tide turns you can hear the gravel move under the boats.",
    "So I asked her how many lanterns the bridge needs, and she said one more than it has.",
    "Bread first, then the letters, then whatever the weather has left of the afternoon.",
    "He counted the steps twice, because the first time the number had been too lucky.",
    "That engine has two moods, and today you are listening to the other one.",
    "There is a chart of the sandbanks, but the sandbanks have not read it.",
)
HEARD = "the very leaves that are but six and no body on bored seems too mine the rain"

RECIPE = """name: harbour-demo
seed: 17
streams:
  web:
    - crawl: {}
    - decode: {rate: 16000}
    - segment: {engine: silero}
    - gate: {min_speech_ratio: 0.2}
    - diarize: {engine: spectral}
    - transcribe: {engine: pocketsphinx}   # smoke quality: words to look at, not to train on
    - snr: {}
    - text_rate: {}
    - filter: {min_snr_db: 5, max_characters_per_second: 30}
    - dedup: {}
    - interleave: {granularity: fine}
shards: {hours: 2}
"""


def tone(seconds: float, pitch: float) -> np.ndarray:
    """A voice-like hum: a pitch with an overtone, swelling twice a second, 16 bit."""
    t = np.arange(int(seconds * RATE)) / RATE
    wave = np.sin(2 * np.pi * pitch * t) + 0.4 * np.sin(4 * np.pi * pitch * t)
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * 2.1 * t)
    return np.round(8000 * wave * swell).astype(np.int16)


def clip(number: int, seconds: float, **changes: object) -> ClipCard:
    """One clip; `changes` replace fields."""
    audio, held = preview.flac(tone(min(seconds, 2.0), 110.0 + 12 * number), RATE)
    start = 31.4 * number
    card = ClipCard(
        id=digest_of("example", number),
        seconds=seconds,
        audio=audio,
        audio_seconds=held if seconds > 2 else seconds,
        rate=RATE,
        start=start,
        end=start + seconds,
        text=SENTENCES[number % len(SENTENCES)],
        quality="given",
        speaker=("Maren", "Tobias", "spk0", "spk1")[number % 4],
        language="en",
        source=f"harbour/episode-{number % 5 + 1:02d}.mp3",
        licence="CC-BY-4.0",
        stream="web",
        split="train",
        scores=(
            ClipScore(name="snr.db", value=18.25 - number / 3, unit="dB"),
            ClipScore(name="loudness.lufs", value=-21.4 + number / 7, unit="LUFS"),
            ClipScore(name="text_rate.cps", value=14.2 + number / 9, unit="1/s"),
            ClipScore(name="clipping.share", value=0.0),
        ),
    )
    return dataclasses.replace(card, **changes)


def kept() -> tuple[ClipCard, ...]:
    """Eight clips: given and smoke-quality text, other scripts, a long one."""
    smoke = {"quality": "smoke", "engine": "pocketsphinx", "text": HEARD}
    hebrew = {"text": "הספינה יוצאת בשש", "language": "he", "speaker": "נועה"}
    chinese = {"text": "渡轮六点离开港口。", "language": "zh", "speaker": "spk2"}
    return (
        clip(0, 5.12),
        clip(1, 7.4, **smoke),
        clip(2, 3.36),
        clip(3, 41.92, **smoke, speaker="spk0"),
        clip(4, 4.0, **hebrew),
        clip(5, 4.48, **chinese),
        clip(6, 6.72),
        clip(7, 9.6, audio=None),
    )


def dropped() -> tuple[DroppedCard, ...]:
    """Clips of four reasons: below a limit, above one, a copy, and a stretch without speech."""
    low = tuple(
        DroppedCard(
            step="filter",
            reason="snr_low",
            clip=clip(20 + n, 4.2 + n, quality="smoke", engine="pocketsphinx", text=HEARD[n:]),
            score=4.31 - 0.8 * n,
            threshold=5.0,
            direction="min",
            unit="dB",
        )
        for n in range(3)
    )
    fast = DroppedCard(
        step="filter",
        reason="text_too_fast",
        clip=clip(30, 1.2),
        score=66.7,
        threshold=30.0,
        direction="max",
        unit="1/s",
    )
    copy = DroppedCard(
        step="dedup",
        reason="same_samples",
        clip=clip(31, 5.12, text=SENTENCES[0]),
        detail=f"the same samples as {digest_of('example', 0)}",
    )
    silent = DroppedCard(
        step="segment",
        reason="non_speech",
        clip=clip(32, 8.64, text="", quality="", speaker="", scores=()),
    )
    return (*low, fast, copy, silent)


def funnel() -> tuple[FunnelRow, ...]:
    """Seconds in = seconds out + seconds dropped at every step."""
    hour = 3600.0
    recorded, speech = 6.4 * hour, 5.05 * hour
    judged = speech - 0.06 * hour
    filtered = judged - 0.21 * hour - 95.5
    unique = filtered - 0.125 * hour
    return (
        FunnelRow(
            phase="gather",
            step="crawl",
            items_in=41,
            items_out=38,
            seconds_in=None,
            seconds_out=recorded + 61.5,
            noun_in="sources",
            noun_out="recordings",
            drops=(
                DropCount(
                    reason="not_audio", items=2, seconds=0.0, meaning="No known audio inside."
                ),
                DropCount(reason="empty", items=1, seconds=0.0, meaning="The file has no bytes."),
            ),
        ),
        FunnelRow(
            phase="hear",
            step="decode",
            items_in=38,
            items_out=37,
            seconds_in=recorded + 61.5,
            seconds_out=recorded,
            noun_in="recordings",
            noun_out="channels",
            drops=(
                DropCount(
                    reason="corrupt",
                    items=1,
                    seconds=61.5,
                    meaning="The decoder gave up; nothing before the damage was usable.",
                ),
            ),
        ),
        FunnelRow(
            phase="hear",
            step="segment",
            items_in=37,
            items_out=412,
            seconds_in=recorded,
            seconds_out=speech,
            noun_in="channels",
            noun_out="segments",
            drops=(
                DropCount(
                    reason="non_speech",
                    items=449,
                    seconds=recorded - speech,
                    meaning="The voice detector heard no speech here.",
                ),
            ),
        ),
        FunnelRow(
            phase="annotate",
            step="diarize",
            items_in=412,
            items_out=3120,
            seconds_in=speech,
            seconds_out=judged,
            noun_in="segments",
            drops=(
                DropCount(
                    reason="overlap",
                    items=58,
                    seconds=0.06 * hour,
                    meaning="Two people speak at once.",
                ),
            ),
        ),
        FunnelRow(
            phase="annotate",
            step="transcribe",
            items_in=3120,
            items_out=3120,
            seconds_in=judged,
            seconds_out=judged,
        ),
        FunnelRow(
            phase="select",
            step="filter",
            items_in=3120,
            items_out=2934,
            seconds_in=judged,
            seconds_out=filtered,
            drops=(
                DropCount(
                    reason="snr_low",
                    items=171,
                    seconds=0.21 * hour,
                    meaning="Too much noise for the speech in it.",
                ),
                DropCount(
                    reason="text_too_fast",
                    items=15,
                    seconds=95.5,
                    meaning="More characters per second than anyone speaks.",
                ),
            ),
        ),
        FunnelRow(
            phase="select",
            step="dedup",
            items_in=2934,
            items_out=2871,
            seconds_in=filtered,
            seconds_out=unique,
            drops=(
                DropCount(
                    reason="same_samples",
                    items=63,
                    seconds=0.125 * hour,
                    meaning="A copy of a clip that is kept.",
                ),
            ),
        ),
        FunnelRow(
            phase="compose",
            step="interleave",
            items_in=2871,
            items_out=96,
            seconds_in=unique,
            seconds_out=unique,
            noun_out="documents",
        ),
    )


def documents() -> tuple[DocumentCard, ...]:
    """Two documents under A1, T2, A3 ...; one with a gap, one of smoke quality and long."""
    chunks, at = [], 0.0
    for n, sentence in enumerate(SENTENCES[:6]):
        length = 2.5 + 0.32 * (n * 3 % 5)
        chunks.append(
            DocumentChunk(
                modality="text" if n % 2 else "speech",
                start=at,
                end=at + length,
                text=sentence,
                speaker="Maren" if n < 4 else "Tobias",
                gap=3.84 if n == 4 else 0.0,
            )
        )
        at += length
    many = tuple(
        DocumentChunk(
            modality="text" if n % 2 else "speech",
            start=4.0 * n,
            end=4.0 * n + 4.0,
            text=HEARD[n % 9 : 40 + n],
            speaker="spk0",
        )
        for n in range(31)
    )
    return (
        DocumentCard(
            id=digest_of("document", 1),
            stream="web",
            split="train",
            seconds=at,
            chunks=tuple(chunks),
            speaker="Maren, Tobias",
            language="en",
            licence="CC-BY-4.0",
            source="harbour/episode-02.mp3",
            quality="given",
        ),
        DocumentCard(
            id=digest_of("document", 2),
            stream="web",
            split="valid",
            seconds=124.0,
            chunks=many,
            speaker="spk0",
            language="en",
            source="harbour/episode-05.mp3",
            quality="smoke",
        ),
    )


def example() -> RunSummary:
    """The whole run."""
    rows = funnel()
    out = rows[-1].seconds_out or 0.0
    noise = np.random.Generator(np.random.PCG64(5))
    snr = np.concatenate([noise.normal(17, 5, 2800), noise.normal(4, 2.2, 320)])
    rate = np.abs(noise.normal(14.5, 3.2, 3120))
    rate[:15] = np.linspace(31, 70, 15)
    drops = [d for row in rows for d in row.drops]
    return RunSummary(
        name="harbour-demo",
        recipe=RECIPE,
        device="x86-64-v3, cpu, float32, one thread per model",
        versions=(("speechloom", "0.1.0"), ("python", "3.11"), ("torch", "2.11.0")),
        streams=("web",),
        policy="deterministic over fine chunks, starting with audio",
        totals=Totals(
            sources=41,
            recordings=38,
            recorded_seconds=rows[1].seconds_in or 0.0,
            clips=2871,
            clip_seconds=out,
            documents=96,
            document_seconds=out,
            dropped_items=sum(d.items for d in drops),
            dropped_seconds=sum(d.seconds for d in drops),
            speakers=23,
        ),
        funnel=rows,
        histograms=(
            histogram.of_values(
                "snr.db",
                "dB",
                snr,
                [Threshold(value=5.0, direction="min", field="filter.min_snr_db")],
                meaning="Level of the speech above the level of the noise.",
            ),
            histogram.of_values(
                "text_rate.cps",
                "characters/s",
                rate,
                [
                    Threshold(
                        value=30.0, direction="max", field="filter.max_characters_per_second"
                    ),
                    Threshold(value=4.0, direction="min", field="filter.min_characters_per_second"),
                ],
                missing=12,
                meaning="Characters of text for each second of audio.",
            ),
            histogram.of_values("loudness.lufs", "LUFS", noise.normal(-22, 3, 3120)),
        ),
        speakers=tuple(
            Share(name=f"speaker {n:02d}", items=items, seconds=out * items / 2871)
            for n, items in enumerate([421, 300, 250] + [95] * 20)
        ),
        languages=(
            Share(name="en", items=2650, seconds=out * 0.93),
            Share(name="he", items=121, seconds=out * 0.04),
            Share(name="zh", items=100, seconds=out * 0.03),
        ),
        licences=(
            Share(name="CC-BY-4.0", items=2400, seconds=out * 0.8),
            Share(name="CC0", items=300, seconds=out * 0.15),
            Share(name="", items=171, seconds=out * 0.05),
        ),
        qualities=(
            Share(name="given", items=1900, seconds=out * 0.66),
            Share(name="smoke", items=971, seconds=out * 0.34),
        ),
        splits=(
            Share(name="train", items=2700, seconds=out * 0.94),
            Share(name="valid", items=90, seconds=out * 0.031),
            Share(name="test", items=81, seconds=out * 0.029),
        ),
        kept=kept(),
        dropped=dropped(),
        documents=documents(),
        shards=tuple(
            ShardRow(
                path=f"shards/{split}/web-{digest_of(split, n)[:8]}.tar",
                stream="web",
                split=split,
                documents=30 - n,
                seconds=out * share,
                size=round(out * share * 17_000),
                sha256=digest_of(split, n, "a") + digest_of(split, n, "b"),
                characters=9000,
            )
            for split, n, share in (
                ("train", 0, 0.4),
                ("train", 1, 0.35),
                ("train", 2, 0.19),
                ("valid", 0, 0.031),
                ("test", 0, 0.029),
            )
        ),
    )
