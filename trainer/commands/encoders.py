"""Pretrain a small speech encoder, export it, or train a grid of them at equal operations.

train CONFIG --out OUT: CONFIG is a file, or hubert, wav2vec or tera. export OUT --to FOLDER: a
folder for `python -m trainer.units --encoder`. grid FILE --out OUT: shapes, sizes and hours.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What to do, with what, and where to."""
    below = parser.add_subparsers(dest="what", required=True)
    one = below.add_parser("train", help="pretrain one encoder, or go on with it")
    one.add_argument("config", help="a file, or hubert, wav2vec or tera")
    one.add_argument("--shards", help="a curated OUT or a folder with manifest.json")
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--until", type=int, help="save and pause after so many updates")
    one.add_argument("--allow-changes", action="store_true")
    _sets(one)
    two = below.add_parser("export", help="write a pretrained encoder as a folder")
    two.add_argument("run", type=Path, help="the OUT of `encoders train`")
    two.add_argument("--to", type=Path, required=True, help="the folder, a new one")
    three = below.add_parser("grid", help="shapes x sizes x hours at equal operations")
    three.add_argument("grid", type=Path, help="a file such as ablations/slim_vs_small.yaml")
    three.add_argument("--shards", required=True)
    three.add_argument("--units", help="units of hubert (objective.units)")
    three.add_argument("--out", type=Path, required=True)
    _sets(three)


def _sets(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting, as in stop.steps=20",
    )


def run(arguments: argparse.Namespace) -> int:
    """Train, export or run a grid."""
    if arguments.what == "export":
        from trainer.encoders.exporting import export

        print(export(arguments.run, arguments.to))
        return 0
    if arguments.what == "grid":
        return run_grid(
            arguments.grid, arguments.shards, arguments.units, arguments.out, arguments.overrides
        )
    from trainer.encoders.pretraining import pretrain
    from trainer.encoders.settings import load_encoder_config

    config = load_encoder_config(arguments.config, arguments.overrides, arguments.shards)
    found = pretrain(
        config, arguments.out, until=arguments.until, allow_changes=arguments.allow_changes
    )
    print(
        f"{arguments.out}: {found.stopped} at step {found.step} of {found.steps}; "
        f"{found.flops:.3g} FLOPs, {found.seconds / 3600:.2f} h heard, {found.passes:.2f} passes, "
        f"loss {found.loss:.4f}"
    )
    return 130 if found.stopped == "signal" else 0


def run_grid(path: Path, shards: str, units: str | None, out: Path, overrides: list[str]) -> int:
    """A grid's cells, one after the other, and its table."""
    from trainer.encoders.grid import cells, load_grid
    from trainer.encoders.grid import run as run_cells

    grid = load_grid(path, overrides)
    given = {} if units is None else {"hubert:objective.units": str(Path(units).resolve())}
    out.mkdir(parents=True, exist_ok=True)
    run_cells(grid, list(cells(grid, shards, given)), out)
    print((out / "results.md").read_text("utf-8"))
    return 0
