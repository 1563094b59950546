"""`speechloom doctor`: is there everything that a run needs, and what to do where there is not."""

import argparse

from pipeline.checkup import Check, as_json, checkup
from pipeline.report import clean


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="out", help="where results would go (%(default)s)")
    parser.add_argument("--scratch", help="folder for decoded samples (default: the system's)")
    parser.add_argument("--json", action="store_true", help="for machines")


def run(arguments: argparse.Namespace) -> int:
    checks = []
    for check in checkup(arguments.out, arguments.scratch):
        checks.append(check)
        if not arguments.json:
            print(_line(check), flush=True)
    failed = [check for check in checks if check.state == "FAIL"]
    if arguments.json:
        print(as_json(checks))
    elif failed:
        print(f"\nnot ready: {', '.join(check.name for check in failed)}. To mend it:")
        for check in failed:
            print(clean.line(f"  {check.name}: {check.fix}"))
    else:
        print("\nready: everything that the offline recipe needs is here")
    return 1 if failed else 0


def _line(check: Check) -> str:
    text = f"{check.state:<5}{check.name:<22}{check.found}"
    if check.state == "note":
        text += f" ({check.fix})"
    return clean.line(text)
