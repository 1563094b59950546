"""From cells to claims, controls and tables; and the page that shows them."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from tests.trainer.ablation.made_cells import cell, cells, study
from trainer.ablation.page import POLICY, page
from trainer.ablation.results import results
from trainer.ablation.tables import as_json, brief, markdown

LEVELS = {"more": 0.8, "less": 0.5, "same": 0.8, "permuted_audio": 0.25, "text_only": 0.25}
FACTS = {"shards of web": "ab" * 32}


def found_of(done, **changes):
    return results(study(**changes), done, 30, FACTS)


def checks(found):
    return {one.name: one.holds for one in found.checks}


def test_a_difference_that_is_there_is_shown_and_the_controls_hold():
    found = found_of(cells(LEVELS))
    (claim,) = found.claims
    assert claim.verdict == "shown" and claim.corrected == claim.compared.p == 2 / 64
    assert claim.compared.interval.mean == pytest.approx(0.3, abs=0.01)
    assert checks(found) == {
        "A/A (same)": True,
        "permuted_audio": True,
        "text_only": True,
        "floor": True,
        "equal": True,
    }
    assert (found.done, found.cells, found.chance) == (30, 30, 0.25)


def test_controls_that_do_not_hold_are_said_and_doubt_the_claim():
    found = found_of(cells(LEVELS | {"same": 0.7, "permuted_audio": 0.4}))
    assert checks(found)["A/A (same)"] is False and checks(found)["permuted_audio"] is False
    assert "DOES NOT HOLD" in brief(found)
    assert "A control does not hold" in page(found)


def test_fewer_than_five_seeds_make_no_claim():
    found = found_of(cells(LEVELS, seeds=4))
    assert found.claims[0].verdict == "no claim: 4 of at least 5 seeds"
    assert found.claims[0].corrected == 1.0
    assert "no claim" in page(found) and "no claim" in markdown(found)


def test_a_study_that_has_hardly_begun_says_what_there_is():
    found = found_of({("more", 1): cell(0.7)})
    assert found.claims[0].verdict == "no claim: no seed is done"
    assert checks(found)["A/A (same)"] is None
    assert "1 of 30 cells" in page(found)
    json.dumps(as_json(found), allow_nan=False)
    empty = found_of({})
    json.dumps(as_json(empty), allow_nan=False)
    assert "<svg" in page(empty)


def test_holm_counts_every_claim_even_one_that_cannot_be_made_yet():
    claims = [
        {"name": "more over less", "better": "more", "worse": "less"},
        {"name": "less over text", "better": "less", "worse": "text_only"},
    ]
    done = {k: v for k, v in cells(LEVELS).items() if k[0] != "text_only"}
    found = found_of(done, claims=claims)
    assert found.claims[0].corrected == 4 / 64
    assert found.claims[1].corrected == 1.0


def test_the_floor_is_that_of_the_worst_cell():
    done = cells(LEVELS)
    done["less", 3] = cell(0.5, read=0.6)
    found = found_of(done)
    assert checks(found)["floor"] is False
    (floor,) = [one for one in found.checks if one.name == "floor"]
    assert floor.found == "least 0.600 (less, seed 3)"


def test_training_loss_decides_nothing():
    done = cells(LEVELS)
    better = {k: v | {"losses": {"loss": 0.1 if k[0] == "less" else 9.0}} for k, v in done.items()}
    assert found_of(better).claims == found_of(done).claims


def test_the_second_measure_is_the_area_and_is_not_corrected():
    (second,) = found_of(cells(LEVELS, spread=0.0)).second
    # the curve: half way up from chance at 10, then level: mean over 10..30 of 0.8 and of 0.5
    assert second.compared.interval.mean == pytest.approx((0.525 + 3 * 0.8) / 4 - (0.375 + 1.5) / 4)
    assert second.corrected is None and second.verdict == "shown, no claim"


def test_counts_are_means_over_seeds_and_passes_are_told():
    found = found_of(cells(LEVELS))
    arm = found.arms[0]
    assert arm.read["speech_to_text"] == 32 and arm.read["passes of speech"] == 2.0
    assert "4.00" in markdown(found)  # switches per spoken document
    assert "More than one pass over the same content: more: 2.00 passes of speech" in page(found)


def test_the_page_needs_nothing_else_and_runs_nothing():
    text = page(found_of(cells(LEVELS)))
    assert POLICY in text and "<script" not in text.lower()
    assert not re.search(r"(?:src|href)\s*=\s*[\"'](?!data:)", text)
    assert "Is &lt;b&gt;more&lt;/b&gt; better?" in text and "<b>more" not in text
    assert text.count("<svg") == 3 and "ab" * 32 in text
    assert text == page(found_of(cells(LEVELS)))


def test_results_are_plain_json():
    plain = as_json(found_of(cells(LEVELS)))
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert plain["claims"][0]["verdict"] == "shown"
    assert plain["claims"][0]["compared"]["differences"]["1"] == pytest.approx(0.3, abs=0.02)
    assert plain["study"]["name"] == "made"


CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.browser
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on PATH")
@pytest.mark.parametrize("width", [500, 1300])
def test_a_browser_shows_the_page_without_a_complaint(tmp_path, width):
    path, shot = tmp_path / "report.html", tmp_path / "shot.png"
    path.write_text(page(found_of(cells(LEVELS))), "utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars"]
    flags += [f"--user-data-dir={tmp_path / 'profile'}", "--enable-logging=stderr"]
    flags += [f"--window-size={width},2600", f"--screenshot={shot}", path.as_uri()]
    ended = subprocess.run(
        [str(CHROMIUM), *flags], capture_output=True, text=True, timeout=90, check=True
    )
    assert "CONSOLE" not in ended.stderr, ended.stderr
    image = np.asarray(Image.open(shot).convert("RGB")).reshape(-1, 3)
    for colour in ((0x1B, 0x6C, 0xA8), (0x2B, 0x6E, 0x3F)):  # plots, and controls that hold
        assert np.sum((image == colour).all(axis=1)) > 100
