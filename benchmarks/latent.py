"""What patches save: lengths and operations against the arithmetic, tokens a second against base.

    python benchmarks/latent.py [--pairs 5] [--steps 8] [--depth 6] [--device cuda]

On a made stream like the paper's (arXiv 2510.06195, section A.10: 25 positions a second, words of
0.35 s, 1.3 text tokens a word, one word of speech to two of text, two thirds of all tokens text
alone) it counts packs as a run reads them, markers apart and then among them. Operations are those
of the log: all three modules, and every head where it was asked. Then base and latent train in turn
on the very same packs; what is compared are underlying tokens a second of CPU time (on a GPU: wall
time), the first step left out. The arithmetic leaves out ragged ends, markers and local modules.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from schemas.settings import check, read
from tests.trainer.data.made_sets import write_set
from tests.trainer.latent.made_stream import At25Hz, Spelt, stream
from trainer.config import CONFIGS, Config, of_json
from trainer.data import open_data
from trainer.flops import by_part as plain_by_part
from trainer.latent.accounting import Counts, by_part
from trainer.latent.patching import BEGINS, cut
from trainer.loop import train
from trainer.model_settings import ModelSettings
from trainer.pack import MARKER, SPEECH, TEXT, Vocabulary

SIZE, STEPS = 4, 40


def config_of(folders: dict[str, str], options: argparse.Namespace, latent: bool) -> Config:
    """Base, or the same with patches; counted in positions, so that packs are the same."""
    policy = {"lst_spans": {"ratio": 0.5}}
    plain: dict[str, Any] = {
        "name": "latent" if latent else "base",
        "model": {
            "depth": options.depth,
            "latent": {"size": SIZE, "width": 32 * options.depth} if latent else None,
        },
        "data": {
            "sets": {
                "talk": {"shards": folders["talk"], "policy": policy, "share": 1.0},
                "page": {"shards": folders["page"], "policy": "text_only", "share": 2.0},
            },
            "length": 1024,
            "packs": 3,
            "block_packs": 8,
            "patches": {"size": SIZE} if latent else None,
        },
        "text": {"size": 300},
        "speech": {"tokenizer": "energy"},
        "stop": {"steps": options.steps},
        "compute": {"device": options.device},
    }
    return of_json(plain, "benchmark")


def lengths(folders: dict[str, str]) -> dict[str, float]:
    """Positions by kind over some steps, and patches; of the interleaved set alone."""
    data = {
        "sets": {"talk": {"shards": folders["talk"], "policy": {"lst_spans": {"ratio": 0.5}}}},
        "length": 3200,
        "packs": 1,
        "block_packs": 16,
        "patches": {"size": SIZE},
    }
    settings = config_data(data)
    found = dict.fromkeys(("speech", "text", "markers", "patches"), 0.0)
    for given in open_data(settings, Spelt(), At25Hz()).batches(steps=STEPS):
        for pack in given.batch.packs:
            assert settings.patches is not None
            found["speech"] += int((pack.modality == SPEECH).sum())
            found["text"] += int((pack.modality == TEXT).sum())
            found["markers"] += int((pack.modality == MARKER).sum())
            found["patches"] += int((cut(pack, settings.patches) & BEGINS > 0).sum())
    return found


def config_data(data: dict[str, Any]) -> Any:
    from trainer.data_settings import DataSettings

    return DataSettings.model_validate(data)


def length_table(folders: dict[str, str]) -> None:
    found = lengths(folders)
    inside = found["speech"] + found["text"]
    print(on.head("of the interleaved part", "arithmetic", "measured"))
    print(on.row("speech", "0.771", f"{found['speech'] / inside:.3f}"))
    print(on.row("text", "0.229", f"{found['text'] / inside:.3f}"))
    print(on.row("positions of a patch", SIZE, f"{found['speech'] / found['patches']:.3f}"))
    shorter = (found["patches"] + found["text"] + 2 * inside) / (3 * inside)
    print(on.row("global length, with twice as much text alone", "0.807", f"{shorter:.3f}"))
    marked = found["markers"] + found["patches"] + found["text"] + 2 * inside
    print(
        on.row(
            "the same, markers counted in both",
            "-",
            f"{marked / (3 * inside + found['markers']):.3f}",
        )
    )
    print()


def paper_table() -> None:
    """Operations at the sizes of lst.yaml, per underlying token, by arithmetic."""
    tree = read(CONFIGS / "lst.yaml").child("model")
    assert tree is not None
    settings, problems = check(tree, ModelSettings)
    assert settings is not None, problems
    words = Vocabulary(text=32_000, levels=501)
    length = 4096
    total, speech = float(length), length * 0.77 / 3
    given = Counts(
        packs=1,
        plain=total - speech,
        speech=speech,
        patches=speech / SIZE,
        text_targets=total,
        speech_targets=0.0,
    )
    latent = {name: value / total for name, value in by_part(settings, words, given).items()}
    bare = settings.model_copy(update={"latent": None})
    base = plain_by_part(bare, words, length)
    print(on.head("lst.yaml, GFLOP of an underlying token", "base", "latent", "latent / base"))
    for name in latent:
        before, after = base.get(name, 0.0), latent[name]
        share = f"{after / before:.3f}" if before else "-"
        print(on.row(name, f"{before / 1e9:.3f}", f"{after / 1e9:.3f}", share))
    before, after = sum(base.values()), sum(latent.values())
    print(on.row("all", f"{before / 1e9:.3f}", f"{after / 1e9:.3f}", f"{after / before:.3f}"))
    print()


def one_run(config: Config, out: pathlib.Path, clock: Callable[[], float]) -> dict[str, float]:
    """Tokens a second without the first step, and what the log says was done."""
    marks: list[tuple[float, float]] = []
    result = train(config, out, on_line=lambda line: marks.append((clock(), line["positions"])))
    speed = (marks[-1][1] - marks[0][1]) / (marks[-1][0] - marks[0][0])
    last = result.last
    return {
        "speed": speed,
        "flops": result.flops,
        "length": float(last["global_positions"]),
        "positions": float(last["positions"]),
        "speech": float(last["speech_positions"]),
    }


def speed_table(folders: dict[str, str], options: argparse.Namespace, work: pathlib.Path) -> None:
    clock = time.perf_counter if options.device == "cuda" else time.process_time
    rows: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    for pair in range(options.pairs):
        for latent in (False, True) if pair % 2 else (True, False):
            config = config_of(folders, options, latent)
            rows[latent].append(one_run(config, work / f"out{pair}{latent}", clock))
    base, ours = rows[False], rows[True]
    assert base[0]["positions"] == ours[0]["positions"]
    print(on.head("at equal data", "base", "latent", "latent / base", "range over pairs"))
    print(on.row("speech among the tokens", *_same(base, ours, "speech"), "", ""))
    for name, what in (("length", "global positions"), ("flops", "FLOPs by the log")):
        a, b = base[0][name], ours[0][name]
        print(on.row(what, f"{a:.4g}", f"{b:.4g}", f"{b / a:.3f}", ""))
    shares = [b["speed"] / a["speed"] for a, b in zip(base, ours, strict=True)]
    a, b = (statistics.median(one["speed"] for one in each) for each in (base, ours))
    spread = f"{min(shares):.3f} to {max(shares):.3f}"
    print(
        on.row(
            "tokens a second", f"{a:,.0f}", f"{b:,.0f}", f"{statistics.median(shares):.3f}", spread
        )
    )


def _same(base: list[dict[str, float]], ours: list[dict[str, float]], name: str) -> tuple[str, str]:
    a, b = (one[0][name] / one[0]["positions"] for one in (base, ours))
    return f"{a:.3f}", f"{b:.3f}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5, help="of runs (5)")
    parser.add_argument("--steps", type=int, default=8, help="of a run (8)")
    parser.add_argument("--depth", type=int, default=6, help="of both models (6: width 384)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args()
    print(on.circumstances())
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)
        folders = {}
        for name, count in (("talk", 40), ("page", 120)):
            documents = [stream(name, number, 100) for number in range(count)]
            folders[name] = str(write_set(work / name, documents, 64, tokens=At25Hz()))
        length_table(folders)
        paper_table()
        speed_table(folders, options, work)
    return 0


if __name__ == "__main__":
    sys.exit(main())
