"""How a run begins: with new weights, or with those of a checkpoint that is of the same run."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from schemas.settings import SettingsError
from schemas.shard import ShardError
from trainer import checkpoint
from trainer.config import Config, differences, filled
from trainer.contrastive.adapter import adapted
from trainer.distributed import Ranks
from trainer.encoding import SpeechTokenizer
from trainer.failures import ChangedError, CheckpointError, SetupError
from trainer.initialize import InitializationError, initialized
from trainer.latent.model import decoder_of
from trainer.model import Decoder
from trainer.opening import Opened, opened
from trainer.pack import Vocabulary
from trainer.text import FileTokenizer
from trainer.trained import CHECKPOINTS, saved_decoder


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Begun:
    """What a run needs before its first step."""

    opened: Opened
    decoder: Decoder  # of a resumed run: its weights are still to be loaded
    path: Path | None  # of the checkpoint it goes on from
    saved: Mapping[str, Any]  # its state; {} for a new run


def begin(config: Config, out: Path, group: Ranks, resume: bool, allow_changes: bool) -> Begun:
    """Open data and model. Raises `SetupError`, `ChangedError`, `CheckpointError`, `ShardError`."""
    last = checkpoint.newest(out / CHECKPOINTS)
    if last is None:
        found = _opened(config, out, group, again=False)
        decoder = initial_decoder(config, found.data.vocabulary, found.text, found.speech)
        return Begun(opened=found, decoder=decoder, path=None, saved={})
    if not resume:
        raise SetupError(
            f"{out} already holds a run at step {last.step}; go on with it, or choose another "
            "OUT: nothing is written over"
        )
    saved = _checked_state(last.path, group)
    found = _opened(config, out, group, again=True)
    if not allow_changes:
        _refuse_changes(saved, config, found, last.path)
    if config.adapter is None:
        decoder = saved_decoder(saved, last.path)
    else:  # what is frozen is not in checkpoints
        fresh = config.adapter.model_copy(update={"begin": None})
        again = config.model_copy(update={"adapter": fresh})
        decoder = initial_decoder(again, found.data.vocabulary, found.text, found.speech)
    if decoder.vocabulary != found.data.vocabulary:
        raise ChangedError(
            f"{last.path} was trained with the vocabulary {decoder.vocabulary}, the tokenizers now "
            f"give {found.data.vocabulary}: take another OUT"
        )
    if config.model is not None and decoder.settings != config.model:
        raise ChangedError(f"{last.path} holds a model of other sizes: take another OUT")
    return Begun(opened=found, decoder=decoder, path=last.path, saved=saved)


def initial_decoder(
    config: Config,
    vocabulary: Vocabulary,
    text: FileTokenizer | None = None,
    speech: SpeechTokenizer | None = None,
) -> Decoder:
    """The model before its first step: a function of config, vocabulary and folder alone.

    Tokenizers are compared with those of an `initial.folder`.

    Raises `SetupError` for an `initial.folder` whose weights cannot be taken over.
    """
    if config.adapter is not None:
        plain = config.model_copy(update={"adapter": None})
        return adapted(
            lambda one: initial_decoder(plain, one, text), vocabulary, config.adapter, config.seed
        )
    if config.model is not None:
        return decoder_of(config.model, vocabulary, config.seed)
    initial = config.initial
    assert initial.folder is not None
    try:
        return initialized(
            initial.folder,
            vocabulary,
            config.seed,
            new_embeddings=initial.new_embeddings,
            text=text,
            speech=None if speech is None else speech.digest,
            attention=initial.attention,
        )
    except InitializationError as error:
        raise SetupError(str(error)) from error


def _opened(config: Config, out: Path, group: Ranks, again: bool) -> Opened:
    try:
        return opened(config, out, group, again=again)
    except (ShardError, SettingsError):
        raise
    except (ValueError, FileNotFoundError) as error:
        raise SetupError(str(error)) from error


def _checked_state(path: Path, group: Ranks) -> Mapping[str, Any]:
    """The state of a checkpoint; its digests are compared on the first rank only."""
    found: Mapping[str, Any] | CheckpointError = {}
    if group.first:
        try:
            found = checkpoint.read_state(path)
        except CheckpointError as error:
            found = error
    found = group.gather(found)[0]
    if isinstance(found, CheckpointError):
        raise found
    return found


def _refuse_changes(saved: Mapping[str, Any], config: Config, now: Opened, path: Path) -> None:
    before, facts = saved.get("config"), saved.get("facts")
    if not isinstance(before, dict) or not isinstance(facts, dict):
        raise CheckpointError(f"{path}: its state is not ours: no config")
    found = differences(filled(before, str(path)), config.canonical()) + [
        f"{name}: digest {str(facts.get(name))[:12]} -> {str(now.facts.get(name))[:12]}"
        for name in sorted(facts.keys() | now.facts.keys())
        if facts.get(name) != now.facts.get(name)
    ]
    if found:
        raise ChangedError(
            f"{path.parent.parent} began with other settings:\n  "
            + "\n  ".join(found)
            + "\nTake another OUT for another run; to go on with this one all the same: "
            "--allow-changes"
        )
