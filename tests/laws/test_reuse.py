"""What a change costs: only what depends on it is made again (asserted on counters)."""

import dataclasses
import os
import time
from pathlib import Path

import pytest

from pipeline.report.content import FunnelRow
from schemas.shard_reader import read_shard
from tests.laws import made_corpus, runs
from tests.laws.made_corpus import Row
from tests.laws.runs import Ran


def worked(ran: Ran) -> set[str]:
    """The steps and phases that did anything, by Beam's counters."""
    found = set()
    for name in ran.counters:
        parts = name.split("/")
        found.add(parts[0])
        if len(parts) == 3:
            found.add(parts[1])
    return found


AUDIO = {"hear", "decode", "segment", "gate"}
ROWS = {"annotate", "diarize", "transcribe"}


@pytest.fixture(scope="module")
def out(corpus: Path, undisturbed: Ran, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An OUT in which the corpus has been curated, for tests that add to it."""
    place = tmp_path_factory.mktemp("reused") / "out"
    assert worked(runs.curate(corpus, place)) >= AUDIO | ROWS
    return place


def test_the_same_command_again_does_nothing(corpus: Path, out: Path, undisturbed: Ran) -> None:
    locks = sorted(out.rglob("locks/*"))
    ran = runs.curate(corpus, out)
    assert ran.counters == {} and ran.phases() == {}
    assert ran.digests == undisturbed.digests
    assert locks and sorted(out.rglob("locks/*")) == locks  # none was taken again


def test_a_filter_threshold_reruns_select_and_compose_only(corpus: Path, out: Path) -> None:
    ran = runs.curate(corpus, out, ["filter.min_seconds=1.5"])
    assert worked(ran) == {"select", "arrange", "compose"}
    assert step(ran, "filter").drops[0].reason == "too_short"


def test_an_interleaving_reruns_compose_only(corpus: Path, out: Path, undisturbed: Ran) -> None:
    ran = runs.curate(corpus, out, ["interleave.granularity=coarse"])
    assert worked(ran) == {"arrange"}  # the same documents: their shards are linked, not written
    materialised = runs.curate(corpus, out, ["interleave.materialize=true"])
    assert worked(materialised) == {"arrange", "compose"}
    assert materialised.digests != undisturbed.digests


def test_shard_sizes_rerun_compose_only(corpus: Path, out: Path, undisturbed: Ran) -> None:
    ran = runs.curate(corpus, out, ["shards.hours=0.01"])
    assert worked(ran) == {"compose"}
    assert len(ran.digests) < len(undisturbed.digests)


def test_another_measure_hears_and_transcribes_nothing(corpus: Path, out: Path) -> None:
    recipe = runs.RECIPE.read_text().replace("    - loudness\n", "    - loudness\n    - snr\n")
    path = out.parent / "with_snr.yaml"
    path.write_text(recipe)
    ran = runs.curate(corpus, out, recipe=runs.load_recipe(path))
    assert worked(ran) - {"measure", "snr", "select", "arrange", "compose"} == set()
    assert "snr" in worked(ran) and "loudness" not in worked(ran)


def test_a_changed_measure_runs_alone(corpus: Path, out: Path) -> None:
    ran = runs.curate(corpus, out, ["clipping.min_run=4"])
    assert worked(ran) - {"measure", "clipping", "select", "arrange", "compose"} == set()
    assert "clipping" in worked(ran)


def test_a_segment_setting_decodes_again(corpus: Path, out: Path) -> None:
    """The counters do tell: the tests above would see a decode."""
    assert worked(runs.curate(corpus, out, ["segment.max_seconds=8"])) >= AUDIO | ROWS


# What is given in the table: corrected, and joined late.


def step(ran: Ran, name: str) -> FunnelRow:
    (row,) = [row for row in ran.funnel if row.step == name]
    return row


def chunks(ran: Ran) -> list[dict[str, str]]:
    """Every chunk of every shard with its document's licence and source."""
    folder = Path(ran.store.url) / "compose" / ran.result.compose_key
    found = []
    for entry in ran.result.shards:
        with (folder / entry.name).open("rb") as stream:
            for sample in read_shard(stream, entry.name):
                document = sample.document
                found += [
                    {
                        "source": document.source,
                        "licence": document.licence,
                        "speaker": chunk.speaker,
                        "text": chunk.text,
                    }
                    for chunk in document.chunks
                ]
    return found


def corrected(corpus: Path, folder: Path, name: str, **changes: str) -> Path:
    """A copy of the table in the same folder with one row changed."""
    table = [
        dataclasses.replace(row, **changes) if row.audio == name else row
        for row in made_corpus.rows()
    ]
    path = folder / corpus.name
    return made_corpus.write_table(path, table)


@pytest.fixture
def own_corpus(tmp_path: Path) -> Path:
    return made_corpus.write_corpus(tmp_path / "data")


def test_a_corrected_licence_joins_at_select(own_corpus: Path, tmp_path: Path) -> None:
    before = runs.curate(own_corpus, tmp_path / "out")
    assert {c["licence"] for c in chunks(before) if c["source"] == "talk3.wav"} == {"CC0-1.0"}
    corrected(own_corpus, own_corpus.parent, "talk3.wav", licence="CC-BY-SA-4.0")
    after = runs.curate(own_corpus, tmp_path / "out")
    assert worked(after) == {"select", "arrange", "compose"}
    assert {c["licence"] for c in chunks(after) if c["source"] == "talk3.wav"} == {"CC-BY-SA-4.0"}
    assert after.digests == runs.curate(own_corpus, tmp_path / "fresh").digests


@pytest.mark.slow
def test_a_corrected_text_and_speaker_decode_nothing(own_corpus: Path, tmp_path: Path) -> None:
    runs.curate(own_corpus, tmp_path / "out")
    corrected(own_corpus, own_corpus.parent, "talk5.wav", text="a new text for this recording")
    text = runs.curate(own_corpus, tmp_path / "out")
    assert not worked(text) & AUDIO
    assert text.counters["annotate/transcribe/kept"] <= 8  # of that recording alone
    said = " ".join(c["text"] for c in chunks(text) if c["source"] == "talk5.wav")
    assert said == "a new text for this recording"

    corrected(
        own_corpus,
        own_corpus.parent,
        "talk5.wav",
        text="a new text for this recording",
        speaker="Ada",
    )
    speaker = runs.curate(own_corpus, tmp_path / "out")
    assert not worked(speaker) & AUDIO
    assert {c["speaker"] for c in chunks(speaker) if c["source"] == "talk5.wav"} == {"Ada"}
    assert speaker.digests == runs.curate(own_corpus, tmp_path / "fresh").digests


# Data that grow and files that change.


def test_growth_works_on_what_is_new_and_equals_a_run_from_nothing(
    undisturbed: Ran, tmp_path: Path
) -> None:
    names = list(made_corpus.files())
    first = [name for name in names if name not in ("talk4.wav", "tape.flac", "call.wav")]
    data = made_corpus.write_corpus(tmp_path / "data", first)
    before = runs.curate(data, tmp_path / "out")
    made_corpus.write_corpus(data.parent, names)
    after = runs.curate(data, tmp_path / "out")
    assert after.digests == undisturbed.digests
    assert after.counters["hear/decode/kept"] == 4  # two of mono, one of two channels
    total = undisturbed.counters["annotate/diarize/kept"]
    assert (
        before.counters["annotate/diarize/kept"] + after.counters["annotate/diarize/kept"] == total
    )
    known = before.store.list(f"compose/{before.result.compose_key}")
    assert known  # the smaller set still stands, whole, beside the larger


@pytest.mark.slow
def test_growth_in_small_steps_and_shrinking(undisturbed: Ran, tmp_path: Path) -> None:
    names = list(made_corpus.files())
    for count in (3, 7, 11, len(names)):
        data = made_corpus.write_corpus(tmp_path / "data", names[:count])
        ran = runs.curate(data, tmp_path / "out", part_seconds=10.0)
    assert ran.digests == undisturbed.digests
    data = made_corpus.write_corpus(tmp_path / "data", names[:7])
    fewer = runs.curate(data, tmp_path / "out")
    assert worked(fewer) <= {"gather"}  # the files' times are new, nothing else is
    data = made_corpus.write_corpus(tmp_path / "fresh", names[:7])
    assert fewer.digests == runs.curate(data, tmp_path / "fresh out").digests


def test_limit_is_a_trial_whose_work_counts(corpus: Path, undisturbed: Ran, tmp_path: Path) -> None:
    trial = runs.curate(corpus, tmp_path / "out", limit_seconds=30.0)
    line = trial.result.streams[0]
    assert line.limited and 0 < len(line.census.recordings) < 15
    assert 30.0 <= sum(r.seconds for r in line.census.recordings.values()) < 30.0 + 12.0 + 0.1
    again = runs.curate(corpus, tmp_path / "out", limit_seconds=30.0)
    assert again.counters == {} and again.digests == trial.digests
    full = runs.curate(corpus, tmp_path / "out")
    assert full.digests == undisturbed.digests
    heard = trial.counters["hear/decode/kept"] + full.counters["hear/decode/kept"]
    assert heard == undisturbed.counters["hear/decode/kept"]


def test_rehash_digests_every_file_again_and_changes_nothing(
    corpus: Path, undisturbed: Ran, tmp_path: Path
) -> None:
    runs.curate(corpus, tmp_path / "out")
    ran = runs.curate(corpus, tmp_path / "out", rehash=True)
    assert worked(ran) == {"gather"}
    assert ran.digests == undisturbed.digests
    assert runs.curate(corpus, tmp_path / "out").counters == {}  # once is enough


@pytest.fixture
def small(tmp_path: Path) -> tuple[Path, Path]:
    """Two recordings and where one of them lies."""
    table = [
        Row(audio="a.wav", text="one two three four five six", speaker="x"),
        Row(audio="b.wav", text="seven eight nine ten eleven twelve", speaker="x"),
    ]
    for seed, name in enumerate(("a.wav", "b.wav")):
        made_corpus.write_file(
            tmp_path / "data" / name, made_corpus.wav(made_corpus.voice(80 + seed, 5.0))
        )
    return made_corpus.write_table(tmp_path / "data" / "table.csv", table), tmp_path / "data/a.wav"


def other_bytes() -> bytes:
    return made_corpus.wav(made_corpus.voice(99, 5.0))


def recordings(ran: Ran) -> set[str]:
    return set(ran.result.streams[0].census.recordings)


def test_new_bytes_are_noticed_by_their_time(small: tuple[Path, Path], tmp_path: Path) -> None:
    data, path = small
    before = runs.curate(data, tmp_path / "out")
    made_corpus.write_file(path, other_bytes(), age=1800)
    after = runs.curate(data, tmp_path / "out")
    assert len(recordings(after) - recordings(before)) == 1
    assert after.counters["hear/decode/kept"] == 1


def test_a_file_put_in_place_is_noticed_by_its_inode(
    small: tuple[Path, Path], tmp_path: Path
) -> None:
    data, path = small
    before = runs.curate(data, tmp_path / "out")
    state = path.stat()
    other = path.with_name("other")
    other.write_bytes(other_bytes())
    os.utime(other, ns=(state.st_atime_ns, state.st_mtime_ns))
    other.replace(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    after = runs.curate(data, tmp_path / "out")
    assert len(recordings(after) - recordings(before)) == 1


def test_bytes_that_hide_their_change_are_noticed_by_rehash(
    small: tuple[Path, Path], tmp_path: Path
) -> None:
    data, path = small
    before = runs.curate(data, tmp_path / "out")
    state = path.stat()
    with path.open("r+b") as stream:
        stream.write(other_bytes())
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert recordings(runs.curate(data, tmp_path / "out")) == recordings(before)
    after = runs.curate(data, tmp_path / "out", rehash=True)
    assert len(recordings(after) - recordings(before)) == 1


def test_a_file_written_just_now_is_looked_at_again(
    small: tuple[Path, Path], tmp_path: Path
) -> None:
    """Within the grain of the clock a second write leaves no trace: such looks do not count."""
    data, path = small
    made_corpus.write_file(path, path.read_bytes(), age=0)
    os.utime(path, (time.time() + 60, time.time() + 60))
    runs.curate(data, tmp_path / "out")
    assert runs.curate(data, tmp_path / "out").phases() == {"gather": 1}
