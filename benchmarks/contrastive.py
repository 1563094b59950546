"""Does pulling text and speech together close the gap between them? In the made world, as Markdown.

    python benchmarks/contrastive.py [--out FOLDER] [--seeds 1,2,...] [--flops 2e12] [--documents N]

The hops world (ablations/hops: 32 spoken words, one secret cycle; espeak-ng) is made and curated,
and models are trained at equal FLOPs, every pass through the model counted:

    next      next-token prediction alone, on interleaved speech and on text
    cosine    the same, and pairs of the same documents pulled together (cosine, all layers)
    sinkhorn  the same with the Sinkhorn divergence
    alone     pairs alone

Measured on a voice and a speed that were never heard: which of 32 texts was said (chance 1/32), by
the best layer; the modality gap KL(p_audio, p_text) with the losses of both sides; and the 4-way
question of the study. Intervals are over seeds (paired, Student's t).

With --second FLOPS the second stage, too: models that were pretrained by nothing but text, by
recognition (speech, then its text) or by pairs, at equal FLOPs and each beside text, are fine-tuned
on recognition with 10 % and with 100 % of the documents, and asked which of 4 words was said.
"""

import argparse
import json
import pathlib
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))  # run as a file, too
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "ablations" / "hops"))

from benchmarks.circumstances import circumstances, row
from trainer.ablation.making import shards_digest
from trainer.ablation.statistics import interval
from trainer.config import Config, load_config, of_json
from trainer.contrastive.retrieval import retrieve
from trainer.evaluate import EvaluationSettings, Tokenizers, evaluate, read_set
from trainer.export import export
from trainer.loop import train
from trainer.trained import open_trained

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAIRS = {"sets": ["pairs"], "layers": "every"}
ARMS: Mapping[str, Mapping[str, Any]] = {
    "next": {},
    "cosine": PAIRS,
    "sinkhorn": {**PAIRS, "similarity": "wasserstein"},
    "alone": PAIRS,
}
FIGURES = (
    "speech_to_text", "text_to_speech", "kl_audio_text", "kl_text_audio", "loss_audio",
    "loss_text", "question", "steps",
)  # fmt: skip
ALONE = 20  # positions of a pack that holds one sentence: its text does not follow from others'
CHUNKS = 3  # of an item of the gap: two are heard or read, the third is predicted


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("out-contrastive"))
    parser.add_argument("--seeds", default="1,2,3,4,5")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--flops", type=float, default=8e11, help="of each model (8e11)")
    parser.add_argument("--documents", type=int, default=1000)
    parser.add_argument("--second", type=float, help="FLOPs of the second stage")
    given = parser.parse_args(arguments)
    begun = time.monotonic()
    seeds = [int(one) for one in given.seeds.split(",")]
    shards = world(given.out, given.documents)
    found: dict[str, list[dict[str, float]]] = {}
    for arm in given.arms.split(","):
        for seed in seeds:
            found.setdefault(arm, []).append(cell(given.out, shards, arm, seed, given.flops))
    print(circumstances())
    print(table(found, seeds))
    if given.second is not None:
        print(second_table(given.out, shards, seeds, given.flops, given.second, given.documents))
    print(f"\n{(time.monotonic() - begun) / 60:.1f} minutes in all")
    return 0


def world(out: pathlib.Path, documents: int) -> str:
    """Make and curate the documents, and the held-out pairs. Returns the shards' folder."""
    made, curated = out / "made", out / "curated"
    if not (out / "pairs" / "items.jsonl").exists():
        script = ROOT / "ablations" / "hops" / "make.py"
        _run(str(script), str(made), "--documents", str(documents))
        recipe = ["--recipe", str(ROOT / "ablations" / "hops" / "recipe.yaml")]
        data = ["--data", str(made / "table.csv"), "--out", str(curated)]
        _run("-m", "pipeline", "curate", *data, *recipe)
        held_pairs(made, out / "pairs")
    shards_digest(str(curated))
    return str(curated)


def held_pairs(made: pathlib.Path, out: pathlib.Path) -> None:
    """Runs of sentences in manners that no document has, as a set of the modality gap."""
    from world import WORDS, cycle, held_out, sentence

    following = cycle(0)
    shutil.copytree(made / "heard" / "audio", out / "audio", dirs_exist_ok=True)
    lines = []
    for word in range(len(WORDS)):
        for manner in held_out():
            chunks, at = [], word
            for _ in range(CHUNKS):
                audio = f"audio/{WORDS[at]}-{manner.voice}-{manner.speed}.flac"
                chunks.append({"text": sentence(at), "audio": audio})
                at = following[at]
            item = {"kind": "gap", "id": f"{WORDS[word]}-{manner.voice}-{manner.speed}"}
            about = {"group": WORDS[word], "speaker": f"{manner.voice} {manner.speed}"}
            lines.append(json.dumps({**item, **about, "chunks": chunks}) + "\n")
    (out / "items.jsonl").write_text("".join(lines), "utf-8")


def config_of(out: pathlib.Path, shards: str, arm: str, seed: int, flops: float) -> Config:
    """What an arm trains: the hops study's model and sets, and pairs where it has them."""
    overrides = [
        f"text.tokenizer={json.dumps(str(out / 'made' / 'tokenizer.json'))}",
        f"stop={json.dumps({'flops': flops})}",
        f"seed={seed}",
        f"data.seed={seed}",
    ]
    one = {"shards": shards, "granularity": "fine"}
    sets = {
        "speech": {**one, "policy": "deterministic", "share": 1.0},
        "text": {**one, "policy": "text_only", "share": 1.0},
        "pairs": {**one, "policy": "asr", "share": 1.0},
    }
    if not ARMS[arm]:
        del sets["pairs"]
    elif arm == "alone":
        sets = {"pairs": sets["pairs"]}
    overrides.append(f"data.sets={json.dumps(sets)}")
    if ARMS[arm]:
        overrides.append(f"contrastive={json.dumps(dict(ARMS[arm]))}")
    return load_config(ROOT / "ablations" / "hops" / "train.yaml", overrides)


def cell(out: pathlib.Path, shards: str, arm: str, seed: int, flops: float) -> dict[str, float]:
    """Train one model, or take what it said, and ask it."""
    folder = out / "cells" / f"{arm}-{seed}-{flops:g}"
    stored = folder / "figures.json"
    if stored.exists():
        figures: dict[str, float] = json.loads(stored.read_text())
        return figures
    config = config_of(out, shards, arm, seed, flops)
    result = train(config, folder)
    trained = open_trained(folder)
    tokenizers = Tokenizers(trained.text, trained.speech, words=trained.vocabulary)
    sets = [read_set(out / "pairs", "pairs"), read_set(out / "made" / "heard", "heard")]
    settings = EvaluationSettings(answer_prefix="", context=config.data.length, budget=4096)
    asked = evaluate(trained.decoder, tokenizers, sets, settings)
    gap = asked.of("pairs", "gap").estimates
    retrieval = retrieve(trained.decoder, tokenizers, sets[0], context=config.data.length)
    best = max(retrieval.layers, key=lambda one: one.speech_to_text)
    figures = {
        "speech_to_text": best.speech_to_text,
        "text_to_speech": best.text_to_speech,
        **{name: gap[name].value for name in FIGURES[2:6]},
        "question": asked.of("heard", "S-to-T").estimates["accuracy.sum"].value,
        "steps": float(result.step),
        "flops": result.flops,
    }
    stored.write_text(json.dumps(figures))
    return figures


BEFORE = {"text": None, "recognition": {}, "pairs": PAIRS}
AFTER = (0.1, 1.0)


def second_table(
    out: pathlib.Path,
    shards: str,
    seeds: list[int],
    flops: float,
    second: float,
    documents: int,
) -> str:
    """Each pretraining with each part of the paired data, means over seeds."""
    if not (out / "said" / "items.jsonl").exists():
        said_words(out / "made", out / "said")
    lines = ["", row("pretraining", "fine-tuned on", "said", "loss", "seeds"), row(*["---"] * 5)]
    for name in BEFORE:
        for share in AFTER:
            count = max(round(share * documents), 1)
            found = [fine_tuned(out, shards, name, count, one, flops, second) for one in seeds]
            said, loss = (sum(one[n] for one in found) / len(found) for n in ("said", "loss"))
            lines.append(row(name, f"{share:.0%}", f"{said:.3f}", f"{loss:.3f}", len(found)))
    return "\n".join(lines)


def fine_tuned(
    out: pathlib.Path, shards: str, name: str, count: int, seed: int, flops: float, second: float
) -> dict[str, float]:
    """Pretrain, export, fine-tune on `count` documents, and ask."""
    first = out / "cells" / f"first-{name}-{seed}-{flops:g}"
    folder = out / "cells" / f"second-{name}-{count}-{seed}-{flops:g}-{second:g}"
    stored = folder / "figures.json"
    if stored.exists():
        figures: dict[str, float] = json.loads(stored.read_text())
        return figures
    plain = config_of(out, shards, "alone", seed, flops).canonical()
    packs = plain["data"]["packs"] * plain["data"]["length"] // ALONE
    plain["data"] |= {"length": ALONE, "packs": packs, "on_long_chunk": "drop"}
    one = plain["data"]["sets"]["pairs"]
    text = {**one, "policy": "text_only"}
    contrastive = BEFORE[name]
    pretraining = {
        **plain,
        "contrastive": None if not contrastive else dict(contrastive),
        "data": {**plain["data"], "sets": {"text": text}},
    }
    if contrastive is not None:
        pretraining["data"]["sets"]["pairs"] = one
    if not (first / "model").exists():
        train(of_json(pretraining, "first stage"), first)
        one_trained = open_trained(first)
        length, speech = one_trained.config.data.length, one_trained.speech
        about = {"speech_tokenizer_digest": speech.digest if speech is not None else ""}
        export(one_trained.decoder, one_trained.text, first / "model", length=length, about=about)
    tuning = {
        **plain,
        "contrastive": None,
        "model": None,
        "initial": {"folder": str(first / "model")},
        "text": {"tokenizer": str(first / "model" / "text_tokenizer.json")},
        "stop": {"flops": second},
        "schedule": {"kind": "cosine", "warmup": 2},
        "data": {**plain["data"], "sets": {"pairs": {**one, "max_documents": count}}},
    }
    result = train(of_json(tuning, "second stage"), folder)
    trained = open_trained(folder)
    tokenizers = Tokenizers(trained.text, trained.speech, words=trained.vocabulary)
    settings = EvaluationSettings(answer_prefix="", context=112, budget=4096)
    asked = evaluate(trained.decoder, tokenizers, [read_set(out / "said", "said")], settings)
    figures = {
        "said": asked.of("said", "S-to-T").estimates["accuracy.sum"].value,
        "loss": float(result.last["loss_text"]),
        "steps": float(result.step),
    }
    stored.write_text(json.dumps(figures))
    return figures


def said_words(made: pathlib.Path, out: pathlib.Path) -> None:
    """Which word was said? One of 4, in manners that no document has."""
    from world import WORDS, held_out, sentence

    shutil.copytree(made / "heard" / "audio", out / "audio", dirs_exist_ok=True)
    lines = []
    for word, name in enumerate(WORDS):
        for manner in held_out():
            chance = random.Random(f"said/{name}/{manner}")
            options = chance.sample([w for w in range(len(WORDS)) if w != word], 3)
            answer = chance.randrange(4)
            options.insert(answer, word)
            audio = f"audio/{name}-{manner.voice}-{manner.speed}.flac"
            item = {"kind": "cloze", "id": f"{name}-{manner.voice}-{manner.speed}", "group": name}
            told = {"options": [sentence(w) for w in options], "answer": answer}
            lines.append(json.dumps({**item, "question": {"audio": audio}, **told}) + "\n")
    (out / "items.jsonl").write_text("".join(lines), "utf-8")


def table(found: Mapping[str, list[dict[str, float]]], seeds: list[int]) -> str:
    """Means over seeds, and each arm's difference from next-token prediction alone."""
    lines = [row("arm", *FIGURES), row(*["---"] * (1 + len(FIGURES)))]
    for arm, cells in found.items():
        means = [sum(one[name] for one in cells) / len(cells) for name in FIGURES]
        lines.append(row(arm, *(f"{mean:.3f}" for mean in means)))
    if "next" in found and len(seeds) > 1:
        lines += ["", row("arm - next", *FIGURES[:-1]), row(*["---"] * len(FIGURES))]
        for arm in found:
            if arm != "next":
                lines.append(row(arm, *(_difference(found, arm, name) for name in FIGURES[:-1])))
    return "\n".join(lines)


def _difference(found: Mapping[str, list[dict[str, float]]], arm: str, name: str) -> str:
    pairs = zip(found[arm], found["next"], strict=True)
    one = interval([a[name] - b[name] for a, b in pairs])
    return f"{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]"


def _run(*command: str) -> None:
    subprocess.run([sys.executable, *command], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(main())
