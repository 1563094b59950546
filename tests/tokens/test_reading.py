"""What a trainer is handed: the tokenizer of a run, its vocabulary, and the command for units."""

import dataclasses
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from schemas.manifest import Manifest, manifest_files
from schemas.records import Document
from schemas.shard_writer import ShardWriter
from tests.tokens.conftest import sound
from tests.trainer.data.made_sets import RATE, flac_of, pcm_of, speech_documents
from tests.trainer.data.reading import ByteText, assert_same_pack, packs_of, settings_of
from trainer import units
from trainer.data import open_data
from trainer.encoding import SpeechTokenizer, StoredOnly
from trainer.pack import SPEECH, Pack
from trainer.tokens import Encoder, deduplicated, speech_tokenizer, vocabulary
from transforms import flac
from transforms.engines.kmeans import KMeans
from transforms.engines.tokenizer import encode_document, entry_of, load

TALKS = speech_documents("talk", 12, seed=4)


def write_set(
    folder: Path, documents: Sequence[Document], specs: Sequence[str], keep_audio: bool = True
) -> Path:
    (folder / "train").mkdir(parents=True)
    engines = [load(spec) for spec in specs]
    entries = [entry_of(engine) for engine in engines]
    name = "train/talk-0.tar"
    with ShardWriter(folder / name, name, entries, keep_audio) as writer:
        for document in sorted(documents, key=lambda d: d.id):
            pcm = pcm_of(document)
            tokens = {one.name: encode_document(one, document, pcm) for one in engines}
            writer.add(document, flac_of(document) if keep_audio else None, tokens)
    assert writer.entry is not None
    manifest = Manifest(name="made", shards=(writer.entry,), tokenizers=tuple(entries))
    for file, data in manifest_files(manifest).items():
        (folder / file).write_bytes(data)
    return folder


def packs(folder: Path, speech: SpeechTokenizer, **about: str) -> list[Pack]:
    settings = settings_of(talk={"shards": folder, **about}, length=512)
    return packs_of(open_data(settings, ByteText(), speech), steps=3)


@pytest.mark.parametrize("policy", ["deterministic", "word_spans"])
@pytest.mark.parametrize("spec", ["dmel", "dmel/20x4"])
def test_stored_tokens_and_computed_ones_make_the_same_packs(
    tmp_path: Path, spec: str, policy: str
) -> None:
    stored = write_set(tmp_path / "stored", TALKS, [spec], keep_audio=False)
    audio = write_set(tmp_path / "audio", TALKS, [])
    speech = speech_tokenizer(spec)
    kept = packs(stored, speech, policy=policy, tokens="require")
    made = packs(audio, speech, policy=policy)
    assert len(kept) == len(made) == 12
    heard = 0
    for one, other in zip(kept, made, strict=True):
        assert_same_pack(one, other)
        heard += int((one.modality == SPEECH).sum())
        assert (one.codes[one.modality == SPEECH].max(axis=1) > 0).all()
    assert heard > 500


def test_a_tokenizer_travels_by_its_name() -> None:
    speech = Encoder("dmel/25x3")
    again = pickle.loads(pickle.dumps(speech))
    assert again == speech and len(pickle.dumps(speech)) < 200
    assert again.digest == load("dmel/25x3").digest()
    assert (again.frames_per_second, again.codebooks, again.levels) == (40 / 3, 240, 16)
    assert isinstance(speech, SpeechTokenizer)


def test_stored_tokens_can_be_named_without_their_model() -> None:
    entry = entry_of(load("dmel/20x4"))
    other = entry_of(load("dmel"))
    found = speech_tokenizer("dmel-20x4", [other, entry])
    assert isinstance(found, StoredOnly) and found.digest == entry.digest
    assert isinstance(speech_tokenizer("dmel/20x4", [entry]), Encoder)
    with pytest.raises(ValueError, match=r"stored in the sets: dmel, dmel-20x4"):
        speech_tokenizer("kmeans-12345678", [other, entry])
    twice = [entry, entry_of(load("dmel/20x4")), other]
    assert isinstance(speech_tokenizer("dmel-20x4", twice), StoredOnly)


def test_two_tokenizers_of_one_name_are_told() -> None:
    entry = entry_of(load("dmel/20x4"))
    other = dataclasses.replace(entry, digest="0" * 64)
    with pytest.raises(ValueError, match="2 different tokenizers"):
        speech_tokenizer("dmel-20x4", [entry, other])


def test_vocabularies() -> None:
    assert vocabulary(256, None).size == 260
    many = vocabulary(256, Encoder("dmel/20x4"))
    assert (many.codebooks, many.levels, many.size) == (320, 16, 261)


def test_runs_of_equal_units_and_back() -> None:
    for units_ in (
        np.array([3, 3, 3, 1, 1, 3, 2], np.uint16)[:, None],
        np.array([[1, 2], [1, 2], [1, 3]], np.uint8),
        np.zeros((0, 4), np.uint8),
    ):
        found, counts = deduplicated(units_)
        assert np.array_equal(np.repeat(found, counts, axis=0), units_)
        assert not (found[1:] == found[:-1]).all(axis=1).any()
    assert deduplicated(np.array([[5], [5], [7]], np.uint8))[1].tolist() == [2, 1]


def test_units_are_trained_by_a_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shards = write_set(tmp_path / "set", TALKS, [])
    out = [tmp_path / "a.safetensors", tmp_path / "b.safetensors"]
    for path in out:
        texts = ["--shards", str(shards), "--units", "16", "--stack", "2", "--passes", "2"]
        assert units.main([*texts, "--out", str(path)]) == 0
    assert out[0].read_bytes() == out[1].read_bytes()
    told = capsys.readouterr().out
    tokenizer = KMeans(str(out[0]))
    assert tokenizer.digest() in told and "16 units of 20 Hz" in told
    assert len(np.unique(tokenizer.encode(pcm_of(TALKS[0]), RATE))) > 2
    with pytest.raises(SystemExit):
        units.main(["--shards", str(shards), "--units", "16", "--out", str(out[0])])
    assert "never written over" in capsys.readouterr().err


def test_units_of_audio_and_of_an_encoder(
    models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "audio" / "deep").mkdir(parents=True)
    for number in range(3):
        data = flac.encode(sound(30_000, number), 16_000)
        (tmp_path / "audio" / "deep" / f"{number}.flac").write_bytes(data)
    common = ["--audio", str(tmp_path / "audio"), "--units", "8", "--passes", "1"]
    path = tmp_path / "units" / "h.safetensors"
    texts = [*common, "--encoder", str(models["hubert"]), "--layer", "2", "--out", str(path)]
    assert units.main(texts) == 0
    assert KMeans(str(path)).encode(sound(16_000), 16_000).shape == (50, 1)
    assert units.main([*common, "--vectors", "4", "--out", str(tmp_path / "x.safetensors")]) == 2
    assert "4 vectors cannot have 8 centres" in capsys.readouterr().err
    (tmp_path / "audio" / "bad.flac").write_bytes(b"no")
    assert units.main([*common, "--out", str(tmp_path / "x.safetensors")]) == 2
    assert "bad.flac" in capsys.readouterr().err


def test_the_vectors_that_are_kept_are_a_uniform_draw() -> None:
    class Count:
        """The number of each position as its vector."""

        width = 1

        def __call__(self, pcm: np.ndarray, rate: int) -> np.ndarray:
            return pcm.astype(np.float32)[:, None]

    def speech() -> object:
        for start in range(0, 10_000, 100):
            yield str(start), np.arange(start, start + 100, dtype=np.int16), 16_000

    kept, chunks, seconds = units.gather(speech(), Count(), 1000, 3)  # type: ignore[arg-type]
    assert (len(kept), len(np.unique(kept)), chunks) == (1000, 1000, 100)
    assert seconds == pytest.approx(10_000 / 16_000)
    assert abs(kept.mean() - 5000) < 300
    few, _, _ = units.gather(speech(), Count(), 20_000, 3)  # type: ignore[arg-type]
    assert len(few) == 10_000
