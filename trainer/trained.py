"""A model as a run left it, with everything needed to use it: for evaluation and export."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from schemas.settings import SettingsError
from trainer import checkpoint
from trainer.checkpoint import Checkpoint
from trainer.config import Config, of_json
from trainer.distributed import Ranks
from trainer.encoding import SpeechTokenizer
from trainer.failures import CheckpointError
from trainer.latent.model import decoder_of
from trainer.model import Decoder
from trainer.model_settings import ModelSettings
from trainer.opening import kept_text_tokenizer, opened_speech
from trainer.optimizer import trained
from trainer.pack import Vocabulary
from trainer.shard_sets import open_sets
from trainer.text import FileTokenizer
from trainer.tokens import vocabulary as vocabulary_of

CHECKPOINTS = "checkpoints"  # below a run's OUT


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """A decoder and what gives it its ids. In eval mode, float32."""

    decoder: Decoder
    config: Config
    vocabulary: Vocabulary
    text: FileTokenizer
    speech: SpeechTokenizer | None
    step: int
    path: Path  # of the checkpoint


def open_trained(path: Path | str, device: torch.device | str = "cpu") -> Trained:
    """The model of a run's OUT (its newest checkpoint), or of one checkpoint's folder.

    A speech tokenizer that is known by stored tokens alone needs the run's shards; nothing else
    does. Raises `CheckpointError` for a checkpoint that is missing or not as it was written.
    """
    found = _found(Path(path))
    state = checkpoint.read_state(found.path)
    try:
        config = of_json(state["config"], str(found.path / checkpoint.STATE))
    except (KeyError, TypeError, SettingsError) as error:
        raise CheckpointError(f"{found.path}: its state is not ours: {error}") from error
    text = kept_text_tokenizer(found.path.parent.parent)
    if (digest := state.get("facts", {}).get("text tokenizer")) != text.digest:
        raise CheckpointError(
            f"{text.path}: not the text tokenizer that {found.path} was trained with "
            f"({str(digest)[:12]})"
        )
    speech = _speech(config)
    if config.adapter is None:
        decoder = saved_decoder(state, found.path)
    else:
        decoder = _adapted(config, vocabulary_of(text.size, speech), text, state, found.path)
    vocabulary = decoder.vocabulary
    if vocabulary_of(text.size, speech) != vocabulary:
        raise CheckpointError(f"{found.path}: its tokenizers are not those it was trained with")
    weights = {f"model.{name}": w.detach() for name, w in trained(decoder)}
    checkpoint.load(found.path, weights, Ranks())
    decoder.to(device).eval()
    return Trained(
        decoder=decoder,
        config=config,
        vocabulary=vocabulary,
        text=text,
        speech=speech,
        step=found.step,
        path=found.path,
    )


def _adapted(
    config: Config,
    vocabulary: Vocabulary,
    text: FileTokenizer,
    state: Mapping[str, Any],
    path: Path,
) -> Decoder:
    """The frozen parts of a model with an adapter, from their folders."""
    from trainer.beginning import initial_decoder
    from trainer.opening import frozen_facts

    assert config.adapter is not None
    for name, digest in frozen_facts(config).items():
        if state.get("facts", {}).get(name) != digest:
            raise CheckpointError(f"{path}: was trained with another {name} than is there now")
    fresh = config.adapter.model_copy(update={"begin": None})
    return initial_decoder(config.model_copy(update={"adapter": fresh}), vocabulary, text)


def saved_decoder(state: Mapping[str, Any], path: Path) -> Decoder:
    """A decoder of the sizes of a checkpoint's state; its weights are still to be loaded."""
    try:
        settings = ModelSettings.model_validate_json(json.dumps(state["model"]))
        vocabulary = Vocabulary(**state["vocabulary"])
        return decoder_of(settings, vocabulary)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its state is not ours: {error!r}") from error


def _found(path: Path) -> Checkpoint:
    if (path / checkpoint.COMPLETE).is_file():
        same = [one for one in checkpoint.checkpoints(path.parent) if one.path.name == path.name]
        if same:
            return same[0]
    found = checkpoint.newest(path / CHECKPOINTS)
    if found is None:
        raise CheckpointError(
            f"{path}: neither a checkpoint nor the OUT of a run that has one; train first"
        )
    return found


def _speech(config: Config) -> SpeechTokenizer | None:
    try:
        return opened_speech(config)
    except ValueError:  # no engine of that name: known by its stored tokens alone
        sets = open_sets(config.data)
        return opened_speech(config, [e for one in sets for e in one.manifest.tokenizers])
