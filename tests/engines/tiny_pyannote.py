"""A pyannote pipeline of a few kilobytes whose right answers are known, built on the spot.

Six voices are six pure tones. `ToneSegmentation` hears which of three local speakers sound (two
tones each), alone or two at once, through the same powerset, window and aggregation code as the
published models; `ToneEmbedding` tells all six apart. `save_pipeline` writes them, and random PLDA
matrices, as a directory that pyannote.audio loads like a published one. The checkpoints name this
module, so it must be importable where they are loaded.
"""

import math
from pathlib import Path

import lightning
import numpy as np
import torch
from pyannote.audio.core.model import Model
from pyannote.audio.core.task import Problem, Resolution, Specifications
from pyannote.audio.models.segmentation import PyanNet
from pyannote.audio.utils.receptive_field import (
    conv1d_num_frames,
    conv1d_receptive_field_center,
    conv1d_receptive_field_size,
)

VOICES = (300.0, 400.0, 1000.0, 1200.0, 3000.0, 3400.0)  # hertz; two for each local speaker
SIZE, STEP, DIMENSION = 400, 160, 256
FAINTEST = 1e-3  # power of a tone that counts as a voice


def _filters() -> torch.Tensor:
    """Hann-windowed cosine and sine of each voice, [12, 1, 400]; a tone of 1 has power 1."""
    time = torch.arange(SIZE, dtype=torch.float64) / 16_000
    hann = torch.hann_window(SIZE, dtype=torch.float64)
    waves = [
        wave(2 * math.pi * hertz * time) * hann * 2 / hann.sum()
        for hertz in VOICES
        for wave in (torch.cos, torch.sin)
    ]
    return torch.stack(waves)[:, None].float()


class _Tones(Model):
    def __init__(self, sample_rate=16_000, num_channels=1, task=None):
        super().__init__(sample_rate=sample_rate, num_channels=num_channels, task=task)
        self.filters = torch.nn.Parameter(_filters())

    def powers(self, waveforms):
        """Of every voice in every frame, [batch, 6, frames]."""
        heard = torch.nn.functional.conv1d(waveforms, self.filters, stride=STEP).square()
        return heard.reshape(len(heard), len(VOICES), 2, -1).sum(dim=2)


class ToneSegmentation(_Tones):
    @property
    def dimension(self):
        return self.specifications.num_powerset_classes

    def num_frames(self, num_samples):
        return conv1d_num_frames(num_samples, kernel_size=SIZE, stride=STEP)

    def receptive_field_size(self, num_frames=1):
        return conv1d_receptive_field_size(num_frames, kernel_size=SIZE, stride=STEP)

    def receptive_field_center(self, frame=0):
        return conv1d_receptive_field_center(frame, kernel_size=SIZE, stride=STEP)

    def forward(self, waveforms):
        powers = self.powers(waveforms)
        powers = powers.reshape(len(powers), 3, 2, -1).amax(dim=2)
        sounding = torch.log(powers / FAINTEST + 1e-9).clamp(-5, 5)
        sets = [(), (0,), (1,), (2,), (0, 1), (0, 2), (1, 2)]
        signs = torch.tensor([[1.0 if k in s else -1.0 for k in range(3)] for s in sets])
        scores = torch.einsum("sk,bkf->bfs", signs.to(sounding), sounding)
        return torch.log_softmax(scores, dim=-1)


class ToneEmbedding(_Tones):
    def __init__(self, sample_rate=16_000, num_channels=1, task=None):
        super().__init__(sample_rate, num_channels, task)
        made = torch.Generator().manual_seed(1)
        basis = torch.linalg.qr(torch.randn(DIMENSION, len(VOICES), generator=made)).Q
        self.basis = torch.nn.Parameter(basis.T.contiguous())

    @property
    def dimension(self):
        return DIMENSION

    def forward(self, waveforms, weights=None):
        powers = self.powers(waveforms)
        if weights is None:
            weights = torch.ones(len(powers), powers.shape[-1])
        mask = torch.nn.functional.interpolate(
            weights[:, None].to(powers), size=powers.shape[-1], mode="nearest"
        )
        mean = (powers * mask).sum(dim=-1) / mask.sum(dim=-1)  # nothing to hear: not a number
        return torch.nn.functional.normalize(mean, dim=-1) @ self.basis


SEGMENTATION = Specifications(
    problem=Problem.MONO_LABEL_CLASSIFICATION,
    resolution=Resolution.FRAME,
    duration=10.0,
    classes=["s1", "s2", "s3"],
    powerset_max_classes=2,
    permutation_invariant=True,
)
EMBEDDING = Specifications(
    problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=5.0
)
CONFIG = """\
dependencies: {{pyannote.audio: 4.0.0}}
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    clustering: {clustering}
    segmentation: $model/segmentation
    segmentation_batch_size: 4
    embedding: $model/embedding
    embedding_batch_size: 4
    embedding_exclude_overlap: true
    plda: $model/plda
params:
  segmentation: {{min_duration_off: 0.0}}
  clustering: {parameters}
"""
CLUSTERINGS = {
    "AgglomerativeClustering": "{method: centroid, min_cluster_size: 1, threshold: 0.7}",
    "VBxClustering": "{threshold: 0.6, Fa: 0.07, Fb: 0.8}",
}


def save_checkpoint(model: Model, specifications: Specifications, folder: Path) -> None:
    model.specifications = specifications
    model.build()
    checkpoint = {
        "state_dict": model.state_dict(),
        "hyper_parameters": dict(model.hparams),
        "pytorch-lightning_version": lightning.__version__,
    }
    model.on_save_checkpoint(checkpoint)
    folder.mkdir(parents=True, exist_ok=True)
    torch.save(checkpoint, folder / "pytorch_model.bin")


def random_pyannet() -> Model:
    """The published segmentation's architecture, tiny, with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return PyanNet(
            lstm={"hidden_size": 16, "num_layers": 1, "bidirectional": True, "monolithic": True},
            linear={"hidden_size": 16, "num_layers": 1},
        )


def save_pipeline(
    folder: Path,
    segmentation: Model | None = None,
    clustering: str = "AgglomerativeClustering",
) -> Path:
    """A pipeline directory of tones, or of another segmentation model."""
    save_checkpoint(segmentation or ToneSegmentation(), SEGMENTATION, folder / "segmentation")
    save_checkpoint(ToneEmbedding(), EMBEDDING, folder / "embedding")
    draw = np.random.default_rng(0)
    (folder / "plda").mkdir(exist_ok=True)
    lda, _ = np.linalg.qr(draw.normal(size=(DIMENSION, 128)))
    np.savez(
        folder / "plda" / "xvec_transform.npz",
        mean1=np.zeros(DIMENSION),
        mean2=np.zeros(128),
        lda=lda,
    )
    np.savez(
        folder / "plda" / "plda.npz",
        mu=np.zeros(128),
        tr=np.eye(128),
        psi=np.linspace(4, 0.1, 128),
    )
    (folder / "config.yaml").write_text(
        CONFIG.format(clustering=clustering, parameters=CLUSTERINGS[clustering])
    )
    return folder
