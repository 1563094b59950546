"""One worker process of another engine: Beam's SDK harness, held to a device class.

`python -m pipeline.runners.harness CONTROL_ENDPOINT WORKER_ID [PARENT READY]`: READY is a
descriptor that is written to when the engine is reached. The pins must stand in the
environment before Python starts, for numpy reads some of them when it is imported and Beam imports
numpy: whoever starts this gives them (`pinned`), and a worker whose environment lacks them refuses
every phase (`pipeline/weave.py`).
"""

import os
import sys

from pipeline import device


def pinned() -> dict[str, str]:
    """The environment that a worker process must start with."""
    return {**os.environ, **device.pins()}


def main(arguments: list[str]) -> None:
    from pipeline import worker

    control, name, *pool = arguments
    if pool:
        worker.die_with_parent(int(pool[0]))
    worker.call_process("loom harness")
    worker.widen_files()
    worker.quiet_beam()
    from apache_beam.runners.worker import sdk_worker

    if pool:  # what it prints when a step raises, the driver says in one line
        vars(sdk_worker)["print"] = lambda *_, **__: None
    harness = sdk_worker.SdkHarness(
        control, worker_id=name, state_cache_size=0, data_buffer_time_limit_ms=0
    )
    if pool:
        with os.fdopen(int(pool[1]), "wb") as ready:
            ready.write(b"1")
    harness.run()


if __name__ == "__main__":
    main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(0)  # libraries of models have threads that do not end well otherwise
