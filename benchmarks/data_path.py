"""How fast the trainer's data come: as a share of decoding the same FLACs and nothing else.

    python benchmarks/data_path.py [--minutes 150] [--times 4] [--repeats 5]

Decoding is the limit that no reader can pass, so each figure is a share of it, in CPU seconds of
all processes: a busy machine makes both slower alike. Waveforms are read as what they are, 40 ms of
16-bit samples a position, so that no tokenizer's cost is in the figure; dMel is made from the FLACs
as training does where no tokens are stored. Stored tokens (dMel's shape: 80 codebooks of 16 levels
at 40 Hz) are compared with plain webdataset over the same tars, JSON and arrays decoded, for
without that nothing was read; what iterating alone costs stands beside it, and lhotse's shar of the
same documents where lhotse is installed (`pip install lhotse`; it is no dependency). Both are
measured on documents of 1 to 10 minutes and on clips of about 5 s, one chunk each: there the cost
of a sample weighs, here the cost of a byte. Shards hold about two hours, as curation cuts them.
Stored tokens go by so fast that opening a set would be a quarter of reading 150 minutes of them:
they, webdataset and lhotse read the same documents several times over under other ids (`--times`),
ten hours in five shards. What was imported is frozen (`gc.freeze`), as workers do: nobody's figure
holds others' modules.
"""

import argparse
import dataclasses
import gc
import importlib.util
import io
import pathlib
import resource
import statistics
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import soundfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from benchmarks import made_audio
from schemas.ids import digest_of
from schemas.manifest import Manifest, ShardEntry, manifest_files
from schemas.records import Chunk, Document
from schemas.shard_index import read_index
from schemas.shard_tokens import TokenizerEntry
from schemas.shard_writer import ShardWriter
from schemas.token_frames import FrameGrid
from trainer.data import Data, DataSettings, SetSettings, StoredOnly, open_data
from trainer.tokens import Encoder
from transforms.flac import encode

RATE = 16_000
HOP = 640  # samples of a waveform's position: 40 ms
DMEL = TokenizerEntry(
    name="dmel",
    engine="made",
    digest="0" * 64,
    codebooks=80,
    levels=16,
    grid=FrameGrid(rate=RATE, hop=400),
)
GOALS = {
    "waveforms, in process": 0.85,
    "waveforms, one worker": 0.70,
    "FLAC to dMel, in process": 0.45,
    "FLAC to dMel, one worker": 0.38,
}
STORED, PLAIN = "stored tokens beside FLAC, in process", "webdataset, FLAC + tokens, decoded"
STORED_ALONE, PLAIN_ALONE = "stored tokens alone, in process", "webdataset, tokens alone, decoded"
HOURS = 2 * 3600  # of a shard, in seconds

Figures = dict[str, list[float]]
Spoken = list[tuple[Document, npt.NDArray[np.int16]]]


class Bytes:
    """Text as bytes: as cheap as text can be. A view, for what is only heard is but counted."""

    size = 256

    def encode(self, text: str) -> Sequence[int]:
        return memoryview(text.encode())


class Waveform:
    """16-bit samples as 640 codebooks of 65,536 levels."""

    name = "waveform"
    digest = "1" * 64
    frames_per_second = RATE / HOP
    codebooks = HOP
    levels = 1 << 16

    def frames(self, samples: int, rate: int) -> int:
        return -(-samples // HOP)

    def encode(self, pcm: npt.NDArray[np.int16], rate: int) -> npt.NDArray[np.uint16]:
        count = self.frames(len(pcm), rate)
        if len(pcm) < count * HOP:
            pcm = np.concatenate([pcm, np.zeros(count * HOP - len(pcm), np.int16)])
        return pcm.view(np.uint16).reshape(count, HOP)


def documents(minutes: float) -> Spoken:
    """Documents of 1 to 10 minutes in chunks of about 5 s, with 12 words each."""
    chance = np.random.default_rng(7)
    voices = made_audio.voices(on.CORPUS)
    source = [said for name in sorted(voices) for said in voices[name]]
    found, left = [], minutes * 60
    for number in range(10**6):
        if left <= 0:
            break
        length = min(float(chance.uniform(60, 600)), max(left, 5.0))
        parts, total = [], 0
        while total < length * RATE:
            parts.append(source[int(chance.integers(len(source)))][: 5 * RATE])
            total += len(parts[-1])
        chunks, at = [], 0
        for place, part in enumerate(parts):
            chunks.append(
                Chunk(
                    clip=digest_of("clip", number, place),
                    start=at / RATE,
                    end=(at + len(part)) / RATE,
                    text=made_audio.words(4.0, place),
                    speaker="spk0",
                )
            )
            at += len(part)
        document = Document(
            id=digest_of("bench", number),
            stream="bench",
            split="train",
            recording=digest_of("recording", number),
            language="en",
            topic="",
            licence="",
            source="made",
            rate=RATE,
            quality="given",
            chunks=tuple(chunks),
        )
        found.append((document, np.concatenate(parts)))
        left -= document.seconds
    return sorted(found, key=lambda pair: pair[0].id)


def clips(made: Spoken) -> Spoken:
    """Every chunk as a document of its own."""
    found = []
    for document, pcm in made:
        for place, chunk in enumerate(document.chunks):
            first, last = round(chunk.start * RATE), round(chunk.end * RATE)
            alone = dataclasses.replace(chunk, start=0.0, end=(last - first) / RATE)
            name = digest_of("clip", document.id, place)
            clip = dataclasses.replace(document, id=name, chunks=(alone,))
            found.append((clip, pcm[first:last]))
    return sorted(found, key=lambda pair: pair[0].id)


def copies(made: Spoken, times: int) -> Spoken:
    """The same sound under other ids, `times` times over."""
    found = [
        (dataclasses.replace(document, id=digest_of("copy", number, document.id)), pcm)
        for number in range(times)
        for document, pcm in made
    ]
    return sorted(found, key=lambda pair: pair[0].id)


def written(folder: pathlib.Path, made: Spoken, audio: bool, per_shard: int) -> pathlib.Path:
    """A set of shards with FLACs and tokens, or with tokens alone."""
    (folder / "train").mkdir(parents=True)
    entries: list[ShardEntry] = []
    chance = np.random.default_rng(3)
    for first in range(0, len(made), per_shard):
        part = made[first : first + per_shard]
        name = f"train/bench-{part[0][0].id[:8]}.tar"
        with ShardWriter(folder / name, name, [DMEL], audio) as writer:
            for document, pcm in part:
                count = sum(
                    DMEL.grid.positions(round(c.end * RATE) - round(c.start * RATE), RATE)
                    for c in document.chunks
                )
                units = chance.integers(0, 16, (count, 80), dtype=np.uint8)
                writer.add(document, encode(pcm, RATE) if audio else None, {"dmel": units})
        assert writer.entry is not None
        entries.append(writer.entry)
    manifest = Manifest(name="bench", shards=tuple(entries), tokenizers=(DMEL,))
    for name, data in manifest_files(manifest).items():
        (folder / name).write_bytes(data)
    return folder


def spent() -> float:
    """CPU seconds of this process and of children that have ended."""
    own, ended = (
        resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    return own.ru_utime + own.ru_stime + ended.ru_utime + ended.ru_stime


def decoded(folder: pathlib.Path) -> float:
    """Decode every FLAC of a set from memory; seconds of audio."""
    seconds = 0.0
    for tar in sorted((folder / "train").glob("*.tar")):
        data = memoryview(tar.read_bytes())
        for one in read_index(tar.with_suffix(".parquet").read_bytes(), str(tar)):
            flac = io.BytesIO(data[one.flac_offset : one.flac_offset + one.flac_size])
            pcm, rate = soundfile.read(flac, dtype="int16")
            seconds += len(pcm) / rate
    return seconds


def reader(folder: pathlib.Path, kind: str) -> Data:
    stored = kind == "tokens"
    settings = DataSettings(
        sets={
            "bench": SetSettings(
                shards=str(folder),
                policy={"kind": "speech_only"},  # type: ignore[arg-type]
                epochs=1,
                tokens="require" if stored else "ignore",
            )
        },
        length=2048,
        packs=1 if kind == "waveform" else 4,
        last="keep",
    )
    made = Encoder("dmel") if kind == "dmel" else Waveform()
    return open_data(settings, Bytes(), StoredOnly(DMEL) if stored else made)


def read(folder: pathlib.Path, kind: str, workers: int) -> float:
    """Read every batch of one epoch; seconds of audio."""
    seconds = 0.0
    for given in reader(folder, kind).batches(workers=workers):
        seconds += sum(pack.seconds for pack in given.batch.packs)
    return seconds


def iterated(folder: pathlib.Path, seconds: float, decoding: bool) -> float:
    """Read a set's tars with webdataset: raw members, or texts and arrays."""
    import webdataset

    urls = [str(path) for path in sorted((folder / "train").glob("*.tar"))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        samples = webdataset.WebDataset(urls, shardshuffle=False, empty_check=False)
        for sample in samples.decode() if decoding else samples:
            assert sample["json"]
            assert not decoding or sample["dmel.npy"].shape[1] == DMEL.codebooks
    return seconds


def shar(folder: pathlib.Path, made: Spoken, per_shard: int) -> pathlib.Path:
    """The same documents and tokens as lhotse writes them, without FLACs."""
    from lhotse import MonoCut, SupervisionSegment
    from lhotse.shar import SharWriter

    folder.mkdir(parents=True)
    chance = np.random.default_rng(3)
    with SharWriter(str(folder), fields={"units": "numpy"}, shard_size=per_shard) as writer:
        for document, _ in made:
            texts = [
                SupervisionSegment(
                    f"{document.id}-{place}", document.id, chunk.start, chunk.end - chunk.start,
                    text=chunk.text, speaker=chunk.speaker,
                )
                for place, chunk in enumerate(document.chunks)
            ]  # fmt: skip
            cut = MonoCut(document.id, 0.0, document.seconds, 0, texts)
            count = sum(
                DMEL.grid.positions(round(c.end * RATE) - round(c.start * RATE), RATE)
                for c in document.chunks
            )
            units = chance.integers(0, 16, (count, 80), dtype=np.uint8)
            writer.write(cut.attach_tensor("units", units))
    return folder


def iterated_shar(folder: pathlib.Path, seconds: float) -> float:
    """Read cuts, texts and arrays of a shar."""
    from lhotse import CutSet

    for cut in CutSet.from_shar(in_dir=str(folder)):
        assert cut.supervisions[0].text
        assert cut.load_units().shape[1] == DMEL.codebooks
    return seconds


def speed(work: Callable[[], float]) -> float:
    """Audio seconds per CPU second."""
    gc.collect()
    gc.freeze()
    before = spent()
    seconds = work()
    return seconds / (spent() - before)


def measured(
    scratch: pathlib.Path, made: Spoken, times: int, per_shard: int, repeats: int
) -> Figures:
    """Audio seconds per CPU second of every path, by name, once per repeat."""
    many = copies(made, times)
    seconds = sum(document.seconds for document, _ in many)
    heard = written(scratch / "heard", made, True, per_shard)
    both = written(scratch / "both", many, True, per_shard)
    alone = written(scratch / "alone", many, False, per_shard)
    for kind in ("waveform", "dmel", "tokens"):  # modules into memory
        next(iter(reader(heard, kind).batches()))
    decoded(heard)  # and files
    works: dict[str, Callable[[], float]] = {
        "FLAC decoding alone": lambda: decoded(heard),
        "waveforms, in process": lambda: read(heard, "waveform", 0),
        "waveforms, one worker": lambda: read(heard, "waveform", 1),
        "FLAC to dMel, in process": lambda: read(heard, "dmel", 0),
        "FLAC to dMel, one worker": lambda: read(heard, "dmel", 1),
        "webdataset, FLAC + tokens, not decoded": lambda: iterated(both, seconds, False),
        PLAIN: lambda: iterated(both, seconds, True),
        "webdataset, tokens alone, not decoded": lambda: iterated(alone, seconds, False),
        PLAIN_ALONE: lambda: iterated(alone, seconds, True),
        STORED: lambda: read(both, "tokens", 0),
        STORED_ALONE: lambda: read(alone, "tokens", 0),
        "stored tokens alone, one worker": lambda: read(alone, "tokens", 1),
    }
    if importlib.util.find_spec("lhotse") is not None:
        cuts = shar(scratch / "shar", many, per_shard)
        works["lhotse shar, tokens alone, decoded"] = lambda: iterated_shar(cuts, seconds)
    figures: Figures = {name: [] for name in works}
    for _ in range(repeats):  # in turns, so that a busy minute falls on all alike
        for name, work in works.items():
            figures[name].append(speed(work))
    return figures


def table(figures: Figures) -> str:
    """One row per path, and how stored tokens compare with webdataset."""
    lines = [on.head("path", "audio s / CPU s", "spread", "of FLAC decoding", "goal")]
    for name, found in figures.items():
        ratios = [a / b for a, b in zip(found, figures["FLAC decoding alone"], strict=True)]
        cells = (
            name,
            f"{statistics.median(found):,.0f}",
            f"± {(max(found) - min(found)) / 2:,.0f}",
            f"{statistics.median(ratios):.2f}",
            GOALS.get(name, ""),
        )
        lines.append(on.row(*cells))
    for ours, theirs, goal in ((STORED, PLAIN, " (goal 5)"), (STORED_ALONE, PLAIN_ALONE, "")):
        times = [a / b for a, b in zip(figures[ours], figures[theirs], strict=True)]
        lines.append(f"\n{ours}: {statistics.median(times):.1f} x {theirs}{goal}")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="the trainer's data path against FLAC decoding")
    parser.add_argument("--minutes", type=float, default=150.0, help="of audio")
    parser.add_argument("--times", type=int, default=4, help="as much where tokens are stored")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    print(on.circumstances())
    made = documents(options.minutes)
    for name, own in (
        ("documents of 1 to 10 minutes", made),
        ("clips of about 5 s", clips(made)),
    ):
        mean = sum(document.seconds for document, _ in own) / len(own)
        per_shard = max(round(HOURS / mean), 1)
        with tempfile.TemporaryDirectory() as scratch:
            figures = measured(
                pathlib.Path(scratch), own, options.times, per_shard, options.repeats
            )
        minutes = sum(document.seconds for document, _ in own) / 60
        print(
            f"\n{len(own)} {name}, {minutes:.0f} minutes, {options.times} times over where tokens "
            f"are stored; {options.repeats} repeats\n"
        )
        print(table(figures), flush=True)


if __name__ == "__main__":
    main()
