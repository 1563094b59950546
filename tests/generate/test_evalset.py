"""Text evaluation sets, spoken."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import soundfile

from trainer.__main__ import main
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.layout import read_set
from trainer.evaluation.speaking import speak_set
from transforms.engines.models import ModelError
from transforms.synthesize.speak import Speak

pytest.importorskip("espeakng_loader")

ENDINGS = [
    {
        "kind": "endings",
        "id": f"story-{n}",
        "prompt": {"text": f"She walked {n} km in the rain"},
        "endings": [{"text": "and came home wet."}, {"text": "and ate the moon."}],
        "answer": 0,
    }
    for n in (2, 5)
]
TABLE = [
    {
        "question": "Which rock is dark?",
        "options": ["basalt", "chalk"],
        "answer": "basalt",
        "page": "p1",
        "id": "q1",
    },
    {
        "question": "What holds threads?",
        "options": ["a loom", "a lamp"],
        "answer": 0,
        "page": "p2",
        "id": "q2",
    },
]
US = Speak(voices=("en-us*",))


def write(path: Path, lines: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_prompt_and_endings_are_spoken_apart(tmp_path: Path) -> None:
    made = speak_set(write(tmp_path / "t.jsonl", ENDINGS), tmp_path / "set", US, language="en")
    assert made.found.modes == ("S-to-S", "S-to-T", "T-to-T") and made.skipped == ()
    files = {path.name: soundfile.info(path) for path in (tmp_path / "set/audio").iterdir()}
    assert len(files) == 6 and {one.samplerate for one in files.values()} == {16_000}
    assert sum(one.duration for one in files.values()) == pytest.approx(made.seconds, abs=0.01)
    first = made.found.items[0]
    assert first.engine == "espeak-ng" and str(first.voice).startswith("en-us")
    assert read_set(tmp_path / "set").digest == made.found.digest


def test_a_side_depends_on_its_text_and_its_voice_alone(tmp_path: Path) -> None:
    both = speak_set(write(tmp_path / "b.jsonl", ENDINGS), tmp_path / "both", US, language="en")
    one = speak_set(write(tmp_path / "o.jsonl", ENDINGS[1:]), tmp_path / "one", US, language="en")
    of_one = {path.name: path.read_bytes() for path in (tmp_path / "one/audio").iterdir()}
    of_both = {path.name: path.read_bytes() for path in (tmp_path / "both/audio").iterdir()}
    assert of_one.items() <= of_both.items() and len(of_one) == 3
    assert one.found.items[0] == both.found.items[1]
    other = speak_set(
        tmp_path / "b.jsonl", tmp_path / "other", US, language="en", seed=1, prompts_only=True
    )
    assert other.found.modes == ("S-to-T", "T-to-T")
    assert [item.voice for item in other.found.items] != [item.voice for item in both.found.items]


def test_items_of_a_group_have_one_voice(tmp_path: Path) -> None:
    grouped = [item | {"group": "page"} for item in ENDINGS]
    made = speak_set(write(tmp_path / "g.jsonl", grouped), tmp_path / "set", US, language="en")
    assert len({item.voice for item in made.found.items}) == 1


def test_a_table_of_questions_by_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = write(tmp_path / "quest.jsonl", TABLE)
    given = ["evalset", "--text", str(table), "--out", str(tmp_path / "set")]
    assert main([*given, "--set", "voices=[en-gb]", "--set", "rate=24000"]) == 0
    assert "2 items of kind cloze in S-to-T, T-to-T" in capsys.readouterr().out
    found = read_set(tmp_path / "set")
    assert {item.voice for item in found.items} == {"en-gb"}
    assert {item.group for item in found.items} == {"p1", "p2"}
    assert main(given) == 2  # sets are never written over
    assert "not empty" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "no"),
        ([{"kind": "text", "id": "t", "text": "a text"}], "nothing to speak"),
        ([ENDINGS[0], ENDINGS[0]], "stands twice"),
        ([ENDINGS[0], TABLE[0]], "kind"),
        (
            [ENDINGS[0] | {"prompt": {"text": "x", "audio": "audio/x.flac"}}],
            "spoken already",
        ),
        ([ENDINGS[0] | {"answer": 7}], "answer is 7"),
        ([ENDINGS[0] | {"prompt": {"text": "..."}}], "silent"),
    ],
)
def test_what_cannot_be_spoken_is_told_and_nothing_is_left(
    lines: list[Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(EvaluationError, match=said):
        speak_set(write(tmp_path / "t.jsonl", lines), tmp_path / "set", US, language="en")
    assert not (tmp_path / "set").exists()


def test_refused_items_may_be_left_out(tmp_path: Path) -> None:
    silent = ENDINGS[0] | {"prompt": {"text": "..."}}
    made = speak_set(
        write(tmp_path / "t.jsonl", [silent, ENDINGS[1]]),
        tmp_path / "set",
        US,
        language="en",
        skip_refused=True,
    )
    assert [item.id for item in made.found.items] == ["story-5"]
    assert "story-2" in made.skipped[0] and "silent" in made.skipped[0]
    assert len(list((tmp_path / "set/audio").iterdir())) == 3


def test_voices_and_languages_that_are_not_there_are_told(tmp_path: Path) -> None:
    source = write(tmp_path / "t.jsonl", ENDINGS)
    with pytest.raises(EvaluationError, match="no voice for 'tlh'"):
        speak_set(source, tmp_path / "set", US, language="tlh")
    with pytest.raises(ModelError, match="no voice of the engine fits"):
        speak_set(source, tmp_path / "set", Speak(voices=("nobody",)), language="en")
    shutil.rmtree(tmp_path / "set", ignore_errors=True)
    with pytest.raises(EvaluationError, match="no such file"):
        speak_set(tmp_path / "none.jsonl", tmp_path / "set", US, language="en")
