"""The Latent Speech-Text Transformer: the decoder's blocks over text tokens and patches of speech.

Tokens of speech go through the patch encoder, one vector a patch; the blocks (the global
transformer) run over the mixed sequence; the patch decoder predicts each token of speech, and what
follows the last one. Text and markers are predicted from the blocks as in the plain decoder, so
with no speech this *is* the plain decoder. Weights that both have are drawn alike. Which choices
are the paper's and which are ours: docs/latent.md.
"""

from collections.abc import Iterator

import torch

from trainer.latent.decoder import PatchDecoder
from trainer.latent.encoder import EncoderLayer, PatchEncoder
from trainer.latent.layout import Layout, layout
from trainer.latent.local import decoder_depth, local_settings, window_of
from trainer.model import Decoder
from trainer.model_settings import ModelSettings
from trainer.pack import Vocabulary
from trainer.rotary import angles, frequencies
from trainer.tensors import Inputs

STEP = 256  # on a GPU the number of global positions is a multiple of it: kernels know few shapes


class LatentDecoder(Decoder):
    """A `Decoder` whose blocks see patches where there is speech."""

    def _further(self) -> None:
        """The modules beside those of the plain decoder."""
        width = self.settings.sizes[0]
        self.local = local_settings(self.settings)
        self.encoder = PatchEncoder(width, self.local)
        self.decoder = PatchDecoder(width, self.local, decoder_depth(self.settings))

    def forward(self, given: Inputs) -> torch.Tensor:
        """Hidden states [packs, length, width], from which the heads predict what follows.

        Cut as `given.patch` says, or statically where it says nothing.
        """
        latent = self.settings.latent
        assert latent is not None
        laid = layout(given, latent.size, STEP if given.ids.is_cuda else 1)
        x = self.embedded(given)
        dense = given.ids.is_cuda or torch.compiler.is_compiling()
        speech = x.new_zeros(len(laid.heard), laid.slots, x.shape[-1])
        speech[laid.line, laid.slot] = x[laid.row, laid.column]
        turn = angles(laid.slot_place, frequencies(self.local, x.device))
        window = window_of(laid.slot_piece, latent.window, dense)
        patches, states = self.encoder(speech, turn, window, laid)
        answers = self._answers(x, patches, laid)
        spoken = self.decoder(states, answers[laid.heard], turn, window, laid, dense)
        found = answers.gather(1, laid.owner[..., None].expand(-1, -1, answers.shape[-1]))
        found[laid.row, laid.column] = spoken[laid.line, laid.slot].to(found.dtype)
        if not laid.speech:  # every weight has a gradient on every rank
            found = found + 0.0 * (spoken.sum() + self._idle(speech).sum())
        return found

    def states(self, given: Inputs) -> Iterator[torch.Tensor]:
        """Not there: positions of speech have no state of their own in the blocks."""
        raise ValueError("a latent model has no hidden state per position and block")

    def flops_per_position(
        self, length: int, text_share: float = 1.0, speech_share: float = 1.0
    ) -> float:
        raise ValueError(
            "what a position costs depends on the patches it is cut into: see latent.accounting"
        )

    def parameters_by_part(self) -> dict[str, int]:
        """As the plain decoder's, and `encoder` and `decoder`."""
        found = super().parameters_by_part()
        for name in ("encoder", "decoder"):
            found[name] = sum(p.numel() for p in getattr(self, name).parameters())
        return found

    def _answers(self, x: torch.Tensor, patches: torch.Tensor, laid: Layout) -> torch.Tensor:
        """What the global transformer makes of the mixed sequence, [packs, globals, width]."""
        row, column = laid.plain.nonzero(as_tuple=True)
        mixed = x.new_zeros(x.shape[0], laid.globals, x.shape[-1])
        mixed[row, laid.owner[row, column]] = x[row, column]
        mixed[laid.patch_row, laid.patch_owner] = patches.to(mixed.dtype)
        turn = angles(laid.global_place, frequencies(self.settings, x.device))
        mask = self._mask(laid.global_piece)
        for block in self.blocks:
            mixed = block(mixed, turn, mask)
        found: torch.Tensor = self.norm(mixed)
        return found

    def _idle(self, speech: torch.Tensor) -> torch.Tensor:
        """The patch encoder on one position that holds nothing."""
        one = torch.zeros(1, dtype=torch.long, device=speech.device)
        states = (
            speech[0, :1] if self.encoder.inward is None else self.encoder.inward(speech[0, :1])
        )
        found = torch.zeros((), device=speech.device)
        for layer in self.encoder.layers:
            assert isinstance(layer, EncoderLayer)
            found = found + layer.pooling(states, states, one).sum()
        if self.encoder.outward is not None:
            found = found + self.encoder.outward(states).sum()
        return found


def decoder_of(settings: ModelSettings, vocabulary: Vocabulary, seed: int = 0) -> Decoder:
    """The model of settings: plain, or with patches."""
    kind: type[Decoder] = Decoder if settings.latent is None else LatentDecoder
    return kind(settings, vocabulary, seed)
