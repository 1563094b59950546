"""How speech stands in shards: as FLAC, as tokens of some tokenizers, or as both.

Part of a shard's key only where a recipe asks for tokens, so that shards of recipes which do not
are the same as ever.
"""

import dataclasses
from typing import Any

from pipeline.keys import version_of
from pipeline.recipe import ShardSettings
from schemas.shard_tokens import TokenizerEntry
from transforms.engines import tokenizer
from transforms.engines.models import ModelError
from transforms.engines.tokenizer import SpeechTokenizer, entry_of


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """`tokenizers` are names as in a recipe, with the digests found when the run was planned."""

    audio: str = "flac"
    tokenizers: tuple[tuple[str, str], ...] = ()

    def key(self, device: str) -> list[Any]:
        """What it adds to the key of a shard: nothing without tokens."""
        if not self.tokenizers:
            return []
        libraries = {
            name: version_of(name)
            for spec, _ in self.tokenizers
            for name in tokenizer.LIBRARIES[tokenizer.parse(spec)[0]]
        }
        digests = sorted(digest for _, digest in self.tokenizers)
        return [self.audio, digests, sorted(libraries.items()), device]

    def load(self) -> tuple[SpeechTokenizer, ...]:
        """The tokenizers. Raises `ModelError` where one is no longer what it was."""
        found = []
        for spec, digest in self.tokenizers:
            one = tokenizer.load(spec)
            if one.digest() != digest:
                raise ModelError(spec, "changed since the run was planned; start the run again")
            found.append(one)
        return tuple(found)

    def entries(self) -> tuple[TokenizerEntry, ...]:
        """The tokenizers as the manifest names them."""
        return tuple(entry_of(one) for one in self.load())


def form_of(settings: ShardSettings) -> Form:
    """The form that a recipe asks for. Raises `ModelError` where a tokenizer's files are missing,
    or two of them would write the same member."""
    found = [(spec, tokenizer.load(spec)) for spec in settings.tokens]
    names = [one.name for _, one in found]
    for (spec, one), place in zip(found, range(len(found)), strict=True):
        if one.name in names[:place]:
            raise ModelError(spec, f"is the same tokenizer as another of this recipe: {one.name}")
    return Form(audio=settings.audio, tokenizers=tuple((spec, one.digest()) for spec, one in found))
