"""The command line of the trainer: `python -m trainer COMMAND`, installed as `speechloom-train`.

Exit codes: 0 done; 1 failed while running (what is saved stays); 2 the command, a config or the
data is wrong (nothing was started); 3 another process trains in the same OUT; 130 stopped by a
signal, and saved.
"""

import argparse
import ast
import importlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parent / "commands"


def commands() -> dict[str, str]:
    """Every command and what it is for: the first line of its file."""
    found = {}
    for path in sorted(FOLDER.glob("*.py")):
        if path.stem != "__init__":
            about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            found[path.stem.replace("_", "-")] = about.partition("\n")[0].rstrip(".")
    return found


def parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The arguments of all commands; of one alone where it is known which."""
    top = argparse.ArgumentParser(
        prog="speechloom-train", description="Train on shards, and say which data was better."
    )
    below = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, meaning in commands().items():
        one = below.add_parser(name, help=meaning, description=meaning)
        if chosen in (None, name):
            _module(name).add_arguments(one)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    given = list(sys.argv[1:] if argv is None else argv)
    chosen = given[0] if given and given[0] in commands() else None
    arguments = parser(chosen).parse_args(given)
    # read when numerical libraries load: results must not depend on the number of cores
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(name, "1")
    return _run(_module(arguments.command), arguments)


def _module(name: str) -> Any:
    return importlib.import_module(f"trainer.commands.{name.replace('-', '_')}")


def _run(command: Any, arguments: argparse.Namespace) -> int:
    """A command, and each way in which it may end for a reason that people can mend."""
    from schemas.settings import SettingsError
    from schemas.shard import ShardError
    from schemas.store import StoreError
    from trainer.failures import BusyError, SetupError, TrainingError

    try:
        return int(command.run(arguments))
    except BusyError as error:
        return _say(str(error), 3)
    except (SettingsError, SetupError) as error:
        return _say(str(error), 2)
    except (TrainingError, ShardError, StoreError) as error:
        return _say(str(error), 1)
    except KeyboardInterrupt:
        return _say("interrupted; what is saved stays", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _say(text: str, code: int) -> int:
    print(f"speechloom-train: {text}", file=sys.stderr, flush=True)
    return code


def command() -> None:
    """The installed command: ends its process."""
    from trainer.ending import end

    end(main())


if __name__ == "__main__":
    command()
