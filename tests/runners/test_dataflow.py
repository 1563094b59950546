"""The real job that Dataflow would get, built without a cloud: `--dry_run` and no network.

It proves options, graph, coders, hints and what is pickled. It proves nothing of rights, quotas,
images, drivers or Google's storage: docs/running.md says so.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from apache_beam import Pipeline
from apache_beam.options.pipeline_options import PipelineOptions, SetupOptions
from apache_beam.portability import common_urns
from apache_beam.portability.api import beam_runner_api_pb2 as api

from pipeline import device, weave
from pipeline.parts import PARTS_PER_BLOCK
from pipeline.phases.annotate import AnnotateJob
from pipeline.phases.arrange import ArrangeJob
from pipeline.phases.form import Form
from pipeline.phases.hear import HearJob
from pipeline.phases.measure import MeasureJob
from pipeline.phases.shards import ShardJob
from pipeline.recipe import Recipe, load_recipe
from pipeline.runners.dealt import BLOCKS_PER_LIST
from pipeline.runners.engine import engine_of
from schemas.store import Store
from tests.laws import runs

pytestmark = pytest.mark.slow

IMAGE = "images/speechloom-cpu:0.1.0"
BEAM = f"--project=a-project --region=us-central1 --sdk_container_image={IMAGE}"
DRY = ("--no_auth", "--dry_run=True")
GPU = "type:nvidia-l4;count:1;install-nvidia-driver"

RESOURCES = f"""
resources:
  hear: {{min_ram: 4GB}}
  annotate: {{accelerator: "{GPU}", min_ram: 16GB, cpu_count: 4}}
"""
HINTS = {
    "hear": {"beam:resources:min_ram_bytes:v1": b"4000000000"},
    "annotate": {
        "beam:resources:accelerator:v1": GPU.encode(),
        "beam:resources:min_ram_bytes:v1": b"16000000000",
        "beam:resources:cpu_count:v1": b"4",
    },
}


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Recipe:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    path.write_text(runs.RECIPE.read_text(encoding="utf-8") + RESOURCES, encoding="utf-8")
    return load_recipe(str(path))


def jobs(recipe: Recipe) -> dict[str, Any]:
    """The phases of a recipe that work on records, as the driver would submit them."""
    common: dict[str, Any] = {
        "key": "0" * 32,
        "store": Store("gs://bucket/out"),
        "run": "run",
        "device": device.device_class(),
    }
    steps = {phase: recipe.steps("web", phase) for phase in ("hear", "annotate", "measure")}
    line = dict.fromkeys(("select_key", "hear_key"), "1" * 32)
    found: dict[str, Any] = {
        "hear": HearJob(seed=1, steps=steps["hear"], **common),
        "annotate": AnnotateJob(seed=1, steps=steps["annotate"], hear_key="1" * 32, **common),
        "measure": MeasureJob(
            seed=1,
            steps=steps["measure"],
            keys=("k",) * len(steps["measure"]),
            hear_key="1" * 32,
            **common,
        ),
        "arrange": ArrangeJob(
            seed=1,
            stream="web",
            interleave=recipe.steps("web", "compose")[-1],  # type: ignore[arg-type]
            measures=(),
            mask=None,
            **line,
            **common,
        ),
        "compose": ShardJob(form=Form(), **common),
    }
    return {
        phase: type(job)(**{**vars(job), "hints": recipe.hints(phase)})
        for phase, job in found.items()
    }


@pytest.fixture(scope="module")
def protos(recipe: Recipe) -> dict[str, api.Pipeline]:
    """phase -> the graph that Dataflow's API would be given."""
    engine = engine_of("dataflow", BEAM, "gs://bucket/out", 20, "run", ["annotate"])
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NO_GCE_CHECK", "true")
        for phase, job in jobs(recipe).items():
            pipeline = Pipeline(options=PipelineOptions([*engine.options, *DRY]))
            weave.spread(pipeline, job, ["a" * 64])
            result = pipeline.run()
            assert result.job is not None and str(result.state) == "DONE"
            found[phase] = pipeline.runner.proto_pipeline
    return found


def test_one_environment_for_each_phase_with_its_hints(protos: dict[str, api.Pipeline]) -> None:
    for phase, proto in protos.items():
        used = {one.environment_id for one in proto.components.transforms.values()} - {""}
        worked = {
            one.environment_id
            for one in proto.components.transforms.values()
            if one.spec.urn == common_urns.primitives.PAR_DO.urn
        }
        assert len(worked) == 1 and worked <= used, phase
        environment = proto.components.environments[worked.pop()]
        assert dict(environment.resource_hints) == HINTS.get(phase, {}), phase
        image = api.DockerPayload.FromString(environment.payload).container_image
        assert image == IMAGE


def test_names_cross_the_one_shuffle_and_nothing_else(protos: dict[str, api.Pipeline]) -> None:
    """No samples, no records: what is encoded between stages are texts of 70 bytes."""
    for phase, proto in protos.items():
        parts = proto.components
        shuffles = [
            one
            for one in parts.transforms.values()
            if one.spec.urn
            in (common_urns.primitives.GROUP_BY_KEY.urn, common_urns.composites.RESHUFFLE.urn)
        ]
        assert {one.spec.urn for one in shuffles} and len(shuffles) <= 2, phase
        spread = f"{phase}/spread"
        assert all(one.unique_name.startswith(spread) for one in shuffles), phase
        (reshuffle,) = [one for one in parts.transforms.values() if one.unique_name == spread]
        for collection in (*reshuffle.inputs.values(), *reshuffle.outputs.values()):
            coder = parts.coders[parts.pcollections[collection].coder_id]
            assert coder.spec.urn == common_urns.coders.STRING_UTF8.urn, phase
        after = [
            one
            for one in parts.transforms.values()
            if one.spec.urn == common_urns.primitives.PAR_DO.urn
            and not one.unique_name.startswith((spread, f"{phase}/lists", f"{phase}/parts"))
        ]
        assert after and not any(
            name
            for one in after
            for name in api.ParDoPayload.FromString(one.spec.payload).side_inputs
        )


def test_a_graph_is_small_whatever_it_works_on(protos: dict[str, api.Pipeline]) -> None:
    """Dataflow takes 20 MB of graph; ten million hours are 60 million parts."""
    for phase, proto in protos.items():
        assert proto.ByteSize() < 100_000, phase
    parts = 10_000_000 * 3600 / 600
    assert parts / PARTS_PER_BLOCK / BLOCKS_PER_LIST * 100 < 100_000


def test_no_main_session_is_pickled(recipe: Recipe) -> None:
    engine = engine_of("dataflow", BEAM, "gs://bucket/out", run="R_1")
    options = PipelineOptions([*engine.options, *DRY])
    assert options.view_as(SetupOptions).save_main_session is False
    assert "--job_name=speechloom-r-1" in engine.options


def test_the_flex_template_names_what_the_launcher_takes() -> None:
    folder = Path(__file__).parents[2] / "containers"
    spec = json.loads((folder / "flex-template.json").read_text(encoding="utf-8"))
    assert spec["sdkInfo"] == {"language": "PYTHON"}
    names = {one["name"] for one in spec["metadata"]["parameters"]}
    assert {"data", "recipe", "out"} <= names
