"""What a latent model costs, and what it read: all three modules counted, by the same rules as the
plain decoder (`trainer.flops`).

A product of matrices counts 2 a weight forward and 4 backward; attention counts the keys that
causality and window leave, document masks not deducted. So a plain and a latent run may be compared
at equal global positions (`units`), at equal positions (`data`), and at equal operations (`flops`).
"""

import dataclasses
import itertools
from typing import TYPE_CHECKING

from trainer.latent.local import decoder_depth, local_settings
from trainer.latent.patching import patches_of
from trainer.model import Decoder
from trainer.model_settings import ModelSettings
from trainer.pack import Vocabulary
from trainer.planning import DataState, Planner

if TYPE_CHECKING:
    from trainer.config import Config
    from trainer.data import Data

PARTS = (
    "front_end", "encoder", "matrices", "attention", "decoder", "text_head", "code_heads",
)  # fmt: skip
SAMPLE = 32  # steps whose plans say what a step costs, before the first one is taken


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """What went through a model; floats, for means are asked, too."""

    packs: float
    plain: float  # text tokens, markers and padding: a global position each
    speech: float  # positions of speech
    patches: float  # that they were cut into
    text_targets: float  # positions that the text head was asked for
    speech_targets: float  # positions that the code heads were asked for

    @property
    def positions(self) -> float:
        """Underlying ones: tokens of text and speech."""
        return self.plain + self.speech

    @property
    def global_positions(self) -> float:
        return self.plain + self.patches

    def everywhere(self) -> "Counts":
        """The same, with every head at every position: what is known before a run."""
        return dataclasses.replace(self, text_targets=self.positions, speech_targets=self.positions)


def keys(length: float, window: float) -> float:
    """Keys of a query on average, in causal attention over `length` that looks back on `window`."""
    if length <= window:
        return length / 2
    return window - window * window / (2 * length)


def by_part(settings: ModelSettings, vocabulary: Vocabulary, given: Counts) -> dict[str, float]:
    """Operations of a latent model, forward and backward, by the names of `PARTS`.

    - encoder: per layer 6 x (block's weights + key and value of pooling) a position, 6 x (query and
      output) a patch, 12 x heads x head_width x (keys of the window + 1) a position;
    - matrices, attention: the blocks', over global positions;
    - decoder: per layer 6 x (block's weights + query and output of looking) a position, 6 x (key
      and value) a global position, 12 x heads x head_width x (keys of the window + half of the
      global positions) a position.

    Where width differs from the model's, projections inward and outward are counted, too.
    """
    latent = settings.latent
    assert latent is not None
    width, heads, kv_heads, head, hidden = settings.sizes
    local = local_settings(settings)
    own, own_heads, _, own_head, own_hidden = local.sizes
    inner = own_heads * own_head
    packs = max(given.packs, 1.0)
    context = given.global_positions / packs
    near = keys(given.positions / packs, latent.window)
    block = width * head * (2 * heads + 2 * kv_heads) + 3 * width * hidden
    own_block = 4 * own * inner + 3 * own * own_hidden
    between = own * width if own != width else 0
    encoder = latent.encoder_depth * (
        given.speech * (6 * (own_block + 2 * own * inner) + 12 * inner * (near + 1))
        + given.patches * 6 * 2 * own * inner
    )
    encoder += 6 * between * (given.speech + given.patches)
    decoder = decoder_depth(settings) * (
        given.speech * (6 * (own_block + 2 * own * inner) + 12 * inner * (near + context / 2))
        + given.global_positions * 6 * 2 * width * inner
    )
    decoder += 6 * between * given.speech
    books = vocabulary.codebooks if vocabulary.codebooks > 1 else 0
    return {
        "front_end": 2.0 * books * width * given.speech,
        "encoder": float(encoder),
        "matrices": 6.0 * settings.depth * block * given.global_positions,
        "attention": 6.0 * settings.depth * heads * head * context * given.global_positions,
        "decoder": float(decoder),
        "text_head": 6.0 * vocabulary.size * width * given.text_targets,
        "code_heads": 6.0 * books * vocabulary.levels * width * given.speech_targets,
    }


def planned(data: "Data", steps: int = SAMPLE) -> Counts:
    """Means of a step over the first `steps` steps, from the plans of their packs; static patches,
    of one position where nobody cuts. Decodes no sound."""
    settings = data.settings
    size = 1 if settings.patches is None else settings.patches.size
    planner = Planner(list(data.readers.values()), settings, DataState())
    taken = plain = speech = patches = 0
    for _ in range(steps):
        plans = planner.step()
        if not plans:
            break
        taken += 1
        for plan in plans:
            reader = data.readers[plan.set_name]
            used = 0
            for piece in plan.pieces:
                prepared, drawing = reader.prepared(piece.drawn), reader.drawing(piece.drawn)
                shown = drawing.draw(
                    prepared, piece.epoch, piece.drawn.copy, piece.first, piece.last
                )
                spoken = [one for one in shown if one.side == "speech"]
                used += piece.positions
                plain += piece.positions - sum(one.room for one in spoken)
                speech += sum(one.positions for one in spoken)
                parts = itertools.chain.from_iterable(one.parts for one in spoken)
                patches += sum(patches_of(drawing.laid(p.last - p.first), size) for p in parts)
            plain += settings.length - used
    count = max(taken, 1)
    return Counts(
        packs=settings.packs,
        plain=plain / count,
        speech=speech / count,
        patches=patches / count,
        text_targets=0.0,
        speech_targets=0.0,
    )


def cost_per_position(config: "Config", decoder: Decoder, data: "Data") -> float:
    """What `Config.steps` multiplies by packs x length to get the operations of a step: every head
    at every position. Of a latent model it is the mean of the first steps' plans, for what a step
    costs depends on how much of it is speech."""
    length = config.data.length
    if decoder.settings.latent is None:
        return decoder.flops_per_position(length)
    found = by_part(decoder.settings, decoder.vocabulary, planned(data).everywhere())
    return sum(found.values()) / (config.data.packs * length)
