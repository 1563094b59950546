"""SentencePiece units over speech units: the same speech in fewer positions, whatever is drawn."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.trainer.data.made_sets import (
    ByteText,
    Energy,
    speech_documents,
    text_documents,
    write_set,
)
from tests.trainer.data.reading import assert_same, opened, packs_of, settings_of
from tests.trainer.loop.made_runs import config_of, steps_of
from trainer.data import DataError, open_data
from trainer.latent.pieces import in_pieces, read_pieces
from trainer.latent.pieces_fit import main
from trainer.loop import train
from trainer.pack import SPEECH, Pack

SIZE = 120  # 64 units, and merges


@pytest.fixture(scope="module")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    documents = speech_documents("talk", 30, seed=5)
    return write_set(tmp_path_factory.mktemp("talk"), documents, tokens=Energy())


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("page"), text_documents("page", 20, seed=6))


def fitted(talk: Path, out: Path, *options: str) -> Path:
    command = ["--shards", str(talk), "--tokenizer", "energy", "--out", str(out)]
    assert main([*command, "--size", str(SIZE), *options]) == 0
    return out


@pytest.fixture(scope="module")
def model(talk: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fitted(talk, tmp_path_factory.mktemp("pieces") / "a.json")


def test_the_same_shards_and_seed_give_the_same_file(
    talk: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = fitted(talk, tmp_path / "again.json")
    assert again.read_bytes() == model.read_bytes()
    told = capsys.readouterr().out
    assert f"{SIZE} pieces over energy" in told and read_pieces(again).digest in told
    fewer = fitted(talk, tmp_path / "fewer.json", "--sequences", "40", "--seed", "1")
    assert json.loads(fewer.read_text())["trained"]["chunks"] == 40
    assert fewer.read_bytes() != model.read_bytes()


def test_pieces_say_which_units_they_are(model: Path) -> None:
    found = read_pieces(model)
    for units in (np.arange(64), np.array([3, 3, 3, 60, 0]), np.zeros(0, np.int64)):
        pieces = found.encode(units)
        assert len(pieces) <= len(units)
        assert 0 not in pieces  # nothing is unknown
        assert found.decode(pieces).tolist() == units.tolist()
    assert found.size == SIZE


def units_of(pack: Pack, first: int, decode: Any) -> list[int]:
    """Units of all speech of a pack, in order."""
    return decode(pack.ids[pack.modality == SPEECH] - first)


@pytest.mark.parametrize(
    "policy", ["speech_only", "deterministic", {"stochastic": {}}, {"word_spans": {}}], ids=str
)
@pytest.mark.parametrize("workers", [0, 2])
def test_packs_hold_the_same_speech_in_fewer_positions(
    policy: Any, workers: int, talk: Path, page: Path, model: Path
) -> None:
    pieces = in_pieces(Energy(), str(model))
    given = settings_of(
        talk={"shards": talk, "policy": policy, "epochs": 1}, length=1024, last="keep"
    )
    data = open_data(given, ByteText(), pieces)
    packs = packs_of(data, workers=workers)
    plain = packs_of(opened(given))
    first = data.vocabulary.speech_first
    found = read_pieces(model)
    told, expected = (
        sorted(np.concatenate([np.asarray(units_of(pack, first, how), int) for pack in rows]))
        for rows, how in ((packs, found.decode), (plain, lambda ids: ids))
    )
    if policy == "speech_only":  # a draw of another policy depends on where packs are cut
        assert told == expected
    count = sum(int((pack.modality == SPEECH).sum()) for pack in packs)
    assert 0 < count < 0.9 * len(told)
    assert data.vocabulary.size == first + SIZE


def test_runs_of_a_unit_are_taken_as_one_where_the_file_says_so(talk: Path, tmp_path: Path) -> None:
    pieces = in_pieces(Energy(), str(fitted(talk, tmp_path / "d.json", "--deduplicate")))
    units = np.array([[5], [5], [5], [6], [6], [5]], np.uint8)
    assert pieces.model.decode(pieces.lay(units)[:, 0]).tolist() == [5, 6, 5]


def test_a_state_leads_to_the_next_pack(talk: Path, page: Path, model: Path) -> None:
    given = settings_of(talk=talk, page=page)
    pieces = in_pieces(Energy(), str(model))
    whole = list(open_data(given, ByteText(), pieces).batches(steps=6))
    rest = open_data(given, ByteText(), pieces).batches(whole[2].state, steps=3)
    assert assert_same(whole[3:], rest) == 3


def test_a_run_reads_pieces_and_keeps_their_digest(
    talk: Path, page: Path, model: Path, tmp_path: Path
) -> None:
    speech = {"tokenizer": "energy", "pieces": str(model)}
    config = config_of(talk, page, speech=speech, stop={"steps": 4}, log={"every": 1})
    train(config, tmp_path / "a", until=2)
    train(config, tmp_path / "a")
    train(config, tmp_path / "b")
    assert [line["loss"] for line in steps_of(tmp_path / "a")] == [
        line["loss"] for line in steps_of(tmp_path / "b")
    ]


def test_what_does_not_belong_together_is_refused(
    talk: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match="has 3 codebooks"):
        in_pieces(Energy(3), str(model))
    other = Energy()
    other.digest = "f" * 64
    with pytest.raises(ValueError, match="units of another tokenizer"):
        in_pieces(other, str(model))
    (tmp_path / "none.json").write_text("{}")
    with pytest.raises(ValueError, match="no file of pieces"):
        read_pieces(tmp_path / "none.json")
    bare = write_set(tmp_path / "bare", speech_documents("talk", 4, seed=5))
    with pytest.raises(DataError, match="their units must be stored"):
        open_data(settings_of(talk=bare), ByteText(), in_pieces(Energy(), str(model)))
    command = ["--shards", str(talk), "--out", str(tmp_path / "x.json")]
    assert main([*command, "--tokenizer", "other"]) == 2
    assert "stored: energy" in capsys.readouterr().err
    assert main([*command, "--tokenizer", "energy", "--size", "60000"]) == 2
    assert "ask for fewer" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([*command[:2], "--tokenizer", "energy", "--out", str(model)])
    assert "never written over" in capsys.readouterr().err
