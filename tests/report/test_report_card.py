import dataclasses
import io
import json
import re
import tarfile
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline.report import licences, preview
from pipeline.report.card import render_card
from pipeline.report.content import RunSummary, ShardRow, Share


def header(text: str) -> dict[str, object]:
    assert text.startswith("---\n")
    return YAML(typ="safe", pure=True).load(text.split("---\n")[1])


def blocks(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", text, re.S | re.M)


def licensed(run: RunSummary, *names: str) -> RunSummary:
    return dataclasses.replace(
        run, licences=tuple(Share(name=name, items=1, seconds=1.0) for name in names)
    )


def test_header_is_what_hubs_read(run: RunSummary) -> None:
    found = header(render_card(run))
    assert found["pretty_name"] == "harbour-demo"
    assert found["language"] == ["en", "he", "zh"]
    assert found["size_categories"] == ["n<1K"]
    assert found["license"] == "other"
    assert found["license_name"] == "CC-BY-4.0, CC0, and not given for a part"
    assert found["configs"] == [
        {
            "config_name": "web",
            "data_files": [
                {"split": split, "path": [f"shards/{split}/web-*.tar"]}
                for split in ("train", "valid", "test")
            ],
        }
    ]


def test_licences_are_known_exactly_or_not_at_all(run: RunSummary) -> None:
    assert header(render_card(licensed(run, "CC BY 4.0", "CC0")))["license"] == [
        "cc-by-4.0",
        "cc0-1.0",
    ]
    assert header(render_card(licensed(run)))["license"] == "unknown"
    own = header(render_card(licensed(run, "house rules: no")))
    assert own["license"] == "other" and own["license_name"] == "house rules: no"
    assert licences.identifier("CC-BY") is None and licences.identifier("mit") == "mit"


def test_yaml_sees_words_as_words(run: RunSummary) -> None:
    named = dataclasses.replace(run, name='no: "x"\n---\nlicense: mit')
    named = dataclasses.replace(named, languages=(Share(name="no", items=1, seconds=1.0),))
    found = header(render_card(named))
    assert found["pretty_name"] == 'no: "x" --- license: mit'
    assert found["language"] == ["no"]
    assert "license" in found and found["license"] == "other"


def test_shards_that_a_glob_would_confuse_are_named(run: RunSummary) -> None:
    rows = [
        ShardRow(
            path=f"web-{n}.tar", stream="web", split=split, documents=1, seconds=1.0, size=1,
            sha256="0" * 64,
        )
        for n, split in enumerate(["train", "test"])
    ]  # fmt: skip
    configs = header(render_card(dataclasses.replace(run, shards=tuple(rows))))["configs"]
    assert configs == [
        {
            "config_name": "web",
            "data_files": [
                {"split": "train", "path": ["web-0.tar"]},
                {"split": "test", "path": ["web-1.tar"]},
            ],
        }
    ]


def test_body_says_what_left_and_why_and_warns(run: RunSummary) -> None:
    text = render_card(run).replace("\u202f", " ")
    assert "`snr_low` 171 (0.210 h)<br>`text_too_fast` 15 (0.027 h)" in text
    assert "- `overlap`: Two people speak at once." in text
    assert "> **Warning.** Smoke-quality text: 971 clips" in text
    assert "| `train` | 2,700 | 4.351 | 94.0 % |" in text
    assert run.recipe.strip() in text
    for row in run.shards:
        assert row.sha256 in text


def test_tables_keep_their_columns_whatever_the_names_hold(run: RunSummary) -> None:
    odd = Share(name="a|b`c <b>x</b>\n| d", items=1, seconds=1.0)
    text = render_card(dataclasses.replace(run, speakers=(odd,)))
    row = next(line for line in text.splitlines() if "a¦b" in line)
    assert row.count("|") == 5


def test_a_recipe_cannot_close_its_fence(run: RunSummary) -> None:
    text = render_card(dataclasses.replace(run, recipe="a: 1\n```\n# out\n````\n"))
    assert "`````yaml\na: 1\n```\n# out\n````\n`````\n" in text


@pytest.fixture
def stored(run: RunSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunSummary:
    """The example with one real shard of two documents in the working folder."""
    (tmp_path / "shards" / "train").mkdir(parents=True)
    path = "shards/train/web-00000000.tar"
    audio, _ = preview.flac(np.arange(1600, dtype=np.int16), 16000)
    with tarfile.open(tmp_path / path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key in ("a1", "a2"):
            text = json.dumps({"id": key, "stream": "web"}).encode()
            for name, data in ((f"{key}.flac", audio), (f"{key}.json", text)):
                info = tarfile.TarInfo(name)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
    monkeypatch.chdir(tmp_path)
    row = ShardRow(
        path=path, stream="web", split="train", documents=2, seconds=0.2, size=1, sha256="0" * 64
    )
    return dataclasses.replace(run, shards=(row,))


def test_the_tarfile_lines_of_the_card_run(stored: RunSummary) -> None:
    space: dict[str, object] = {}
    exec(blocks(render_card(stored))[2], space)
    assert space["document"] == {"id": "a2", "stream": "web"}


def test_the_webdataset_lines_of_the_card_run(stored: RunSummary) -> None:
    space: dict[str, object] = {}
    exec(blocks(render_card(stored))[0], space)
    assert space["document"] == {"id": "a2", "stream": "web"}
    assert space["flac"] is not None


@pytest.mark.slow
def test_the_datasets_lines_of_the_card_run(
    stored: RunSummary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    pytest.importorskip("datasets")
    space: dict[str, object] = {}
    exec(blocks(render_card(stored))[1], space)
    assert space["document"] == {"id": "a2", "stream": "web"}
    assert space["flac"][:4] == b"fLaC"  # type: ignore[index]
