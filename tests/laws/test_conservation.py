"""Law 1: at every step what goes in comes out or leaves with a reason, by id and to the frame."""

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import device
from pipeline.parts import Member, Part
from pipeline.phases.annotate import AnnotateJob
from pipeline.phases.hear import HearJob
from pipeline.phases.measure import MeasureJob, score_schema
from pipeline.phases.select import read_verdicts
from pipeline.report.content import FunnelRow
from pipeline.work import ConservationError, Job, RootWork, Work, run_step
from schemas.records import Clip, Drop, Recording, Scores, Segment, Task, clip_id, frames
from schemas.shard_reader import read_shard
from schemas.store import Store
from tests.laws import made_corpus, runs
from tests.laws.runs import Ran
from transforms import flac
from transforms.step import Measure, RecordStep, Scope

RATE = 16000

# A whole run, read back from its commits.


def by_step(ran: Ran, phase: str, key: str, steps: Sequence[Any]) -> None:
    """Each root's seconds through the steps of a phase: no step loses or invents a frame."""
    drops, tallies = runs.drops_and_tallies(ran.store, phase, key)
    left: dict[tuple[str, str], int] = defaultdict(int)
    for drop in drops:
        left[drop.root, drop.step] += frames(drop.seconds, RATE)
    passed: dict[tuple[str, str], tuple[int, int]] = {}
    for tally in tallies:
        assert (tally.root, tally.step) not in passed  # once per root and step
        into, out = frames(tally.seconds_in, RATE), frames(tally.seconds_out, RATE)
        assert into == out + left.pop((tally.root, tally.step), 0), tally
        passed[tally.root, tally.step] = (into, out)
    assert not left  # no drop without a tally
    names = [step.name() for step in steps]
    roots = {root for root, _ in passed}
    assert set(passed) == {(root, name) for root in roots for name in names}
    for root in roots:
        for before, after in itertools.pairwise(names):
            assert passed[root, before][1] == passed[root, after][0]


def test_seconds_through_every_step_of_every_recording(undisturbed: Ran) -> None:
    line = undisturbed.result.streams[0].outline
    by_step(undisturbed, "hear", line.hear_key, line.hear)
    by_step(undisturbed, "annotate", line.annotate_key, line.annotate)
    for measure, key in zip(line.measures, line.measure_keys, strict=True):
        by_step(undisturbed, "measure", key, [measure])


def test_every_item_of_data_is_a_recording_or_a_drop(undisturbed: Ran) -> None:
    census = undisturbed.result.streams[0].census
    asked = Counter(row.audio for row in made_corpus.rows())
    got = Counter(source.uri for source in census.sources)
    lost = Counter(source.uri for source in census.dropped)
    assert got + lost == asked
    assert set(lost) == {"empty.wav"}
    assert set(census.holds.values()) == set(census.recordings)
    heard = undisturbed.result.streams[0].heard
    assert set(heard.done) == set(census.recordings)
    alive = {name for name, task in census.tasks.items() if task.recording not in heard.dead}
    assert set(undisturbed.result.streams[0].annotated.done) == alive
    assert len(heard.dead) == len(census.tasks.keys() - alive) == 1  # what decode let go of


def test_hear_covers_every_frame_of_every_channel_once(undisturbed: Ran) -> None:
    line = undisturbed.result.streams[0].outline
    segments = runs.rows_of(undisturbed.store, "hear", line.hear_key, "row", Segment)
    drops, _ = runs.drops_and_tallies(undisturbed.store, "hear", line.hear_key)
    covered: dict[tuple[str, int], list[tuple[int, int]]] = defaultdict(list)
    for segment in segments:
        span = frames(segment.start, RATE), frames(segment.end, RATE)
        covered[segment.recording, segment.channel].append(span)
    for drop in drops:
        if drop.step == "segment":
            assert drop.start is not None and drop.end is not None
            channel = int(drop.detail.removeprefix("channel "))
            covered[drop.root, channel].append((frames(drop.start, RATE), frames(drop.end, RATE)))
    lengths = {}
    for name, spans in covered.items():
        spans.sort()
        assert spans[0][0] == 0
        assert all(a[1] == b[0] for a, b in itertools.pairwise(spans)), name
        lengths[name] = spans[-1][1] / RATE
    expected = Counter((*made_corpus.LENGTHS, 8.0, made_corpus.LENGTHS[1], 3.0, 9.0, 9.0))
    assert Counter(lengths.values()) == expected  # plain, tape, again, silent, call twice


def test_every_clip_is_scored_judged_and_told_once(undisturbed: Ran) -> None:
    stream = undisturbed.result.streams[0]
    line, store = stream.outline, undisturbed.store
    clips = {c.id for c in runs.rows_of(store, "annotate", line.annotate_key, "row", Clip)}
    assert len(clips) == undisturbed.counters["annotate/transcribe/kept"]
    for measure, key in zip(line.measures, line.measure_keys, strict=True):
        scored = [
            row["id"]
            for name in sorted(set(ledger_of(undisturbed, key)))
            for row in column(store, name)
        ]
        assert sorted(scored) == sorted(clips), measure
    verdicts = read_verdicts(store, stream.select_key, [block.id for block in stream.blocks])
    assert sorted(verdicts["id"].to_pylist()) == sorted(clips)
    kept = set(verdicts.filter(verdicts["kept"])["id"].to_pylist())
    assert 0 < len(kept) < len(clips)
    told: Counter[str] = Counter()
    samples = 0
    folder = Path(store.url) / "compose" / undisturbed.result.compose_key
    for entry in undisturbed.result.shards:
        with (folder / entry.name).open("rb") as shard:
            for sample in read_shard(shard, entry.name):
                told.update({chunk.clip for chunk in sample.document.chunks})
                assert sample.flac is not None
                samples += flac.member_frames(sample.flac)
    assert told == Counter(kept)  # each kept clip in exactly one document
    seconds = {c.id: c for c in runs.rows_of(store, "annotate", line.annotate_key, "row", Clip)}
    assert samples == sum(
        frames(seconds[name].end, RATE) - frames(seconds[name].start, RATE) for name in kept
    )


def ledger_of(ran: Ran, key: str) -> list[str]:
    return [
        name
        for known, found in zip(
            ran.result.streams[0].measured,
            ran.result.streams[0].outline.measure_keys,
            strict=True,
        )
        if found == key
        for name in known.done.values()
    ]


def column(store: Store, name: str) -> list[dict[str, Any]]:
    from pipeline import commits

    return list(commits.column(store, name, "row").to_pylist())


def test_the_funnel_adds_up_from_step_to_step(undisturbed: Ran) -> None:
    def of(phase: str) -> list[FunnelRow]:
        return [row for row in undisturbed.funnel if row.phase == phase]

    for row in undisturbed.funnel:
        if row.unexplained is not None:
            assert abs(row.unexplained) < 1e-6, row
    for phase in ("hear", "annotate", "select"):
        for before, after in itertools.pairwise(of(phase)):
            assert (before.items_out, before.seconds_out) == pytest.approx(
                (after.items_in, after.seconds_in), abs=1e-6
            )
    assert of("select")[-1].items_out == of("compose")[0].items_in
    (crawl,) = of("gather")
    assert crawl.items_in - crawl.items_out == sum(d.items for d in crawl.drops) == 1
    (interleave,) = of("compose")
    written = sum(entry.seconds for entry in undisturbed.result.shards)
    assert interleave.seconds_out == pytest.approx(written, abs=1e-6)


# Made steps, put over made records by `run_step`.

ROOT = "a" * 64
TASK = "b" * 32


class Cutter(RecordStep):
    """Cuts segments as a plan says: frames of each piece, and whether it is kept."""

    phase = "hear"
    plan: tuple[tuple[tuple[int, bool], ...], ...]

    def __call__(self, records: Sequence[Any], model: Any, scope: Scope) -> Iterator[Any]:
        for record, pieces in zip(records, self.plan, strict=True):
            at = frames(record.start, record.rate)
            for length, keep in pieces:
                if keep:
                    yield segment(at, at + length)
                else:
                    yield drop(record.id, length)
                at += length


def segment(start: int, end: int) -> Segment:
    return Segment(
        id=f"{start:016x}{end:016x}",
        recording=ROOT,
        channel=0,
        start=start / RATE,
        end=end / RATE,
        rate=RATE,
        speech_seconds=0.0,
    )


def drop(name: str, length: int) -> Drop:
    return Drop(id=name, root=ROOT, step="cutter", reason="made", seconds=length / RATE)


def clip(index: int, start: int, end: int) -> Clip:
    return Clip(
        id=clip_id(TASK, 0, start, end, RATE, "a"),
        task=TASK,
        recording=ROOT,
        channel=0,
        index=index,
        start=start / RATE,
        end=end / RATE,
        rate=RATE,
        speaker="a",
    )


def job(kind: type[Job], *steps: Any, **more: Any) -> Job:
    return kind(
        key="k",
        store=Store("nowhere"),
        seed=0,
        steps=steps,
        run="r",
        device=device.device_class(),
        **more,
    )


def through(kind: type[Job], step: Any, records: list[Any], **more: Any) -> RootWork:
    """One step over one root. Nothing is stored."""
    root = Task(id=TASK, recording=ROOT) if kind is not HearJob else recording()
    member = Member(root=root, seconds=1.0)
    work = RootWork(member=member, scope=Scope(root=root, seed=0), records=records)
    part = Part(id="p", members=(member,))
    run_step(job(kind, step, **more), step, None, Work(part=part, roots=[work], scratch=Path()))
    return work


def recording() -> Recording:
    return Recording(id=ROOT, uri="made.wav", size=1, seconds=1.0)


PIECES = st.lists(st.tuples(st.integers(1, 90_000), st.booleans()), min_size=1, max_size=6)
PLANS = st.lists(PIECES, min_size=1, max_size=6)


def taken(plan: list[list[tuple[int, bool]]]) -> list[Segment]:
    found, at = [], 0
    for pieces in plan:
        length = sum(length for length, _ in pieces)
        found.append(segment(at, at + length))
        at += length + 7
    return found


@given(PLANS)
@settings(max_examples=150, deadline=None)
def test_a_step_that_conserves_is_believed_whatever_it_cuts(
    plan: list[list[tuple[int, bool]]],
) -> None:
    work = through(HearJob, Cutter(plan=tuple(map(tuple, plan))), taken(plan))
    (tally,) = work.tallies
    flat = [piece for pieces in plan for piece in pieces]
    kept = sum(length for length, keep in flat if keep)
    assert tally.items_in == len(plan)
    assert tally.items_out == sum(keep for _, keep in flat) == len(work.records)
    assert frames(tally.seconds_in, RATE) == sum(length for length, _ in flat)
    assert frames(tally.seconds_out, RATE) == kept
    assert len(work.drops) == sum(not keep for _, keep in flat)
    assert all(drop.root == work.member.id for drop in work.drops)


@given(PLANS, st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_a_step_that_is_off_by_any_frame_is_caught(
    plan: list[list[tuple[int, bool]]], data: st.DataObject
) -> None:
    wrong = [list(pieces) for pieces in plan]
    which = data.draw(st.integers(0, len(plan) - 1))
    place = data.draw(st.integers(0, len(plan[which]) - 1))
    length, keep = wrong[which][place]
    how = data.draw(st.sampled_from(["lose", "longer", "shorter", "twice"]))
    if how == "lose":
        del wrong[which][place]
    elif how == "twice":
        wrong[which].append((length, keep))
    else:
        by = data.draw(st.integers(1, length)) * (1 if how == "longer" else -1)
        wrong[which][place] = (length + by, keep)
    with pytest.raises(ConservationError, match=r"unaccounted for|none came out"):
        through(HearJob, Cutter(plan=tuple(map(tuple, wrong))), taken(plan))


class Swallow(RecordStep):
    """Takes everything and says nothing."""

    phase = "hear"

    def __call__(self, records: Sequence[Any], model: Any, scope: Scope) -> Iterator[Any]:
        yield from ()


def test_a_step_that_says_nothing_is_caught() -> None:
    with pytest.raises(ConservationError, match=r"none came out and none was dropped"):
        through(HearJob, Swallow(), [segment(0, 100)])
    with pytest.raises(ConservationError, match=r"none came out and none was dropped"):
        through(HearJob, Swallow(), [recording()])


class Rename(RecordStep):
    """Drops the first clip twice instead of the first and the second: the frames add up."""

    phase = "annotate"

    def __call__(self, records: Sequence[Any], model: Any, scope: Scope) -> Iterator[Any]:
        for _ in range(2):
            yield drop(records[0].id, 100)
        yield from records[2:]


def test_a_clip_that_vanishes_behind_right_sums_is_caught() -> None:
    clips = [clip(n, 100 * n, 100 * n + 100) for n in range(3)]
    with pytest.raises(ConservationError, match=rf"clips \['{clips[1].id}'\] vanished"):
        through(AnnotateJob, Rename(), clips, hear_key="h")


class Careless(Measure):
    """One score per clip is the contract; this measure has `skip` and `swap` to break it."""

    columns = {"value": int}  # noqa: RUF012
    needs_audio = False
    skip: bool = False
    swap: bool = False

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Scores]:
        found = [Scores(id=c.id, values=(n,)) for n, c in enumerate(records)]
        yield from found[1:] if self.skip else found[::-1] if self.swap else found


def test_a_measure_answers_for_every_clip_in_order() -> None:
    clips = [clip(n, 100 * n, 100 * n + 100) for n in range(3)]
    keys = {"hear_key": "h", "keys": ("m",)}
    work = through(MeasureJob, Careless(), clips, **keys)
    assert [score.id for score in work.scores["test_conservation"]] == [c.id for c in clips]
    assert score_schema(Careless()).field("value").type == pa.int64()
    for broken in (Careless(skip=True), Careless(swap=True)):
        with pytest.raises(ConservationError, match="one score per clip, in order"):
            through(MeasureJob, broken, clips, **keys)
