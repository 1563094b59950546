"""Rules, notes, quantiles and masks through the whole pipeline; what is refused when planned."""

import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from pipeline.phases.select import from_ipc, limits_name, read_verdicts
from pipeline.pointers import read_pointers
from pipeline.recipe import Recipe, resolve
from pipeline.view import View
from pipeline.walk import Hit, Walk
from schemas.settings import SettingsError
from schemas.strict_yaml import parse
from tests.laws import made_corpus
from tests.laws.made_corpus import Row
from tests.laws.runs import RECIPE, Ran, curate
from transforms.compose.masking import MaskError

FILES = ["talk0.wav", "talk1.wav", "talk3.wav"]
TEXTS = ["river stone and light", "write to anna at gmail dot com today", "call 415 555 2671 now"]


def recipe(changes: dict[str, str], name: str = "laws") -> Recipe:
    """The recipe of the laws with lines that begin with `- <step>` replaced."""
    lines = RECIPE.read_text(encoding="utf-8").replace("name: laws", f"name: {name}").splitlines()
    for step, line in changes.items():
        (place,) = [n for n, old in enumerate(lines) if re.match(rf"\s+- {step}\b", old)]
        lines[place] = line and "\n".join(f"    - {one}" for one in line.split("\n"))
    return resolve(parse("\n".join(lines) + "\n", "made.yaml"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    table = [Row(audio=f, text=t, speaker="voice") for f, t in zip(FILES, TEXTS, strict=True)]
    folder = tmp_path_factory.mktemp("masked") / "data"
    return made_corpus.write_corpus(folder, FILES, table)


RULES = (
    "filter: {score_only: true, rules: {quietest: {column: loudness.lufs, min_quantile: 0.5}, "
    "named: {not: {column: text, match: river}}}}"
)


@pytest.fixture(scope="module")
def ran(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, Ran]:
    """One OUT, the same clips without and with a mask."""
    out = tmp_path_factory.mktemp("out")
    plain = curate(data, out, recipe=recipe({"filter": RULES}))
    mask = "mask: {unmeasured: clip}\ninterleave"
    masked = curate(data, out, recipe=recipe({"filter": RULES, "interleave": mask}, "masked"))
    return plain, masked


def verdicts(run: Ran) -> list[dict[str, Any]]:
    stream = run.result.streams[0]
    blocks = [block.id for block in stream.blocks]
    rows: list[dict[str, Any]] = read_verdicts(run.store, stream.select_key, blocks).to_pylist()
    return rows


def test_a_filter_that_drops_nothing_says_what_it_would_have_dropped(ran: tuple[Ran, Ran]) -> None:
    rows = verdicts(ran[0])
    assert all(row["kept"] for row in rows)
    noted = [row for row in rows if row["reason"] is not None]
    assert {row["reason"] for row in noted} == {"quietest", "named"}
    assert all(row["step"] == "filter" and row["split"] is not None for row in noted)
    (step,) = [row for row in ran[0].funnel if row.step == "filter"]
    assert step.drops == () and step.items_in == step.items_out


def test_the_quantile_is_of_all_clips_and_is_kept(ran: tuple[Ran, Ran]) -> None:
    stream = ran[0].result.streams[0]
    (limit,) = from_ipc(ran[0].store.get(limits_name(stream.select_key, 0))).to_pylist()
    assert (limit["column"], limit["per"], limit["quantile"]) == ("loudness.lufs", None, 0.5)
    quietest = [row for row in verdicts(ran[0]) if row["reason"] == "quietest"]
    assert {row["threshold"] for row in quietest} == {limit["limit"]}
    assert all(row["score"] < limit["limit"] for row in quietest)
    assert len(quietest) <= limit["rows"] // 2


def test_explain_tells_what_would_have_been_dropped(ran: tuple[Ran, Ran]) -> None:
    pointer = next(p for p in read_pointers(ran[0].store) if p.name == "laws")
    view = View(ran[0].store, pointer, "web")
    row = next(row for row in verdicts(ran[0]) if row["reason"] == "quietest")
    told = "\n".join(Walk(view).tell(Hit(kind="clip", id=row["id"])))
    assert "kept, split" in told
    assert "quietest': {'column': 'loudness.lufs', 'min_quantile': 0.5}" in told
    assert "would have been dropped by filter: quietest" in told
    assert "A rule that the recipe gives this name." in told


def samples(run: Ran) -> dict[str, tuple[dict[str, Any], np.ndarray, bytes]]:
    """Clip of each document's first chunk -> its JSON, samples and FLAC."""
    folder = Path(run.store.url) / "compose" / run.result.compose_key
    found = {}
    for tar in sorted(folder.rglob("*.tar")):
        with tarfile.open(tar) as file:
            members = {m.name: file.extractfile(m).read() for m in file}  # type: ignore[union-attr]
        for name, data in members.items():
            if name.endswith(".json"):
                audio = members[name.removesuffix("json") + "flac"]
                fields = json.loads(data)
                pcm = soundfile.read(io.BytesIO(audio), dtype="int16")[0]
                found[fields["chunk_clip"][0]] = (fields, pcm, audio)
    return found


def test_only_documents_with_personal_data_change(ran: tuple[Ran, Ran]) -> None:
    before, after = samples(ran[0]), samples(ran[1])
    assert set(before) == set(after) and len(before) >= 3
    changed = 0
    for clip, (fields, pcm, audio) in after.items():
        if not any(fields["chunk_masked"]):
            assert (fields, audio) == (before[clip][0], before[clip][2])
            assert fields["chunk_muted"] == [0.0] * len(fields["chunk_text"])
            continue
        changed += 1
        assert len(pcm) == len(before[clip][1])
        whole = " ".join(fields["chunk_text"])
        assert "[EMAIL]" in whole or "[PHONE]" in whole
        assert "2671" not in whole and "gmail" not in whole
        for start, end, kinds, muted in zip(
            *(fields[f"chunk_{name}"] for name in ("start", "end", "masked", "muted")), strict=True
        ):
            silent = pcm[round(start * fields["rate"]) : round(end * fields["rate"])] == 0
            assert silent.all() == bool(kinds)
            assert muted == pytest.approx(end - start if kinds else 0.0)
    assert changed == 2
    folder = Path(ran[1].store.url) / "compose" / ran[1].result.compose_key
    shared = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    assert len(shared) > 3
    assert not any(b"2671" in data or b"gmail" in data for data in shared)


def test_the_funnel_counts_the_mask(ran: tuple[Ran, Ran]) -> None:
    (row,) = [row for row in ran[1].funnel if row.step == "mask"]
    assert row.phase == "compose" and row.items_in == row.items_out > 0


def test_a_mask_that_drops_is_counted_and_one_that_refuses_stops(
    ran: tuple[Ran, Ran], data: Path
) -> None:
    out = Path(ran[0].store.url)
    drop = "mask: {unmeasured: drop}\ninterleave"
    dropped = curate(data, out, recipe=recipe({"filter": RULES, "interleave": drop}, "dropped"))
    (row,) = [row for row in dropped.funnel if row.step == "mask"]
    (count,) = row.drops
    assert count.reason == "times_not_measured"
    assert row.items_in - row.items_out == count.items > 0
    refused = recipe({"filter": RULES, "interleave": "mask\ninterleave"}, "refused")
    with pytest.raises(MaskError, match=r"holds personal data.*unmeasured: drop"):
        curate(data, out, recipe=refused)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("filter: {max_toxic: 0.5}", "reads harm.toxic, .* add the step harm before filter"),
        ("filter: {gopher: true}", "add the step text_rules before filter"),
        (
            "filter: {rules: {a: {any_of: [{column: seconds, min: 1}, "
            "{not: {column: perplexity.perplexity, max: 9}}]}}}",
            "add the step perplexity before filter",
        ),
        ("filter: {rules: {a: {column: harm.toxick, max: 1}}}", "harm.toxic"),
        ("filter: {rules: {a: {column: language, min: 1}}}", "is no number"),
        ("filter: {rules: {a: {column: codec, deny_file: nowhere.txt}}}", "cannot be read"),
        ("filter: {rules: {a: {column: text, avoid: '('}}}", "RE2"),
        ("filter: {rules: {too_short: {column: seconds, min: 1}}}", "cannot name a rule"),
        ("filter: {rules: {a: {column: seconds, min: .nan}}}", "numbers are finite"),
    ],
)
def test_what_a_rule_lacks_is_said_before_work_starts(line: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        recipe({"filter": line})


def test_mask_stands_before_interleave() -> None:
    with pytest.raises(SettingsError, match="stands before mask"):
        recipe({"interleave": "interleave\nmask"})
