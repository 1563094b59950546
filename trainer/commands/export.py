"""Write a trained model as a folder for AutoModelForCausalLM.

Text and speech units are a plain Llama there; what a codec of several codebooks adds lies in a file
of its own, see docs/trainer-model.md.
"""

import argparse
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Which model, and where to."""
    parser.add_argument("run", type=Path, help="the OUT of a run, or one of its checkpoints")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")


def run(arguments: argparse.Namespace) -> int:
    """Write the folder, whole or not at all."""
    from trainer.export import ExportError, export
    from trainer.failures import SetupError
    from trainer.trained import open_trained

    trained = open_trained(arguments.run)
    about = {
        "run": trained.config.name,
        "step": trained.step,
        "speech_tokenizer": trained.config.speech.tokenizer,
        "order": trained.config.speech.order,
    }
    if trained.speech is not None:
        about["speech_tokenizer_digest"] = trained.speech.digest
    try:
        export(
            trained.decoder,
            trained.text,
            arguments.out,
            length=trained.config.data.length,
            dtype=arguments.dtype,
            about=about,
        )
    except ExportError as error:
        raise SetupError(str(error)) from error
    print(f"{arguments.out}: step {trained.step} of {trained.path}")
    return 0
