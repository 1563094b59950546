"""Speak a text evaluation set: prompts, endings and questions, each by itself.

TEXT is a file of items without audio (docs/evaluation.md), or a table of questions (JSONL, CSV,
Parquet). The set is written to a new folder, with engine and voice of every item.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which texts, who speaks, and where to."""
    parser.add_argument("--text", type=Path, required=True, help="*.jsonl, *.csv or *.parquet")
    parser.add_argument("--engine", default="espeak-ng", help="a synthesizer (espeak-ng)")
    parser.add_argument("--out", type=Path, required=True, help="the set's folder, a new one")
    parser.add_argument("--language", default="en", help="of the texts, ISO 639-1 (en)")
    parser.add_argument("--seed", type=int, default=0, help="of voices, speed and pitch (0)")
    parser.add_argument("--prompts-only", action="store_true", help="leave endings as text")
    parser.add_argument(
        "--skip-refused", action="store_true", help="leave out items that the engine refuses"
    )
    parser.add_argument(
        "--distractors", type=int, metavar="N", help="for rows without options: answers of others"
    )
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting of the step speak, as in voices=[en-us+f3] or rate=24000",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the set, or nothing."""
    from schemas.settings import Node, Place, SettingsError, check, parse_overrides, replace_at
    from trainer.evaluation.speaking import speak_set
    from transforms.synthesize.speak import Speak

    tree = Node.of({"engine": arguments.engine}, Place("evalset"))
    for override in parse_overrides(arguments.overrides):
        tree = replace_at(tree, override.address, override.node)
    speak, problems = check(tree, Speak)
    if speak is None:
        raise SettingsError(problems)
    made = speak_set(
        arguments.text,
        arguments.out,
        speak,
        language=arguments.language,
        seed=arguments.seed,
        prompts_only=arguments.prompts_only,
        skip_refused=arguments.skip_refused,
        distractors=arguments.distractors,
    )
    for refused in made.skipped:
        print(f"left out {refused}")
    print(
        f"{arguments.out}: {len(made.found.items)} items of kind {made.found.kind} in "
        f"{', '.join(made.found.modes)}, {made.seconds:.0f} s of speech by {arguments.engine}"
    )
    return 0
