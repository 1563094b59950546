"""Names of engines, options filled in, and what is refused before anything starts."""

from pathlib import Path

import pytest

from pipeline.runners.engine import NAMES, EngineError, engine_of, refuse_unreachable

CLOUD = "--project=p --region=us-central1 --sdk_container_image=image:1"


def test_the_direct_runner_needs_and_takes_no_options() -> None:
    assert engine_of("direct", "", "out").direct
    with pytest.raises(EngineError, match="give --runner as well"):
        engine_of("direct", "--parallelism=2", "out")


@pytest.mark.parametrize("name", [name for name in NAMES if name != "direct"])
def test_what_is_filled_in_names_a_runner_of_beam_and_says_why(name: str) -> None:
    engine = engine_of(name, CLOUD if name == "dataflow" else "", "gs://bucket/out", 7)
    assert engine.options[0].startswith("--runner=") and engine.options[0].endswith("Runner")
    assert all(one.why for one in engine.filled)
    names = [option.partition("=")[0] for option in engine.options]
    assert len(names) == len(set(names))


def test_what_is_given_stands() -> None:
    engine = engine_of("flink", "--flink_master=other:1 --environment_type=PROCESS", "out", 3)
    assert "--flink_master=other:1" in engine.options
    assert not any("localhost:8081" in one or "=EXTERNAL" in one for one in engine.options)
    assert "--parallelism=3" in engine.options


def test_another_name_is_passed_to_beam() -> None:
    engine = engine_of("SparkRunner", "--spark_master_url='local[2]'", "out")
    assert engine.options == ("--runner=SparkRunner", "--spark_master_url=local[2]")


@pytest.mark.parametrize(
    ("name", "beam", "out", "said"),
    [
        ("dataflow", "", "gs://b/o", "--project=…, --region=…, --sdk_container_image=…"),
        ("dataflow", CLOUD, "s3://b/o", "--temp_location=gs://"),
        ("no runner", "", "out", "no runner is called"),
        ("prism", "oops", "out", "'oops' is no option of Beam's"),
        ("prism", "'", "out", "No closing quotation"),
    ],
)
def test_what_cannot_run_is_refused_with_what_to_do(
    name: str, beam: str, out: str, said: str
) -> None:
    with pytest.raises(EngineError, match=said.replace("…", ".")):
        engine_of(name, beam, out)


def test_dataflow_sees_no_disk_of_this_machine(tmp_path: Path) -> None:
    urls = tmp_path / "urls.txt"
    urls.write_text("https://x.example/a.mp3\n")
    (tmp_path / "urls.csv").write_text("url\nhttps://x.example/a.mp3\n")
    (tmp_path / "paths.csv").write_text("path\na.mp3\n")
    (tmp_path / "a.warc.gz").write_bytes(b"")
    engine = engine_of("dataflow", f"{CLOUD} --temp_location=gs://b/t", "out")
    with pytest.raises(EngineError, match=r"OUT .* is on this machine"):
        refuse_unreachable(engine, "gs://b/data", "out")
    for data in ("tests", "tests/*.wav", str(tmp_path / "a.warc.gz"), str(tmp_path / "paths.csv")):
        with pytest.raises(EngineError, match="copy it to a bucket"):
            refuse_unreachable(engine, data, "gs://b/out")
    for data in ("gs://b/*.wav", "https://x.example/a?b", str(urls), str(tmp_path / "urls.csv")):
        refuse_unreachable(engine, data, "gs://b/out")
    refuse_unreachable(engine_of("flink", "", "out"), "tests", "out")
