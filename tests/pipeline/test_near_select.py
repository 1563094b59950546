"""Near-duplicates through a whole run: verdicts as in memory, clusters, repeats, resume, and that
deciding anew opens no commit."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline import near
from pipeline.phases import rows as joined_rows
from pipeline.phases import select
from pipeline.phases.near_rows import CLUSTERS, read_clusters, read_repeats
from pipeline.phases.rows import joined, joined_name, kept_rows
from pipeline.phases.select import group_here, plan_blocks, read_verdicts, run_select
from pipeline.recipe import load_recipe
from pipeline.summary import summarize
from schemas.store import Store
from tests.laws import made_corpus
from tests.laws.runs import RECIPE, Ran, curate
from transforms.select.dedup import Dedup
from transforms.select.rounds import settle

pytestmark = pytest.mark.slow

NEAR = (
    "dedup: {text: minhash, audio: fingerprint, min_words: 3, shingle_size: 1, similarity: 0.5, "
    "covered: 0.6}"
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Ran:
    folder = tmp_path_factory.mktemp("near")
    recipe = folder / "near.yaml"
    text = RECIPE.read_text().replace("- dedup\n", f"- {NEAR}\n")
    text = text.replace("- loudness\n", "- loudness\n    - fingerprint: {min_seconds: 1}\n")
    recipe.write_text(text)
    data = made_corpus.write_corpus(
        folder / "data", ["talk0.wav", "talk1.wav", "talk2.wav", "again.flac", "copy/talk2.wav"]
    )
    return curate(data, folder / "out", recipe=load_recipe(recipe))


def job_of(ran: Ran, folder: Path) -> select.SelectJob:
    class Elsewhere(Store):
        """Reads what the run has where it has none of its own, and writes its own."""

        def local(self, name: str) -> Path | None:
            return Store(folder if (folder / name).exists() else ran.store.url).local(name)

        def get(self, name: str) -> bytes:
            return Store(folder if (folder / name).exists() else ran.store.url).get(name)

    for name in ("put_if_absent", "list", "size", "delete"):
        setattr(Elsewhere, name, _own(name, folder))
    stream = ran.result.streams[0]
    return select.SelectJob(
        key="k",
        store=Elsewhere(ran.store.url),
        run="r",
        device="d",
        seed=ran.result.recipe.seed,
        steps=stream.outline.select,
        measures=stream.outline.measures,
    )


def _own(name: str, folder: Path) -> Callable[..., Any]:
    def call(self: Store, *arguments: Any) -> Any:
        return getattr(Store(folder), name)(*arguments)

    return call


def step_of(ran: Ran) -> Dedup:
    (step,) = (s for s in ran.result.streams[0].outline.select if isinstance(s, Dedup))
    return step


def test_verdicts_are_those_of_memory(ran: Ran) -> None:
    stream = ran.result.streams[0]
    rows = pa.concat_tables([joined(ran.store, b, stream.outline.measures) for b in stream.blocks])
    verdicts = read_verdicts(ran.store, stream.select_key, [b.id for b in stream.blocks])
    by_dedup = verdicts.filter(pa.compute.equal(verdicts["step"], "dedup")).sort_by("id")
    filtered = verdicts.filter(pa.compute.equal(verdicts["step"], "filter"))
    left = rows.filter(pa.compute.invert(pa.compute.is_in(rows["id"], filtered["id"])))
    expected = settle(step_of(ran), left).sort_by("id")
    assert by_dedup.num_rows and set(by_dedup["reason"].to_pylist()) >= {"same_audio"}
    for column in ("id", "reason", "detail", "seconds", "score", "threshold"):
        assert by_dedup[column].to_pylist() == expected[column].to_pylist()
    assert {"near_text", "near_audio"} & set(by_dedup["reason"].to_pylist())


def test_clusters_are_left_for_splits(ran: Ran) -> None:
    key = ran.result.streams[0].select_key
    found = read_clusters(ran.store, key)
    assert found.schema == CLUSTERS and found.num_rows
    members: dict[tuple[str, str], int] = {}
    for row in found.to_pylist():
        members[row["kind"], row["cluster"]] = members.get((row["kind"], row["cluster"]), 0) + 1
    assert min(members.values()) >= 2
    assert not ran.store.list(f"select/{key}/near")  # what was spilled is gone
    assert not ran.store.list(f"select/{key}/keys")


def verdict_bytes(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted((folder / "select/k").rglob("*.arrow"))
    }


def test_where_blocks_are_cut_and_where_it_is_killed_change_nothing(
    ran: Ran, tmp_path: Path
) -> None:
    stream = ran.result.streams[0]
    tasks = [task for block in stream.blocks for task in block.tasks]
    whole = read_verdicts(ran.store, stream.select_key, [b.id for b in stream.blocks]).sort_by("id")
    for per_block in (1, 3):
        folder = tmp_path / str(per_block)
        blocks = plan_blocks(tasks, per_block)
        run_select(job_of(ran, folder), blocks, group_here)
        mine = read_verdicts(Store(folder), "k", [block.id for block in blocks]).sort_by("id")
        assert mine.equals(whole)
    calls = [0]

    class Killed(Exception):
        pass

    def breaks(label: str, items: Sequence[str], work: Callable[[str], None]) -> None:
        calls[0] += 1
        if calls[0] == 4:
            raise Killed
        near.each_here(label, items, work)

    killed = tmp_path / "killed"
    with pytest.raises(Killed):
        run_select(job_of(ran, killed), plan_blocks(tasks, 3), group_here, breaks)
    run_select(job_of(ran, killed), plan_blocks(tasks, 3), group_here)
    assert verdict_bytes(killed) == verdict_bytes(tmp_path / "3")


def test_deciding_anew_reads_no_commit_and_no_audio(
    ran: Ran, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows were joined by the first run: another threshold reads those files only."""
    stream = ran.result.streams[0]

    def fails(*_: Any, **__: Any) -> Any:
        raise AssertionError("a commit or audio was read")

    monkeypatch.setattr(joined_rows.commits, "column", fails)
    monkeypatch.setattr(Store, "get_range", fails)
    job = job_of(ran, tmp_path)
    run_select(job, stream.blocks, group_here)
    assert Store(tmp_path).size(select.manifest_name("k")) is not None


def test_kept_rows_are_the_joined_ones(ran: Ran) -> None:
    stream = ran.result.streams[0]
    measures = stream.outline.measures
    (block,) = stream.blocks
    assert kept_rows(ran.store, block, measures).equals(joined(ran.store, block, measures))
    some = kept_rows(ran.store, block, measures, {"text", "id"})
    assert some.column_names == ["id", "text"]
    names = {joined_name(b, measures) for b in (block, *plan_blocks(block.tasks[:1]))}
    assert len(names) == 2 and all(name.startswith("annotate/") for name in names)
    assert joined_name(block, measures[:-1]) not in names


def test_texts_that_repeat_are_reported_before_they_leave(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("repeats")
    data = made_corpus.write_corpus(folder / "data", ["talk0.wav", "talk1.wav", "talk2.wav"])
    table = Path(data)
    lines = table.read_text().splitlines()
    head = lines[0].split(",")
    at = head.index("text")
    again = "one and the same greeting is said in all of these shows"
    changed = [lines[0]]
    for line in lines[1:]:
        cells = line.split(",")
        cells[at] = again
        changed.append(",".join(cells))
    table.write_text("\n".join(changed) + "\n")
    recipe = folder / "one.yaml"
    text = RECIPE.read_text().replace("- dedup\n", "- dedup: {audio: null, min_words: 1}\n")
    recipe.write_text(text)
    done = curate(data, folder / "out", recipe=load_recipe(recipe))
    found = read_repeats(done.store, done.result.streams[0].select_key)
    verdicts = read_verdicts(
        done.store, done.result.streams[0].select_key, [b.id for b in done.result.streams[0].blocks]
    )
    left = verdicts.filter(pa.compute.equal(verdicts["reason"], "same_text"))
    assert left.num_rows and sum(one["clips"] - 1 for one in found) == left.num_rows
    assert [one["clips"] for one in found] == sorted((o["clips"] for o in found), reverse=True)
    assert all(one["text"] and one["seconds"] > 0 for one in found)
    assert read_repeats(done.store, "0" * 32) == []
    told = summarize(done.store, done.result, "", done.funnel).notices
    (notice,) = (one for one in told if "templates" in one)
    assert found[0]["text"][:80] in notice and f"({found[0]['clips']} clips)" in notice
