"""Ask a trained model which text was said: retrieval on held-out pairs, layer by layer.

Sets are folders of kind gap (docs/evaluation.md). Prints one JSON object a set; chance is one over
the number of different texts.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, which sets, and how sides are compared."""
    parser.add_argument("run", type=Path, help="the OUT of a training run, or one checkpoint of it")
    parser.add_argument("--evalset", action="append", required=True, type=Path, metavar="FOLDER")
    parser.add_argument("--similarity", choices=("cosine", "wasserstein"), default="cosine")
    parser.add_argument("--device", default="cpu", help="(cpu)")


def run(arguments: argparse.Namespace) -> int:
    """Read the sets, then the model, then ask."""
    import json

    from trainer.contrastive.retrieval import retrieve
    from trainer.evaluate import Tokenizers
    from trainer.evaluation.layout import read_set
    from trainer.trained import open_trained

    sets = [read_set(folder, None) for folder in arguments.evalset]
    trained = open_trained(arguments.run, arguments.device)
    tokenizers = Tokenizers(
        trained.text,
        trained.speech,
        lead=trained.config.data.text_lead,
        words=trained.vocabulary,
    )
    for one in sets:
        found = retrieve(
            trained.decoder,
            tokenizers,
            one,
            similarity=arguments.similarity,
            context=trained.config.data.length,
        )
        about = {"set": one.name, "similarity": arguments.similarity, "step": trained.step}
        print(json.dumps({**about, **found.as_json()}))
    return 0
