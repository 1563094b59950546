"""A sweep of shares from its file to the critical share: trained, asked on the way, read again."""

from pathlib import Path

import pytest
import yaml

from tests.trainer.ablation.test_ablation_running import items
from tests.trainer.data.made_sets import speech_documents, text_documents, write_set
from trainer.ablate import ablate
from trainer.ablation.running import done
from trainer.experiments.ratio_study import ratios, told

__all__ = ["items"]
STEPS = 8


def study(folder: Path, talk: Path, page: Path) -> Path:
    """Two shares of talk beside text alone, a few steps each."""
    text = {"shards": "data:page", "policy": "text_only"}
    shares = {"data.sets.speech.share": 1.0, "data.sets.text.share": 3.0}
    value = {
        "name": "sweep",
        "question": "How much speech?",
        "config": "smoke",
        "settings": {
            "model": {"depth": 1, "width": 16, "heads": 1},
            "data.sets": {
                "speech": {"shards": "data:talk", "policy": "deterministic", "share": 3.0},
                "text": {**text, "share": 1.0},
            },
            "data.length": 256,
            "data.packs": 4,
            "text.size": 300,
            "speech.tokenizer": "dmel/25x3",
            "stop": {"steps": STEPS},
            "checkpoint.every": None,
            "optimizer.lr": 0.01,
        },
        "data": {"talk": {"shards": str(talk)}, "page": {"shards": str(page)}},
        "seeds": [1],
        "equal": "positions",
        "arms": {"much": {}, "little": {"settings": shares}},
        "controls": {
            "without": {n: "small" for n in ("same", "permuted_audio", "text_only")},
        },
        "beside": {"none": {"settings": {"data.sets": {"text": text}}}},
        "evaluation": {
            "sets": {"questions": "items"},
            "held_out": {"sets": {"text": {**text, "split": "valid"}}, "packs": 2},
            "at": [0, "50%", "end"],
        },
        "endpoint": {"set": "questions", "mode": "T-to-T"},
    }
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(value, sort_keys=False), "utf-8")
    return path


@pytest.mark.slow
def test_a_sweep_gives_rises_at_every_moment(tmp_path: Path, items: Path) -> None:
    talk = write_set(tmp_path / "talk", speech_documents("talk", 20, seed=1, chunks=(1, 4)))
    held = [one for n in range(6) for one in speech_documents(f"held{n}", 1, seed=n, split="valid")]
    page = write_set(tmp_path / "page", [*text_documents("page", 20, seed=3), *held])
    out = tmp_path / "out"
    ablate(study(tmp_path, talk, page), out, jobs=1, say=lambda text: None)
    cell = done(out, ("much", 1))
    assert cell is not None
    assert set(cell["held_out"]) == {"0", "4", "8"}
    start, end = (cell["held_out"][step]["sets"]["text"]["text"] for step in ("0", "8"))
    assert end < start  # it learns
    found = ratios(out, new="speech", old="text", reference="none", rise=0.05)
    assert [one.tokens for one in found.critical] == [4 * 1024, 8 * 1024]
    assert all(one.shares == (0.25, 0.75) for one in found.critical)
    at_end = found.critical[-1].rises
    assert at_end[1] > at_end[0] > 0  # less text read, less learnt
    assert "no law" in told(found)
