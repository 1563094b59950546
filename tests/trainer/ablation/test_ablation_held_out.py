"""Held-out losses: the same packs for every arm, and means that add up."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.trainer.data.made_sets import (
    ByteText,
    Energy,
    speech_documents,
    text_documents,
    write_set,
)
from tests.trainer.loop.made_runs import config_of, with_data
from trainer.ablation.held_out import HeldOut, HeldOutData, means, settings_of
from trainer.config import Config
from trainer.data import open_data
from trainer.data_settings import SetSettings
from trainer.model import Decoder
from trainer.objectives import KINDS


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Config:
    folder = tmp_path_factory.mktemp("held")
    talks = speech_documents("talk", 12, seed=1)
    held = speech_documents("held", 8, seed=2, split="valid")
    talk = write_set(folder / "talk", [*talks, *held])
    page = write_set(folder / "page", text_documents("page", 20, seed=3))
    base = config_of(talk, page)
    only = base.data.model_copy(update={"sets": {"talk": base.data.sets["talk"]}})
    return base.model_copy(update={"data": only})


def losses(config: Config, **asked: Any) -> dict[str, Any]:
    model = Decoder(config.model, open_data(config.data, ByteText(), Energy()).vocabulary, 3)  # type: ignore[arg-type]
    held = HeldOutData(HeldOut.model_validate(asked), config, ByteText(), Energy())
    with torch.no_grad():
        return held.losses(model.eval())


def test_no_setting_of_a_run_moves_what_is_asked(config: Config) -> None:
    plain = losses(config, packs=8)
    assert set(plain) == {"all", "text", "speech", "marker", "sets"}
    sets = {"talk": {**config.canonical()["data"]["sets"]["talk"], "subset": 0.5, "share": 7.0}}
    for changes in ({"seed": 9}, {"packs": 2}, {"sets": sets}, {"permute_audio": True}):
        other = losses(with_data(config, **changes), packs=8)
        assert other["all"] == pytest.approx(plain["all"], rel=1e-6), changes
    assert losses(config, packs=2)["all"] != plain["all"]


def test_held_out_documents_are_those_of_the_split(config: Config) -> None:
    (own,) = settings_of(HeldOut(), config).values()
    read = {
        name
        for given in open_data(own, ByteText(), Energy()).batches()
        for pack in given.batch.packs
        for name in pack.documents
    }
    assert read == {one.id for one in speech_documents("held", 8, seed=2, split="valid")}
    with pytest.raises(ValueError, match="name a split that is held out"):
        HeldOut(split="train")


def test_sets_of_their_own_are_asked_instead(config: Config) -> None:
    talk: Path | str = config.data.sets["talk"].shards
    one = SetSettings(shards=str(talk), split="valid", policy="text_only")
    found = losses(config, sets={"read": one.model_dump()}, packs=4)
    assert set(found["sets"]) == {"read"}
    assert "speech" not in found and found["text"] == found["sets"]["read"]["text"]


def test_means_are_over_targets_and_kinds_without_any_are_left_out() -> None:
    total = torch.zeros(2, len(KINDS), dtype=torch.float64)
    for kind, loss, number in (("text", 6.0, 2.0), ("switch_text", 2.0, 2.0), ("marker", 1.0, 4.0)):
        total[0, KINDS.index(kind)], total[1, KINDS.index(kind)] = loss, number
    assert means(total) == {"text": 2.0, "marker": 0.25, "all": 9.0 / 8.0}
