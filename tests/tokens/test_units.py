"""k-means units: training, the artefact, and that each position is its nearest centre."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from schemas.ids import bytes_digest
from tests.tokens.conftest import sound
from transforms.engines.kmeans import (
    EncoderFeatures,
    KMeans,
    LogMelFeatures,
    nearest_centres,
    read_centres,
    write_centres,
)
from transforms.engines.kmeans_fit import fit
from transforms.engines.models import ModelError

RATE = 16_000


@pytest.fixture(scope="module")
def artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 units of log-mel, two frames each."""
    path = tmp_path_factory.mktemp("units") / "units.safetensors"
    features = LogMelFeatures(25, 2)
    vectors = np.concatenate([features(sound(20_000, seed), RATE) for seed in range(8)])
    write_centres(path, fit(vectors, 24, passes=3), features, "", {"seed": 0})
    return path


def test_centres_lie_where_the_clusters_are() -> None:
    rng = np.random.default_rng(3)
    true = rng.uniform(-50, 50, (12, 5)).astype(np.float32)
    vectors = np.repeat(true, 200, axis=0) + rng.normal(0, 0.3, (2400, 5)).astype(np.float32)
    found = fit(vectors, 12, seed=1)
    assert found.dtype == np.float32
    nearest = nearest_centres(true, found)
    assert sorted(nearest) == list(range(12))
    assert np.abs(found[nearest] - true).max() < 0.3


def test_training_is_decided_by_vectors_and_seed() -> None:
    vectors = np.random.default_rng(0).normal(size=(3000, 8)).astype(np.float32)
    first = fit(vectors, 20, seed=4, passes=2)
    assert np.array_equal(first, fit(vectors.copy(), 20, seed=4, passes=2))
    assert not np.array_equal(first, fit(vectors, 20, seed=5, passes=2))


def test_training_lowers_the_distance_to_the_nearest_centre() -> None:
    vectors = np.random.default_rng(0).normal(size=(4000, 4)).astype(np.float32)

    def distance(passes: int) -> float:
        centres = fit(vectors, 30, passes=passes)
        return float(np.square(vectors - centres[nearest_centres(vectors, centres)]).sum())

    assert distance(8) < 0.9 * distance(0)


@pytest.mark.parametrize("count", [0, 1, 11])
def test_centres_that_cannot_be_are_refused(count: int) -> None:
    with pytest.raises(ValueError, match="cannot have"):
        fit(np.zeros((10, 3), np.float32), count)
    with pytest.raises(ValueError, match="only 1 of the vectors differ"):
        fit(np.ones((10, 3), np.float32), 2)


def test_the_nearest_centre_is_the_first_of_equal_ones() -> None:
    centres = np.array([[0, 0], [2, 0], [0, 0], [9, 9]], np.float32)
    vectors = np.array([[0, 0], [1, 0], [1.01, 0], [8, 8]], np.float32)
    assert nearest_centres(vectors, centres).tolist() == [0, 0, 1, 3]
    assert nearest_centres(vectors[:0], centres).shape == (0,)


def test_units_are_the_nearest_centres_of_the_features(artefact: Path) -> None:
    tokenizer = KMeans(str(artefact))
    assert (tokenizer.levels, tokenizer.codebooks, tokenizer.rate_hz) == (24, 1, 20.0)
    pcm = sound(31_234, 9)
    units = tokenizer.encode(pcm, RATE)
    assert units.shape == (tokenizer.grid.positions(31_234, RATE), 1) and units.dtype == np.uint8
    vectors = LogMelFeatures(25, 2)(pcm, RATE).astype(np.float64)
    for vector, unit in zip(vectors[::7], units[::7, 0], strict=True):
        distances = [float(((vector - c) ** 2).sum()) for c in tokenizer.centres.astype(float)]
        assert distances[unit] <= min(distances) + 1e-6
    assert len(np.unique(units)) > 8


def test_equal_training_gives_equal_files(artefact: Path, tmp_path: Path) -> None:
    centres, about = read_centres(artefact)
    again = tmp_path / "again.safetensors"
    write_centres(again, centres, LogMelFeatures(25, 2), "", about["trained"])
    assert again.read_bytes() == artefact.read_bytes()
    assert KMeans(str(again)).digest() == KMeans(str(artefact)).digest()
    other = tmp_path / "other.safetensors"
    write_centres(other, centres + 1, LogMelFeatures(25, 2), "", {})
    assert KMeans(str(other)).digest() != KMeans(str(artefact)).digest()
    assert KMeans(str(other)).name != KMeans(str(artefact)).name


def test_a_file_that_is_no_artefact_is_told(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    path = tmp_path / "x.safetensors"
    with pytest.raises(ModelError, match=r"there is no such file.*trainer\.units"):
        KMeans(str(path))
    for data in (b"", b"\x80\x04.", bytes(200)):
        path.write_bytes(data)
        with pytest.raises(ModelError, match="holds no centres"):
            KMeans(str(path))
    save_file({"centres": np.zeros((3, 80), np.float32)}, path)
    with pytest.raises(ModelError, match="holds no centres"):
        KMeans(str(path))
    broken = np.full((3, 80), np.nan, np.float32)
    write_centres(path, broken, LogMelFeatures(), "", {})
    with pytest.raises(ModelError, match="needed are finite"):
        KMeans(str(path))
    write_centres(path, np.zeros((3, 79), np.float32), LogMelFeatures(), "", {})
    with pytest.raises(ModelError, match="of 80 numbers"):
        KMeans(str(path))


def test_units_of_an_encoders_layer(models: dict[str, Path], tmp_path: Path) -> None:
    shutil.copytree(models["hubert"], tmp_path / "hubert")
    features = EncoderFeatures(tmp_path / "hubert", 1)
    vectors = features(sound(32_000), RATE)
    assert vectors.shape == (100, 32) and vectors.dtype == np.float32
    path = tmp_path / "units.safetensors"
    write_centres(path, fit(vectors, 10, passes=2), features, "hubert", {})
    tokenizer = KMeans(str(path))
    units = tokenizer.encode(sound(9001), RATE)
    assert units.shape == (29, 1) and tokenizer.rate_hz == 50.0

    (tmp_path / "elsewhere").mkdir()
    for name in ("hubert", "units.safetensors"):
        shutil.move(tmp_path / name, tmp_path / "elsewhere" / name)
    moved = KMeans(str(tmp_path / "elsewhere" / "units.safetensors"))
    assert moved.digest() == tokenizer.digest()
    assert np.array_equal(moved.encode(sound(9001), RATE), units)

    config = tmp_path / "elsewhere" / "hubert" / "config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(ModelError, match="was trained for"):
        KMeans(str(tmp_path / "elsewhere" / "units.safetensors"))


def test_an_encoders_frames_do_not_depend_on_other_chunks(models: dict[str, Path]) -> None:
    features = EncoderFeatures(models["hubert"], 2)
    first = features(sound(12_000), RATE)
    features(sound(40_000, 3), RATE)
    assert np.array_equal(features(sound(12_000), RATE), first)
    for length in (0, 1, 319, 320, 321, 400, 16_000):
        assert len(features(sound(length), RATE)) == -(-length // 320)


def test_layers_and_models_that_cannot_be_are_told(models: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="has 2 layers: layer 3"):
        EncoderFeatures(models["hubert"], 3)
    with pytest.raises(ModelError, match="holds a mimi"):
        EncoderFeatures(models["mimi"], 1)


def test_the_digest_is_of_the_model_files_too(models: dict[str, Path], tmp_path: Path) -> None:
    about = EncoderFeatures(models["hubert"], 1).about()
    weights = (models["hubert"] / "model.safetensors").read_bytes()
    shutil.copytree(models["hubert"], tmp_path / "h")
    assert EncoderFeatures(tmp_path / "h", 1).about() == about
    changed = bytearray(weights)
    changed[-1] ^= 1
    (tmp_path / "h" / "model.safetensors").write_bytes(bytes(changed))
    assert bytes_digest(bytes(changed)) != bytes_digest(weights)
    assert EncoderFeatures(tmp_path / "h", 1).about() != about
