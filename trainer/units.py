"""Train k-means units: `python -m trainer.units --shards SHARDS --units 500 --out FILE`.

Centres of log-mel frames, or of one layer of an encoder in a local folder, drawn from the speech of
shards or of a folder of mono FLACs. The same input, settings and seed give the same file.
"""

import argparse
import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from schemas.ids import digest_of
from schemas.manifest import read_manifest
from schemas.shard import ShardError
from schemas.shard_reader import read_shard
from schemas.strict_yaml import SettingsError
from transforms import flac
from transforms.engines.kmeans import (
    Features,
    Float32,
    KMeans,
    LogMelFeatures,
    encoder_features,
    write_centres,
)
from transforms.engines.kmeans_fit import fit
from transforms.engines.tokenizer import chunk_samples
from transforms.step import Pcm16


def shard_speech(folder: Path, split: str) -> Iterator[tuple[str, Pcm16, int]]:
    """Id, samples and rate of every chunk of a set's split. Raises `ShardError`."""
    manifest = read_manifest(lambda name: (folder / name).read_bytes())
    for entry in manifest.shards:
        if entry.split != split or entry.audio != "flac":
            continue
        with (folder / entry.name).open("rb") as stream:
            for sample in read_shard(stream, entry.name):
                samples = flac.decode(sample.flac or b"")
                for place, pcm in enumerate(chunk_samples(sample.document, samples)):
                    yield f"{sample.document.id}/{place}", pcm, sample.document.rate


def folder_speech(folder: Path) -> Iterator[tuple[str, Pcm16, int]]:
    """The same of every mono FLAC below a folder. Raises `ValueError` for a file that is none."""
    import soundfile

    for path in sorted(folder.rglob("*.flac")):
        data = path.read_bytes()
        try:
            yield (
                path.relative_to(folder).as_posix(),
                flac.decode(data),
                soundfile.info(path).samplerate,
            )
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def gather(
    speech: Iterator[tuple[str, Pcm16, int]], features: Features, most: int, seed: int
) -> tuple[Float32, int, float]:
    """At most `most` vectors, and of how many chunks and seconds they are.

    A uniform draw over all positions in bounded memory (a reservoir), decided by the seed and the
    order of the input.
    """
    rng = random.Random(int(digest_of("units", seed), 16))
    kept = np.empty((most, features.width), np.float32)
    seen, chunks, seconds = 0, 0, 0.0
    for _, pcm, rate in speech:
        if not len(pcm):
            continue
        chunks, seconds = chunks + 1, seconds + len(pcm) / rate
        for vector in features(pcm, rate):
            place = seen if seen < most else rng.randrange(seen + 1)
            seen += 1
            if place < most:
                kept[place] = vector
    return kept[:seen] if seen < most else kept, chunks, seconds


def arguments(texts: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m trainer.units", description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--shards", type=Path, help="the folder of a manifest.json")
    source.add_argument("--audio", type=Path, help="a folder of mono FLACs")
    parser.add_argument("--split", default="train", help="of the shards (train)")
    parser.add_argument("--units", type=int, required=True, help="how many centres")
    parser.add_argument("--out", type=Path, required=True, help="the file to write: *.safetensors")
    parser.add_argument("--encoder", type=Path, help="a local model's folder; without: log-mel")
    parser.add_argument("--layer", type=int, help="of the encoder; 0: before its first block")
    parser.add_argument("--stride-ms", type=int, default=25, help="log-mel: ms per frame (25)")
    parser.add_argument("--stack", type=int, default=1, help="log-mel: frames per unit (1)")
    parser.add_argument("--vectors", type=int, default=200_000, help="most that are kept (200000)")
    parser.add_argument("--passes", type=int, default=10, help="over the vectors kept (10)")
    parser.add_argument("--seed", type=int, default=0, help="of every draw (0)")
    found = parser.parse_args(texts)
    if (found.encoder is None) != (found.layer is None):
        parser.error("--encoder and --layer go together")
    if found.out.suffix != ".safetensors":
        parser.error("--out must end in .safetensors")
    if found.out.exists():
        parser.error(f"{found.out} exists; units are never written over, choose another name")
    return found


def train(options: argparse.Namespace) -> str:
    """Write the artefact and say what it is. Raises `ModelError`, `ShardError`, `ValueError`."""
    features: Features
    encoder = ""
    if options.encoder is None:
        features = LogMelFeatures(options.stride_ms, options.stack)
    else:
        features = encoder_features(options.encoder, options.layer)
        encoder = os.path.relpath(options.encoder.resolve(), options.out.resolve().parent)
    speech = (
        shard_speech(options.shards, options.split)
        if options.shards is not None
        else folder_speech(options.audio)
    )
    vectors, chunks, seconds = gather(speech, features, options.vectors, options.seed)
    centres = fit(vectors, options.units, options.seed, passes=options.passes)
    trained = {
        "chunks": chunks,
        "seconds": round(seconds, 3),
        "vectors": len(vectors),
        "passes": options.passes,
        "seed": options.seed,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_centres(options.out, centres, features, encoder, trained)
    made = KMeans(str(options.out))
    return (
        f"{options.out}: {len(centres)} units of {made.rate_hz:g} Hz from {seconds / 3600:.2f} h "
        f"({len(vectors)} of its positions); tokenizer {made.name}, digest {made.digest()}"
    )


def main(texts: list[str] | None = None) -> int:
    options = arguments(texts)
    try:
        print(train(options))
    except (SettingsError, ShardError, ValueError, FileNotFoundError) as error:
        print(f"units: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
