"""What the start-up measurement reads out of logs and import traces."""

from collections import Counter

from benchmarks.startup import by_package, milestones, parsed


def test_import_times_of_several_processes_are_summed() -> None:
    said = (
        "import time: self [us] | cumulative | imported package\n"
        "import time:       100 |        300 | pipeline\n"
        "something else\n"
        "import time:       200 |        200 |   pipeline.curate\n"
        "import time:        50 |         50 | numpy\n"
        "import time:        25 |         25 | numpy\n"
    )
    assert parsed(said) == Counter({"pipeline": 100, "pipeline.curate": 200, "numpy": 75})
    assert by_package(parsed(said)) == Counter({"pipeline": 300, "numpy": 75})


def test_what_has_been_reached_is_told_by_the_first_parts() -> None:
    opened = {"event": "phase", "phase": "gather"}
    assert milestones([]) == set()
    assert milestones([opened]) == {"log opened"}
    begun = [opened, *({"event": "begin", "phase": p} for p in ("gather", "hear", "annotate"))]
    assert milestones(begun) == {"log opened", "first part of gather", "first part of hear"}
