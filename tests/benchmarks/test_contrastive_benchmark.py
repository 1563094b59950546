"""What the contrastive benchmark compares, and how it says so; the run itself takes minutes."""

import json
from pathlib import Path

import pytest

from benchmarks import contrastive


def test_arms_differ_by_their_pairs_alone(tmp_path: Path) -> None:
    found = {
        arm: contrastive.config_of(tmp_path, str(tmp_path), arm, 3, 8e11)
        for arm in contrastive.ARMS
    }
    assert {config.stop.flops for config in found.values()} == {8e11}
    assert len({config.model for config in found.values()}) == 1
    assert {config.seed for config in found.values()} == {3}
    assert found["next"].contrastive is None
    assert set(found["next"].data.sets) == {"speech", "text"}
    assert set(found["cosine"].data.sets) == {"speech", "text", "pairs"}
    assert set(found["alone"].data.sets) == {"pairs"}
    one, other = found["cosine"].contrastive, found["sinkhorn"].contrastive
    assert one is not None and other is not None
    assert (one.similarity, other.similarity) == ("cosine", "wasserstein")
    assert one.layers == other.layers == "every"


@pytest.mark.parametrize("maker", ["held_pairs", "said_words"])
def test_its_sets_are_of_manners_that_no_document_has(maker: str, tmp_path: Path) -> None:
    from world import HELD_SPEED, HELD_VOICE, stories  # of ablations/hops

    (tmp_path / "made" / "heard" / "audio").mkdir(parents=True)
    getattr(contrastive, maker)(tmp_path / "made", tmp_path / "set")
    items = [json.loads(line) for line in (tmp_path / "set" / "items.jsonl").open()]
    assert len(items) == 32 * 11
    told = {(one.manner.voice, one.manner.speed) for one in stories(0, 200)}
    sounds = {side["audio"] for one in items for side in one.get("chunks", [one.get("question")])}
    for sound in sounds:
        _, *voice, speed = Path(sound).stem.split("-")
        assert ("-".join(voice), int(speed)) not in told
        assert "-".join(voice) == HELD_VOICE or int(speed) == HELD_SPEED


def test_the_table_compares_by_seed() -> None:
    one = dict.fromkeys(contrastive.FIGURES, 1.0)
    found = {"next": [one, one], "cosine": [{**one, "kl_audio_text": v} for v in (0.5, 0.7)]}
    text = contrastive.table(found, [1, 2])
    assert "| cosine | 1.000 | 1.000 | 0.600 |" in text
    assert "-0.400 [-1.671, +0.871]" in text
