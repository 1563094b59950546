"""`speechloom plan`."""

import argparse
import sys


def add_arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(arguments: argparse.Namespace) -> int:
    print("speechloom: plan is not finished yet", file=sys.stderr)
    return 1
