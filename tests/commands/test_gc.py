"""gc removes what no finished run reaches, and nothing else."""

import json
import os
from collections.abc import Callable

import pytest

from pipeline.locks import Holder, phase_lock, process_birth
from pipeline.pointers import read_pointers
from pipeline.reach import garbage, refuse_while_held
from schemas.store import Store, StoreError
from tests.commands.made import Made, Said, listing, speechloom

Copy = Callable[[Made], Made]
RUN = "20260101T000000-abcdef"
GONE = 2**22 + 1  # beyond the largest process id


def gc(made: Made, *more: str) -> Said:
    return speechloom("gc", "--out", made.out, *more)


def end_process(made: Made) -> None:
    """Make the locks that this test took look as if its process had ended."""
    for path in made.out.rglob("locks/*.json"):
        holder = json.loads(path.read_text())
        if holder["pid"] == os.getpid():
            path.write_text(json.dumps(holder | {"pid": GONE}))


def keys(made: Made) -> dict[str, set[str]]:
    """The keys of each phase that lie in an OUT."""
    return {
        phase: {path.name for path in (made.out / phase).iterdir() if len(path.name) == 32}
        for phase in ("gather", "hear", "annotate", "measure", "select", "arrange", "compose")
    }


def cached(made: Made, *more: str) -> bool:
    plan = json.loads(made.plan("--json", *more).out)
    return all(phase["cached"] for stream in plan["streams"] for phase in stream["phases"])


def test_what_a_run_reaches_stays_and_the_rest_goes(grown: Made, copy: Copy) -> None:
    mine = copy(grown)
    before = keys(mine)
    dry = gc(mine, "--dry-run")
    assert dry.code == 0, dry.err
    assert "would remove" in dry.out
    assert listing(mine.out) == listing(grown.out)
    said = gc(mine)
    assert said.code == 0, said.err
    assert said.out.splitlines()[1:] == dry.out.splitlines()[1:]
    reached: dict[str, set[str]] = {}
    for pointer in read_pointers(Store(mine.out)):
        for phase, key in pointer.reached():
            reached.setdefault(phase, set()).add(key)
    after = keys(mine)
    assert after.pop("gather") == before.pop("gather")
    assert after == reached
    assert before["select"] > after["select"] and before["compose"] > after["compose"]
    assert cached(mine, "--set", "filter.min_words=1")
    assert speechloom("validate", mine.out).code == 0
    assert "nothing to remove" in gc(mine).out


def test_bytes_are_told_by_kind_and_are_what_is_freed(grown: Made, copy: Copy) -> None:
    mine = copy(grown)
    before = listing(mine.out)
    found = garbage(Store(mine.out))
    assert gc(mine).code == 0
    after = listing(mine.out)
    gone = sum(size for name, (size, _) in before.items() if name not in after)
    assert sum(freed for _, freed in found.by_kind().values()) == gone
    assert {"compositions", "reports", "logs", "select of other settings"} <= set(found.by_kind())


def test_a_shard_that_moved_on_is_known_in_its_new_place(made: Made, copy: Copy) -> None:
    mine = copy(made)
    old = json.loads((mine.out / "runs/fast.json").read_text())["compose"]
    mine.curate("--set", "filter.max_seconds=500")  # another key, the same clips
    shards = list((mine.out / "compose" / old).rglob("*.tar"))
    assert shards and all(path.stat().st_nlink == 2 for path in shards)  # linked, not written
    assert gc(mine).code == 0
    assert not (mine.out / "compose" / old).exists()
    notes = [json.loads(p.read_text()) for p in (mine.out / "compose/entries").iterdir()]
    assert notes and all((mine.out / note["tar"]).is_file() for note in notes)
    assert cached(mine, "--set", "filter.max_seconds=500")


def test_forgetting_a_recipe_leaves_what_others_share(grown: Made, copy: Copy) -> None:
    mine = copy(grown)
    unknown = gc(mine, "--forget", "slow")
    assert unknown.code == 1 and "fast, other" in unknown.err
    assert gc(mine, "--forget", "other").code == 0
    assert sorted(p.name for p in (mine.out / "runs").iterdir()) == ["fast.json"]
    assert cached(mine, "--set", "filter.min_words=1")
    (pointer,) = read_pointers(Store(mine.out))
    assert keys(mine)["hear"] == {pointer.streams["web"].hear}
    assert speechloom("validate", mine.out).code == 0


def test_audio_of_lost_attempts_and_unfinished_writes_go(made: Made, copy: Copy) -> None:
    mine = copy(made)
    hear = mine.out / "hear" / next(iter(keys(mine)["hear"]))
    (good,) = (hear / "tars").iterdir()
    lost = hear / "tars" / f"{'0' * 64}.tar"
    lost.write_bytes(b"x" * 700)
    staged = hear / "tars" / f"{'1' * 64}.tar#3"
    staged.write_bytes(b"y" * 300)
    foreign = mine.out / "hear" / "mine.wav"
    foreign.write_bytes(b"z")
    kinds = garbage(Store(mine.out)).by_kind()
    assert kinds["audio of lost attempts"] == (1, 700)
    assert kinds["unfinished writes"] == (1, 300)
    assert gc(mine).code == 0
    assert not lost.exists() and not staged.exists()
    assert good.exists() and foreign.exists()


def test_old_locks_go_and_the_newest_stays(made: Made, copy: Copy) -> None:
    mine = copy(made)
    key = next(iter(keys(mine)["hear"]))
    store = Store(mine.out)
    for _ in range(2):
        with phase_lock(store, "hear", key, RUN):
            pass
    end_process(mine)
    assert gc(mine).code == 0
    left = sorted(path.name for path in (mine.out / "hear" / key / "locks").iterdir())
    assert left == ["000004.json", "000004.released"]  # gather, hear and two more


def test_nothing_goes_while_a_phase_is_held(grown: Made, copy: Copy) -> None:
    mine = copy(grown)
    key = next(iter(keys(mine)["annotate"]))
    with phase_lock(Store(mine.out), "annotate", key, RUN):
        before = listing(mine.out)
        for more in ((), ("--dry-run",), ("--forget", "other")):
            said = gc(mine, *more)
            assert said.code == 3 and RUN in said.err and "Nothing was removed" in said.err
        assert {k: v for k, v in listing(mine.out).items() if k in before} == before
    end_process(mine)
    assert gc(mine).code == 0


def test_nothing_goes_while_a_run_is_between_two_phases(made: Made, copy: Copy) -> None:
    mine = copy(made)
    store = Store(mine.out)
    key = next(iter(keys(mine)["hear"]))
    with phase_lock(store, "hear", key, RUN):
        pass
    folder = mine.out / "hear" / key / "locks"
    mark = json.loads((folder / "000003.json").read_text())
    assert Holder(**mark).pid == os.getpid()  # this test process is alive, its lock is released
    said = gc(mine)
    assert said.code == 3 and "between two phases" in said.err
    end_process(mine)
    assert process_birth(GONE) == ""
    assert gc(mine).code == 0


def test_a_run_that_only_began_to_log_is_waited_for(made: Made, copy: Copy) -> None:
    mine = copy(made)
    log = mine.out / f"logs/{RUN}.jsonl"
    log.write_text('{"event": "phase"}\n')
    said = gc(mine)
    assert said.code == 3 and RUN in said.err
    os.utime(log, (1_700_000_000, 1_700_000_000))
    assert gc(mine).code == 0
    assert not log.exists()


@pytest.fixture
def unfinished(grown: Made, copy: Copy) -> Made:
    """The run of `other`, as if it had been killed before its end."""
    mine = copy(grown)
    path = mine.out / "runs/other.json"
    log = mine.out / f"logs/{json.loads(path.read_text())['run']}.jsonl"
    lines = log.read_text().splitlines(keepends=True)
    assert json.loads(lines[-1])["event"] == "counters"
    log.write_text("".join(lines[:-1]))
    path.unlink()
    return mine


def test_work_of_an_unfinished_run_is_kept(unfinished: Made) -> None:
    before = keys(unfinished)
    said = gc(unfinished)
    assert said.code == 0, said.err
    assert "by runs that did not finish" in said.out
    after = keys(unfinished)
    assert (after["hear"], after["annotate"]) == (before["hear"], before["annotate"])
    assert len(after["hear"]) == 2 and len(after["select"]) == 1
    again = gc(unfinished)
    assert "nothing to remove" in again.out and "by runs that did not finish" in again.out


def test_work_of_an_unfinished_run_goes_when_asked(unfinished: Made) -> None:
    assert gc(unfinished, "--unfinished").code == 0
    counts = {phase: len(found) for phase, found in keys(unfinished).items()}
    assert counts == {**dict.fromkeys(counts, 1), "measure": 2}
    assert cached(unfinished, "--set", "filter.min_words=1")


def test_without_a_finished_run_nothing_goes(made: Made, copy: Copy) -> None:
    mine = copy(made)
    (mine.out / "runs/fast.json").unlink()
    before = listing(mine.out)
    said = gc(mine)
    assert said.code == 1 and "no finished run" in said.err
    assert listing(mine.out) == before


def test_a_pointer_that_cannot_be_read_stops_everything(grown: Made, copy: Copy) -> None:
    mine = copy(grown)
    (mine.out / "runs/other.json").write_text("{")
    before = listing(mine.out)
    said = gc(mine)
    assert said.code == 1 and "runs/other.json" in said.err
    assert listing(mine.out) == before


def test_an_absent_out_is_not_made(made: Made, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("absent")
    store = Store(folder / "out")
    refuse_while_held(store, [])
    with pytest.raises(StoreError, match="no finished run"):
        garbage(store)
    assert list(folder.iterdir()) == []
