"""From settings to what a run reads: its tokenizers, its data, and the digests of all of them.

The text tokenizer of a run lies in its OUT, trained there or copied, so that OUT alone is enough to
read what the model writes.
"""

import dataclasses
import hashlib
import itertools
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from schemas.shard_reader import read_document
from schemas.shard_tokens import TokenizerEntry
from trainer.config import Config
from trainer.data import Data, open_data
from trainer.distributed import Ranks
from trainer.encoding import SpeechTokenizer
from trainer.latent.pieces import in_pieces
from trainer.orders import ordered
from trainer.shard_sets import ShardSet, open_sets
from trainer.text import FILES, FileTokenizer, load_text_tokenizer, train_bpe
from trainer.tokens import speech_tokenizer
from transforms.engines.models import files_digest


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Opened:
    """The data of a run, and what it is read with."""

    data: Data
    text: FileTokenizer
    speech: SpeechTokenizer | None
    facts: dict[str, str]  # digests by name: what must be the same when a run is resumed


def opened(config: Config, out: Path, group: Ranks, *, again: bool) -> Opened:
    """Open a config's sets with its tokenizers; `again`: OUT already has the text tokenizer.

    Raises `ShardError` for sets, `ValueError` and `FileNotFoundError` for tokenizers.
    """
    sets = list(open_sets(config.data))
    if group.first and not again:
        keep_text_tokenizer(config, out, sets)
    group.wait()
    text = kept_text_tokenizer(out)
    speech = opened_speech(config, [e for one in sets for e in one.manifest.tokenizers])
    data = open_data(config.data, text, speech, rank=group.rank, ranks=group.count)
    facts = {"text tokenizer": text.digest}
    if speech is not None:
        facts["speech tokenizer"] = speech.digest
    facts |= frozen_facts(config)
    facts |= {f"shards of set {one.name}": _digest(one) for one in sets}
    for name, reader in sorted(data.experiments.items()):
        facts[f"shards of experiment {name}"] = _digest(reader.shards)
    return Opened(data=data, text=text, speech=speech, facts=facts)


def frozen_facts(config: Config) -> dict[str, str]:
    """Digests of the folders that a run with an adapter reads and does not write down."""
    if config.adapter is None:
        return {}
    from trainer.contrastive.adapter import Listener

    found = {"speech encoder": Listener(config.adapter.encoder, config.adapter.layer).digest}
    if config.initial.folder is not None:
        folder = Path(config.initial.folder)
        names = sorted(path.name for path in folder.glob("*.safetensors"))
        if (folder / "config.json").is_file():
            found["language model"] = files_digest(folder, ["config.json", *names])
    return found


def opened_speech(config: Config, stored: Sequence[TokenizerEntry] = ()) -> SpeechTokenizer | None:
    """The speech tokenizer of a config, seen through its order of codes; None: text alone."""
    name = config.speech.tokenizer
    if name is None:
        return None
    found = ordered(speech_tokenizer(name, stored), config.speech.order)
    return found if config.speech.pieces is None else in_pieces(found, config.speech.pieces)


def kept_text_tokenizer(out: Path) -> FileTokenizer:
    """The text tokenizer of a run's OUT."""
    return load_text_tokenizer(out)


def keep_text_tokenizer(config: Config, out: Path, sets: Sequence[ShardSet]) -> Path:
    """Put the run's text tokenizer into OUT: the named one, or a BPE trained on the sets' text."""
    for name in FILES:
        (out / name).unlink(missing_ok=True)
    named = config.text.tokenizer
    if named is not None:
        source = load_text_tokenizer(named)
        kept = out / FILES[source.sentencepiece]
        partial = kept.with_name(f"{kept.name}.partial")
        shutil.copyfile(source.path, partial)
    else:
        kept = out / FILES[0]
        partial = kept.with_name(f"{kept.name}.partial")
        texts = set_texts(sets, config.text.documents, config.data.text_lead)
        partial.write_text(train_bpe(texts, config.text.size, at_most=True), encoding="utf-8")
    os.replace(partial, kept)
    return kept


def set_texts(sets: Sequence[ShardSet], documents: int, lead: str = " ") -> Iterator[str]:
    """The text of each chunk of at most so many documents of each set, in the shards' order."""
    for one in sets:
        rows = ((shard, row) for shard in range(len(one.entries)) for _, row in one.rows(shard))
        for shard, row in itertools.islice(rows, documents):
            document = read_document(one.fetch(shard), row, one.where(shard))
            yield from (lead + chunk.text for chunk in document.chunks if chunk.text)


def _digest(one: ShardSet) -> str:
    """Of the shards that a set reads, wherever they lie."""
    shards = sorted((entry.name, entry.sha256) for entry in one.entries)
    return hashlib.sha256(json.dumps(shards).encode()).hexdigest()
