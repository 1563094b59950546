"""Prompts are laid out as training lays documents: the same ids, codes and markers."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.trainer.data.made_sets import RATE, ByteText, Energy, document_of, pcm_of, write_set
from tests.trainer.evaluation.toy_models import tokenizers
from trainer.data import open_data
from trainer.data_settings import DataSettings
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.forwards import forwards
from trainer.evaluation.laying import Run, Tokenizers, lay
from trainer.orders import ordered
from trainer.pack import MARKER, TEXT, check


@pytest.mark.parametrize(
    ("codebooks", "order"), [(1, "parallel"), (3, "parallel"), (3, "delay"), (3, "flatten")]
)
@pytest.mark.parametrize("policy", ["deterministic", "text_only", "speech_only"])
def test_a_prompt_is_what_training_reads(
    tmp_path: Path, codebooks: int, order: str, policy: str
) -> None:
    document = document_of("talk", 1, [0.4, 0.3, 0.5, 0.2])
    shards = write_set(tmp_path / "set", [document])
    speech = ordered(Energy(codebooks), order)  # type: ignore[arg-type]
    settings = DataSettings.model_validate(
        {
            "sets": {"talk": {"shards": str(shards), "epochs": 1, "policy": {"kind": policy}}},
            "length": 1024,
            "packs": 1,
            "last": "keep",
        }
    )
    pack = next(iter(open_data(settings, ByteText(), speech).batches())).batch.packs[0]
    own = Tokenizers(ByteText(), speech)
    pcm, runs = pcm_of(document), []
    for place, chunk in enumerate(document.chunks):
        if policy == "text_only" or (policy == "deterministic" and place % 2):
            runs.append(own.read(chunk.text))
            continue
        file = tmp_path / f"{place}.flac"
        part = pcm[round(chunk.start * RATE) : round(chunk.end * RATE)]
        soundfile.write(file, part, RATE)
        runs.append(own.hear(file))
    found = lay(runs, own.words)
    count = int((pack.piece == 0).sum())
    assert len(found) == count - 1  # all but the marker that ends a piece
    for name in ("ids", "codes", "modality"):
        assert np.array_equal(getattr(found, name), getattr(pack, name)[: count - 1]), name
    assert pack.ids[count - 1] == own.words.marker("end")


def test_markers_stand_where_sides_change() -> None:
    own = tokenizers()
    units = np.array([[5], [6]], np.uint8)
    found = lay(
        [Run(units), Run((), False), Run((65, 66), True), Run((67,)), Run(units)], own.words
    )
    words = own.words
    assert found.ids.tolist() == [
        words.marker("document"),
        words.marker("speech"),
        words.speech_first + 5,
        words.speech_first + 6,
        words.marker("text"),
        65,
        66,
        67,
        words.marker("speech"),
        words.speech_first + 5,
        words.speech_first + 6,
    ]
    assert np.flatnonzero(found.scored).tolist() == [5, 6]
    assert (found.modality[found.scored] == TEXT).all()
    assert (found.modality == MARKER).sum() == 4


def test_a_lead_stands_before_every_text() -> None:
    own = tokenizers()
    assert bytes(own.read("  red ").content) == b" red"  # type: ignore[arg-type]
    assert bytes(tokenizers(lead="").read("red").content) == b"red"  # type: ignore[arg-type]
    assert own.prefix("  ").content == ()


def test_a_text_without_tokens_is_refused() -> None:
    class Deaf(ByteText):
        def encode(self, text: str) -> list[int]:
            return []

    with pytest.raises(EvaluationError, match="no tokens for 'red'"):
        Tokenizers(Deaf()).read("red")


def test_a_sound_is_encoded_once_within_the_limit(tmp_path: Path) -> None:
    files = []
    for k in range(3):
        files.append(tmp_path / f"{k}.wav")
        soundfile.write(files[-1], np.full(400, k, np.int16), RATE)
    speech = Energy()
    own = Tokenizers(ByteText(), speech, cache_bytes=5)  # two sounds of two bytes
    for file in (*files[:2], *files[:2]):
        own.hear(file)
    assert speech.heard == 800
    own.hear(files[2])
    own.hear(files[0])
    assert speech.heard == 1600


def test_rows_hold_every_piece_once() -> None:
    own = tokenizers()
    rng = np.random.default_rng(0)
    bundles = [
        (k, [lay([Run(tuple(rng.integers(0, 256, n)), True)], own.words) for n in sizes])
        for k, sizes in enumerate(rng.integers(1, 90, (40, 4)).tolist())
    ]
    seen = []
    for forward in forwards(bundles, own.words, 2000, 500):
        for pack in forward.batch.packs:
            check(pack, own.words, len(pack.ids))
        total = 0
        for number, pieces in forward.bundles:
            seen.append(number)
            for laid, spot in pieces:
                pack = forward.batch.packs[spot.row]
                span = slice(spot.begin, spot.begin + len(laid))
                assert np.array_equal(pack.ids[span], laid.ids)
                assert np.array_equal(pack.place[span], np.arange(len(laid)))
                assert len(set(pack.piece[span].tolist())) == 1
                total += len(laid)
        assert total == sum(int((pack.piece >= 0).sum()) for pack in forward.batch.packs)
        assert total <= 2000
    assert seen == list(range(40))
