"""Every measurement runs to its end on as little as it takes, and prints a table."""

import json
import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def bench(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "SPEECHLOOM_CORPUS": "/nonexistent"},
    )


def rows(output: str) -> list[list[str]]:
    """The cells of all lines of Markdown tables."""
    return [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in output.splitlines()
        if line.startswith("| ")
    ]


def test_efficiency() -> None:
    done = bench("efficiency.py", "--minutes", "0.5", "--repeats", "2", "--processes", "1")
    assert done.returncode == 0, done.stderr
    assert "python benchmarks/efficiency.py" in done.stdout
    titles = [row[0] for row in rows(done.stdout)]
    assert {"pipeline, the loop's steps", "pipeline, offline.yaml"} <= set(titles)
    assert {"hear", "annotate", "measure", "compose"} <= set(titles)


def test_memory() -> None:
    done = bench("memory.py", "--lengths", "0.5", "--minutes", "0.5")
    assert done.returncode == 0, done.stderr
    found = {row[0]: row for row in rows(done.stdout)}
    assert float(found["one of 0.5 minutes"][4].strip("*")) > 200  # MB: torch alone is more
    assert found["one of 0.5 minutes"][7] == "yes"


def test_reslice_does_nothing_dear_again() -> None:
    done = bench("reslice.py", "--minutes", "0.5", "--given")
    assert done.returncode == 0, done.stderr
    found = {row[0]: row for row in rows(done.stdout)}
    assert int(found["first run"][4]) >= 3
    for title in ("another threshold", "another materialised interleaving", "the same again"):
        assert found[title][4] == "0"


def made_corpus(folder: pathlib.Path) -> None:
    """A corpus of this repository's samples: two clips, a piece of music and a label file."""
    (folder / "audio" / "own").mkdir(parents=True)
    lines = []
    for name, kind in (
        ("clips/bread.flac", "speech"),
        ("clips/oven.flac", "speech"),
        ("music.webm", "nonspeech"),
        ("broken.flac", "speech"),
    ):
        target = folder / "audio" / "own" / pathlib.Path(name).name
        shutil.copyfile(ROOT / "samples" / name, target)
        lines.append({"audio": f"audio/own/{target.name}", "kind": kind, "source": "own"})
    (folder / "audio" / "own" / "bread.rttm").write_text("SPEAKER bread 1 0 2 <NA> <NA> a\n")
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder / "manifest.jsonl").write_text(text)


def test_corpus_run_accounts_for_every_file(tmp_path: pathlib.Path) -> None:
    made_corpus(tmp_path)
    done = bench("corpus_run.py", "--corpus", str(tmp_path))
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(done.stdout)
    assert ["below DATA", "5"] in found
    assert ["listed as a recording", "4"] in found
    assert ["listed and refused: not_audio", "1"] in found
    assert ["own", "speech", "3", "2"] in [row[:4] for row in found]
    (mute,) = [row for row in found if row[0] == "own/broken.flac"]
    assert mute[2].startswith("decode/")


def test_corpus_run_fails_where_a_listed_file_is_not_below_data(tmp_path: pathlib.Path) -> None:
    made_corpus(tmp_path)
    with (tmp_path / "manifest.jsonl").open("a") as manifest:
        line = {"audio": "audio/own/lost.flac", "kind": "speech", "source": "own"}
        manifest.write(json.dumps(line) + "\n")
    done = bench("corpus_run.py", "--corpus", str(tmp_path))
    assert done.returncode == 1
    assert "in the manifest, not a recording: own/lost.flac" in done.stdout
