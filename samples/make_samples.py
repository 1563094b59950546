"""Make the sample recordings from the words in texts.json: `python samples/make_samples.py`.

Why made ones: they are ours to give away, their words and speakers are known, and they are small.
Needs the programs flite and espeak-ng (Debian packages of the same names) and the project's own
environment. The encoders run in their bit-exact mode, so the same versions give the same bytes.
"""

import csv
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import soxr

HERE = Path(__file__).resolve().parent
PEAK = 0.7  # of full scale, after mixing
ROOM = 10 ** (-62 / 20)  # root mean square of the room's noise in a conversation

Samples = np.ndarray[Any, np.dtype[np.float64]]


def spoken(command: Sequence[str], rate: int) -> Samples:
    """What a speech program writes to the file that is added to its command, at `rate` hertz."""
    with tempfile.TemporaryDirectory() as folder:
        wave = Path(folder, "spoken.wav")
        subprocess.run([*command, str(wave)], check=True)
        samples, found = soundfile.read(wave, dtype="float64")
    return samples if found == rate else soxr.resample(samples, found, rate, quality="VHQ")


def flite(voice: str, text: str) -> Samples:
    """A text in one of the voices of flite, 16 kHz, its silent ends cut off."""
    samples = spoken(["flite", "-voice", voice, "-t", text, "-o"], 16_000)
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    return samples[max(loud[0] - 800, 0) : loud[-1] + 1600]


def silence(seconds: float, rate: int) -> Samples:
    return np.zeros(round(seconds * rate))


def levelled(samples: Samples, peak: float = PEAK) -> Samples:
    return samples * (peak / np.abs(samples).max())


def podcast(turns: Iterable[Sequence[str]], rng: np.random.Generator) -> Samples:
    """Two voices in turn with natural pauses, in a quiet room."""
    pieces = [silence(0.6, 16_000)]
    for voice, text in turns:
        pieces += [levelled(flite(voice, text)), silence(rng.uniform(0.35, 0.95), 16_000)]
    speech = np.concatenate(pieces)
    return speech + rng.normal(0, ROOM, speech.size)


def monologue(voice: str, sentences: Iterable[str], rng: np.random.Generator) -> Samples:
    pieces = [silence(0.5, 16_000)]
    for text in sentences:
        pieces += [levelled(flite(voice, text)), silence(rng.uniform(0.45, 1.1), 16_000)]
    return np.concatenate(pieces)


def announcement(voice: str, sentences: Sequence[str]) -> Samples:
    text = "\n\n".join(sentences)
    return levelled(spoken(["espeak-ng", "-v", voice, "-s", "150", text, "-w"], 22_050))


def music(rate: int) -> Samples:
    """A slow broken chord over a bass, eight bars, in stereo, [frames, 2]. No speech in it."""
    beat = 0.3
    bars = ((57, 60, 64), (53, 57, 60), (48, 55, 64), (55, 59, 62)) * 2
    left, right = np.zeros(round(21 * rate)), np.zeros(round(21 * rate))
    for number, bar in enumerate(bars):
        notes = [(0, bar[0] - 12, 2.2)] + [
            (step, bar[(0, 1, 2, 1)[step % 4]] + 12 * (step // 4), 0.9) for step in range(8)
        ]
        for step, note, length in notes:
            start = round((number * 8 + step) * beat * rate)
            time = np.arange(round(length * rate)) / rate
            pitch = 440 * 2 ** ((note - 69) / 12)
            tone = sum(np.sin(2 * np.pi * pitch * k * time) / k**2 for k in (1, 2, 3, 4))
            tone = tone * np.exp(-3 * time / length) * np.minimum(time / 0.01, 1)
            side = 0.35 + 0.3 * (step % 2)
            left[start : start + tone.size] += tone * (1 - side)
            right[start : start + tone.size] += tone * side
    return levelled(np.stack([left, right], axis=1))


def pcm16(samples: Samples) -> np.ndarray[Any, np.dtype[np.int16]]:
    return np.round(np.clip(samples, -1, 1) * 32767).astype("<i2")


def write(path: Path, samples: Samples, rate: int, codec: str, kilobits: int = 0) -> None:
    """Encode [frames] or [frames, channels] bit-exactly."""
    pcm = pcm16(samples).reshape(len(samples), -1)
    layout = "mono" if pcm.shape[1] == 1 else "stereo"
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as container:
        stream = container.add_stream(codec, rate=rate, layout=layout)
        stream.codec_context.flags |= 1 << 23  # AV_CODEC_FLAG_BITEXACT
        if kilobits:
            stream.bit_rate = kilobits * 1000
        resampler = av.AudioResampler(format=stream.format, layout=layout, rate=rate)
        fifo = av.AudioFifo()
        frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), format="s16", layout=layout)
        frame.sample_rate = rate
        for converted in resampler.resample(frame):
            fifo.write(converted)
        size = stream.codec_context.frame_size or 4096
        while block := fifo.read(size) or fifo.read():
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))


def clips(rows: Iterable[dict[str, str]]) -> None:
    """Short files in clips/, and the table that gives their words, speakers and licences."""
    (HERE / "clips").mkdir(exist_ok=True)
    with open(HERE / "clips.csv", "w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream, lineterminator="\n")
        table.writerow(["audio", "text", "speaker", "licence", "language"])
        for row in rows:
            speech = [silence(0.25, 16_000), levelled(flite(row["voice"], row["text"]))]
            samples = np.concatenate([*speech, silence(0.25, 16_000)])
            write(HERE / "clips" / row["file"], samples, 16_000, "flac")
            given = [row[key] for key in ("text", "speaker", "licence")]
            table.writerow([f"clips/{row['file']}", *given, "en"])


def main() -> int:
    texts = json.loads((HERE / "texts.json").read_text("utf-8"))
    rng = np.random.default_rng(17)
    write(HERE / "podcast.mp3", podcast(texts["podcast"]["turns"], rng), 16_000, "libmp3lame", 48)
    spoken_map = monologue(texts["monologue"]["voice"], texts["monologue"]["sentences"], rng)
    write(HERE / "monologue.opus", spoken_map, 16_000, "libopus", 24)
    station = texts["greeting"]
    write(
        HERE / "station.m4a",
        announcement(station["voice"], station["sentences"]),
        22_050,
        "aac",
        48,
    )
    write(HERE / "music.webm", music(48_000), 48_000, "libopus", 64)
    clips(texts["clips"])
    # A file that broke off inside its header, as a download does that stopped at once.
    whole = (HERE / "clips" / texts["clips"][0]["file"]).read_bytes()
    (HERE / "broken.flac").write_bytes(whole[:30])
    return 0


if __name__ == "__main__":
    sys.exit(main())
