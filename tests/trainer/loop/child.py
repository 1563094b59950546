"""A run in a process of its own, to be killed, signalled or started by torchrun.

python -m tests.trainer.loop.child CONFIG.json OUT [--until N] [--pace SECONDS] [--file-limit N]
"""

import argparse
import json
import resource
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.config import of_json
from trainer.loop import train


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--until", type=int)
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--file-limit", type=int)
    options = parser.parse_args()
    if options.file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (options.file_limit, options.file_limit))
    config = of_json(json.loads(options.config.read_text()), str(options.config))

    def line(values: Mapping[str, Any]) -> None:
        print(values["step"], flush=True)
        time.sleep(options.pace)

    result = train(config, options.out, until=options.until, on_line=line)
    print(f"stopped {result.stopped} at {result.step}", flush=True)


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        raise SystemExit(1) from error
