"""The limit that calibration chooses loses what it may, and no less than it could."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from benchmarks.calibrate import Judged, choose, is_right, shares  # noqa: E402


def judged(right: list[float], wrong: list[float]) -> list[Judged]:
    both = [(value, True) for value in right] + [(value, False) for value in wrong]
    return [Judged(str(place), value, good) for place, (value, good) in enumerate(both)]


VALUES = st.floats(-3, 0)


@given(st.lists(VALUES, min_size=1, max_size=60), st.lists(VALUES), st.floats(0, 0.5))
def test_no_more_is_lost_than_allowed_and_a_higher_limit_would_lose_more(
    right: list[float], wrong: list[float], most: float
) -> None:
    some = judged(right, wrong)
    limit = choose(some, most)
    assert limit is not None
    lost, _ = shares(some, limit)
    assert lost <= most
    assert shares(some, limit + 0.011)[0] > most


def test_what_lies_between_is_told_apart() -> None:
    some = judged([-0.1, -0.12, -0.15], [-0.3, -0.4, -0.14])
    limit = choose(some, 0.01)
    assert limit == -0.15
    assert shares(some, limit) == (0.0, pytest.approx(2 / 3))
    assert choose(judged([], [-0.3]), 0.01) is None


def test_right_is_a_fifth_of_the_words_at_most() -> None:
    assert is_right("one two three four six", "One, two, three, four, five!")
    assert not is_right("one two three six six", "One, two, three, four, five!")
    assert not is_right("thank you", "")


@pytest.mark.slow
def test_a_table_of_clips_gives_a_line_for_the_recipe(tmp_path: Path) -> None:
    """The small Whisper on clips that it knows, and on speech that it turns into its grammar."""
    toy = ROOT / "tests/assets/whisper-toy"
    lines = ["path,text,language"]
    for one in json.loads((toy / "clips" / "clips.json").read_text()):
        text = " ".join(sentence["text"] for sentence in one["sentences"])
        lines.append(f"{toy / 'clips' / one['file']},{text},{one['language'] or 'en'}")
    for path in sorted((ROOT / "samples/clips").glob("*.flac")):
        lines.append(f"{path},nothing of its grammar,en")
    (tmp_path / "clips.csv").write_text("\n".join(lines) + "\n")
    done = subprocess.run(
        [
            *(sys.executable, "benchmarks/calibrate.py", "--engine", f"faster-whisper/{toy}"),
            *("--table", str(tmp_path / "clips.csv")),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()]
    found = {row[0]: row[1:] for row in rows if len(row) == 5}
    assert sum(int(found[half][0]) for half in ("chosen on", "held out")) == 6
    assert sum(int(found[half][1]) for half in ("chosen on", "held out")) == 6
    assert found["chosen on"][2] == "0.0%"
    assert found["held out"][3] == "100.0%"
    limit = float(done.stdout.split("min_log_probability: ")[1].split("}")[0])
    assert -0.35 < limit < -0.05
