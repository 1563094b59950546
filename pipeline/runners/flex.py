"""What a Dataflow flex template runs: its parameters as arguments of `curate`.

The launcher gives every parameter as `--name=value`, those of the template beside those of Beam.
Ours are `data`, `recipe`, `out` and `options` (further arguments of curate); the rest is Beam's.
"""

import shlex
import sys
from collections.abc import Sequence

OURS = ("data", "recipe", "out", "options")


def arguments(given: Sequence[str]) -> list[str]:
    """The arguments of `speechloom`. Raises `SystemExit` where one of ours is missing."""
    found: dict[str, str] = {}
    beam = []
    for one in given:
        name, _, value = one.removeprefix("--").partition("=")
        if name in OURS:
            found[name] = value
        elif name != "runner":
            beam.append(one)
    missing = [name for name in OURS[:3] if not found.get(name)]
    if missing:
        raise SystemExit(f"speechloom: the template lacks {', '.join(missing)}")
    told = [part for name in OURS[:3] for part in (f"--{name}", found[name])]
    more = shlex.split(found.get("options", ""))
    return ["curate", "--runner", "dataflow", "--beam", shlex.join(beam), *told, *more]


if __name__ == "__main__":
    from pipeline.__main__ import main

    sys.exit(main(arguments(sys.argv[1:])))
