"""The entry point of worker containers: pins, then what the container was told to run.

Dataflow and Flink start an SDK container with arguments for Beam's boot program, and a container
with no arguments of Beam's is a pool or a driver. Either way the pins of the device class must
stand in the environment before any Python of the worker starts, and they depend on the processor
that it lands on, so they cannot be written into the image.
"""

import os
import sys
from collections.abc import Sequence

from pipeline import device

BOOT = "/opt/apache/beam/boot"  # copied from Beam's own image


def command(arguments: Sequence[str]) -> list[str]:
    """What to run: Beam's boot program for its own arguments, else a module of ours."""
    if not arguments:
        return [sys.executable, "-m", "pipeline.runners.pool", "--port", "50000"]
    if arguments[0].startswith("--") or arguments[0] == BOOT:
        return [BOOT, *(one for one in arguments if one != BOOT)]
    return [sys.executable, "-m", *arguments]


def main(arguments: Sequence[str]) -> None:
    os.environ.update(device.pins())
    program = command(arguments)
    os.execv(program[0], program)


if __name__ == "__main__":
    main(sys.argv[1:])
