"""Ask a trained model evaluation sets: accuracy, perplexity, the modality gap.

Sets are folders as docs/evaluation.md describes. Writes results.json, results.md and items.jsonl
(every item's scores) into OUT.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, which sets, and where to."""
    parser.add_argument("run", type=Path, help="the OUT of a training run, or one checkpoint of it")
    parser.add_argument(
        "--evalset",
        action="append",
        required=True,
        metavar="[NAME=]FOLDER",
        help="a set; may be repeated. Its name is the folder's unless given",
    )
    parser.add_argument("--out", type=Path, required=True, help="where results are written")
    parser.add_argument("--settings", type=Path, help="a YAML file of evaluation settings")
    parser.add_argument(
        "--set",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting, as in answer_prefix='The answer is'",
    )
    parser.add_argument("--flagged", type=Path, help="ids of contaminated items, see the document")
    parser.add_argument("--device", default="cpu", help="(cpu)")


def run(arguments: argparse.Namespace) -> int:
    """Read every set first, then the model, then ask."""
    from trainer.evaluate import Tokenizers, evaluate, evaluation_settings, write
    from trainer.evaluation.layout import read_set
    from trainer.trained import open_trained

    settings = evaluation_settings(arguments.settings, arguments.overrides)
    sets = []
    for given in arguments.evalset:
        name, _, folder = given.rpartition("=")
        sets.append(read_set(Path(folder), name or None))
    trained = open_trained(arguments.run, arguments.device)
    if "context" not in settings.model_fields_set:
        settings = settings.model_copy(update={"context": trained.config.data.length})
    tokenizers = Tokenizers(
        trained.text,
        trained.speech,
        lead=trained.config.data.text_lead,
        words=trained.vocabulary,
    )
    results = evaluate(
        trained.decoder,
        tokenizers,
        sets,
        settings,
        device=arguments.device,
        flagged=arguments.flagged,
        about={"run": trained.config.name, "step": trained.step},
    )
    for path in write(results, arguments.out):
        print(path)
    return 0
