"""The command line: `python -m pipeline COMMAND`, installed as `speechloom`.

Exit codes: 0 done; 1 failed while running (what is committed stays); 2 the command, the recipe or
DATA is wrong (nothing was started); 3 another run works on the same phase; 4 something was lost or
counted twice, a bug; 130 interrupted.
"""

import argparse
import importlib
import io
import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType
from typing import Any

COMMANDS = {
    "curate": "raw audio to shards of interleaved speech-text documents",
    "plan": "what curate would do, what is done before, and what it takes; writes nothing",
    "explain": "walk one item through the steps: what kept it, or what dropped it",
    "diff": "what two runs keep differently, in hours, and which reasons took it",
    "retry": "list dead letters by reason, or forget some, so that curate tries them again",
    "questions": "write the questions about held-out pages as a table",
    "validate": "check shards against their manifest and the format",
    "gc": "remove from OUT what no run reaches any more",
    "forget": "take nothing from a host, a URL or a recording again, and purge what is there",
    "doctor": "check packages, models, memory and disk",
    "schema": "the JSON Schema of recipes, for editors",
}


class _Interrupted(KeyboardInterrupt):
    """SIGTERM, treated as Ctrl-C."""


def _terminate(number: int, frame: FrameType | None) -> None:
    raise _Interrupted


def parser(chosen: str | None = None) -> argparse.ArgumentParser:
    """The arguments of all commands; of one alone where it is known which.

    So `doctor` starts where a package that only `curate` needs is broken.
    """
    top = argparse.ArgumentParser(
        prog="speechloom", description="Raw audio in, interleaved speech-text documents out."
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, meaning in COMMANDS.items():
        one = commands.add_parser(name, help=meaning, description=meaning)
        if chosen in (None, name):
            importlib.import_module(f"pipeline.commands.{name}").add_arguments(one)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns the exit code."""
    from pipeline import device, nursery

    device.pin()  # before anything numerical is imported
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a plain ASCII terminal gets "?", not an error
    given = list(sys.argv[1:] if argv is None else argv)
    chosen = given[0] if given and given[0] in COMMANDS else None
    if chosen == "curate" and not {"-h", "--help"} & set(given) and _direct(given):
        nursery.begin()
    arguments = parser(chosen).parse_args(given)
    signal.signal(signal.SIGTERM, _terminate)
    command = importlib.import_module(f"pipeline.commands.{arguments.command}")
    if arguments.command == "doctor":
        return int(command.run(arguments))
    return _run(command, arguments)


def _direct(given: Sequence[str]) -> bool:
    """Whether this machine's own workers will be needed, before anything is parsed."""
    if "--runner" not in given:
        return not any(one.startswith("--runner=") and one != "--runner=direct" for one in given)
    return given[given.index("--runner") + 1 :][:1] == ["direct"]


def _run(command: Any, arguments: argparse.Namespace) -> int:
    """A command with every way in which it may end."""
    from pipeline.commands.curate import how_to_go_on
    from pipeline.locks import PhaseBusyError
    from pipeline.runners.engine import EngineError
    from pipeline.supervise import RunFailedError
    from pipeline.work import ConservationError
    from schemas.settings import SettingsError
    from schemas.store import StoreError
    from transforms.gather.found import DataError

    try:
        return int(command.run(arguments))
    except (SettingsError, DataError, EngineError) as error:
        return _say(str(error), 2)
    except PhaseBusyError as error:
        return _say(str(error), 3)
    except ConservationError as error:
        return _say(f"{error}. This is a bug: nothing may be lost. Keep OUT and report it", 4)
    except RunFailedError as error:
        if os.environ.get("SPEECHLOOM_TRACE") and error.trace:
            print(error.trace, file=sys.stderr)
        return _say(f"{error}\nto go on, once it is mended: {how_to_go_on()}", 1)
    except StoreError as error:
        return _say(str(error), 1)
    except KeyboardInterrupt:
        return _say(f"interrupted; what is committed stays. To go on: {how_to_go_on()}", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def _say(text: str, code: int) -> int:
    print(f"speechloom: {text}", file=sys.stderr, flush=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
