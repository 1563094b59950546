"""`speechloom curate`: raw audio to shards."""

import argparse
import re
import shlex
import sys
from pathlib import Path

from pipeline.breaker import USUAL, MaxFailures, max_failures
from pipeline.curate import Curator, Options, new_run_id
from pipeline.funnel import check_shards, funnel
from pipeline.progress import Progress
from pipeline.publish import publish
from pipeline.recipe import load_recipe
from pipeline.report.terminal import render_funnel
from pipeline.runners.engine import NAMES
from pipeline.summary import summarize
from schemas.store import Store
from transforms.gather.web.data import ALL_KINDS

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds_of(text: str) -> float:
    """ "1h", "90min", "45s" or plain seconds, for arguments."""
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*(s|m|min|h)?\s*", text)
    if not found or float(found[1]) == 0:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a length of audio; write 1h, 30min or 90s"
        )
    return float(found[1]) * _UNITS[found[2] or "s"]


def count_of(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least 1")
    return int(text)


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """What curate and plan share."""
    parser.add_argument(
        "--data",
        required=True,
        help="a folder, a glob, a table of paths; or a URL, feed, sitemap, page or list of URLs",
    )
    parser.add_argument(
        "--kind", help=f"what DATA is, where it is not clear: {', '.join(ALL_KINDS)}"
    )
    parser.add_argument("--recipe", default="recipes/offline.yaml", help="default: %(default)s")
    parser.add_argument("--out", default="out", help="folder or bucket for results (%(default)s)")
    parser.add_argument(
        "--runner",
        default="direct",
        help=f"{', '.join(NAMES)}, or a runner of Beam's by its name (%(default)s)",
    )
    parser.add_argument(
        "--beam",
        default="",
        metavar='"--name=value …"',
        help="options for that runner; what is not given is filled in, as `plan` shows",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STEP.FIELD=VALUE",
        dest="overrides",
        help="change one setting of the recipe; may be repeated",
    )
    parser.add_argument(
        "--follow-links",
        action="append_const",
        const="crawl.follow_links=true",
        dest="overrides",
        help="follow links, and paths of a table, that lead out of DATA",
    )
    parser.add_argument(
        "--offline",
        action="append_const",
        const="offline=true",
        dest="overrides",
        help="fetch no model that the recipe names by its hub id and this machine does not have",
    )
    parser.add_argument(
        "--limit", type=seconds_of, metavar="1h", help="a trial run over the first hour of audio"
    )
    parser.add_argument(
        "--workers", type=count_of, help="processes (default: from cores and audio)"
    )
    parser.add_argument(
        "--part",
        type=seconds_of,
        metavar="10min",
        help="audio in a part: what is redone at most after a crash (default: 1 to 10 min, by the "
        "audio there is)",
    )
    parser.add_argument("--scratch", help="folder for decoded samples (default: the system's)")


def options_of(arguments: argparse.Namespace) -> Options:
    return Options(
        data=arguments.data,
        out=arguments.out,
        workers=arguments.workers,
        part_seconds=arguments.part,
        limit_seconds=arguments.limit,
        rehash=getattr(arguments, "rehash", False),
        scratch=arguments.scratch,
        runner=arguments.runner,
        beam=arguments.beam,
        kind=arguments.kind,
        refetch=getattr(arguments, "refetch", False),
        max_failures=getattr(arguments, "max_failures", USUAL),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_run_arguments(parser)
    parser.add_argument(
        "--rehash", action="store_true", help="digest every file again, whatever is remembered"
    )
    parser.add_argument(
        "--refetch",
        action="store_true",
        help="ask again for URLs that were fetched; servers may answer that they have not changed",
    )
    parser.add_argument(
        "--max-failures",
        type=limit_of_failures,
        default=USUAL,
        metavar="100,50%",
        help="stop where so many records in a row cannot be fetched or decoded or end their "
        "workers, or this share of at least 200; none: never (default: 100,50%%)",
    )


def limit_of_failures(text: str) -> MaxFailures:
    try:
        return max_failures(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def how_to_go_on() -> str:
    """The command that continues this run."""
    return "python -m pipeline " + shlex.join(sys.argv[1:])


def run(arguments: argparse.Namespace) -> int:
    recipe = load_recipe(arguments.recipe, arguments.overrides)
    options = options_of(arguments)
    store = Store(options.out)
    run_id = new_run_id()
    with Progress(store, run_id) as progress:
        curator = Curator(recipe, options, progress, run_id)
        result = curator.curate()
        counted = funnel(store, result)
        check_shards(result, counted)
        text = Path(arguments.recipe).read_text(encoding="utf-8")
        if arguments.overrides:
            text += "".join(f"# --set {override}\n" for override in arguments.overrides)
        summary = summarize(store, result, text, counted)
        names = publish(store, result, summary)
        progress("counters", result.counters)
    print(render_funnel(summary))
    for what, name in names.items():
        print(f"{what + ':':<10} {store.where(name)}")
    return 0
