"""Requests to an object store are sorted by what they ask for, and priced by their kind."""

import pathlib
from collections import Counter

import pytest

from benchmarks.traffic import Counted, Shuffled, classified, price


@pytest.mark.parametrize(
    ("line", "is_"),
    [
        ("PUT /bucket/out/hear/0a/commits/1.parquet", ("hear", "PUT")),
        ("GET /bucket/out/hear/0a/tars/1.tar", ("hear", "GET")),
        ("HEAD /bucket/out/runs/laws.json", ("runs", "HEAD")),
        ("GET /bucket/?list-type=2&prefix=out%2Fmeasure%2F0a%2Fcommits%2F", ("measure", "LIST")),
        ("GET /bucket?prefix=out/gather/&list-type=2", ("gather", "LIST")),
        ("POST /bucket?delete", ("", "POST")),
    ],
)
def test_a_request_is_for_a_folder_of_out(line: str, is_: tuple[str, str]) -> None:
    assert classified(line) == is_


def test_requests_are_taken_once(tmp_path: pathlib.Path) -> None:
    log = tmp_path / "log"
    log.write_text("PUT /bucket/out/hear/a\nPUT /bucket/out/hear/b\n")
    counted = Counted(log)
    assert counted.take() == Counter({("hear", "PUT"): 2})
    with log.open("a") as lines:
        lines.write("GET /bucket/out/hear/a\n")
    assert counted.take() == Counter({("hear", "GET"): 1})


def test_listing_costs_as_much_as_writing_and_removing_nothing() -> None:
    assert price("PUT", 1e6) == price("LIST", 1e6) == pytest.approx(5.0)
    assert price("HEAD", 1e6) == pytest.approx(0.4)
    assert price("POST", 1e6) == 0.0


def test_what_a_group_by_is_given_is_counted() -> None:
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions

    with Shuffled() as shuffled:
        shuffled.phase = "made"
        pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
        pairs = pipeline | beam.Create([("a", "x" * 1000), ("b", "y" * 500)], reshuffle=False)
        _ = pairs | beam.GroupByKey() | beam.Map(lambda pair: len(list(pair[1])))
        pipeline.run().wait_until_finish()
    assert 1500 <= shuffled.bytes["made"] < 1700
