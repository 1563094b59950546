"""The Beam graph of a phase: named transforms, counters, one process, errors as they were."""

from collections import Counter
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions

from pipeline import device, weave
from pipeline.commits import ledger
from schemas.store import Store
from tests.laws import runs
from tests.pipeline.made_job import MadeJob, MadePart


@pytest.fixture
def job(tmp_path: Path) -> MadeJob:
    return MadeJob(
        key="k",
        store=Store(tmp_path / "out"),
        run="r",
        device=device.device_class(),
        folder=str(tmp_path),
    )


def parts(*deeds: str) -> list[MadePart]:
    return [MadePart(id=f"{place:032x}", deed=deed) for place, deed in enumerate(deeds)]


def test_a_phase_is_run_and_counted(job: MadeJob) -> None:
    told: list[tuple[str, Any]] = []
    counted = weave.run(job, parts("", "", ""), notify=lambda k, v: told.append((k, v)))
    assert counted == {"made/commits": 3}
    assert Counter(kind for kind, _ in told) == {"begin": 3, "committed": 3}
    assert len(ledger(job.store, "made", "k").done) == 3


def test_an_error_stops_the_phase_and_is_kept_as_it_was(job: MadeJob) -> None:
    with pytest.raises(Exception, match="made"):
        weave.run(job, parts("", "bug", ""))
    assert isinstance(weave.first_failure(), ZeroDivisionError)
    weave.run(job, parts(""))
    assert weave.first_failure() is None


def test_another_device_class_is_refused(job: MadeJob) -> None:
    import dataclasses

    other = dataclasses.replace(job, device="cpu/other/1-thread")
    with pytest.raises(device.DeviceClassError):
        weave.run(other, parts(""))
    assert ledger(job.store, "made", "k").done == {}


def test_steps_must_stay_in_one_process() -> None:
    with pytest.raises(RuntimeError, match="must stay fused"):
        weave.in_flight("a part of another process")


def test_each_step_is_a_transform_by_name() -> None:
    from pipeline.phases.annotate import AnnotateJob

    recipe = runs.load_recipe(runs.RECIPE)
    made = AnnotateJob(
        key="k",
        store=Store("nowhere"),
        seed=0,
        steps=recipe.steps("web", "annotate"),
        run="r",
        device=device.device_class(),
        hear_key="h",
    )
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    weave.graph(pipeline, made, [], deal=False)
    names: list[str] = []

    class Visitor(beam.pipeline.PipelineVisitor):
        def visit_transform(self, node: Any) -> None:
            names.append(node.full_label)

    pipeline.visit(Visitor())
    own = [name for name in names if "/" in name and not name.startswith("annotate/parts")]
    assert [name.split("/")[1] for name in own] == ["open", "0-diarize", "1-transcribe", "commit"]


def test_one_model_per_step_and_process() -> None:
    from transforms.hear.segment import SegmentStep

    one = weave.model_of(SegmentStep(engine="energy"))
    assert weave.model_of(SegmentStep(engine="energy")) is one
    assert weave.model_of(SegmentStep(engine="whole")) is not one
    weave.close_models()
    assert weave.model_of(SegmentStep(engine="energy")) is not one
    weave.close_models()


def test_the_end_of_a_bundle_waits_for_no_sampler() -> None:
    from apache_beam.runners.worker.statesampler import StateSampler
    from apache_beam.utils.counters import CounterFactory

    assert StateSampler("s", CounterFactory()).sampling_period_ms == weave.SAMPLING_MS


def test_parts_that_are_dealt_are_taken_when_the_one_before_is_done(job: MadeJob) -> None:
    told: list[str] = []

    def dealt() -> Any:
        for part in parts("", "", ""):
            told.append("dealt")
            yield part

    weave.run(job, dealt(), notify=lambda kind, value: told.append(kind))
    assert told == ["dealt", "begin", "committed"] * 3
