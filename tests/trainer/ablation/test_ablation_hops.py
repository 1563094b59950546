"""The instrument on the made world, at the smallest size that shows a difference: fine over coarse.

Everything runs as for a user: sounds, table, cues, curate, tokens, training, questions. Stochastic
is trained too, and not asserted: with three seeds its difference is not sure enough for a test.
"""

from pathlib import Path

import pytest

from trainer.ablate import ablate

ROOT = Path(__file__).resolve().parents[3]
pytest.importorskip("espeakng_loader", reason="speaks with the wheel espeakng-loader")


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_fine_chunks_beat_coarse_ones_where_they_must(tmp_path):
    found = ablate(
        ROOT / "ablations" / "hops.yaml",
        tmp_path,
        overrides=[
            "data.hops.options=[--documents, '1200']",
            "seeds=[1, 2, 3]",
            "beside={}",
            "shown=[]",
            "second=null",
            "evaluation.at=[120]",
            "settings.stop.steps=120",
            "settings.schedule.kind=constant",
        ],
        arms=["fine", "coarse", "stochastic"],
    )
    claims = {one.claim.name: one for one in found.results.claims}
    compared = claims["fine over coarse"].compared
    assert compared is not None and compared.interval.seeds == 3
    assert compared.interval.mean > 0.15
    assert all(one.verdict.startswith("no claim: 3") for one in claims.values())
    arms = {one.name: one for one in found.results.arms}
    # the world's mechanism: accuracy follows the turns from audio to text
    turns = {
        n: arms[n].read["speech_to_text"] / arms[n].read["spoken_documents"]
        for n in arms
        if arms[n].read
    }
    assert turns["fine"] > 1.5 * turns["stochastic"] > 2 * turns["coarse"]
    (floor,) = [one for one in found.results.checks if one.name == "floor"]
    assert floor.holds
