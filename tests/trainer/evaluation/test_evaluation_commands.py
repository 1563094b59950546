"""From shards to results by commands: train, hold out, evaluate; and the export under lm-eval."""

import json
from pathlib import Path

import pytest

from schemas.records import Document, frames
from tests.trainer.data.made_sets import document_of, pcm_of, write_set
from tests.trainer.evaluation.toy_models import cloze, made_set
from trainer.__main__ import main
from trainer.evaluate import EvaluationSettings, Tokenizers, evaluate
from trainer.evaluation.held_out import held_out
from trainer.evaluation.items import Gap, Text
from trainer.trained import open_trained
from transforms import flac

DOCUMENTS = [
    document_of("talk", k, [0.5, 0.4, 0.6, 0.3, 0.5], split="valid" if k % 4 == 0 else "train")
    for k in range(24)
]

CONFIG = """
name: toy
model: {depth: 1, width: 32, heads: 2}
data:
  length: 256
  packs: 4
  sets: {talk: {shards: SHARDS, policy: {kind: deterministic}}}
text: {size: 300}
speech: {tokenizer: dmel/25x3}
stop: {steps: 3}
"""


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("shards"), DOCUMENTS)


@pytest.fixture(scope="module")
def run(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "toy.yaml").write_text(CONFIG.replace("SHARDS", str(shards)))
    assert main(["train", "--config", str(folder / "toy.yaml"), "--out", str(folder / "out")]) == 0
    return folder / "out"


@pytest.fixture(scope="module")
def sets(shards: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("sets")
    for kind in ("gap", "text"):
        options = ["--shards", str(shards), "--kind", kind, "--out", str(folder / kind)]
        assert main(["held-out", *options, "--chunks", "3"]) == 0
    items = [cloze(k, [f"one {k}", f"two {k}"], k % 2) for k in range(3)]
    made_set(folder / "quiz", items, sounds=3)
    return {name: folder / name for name in ("gap", "text", "quiz")}


def test_commands_from_shards_to_results(
    run: Path, sets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [text for name in ("gap", "text") for text in ("--evalset", str(sets[name]))]
    flags = tmp_path / "flags"
    flags.write_text("q1\n")
    command = ["evaluate", str(run), *given, "--evalset", f"my quiz={sets['quiz']}"]
    command += ["--set", "answer_prefix=''", "--set", "removals=50", "--flagged", str(flags)]
    assert main([*command, "--out", str(tmp_path / "results")]) == 0
    assert capsys.readouterr().out.split() == [
        str(tmp_path / "results" / name) for name in ("results.json", "items.jsonl", "results.md")
    ]
    found = json.loads((tmp_path / "results" / "results.json").read_text())
    assert found["about"] == {"run": "toy", "step": 3}
    assert found["settings"]["context"] == 256  # the run's
    assert found["settings"]["answer_prefix"] == ""
    assert found["speech_tokenizer"].startswith("dmel")
    by_name = {(one["name"], one["mode"]): one["estimates"] for one in found["sets"]}
    assert set(by_name) == {
        ("gap", "gap"),
        ("text", "T"),
        ("my quiz", "S-to-T"),
        ("my quiz", "T-to-T"),
    }
    # three steps from uniform: each token still costs about the logarithm of the vocabulary
    assert 4.5 < by_name["text", "T"]["nats_per_token"]["value"] < 7
    assert by_name["gap", "gap"]["kl_audio_text"]["value"] > 0
    assert (tmp_path / "results" / "results.md").read_text().startswith("# Evaluation\n")


def test_wrong_commands_say_why(
    run: Path, sets: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "r")]
    quiz = ["--evalset", str(sets["quiz"])]
    for wrong, message in (
        (["--evalset", str(tmp_path), *out], "an evaluation set is a folder"),
        ([*quiz, "--set", "answer_prefx=x", *out], "did you mean answer_prefix"),
        ([*quiz, *quiz, *out], "different names"),
        ([*quiz, "--flagged", str(tmp_path / "none"), *out], "cannot be read"),
    ):
        assert main(["evaluate", str(run), *wrong]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_held_out_items_are_the_documents_of_their_split(shards: Path, tmp_path: Path) -> None:
    valid = {one.recording: one for one in DOCUMENTS if one.split == "valid"}
    found = held_out(str(shards), tmp_path / "gap", kind="gap", chunks=3)
    assert {item.group for item in found.items} == set(valid)
    assert len(found.items) == 12  # of five chunks: three, and two
    for item in found.items:
        assert isinstance(item, Gap)
        document = valid[str(item.group)]
        texts = [chunk.text for chunk in document.chunks]
        first = texts.index(str(item.chunks[0].text))
        assert [chunk.text for chunk in item.chunks] == texts[first : first + len(item.chunks)]
        for place, side in enumerate(item.chunks[:-1]):
            data = (found.folder / str(side.audio)).read_bytes()
            expected = _samples(document, first + place)
            assert (flac.decode(data) == expected).all()
            assert len(flac.decode(data)) == len(expected)
    texts_found = held_out(str(shards), tmp_path / "text", kind="text", most=4)
    assert len(texts_found.items) == 4
    for item in texts_found.items:
        assert isinstance(item, Text)
        assert item.chunks == tuple(c.text for c in valid[str(item.group)].chunks)
    more = held_out(str(shards), tmp_path / "more", kind="text", most=5)
    assert more.items[:4] == texts_found.items


def _samples(document: Document, place: int) -> object:
    chunk = document.chunks[place]
    return pcm_of(document)[frames(chunk.start, document.rate) : frames(chunk.end, document.rate)]


def test_what_is_not_held_out_is_refused(
    shards: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--shards", str(shards), "--kind", "gap", "--out", str(tmp_path / "x")]
    assert main(["held-out", *options, "--split", "train"]) == 2
    assert "what models learn" in capsys.readouterr().err
    assert main(["held-out", *options, "--chunks", "1"]) == 2
    assert not (tmp_path / "x").exists()


def test_one_speaker_only(tmp_path: Path) -> None:
    two = [document_of("talk", k, [0.5] * 4, split="valid", speakers=2) for k in range(3)]
    folder = write_set(tmp_path / "set", two)
    assert main(["held-out", "--shards", str(folder), "--kind", "gap", "--out", "x"]) == 2


@pytest.mark.slow
def test_lm_eval_runs_on_an_export(run: Path, tmp_path: Path) -> None:
    """The command of docs/evaluation.md, on a task made here: nothing is downloaded."""
    pytest.importorskip("lm_eval", reason="pip install lm-eval")
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    assert main(["export", str(run), "--out", str(tmp_path / "model")]) == 0
    rows = [{"q": f"d{k}c0w", "choices": ["0", "zwei"], "gold": k % 2} for k in range(8)]
    data = tmp_path / "rows.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "toy.yaml").write_text(
        "task: toy_choice\n"
        "dataset_path: json\n"
        f"dataset_kwargs: {{data_files: {{test: {data}}}}}\n"
        "test_split: test\n"
        "output_type: multiple_choice\n"
        'doc_to_text: " {{q}}"\n'  # the lead that training puts before a text
        "doc_to_choice: choices\n"
        "doc_to_target: gold\n"
        "metric_list: [{metric: acc}]\n"
    )
    found = simple_evaluate(
        model="hf",
        model_args=f"pretrained={tmp_path / 'model'},dtype=float32",
        tasks=["toy_choice"],
        task_manager=TaskManager(include_path=str(tasks), include_defaults=False),
        device="cpu",
        batch_size=4,
    )
    items = [
        {
            "kind": "cloze",
            "id": f"d{k}",
            "question": {"text": row["q"]},
            "options": row["choices"],
            "answer": row["gold"],
        }
        for k, row in enumerate(rows)
    ]
    trained = open_trained(run)
    ours = evaluate(
        trained.decoder,
        Tokenizers(trained.text, trained.speech, words=trained.vocabulary),
        [made_set(tmp_path / "same", items)],
        EvaluationSettings(answer_prefix=""),
    ).of("same", "T-to-T")
    for sample in found["samples"]["toy_choice"]:
        item = ours.items[sample["doc_id"]]
        theirs = [sample["resps"][place][0][0] for place in item.order]
        assert item.scores["sum"] == pytest.approx(theirs, abs=1e-4)
    assert found["results"]["toy_choice"]["acc,none"] == pytest.approx(
        ours.estimates["accuracy.sum"].value
    )
