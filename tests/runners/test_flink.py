"""A real Flink cluster: one JobManager, two TaskManagers, a pool of workers.

Starting it needs Java and a Flink distribution; running a graph on it also needs Beam's job server
for Flink, a jar that Maven has or has not (`make engines` says). What is missing is why it skips.
"""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from pipeline.runners import flink_local
from pipeline.runners.engine import engine_of
from pipeline.runners.flink_local import Cluster, FlinkError
from pipeline.runners.submit import Submitted
from tests.laws import runs
from tests.laws.runs import Ran
from tests.runners import engines

pytestmark = [pytest.mark.flink, pytest.mark.timeout(300), pytest.mark.xdist_group("flink")]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    home = engines.flink()
    if shutil.which("java") is None or home is None:
        pytest.skip("no Java, or no Flink: `make engines` gets one")
    with flink_local.cluster(home) as made:
        yield made


def test_two_task_managers_register_and_a_lost_one_is_replaced(cluster: Cluster) -> None:
    overview = cluster.ask("overview")
    assert overview["flink-version"] == engines.FLINK
    assert (overview["taskmanagers"], overview["slots-total"]) == (2, 2)
    lost = cluster.task_managers.pop()
    lost.kill()
    lost.wait()
    cluster.start_task_manager()
    names = {one["id"] for one in cluster.ask("taskmanagers")["taskmanagers"]}
    cluster.wait_for(2)
    assert names  # the lost one is among them until its heartbeat is missed


def test_its_java_stays_small(cluster: Cluster) -> None:
    for process in (cluster.job_manager, *cluster.task_managers):
        assert psutil.Process(process.pid).memory_info().rss < 900e6


def test_a_folder_without_flink_is_refused(tmp_path: Path) -> None:
    refused = pytest.raises(FlinkError, match="name the folder of a Flink distribution")
    with refused, flink_local.cluster(tmp_path):
        pass


@pytest.fixture
def on_flink(cluster: Cluster) -> Any:
    jar = engines.job_server()
    if jar is None:
        pytest.skip(f"no {engines.JOB_SERVER} here: `make engines` says why")
    options = " ".join([*cluster.options, f"--flink_job_server_jar={jar}"])
    return lambda observe: Submitted(engine_of("flink", options, "out"), observe)


def test_the_same_bytes_on_flink(
    on_flink: Any, corpus: Path, undisturbed: Ran, tmp_path: Path
) -> None:
    ran = runs.curate(corpus, tmp_path / "out", workers=on_flink)
    assert ran.digests == undisturbed.digests
    assert ran.funnel == undisturbed.funnel


def test_the_same_bytes_though_a_task_manager_dies(
    on_flink: Any, cluster: Cluster, corpus: Path, undisturbed: Ran, tmp_path: Path
) -> None:
    phases: list[str] = []

    def workers(observe: Any) -> Submitted:
        made = on_flink(observe)
        run = made.run

        def told(job: Any, parts: Any, *more: Any, **named: Any) -> dict[str, int]:
            phases.append(job.phase)
            if job.phase in ("hear", "annotate", "compose"):
                cluster.task_managers.pop(0).kill()
                cluster.start_task_manager()
            return run(job, parts, *more, **named)

        made.run = told
        return made

    ran = runs.curate(corpus, tmp_path / "out", workers=workers)
    assert {"hear", "annotate", "compose"} <= set(phases)
    assert ran.digests == undisturbed.digests
