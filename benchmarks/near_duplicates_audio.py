"""Near-duplicate sound: recall by what was done to a copy, precision, bytes and seconds per hour.

    SPEECHLOOM_CORPUS=... python benchmarks/near_duplicates_audio.py [--clips 150]

Clips are speech of the corpus (of at least 4 s, long files cut at 10 s). A copy is a clip after
one change; it counts as found where the step `dedup` with its defaults would let one of the two
leave for the other, or for a clip that truly holds the same sound. Jingles are 4 s of one clip put
into the middle of another. Precision is over pairs of clips of different sources: the corpus' own
conversations and long files are made of utterances that are there as single files too, so those
files are left out of it, and every pair that is found is printed.
"""

import argparse
import io
import json
import pathlib
import sys
import time

import av
import numpy as np
import numpy.typing as npt
import soundfile
import soxr

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from transforms.engines.fingerprinter import fingerprint
from transforms.engines.print_code import Print, from_codes, to_code
from transforms.select.dedup import Dedup
from transforms.select.near import links_here
from transforms.select.near_audio import AudioMatcher, copies, sketch_prints

RATE = 16_000
LEAST, MOST = 4.0, 30.0  # seconds
COVERED = float(Dedup.model_fields["covered"].default)
DERIVED = ("audio/conversations/", "audio/long/")  # made of the corpus' other files
KINDS = (
    "mp3 64 kbit/s",
    "opus 24 kbit/s",
    "2 % faster",
    "2 % slower",
    "-12 dB",
    "3 s offset",
    "8 kHz sampling",
    "noise at 15 dB",
    "jingle inside another",
)

Sound = npt.NDArray[np.float64]


def corpus_clips() -> list[tuple[str, Sound]]:
    """(name, samples at 16 kHz) of speech."""
    found = []
    for line in (on.CORPUS / "manifest.jsonl").read_text(encoding="utf-8").splitlines():
        about = json.loads(line)
        if about["kind"] != "speech":
            continue
        sound, rate = soundfile.read(on.CORPUS / about["audio"], always_2d=True)
        sound = soxr.resample(sound[:, 0], rate, RATE) if rate != RATE else sound[:, 0]
        if len(sound) > MOST * RATE:
            cuts = range(0, len(sound) - 10 * RATE, 10 * RATE)
            found += [(about["audio"], sound[at : at + 10 * RATE]) for at in cuts]
        elif len(sound) >= LEAST * RATE:
            found.append((about["audio"], sound))
    return found


def pcm(sound: Sound) -> npt.NDArray[np.int16]:
    return np.rint(sound * 32767).clip(-32768, 32767).astype(np.int16)


def encoded(sound: Sound, codec: str, container: str, bits: int, rate: int) -> Sound:
    """Through a lossy codec and back."""
    given = pcm(soxr.resample(sound, RATE, rate))
    data = io.BytesIO()
    with av.open(data, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate)
        stream.bit_rate = bits
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(given[None, :], format="s16", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(
            format=stream.codec_context.format.name, layout="mono", rate=rate
        )
        fifo = av.AudioFifo()
        for piece in [*resampler.resample(frame), *resampler.resample(None)]:
            fifo.write(piece)
        size = stream.codec_context.frame_size or 960
        while (piece := fifo.read(size, partial=True)) is not None:
            out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    data.seek(0)
    with av.open(data) as source:
        resampler = av.AudioResampler(format="s16", layout="mono", rate=RATE)
        pieces = [
            piece.to_ndarray()[0]
            for frame in [*source.decode(audio=0), None]
            for piece in resampler.resample(frame)
        ]
    return np.concatenate(pieces) / 32768


def changed(sound: Sound, kind: str, other: Sound, rng: np.random.Generator) -> Sound:
    if kind.startswith("mp3"):
        return encoded(sound, "libmp3lame", "mp3", 64_000, 44_100)
    if kind.startswith("opus"):
        return encoded(sound, "libopus", "ogg", 24_000, 48_000)
    if kind.startswith("2 %"):
        return soxr.resample(sound, RATE * (1.02 if "faster" in kind else 0.98), RATE)
    if kind == "-12 dB":
        return sound * 10 ** (-12 / 20)
    if kind == "3 s offset":
        return sound[3 * RATE :]
    if kind == "8 kHz sampling":
        return soxr.resample(soxr.resample(sound, RATE, 8000), 8000, RATE)
    if kind.startswith("noise"):
        level = np.sqrt(np.mean(sound**2) / 10**1.5)
        return sound + rng.normal(0, level, len(sound))
    middle = len(other) // 2
    return np.concatenate([other[:middle], sound[: 4 * RATE], other[middle:]])


def print_of(sound: Sound) -> Print:
    found = fingerprint(pcm(sound), RATE)
    if found is None:
        raise SystemExit("a clip has no fingerprint: it is silent")
    return found


def recalls(clips: list[tuple[str, Sound]], count: int) -> None:
    rng = np.random.default_rng(0)
    chosen = [clips[at][1] for at in rng.permutation(len(clips))[:count]]
    originals = [print_of(sound) for sound in chosen]
    print(on.row("change", "copies", "recall"))
    print(on.row("---", "---", "---"))
    for kind in KINDS:
        some = list(range(len(chosen)))
        if kind == "3 s offset":
            some = [at for at in some if len(chosen[at]) >= 6 * RATE]
        jingle = kind.startswith("jingle")
        prints = [print_of(changed(chosen[at], kind, chosen[at - 1], rng)) for at in some]
        sought = [print_of(sound[: 4 * RATE]) for sound in chosen] if jingle else originals
        shared = copies(prints, sought)
        near = (shared.of_low >= COVERED) | (shared.of_high >= COVERED)
        met = set(zip(shared.low[near].tolist(), shared.high[near].tolist(), strict=True))
        found = sum((place, at) in met for place, at in enumerate(some))
        print(on.row(kind, len(some), f"{found / len(some):.3f}"), flush=True)


def precision(clips: list[tuple[str, Sound]]) -> None:
    single = [(name, sound) for name, sound in clips if not name.startswith(DERIVED)]
    prints = [print_of(sound) for _, sound in single]
    sketch = sketch_prints(prints, np.arange(len(prints), dtype=np.int64))
    matcher = AudioMatcher(threshold=COVERED)
    links = links_here(matcher, sketch)
    pairs = len(single) * (len(single) - 1) // 2
    met = len(matcher.pairs(sketch.entries))
    print(
        f"\n{len(single)} clips of single files, {pairs:,} pairs, {met:,} meetings of landmarks: "
    )
    print(f"{len(links)} pairs found to be near")
    for low, high, score in zip(links.low, links.high, links.score, strict=True):
        print(f"- {single[low][0]} and {single[high][0]}: {score:.2f}")


def costs(clips: list[tuple[str, Sound]]) -> None:
    hours = sum(len(sound) for _, sound in clips) / RATE / 3600
    ready = [pcm(sound) for _, sound in clips]
    begun = time.process_time()
    prints = [fingerprint(sound, RATE) for sound in ready]
    made = time.process_time() - begun
    codes = [to_code(found) for found in prints if found is not None]
    begun = time.process_time()
    sketch = sketch_prints(from_codes(codes), np.arange(len(codes), dtype=np.int64))
    links_here(AudioMatcher(threshold=COVERED), sketch)
    matched = time.process_time() - begun
    size = sum(map(len, codes))
    print(f"\n{hours:.2f} h of speech in {len(clips)} clips, per hour of audio:")
    print(f"- {made / hours:.2f} CPU s to fingerprint, {matched / hours:.2f} CPU s to match")
    print(f"- {size / hours / 1e3:.0f} kB as text, {size * 3 / 4 / hours / 1e3:.0f} kB as bytes")
    print(f"- {len(sketch.entries) / hours / 3600:.1f} keys a second")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=150)
    arguments = parser.parse_args()
    if not on.CORPUS.is_dir():
        raise SystemExit(f"no corpus at {on.CORPUS}: set SPEECHLOOM_CORPUS")
    print(on.circumstances())
    clips = corpus_clips()
    recalls(clips, arguments.clips)
    precision(clips)
    costs(clips)


if __name__ == "__main__":
    main()
