"""Rooms, noise and codecs over what was spoken, for recipes that want synthetic speech less clean.

A step that a recipe names or leaves out. Per script, the share of scripts that is changed, the
room, the noise and the codec are drawn from its page's id, so one script is in one place all the
while. Lengths stay, and with them words' times; loudness stays, too. Noise is that of
torch-audiomentations (coloured, at a level below the speech); codecs are PyAV's; a room is decaying
noise that the sound is convolved with (Polack's model: right in its reverberation, without the
early reflections of a real one).
"""

import dataclasses
import importlib.metadata
import importlib.util
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Self

import numpy as np
import pydantic

from schemas.records import Clip, Drop, frames
from transforms.engines.models import ModelError
from transforms.engines.voice import one_thread
from transforms.spool import FileSpool
from transforms.step import Pcm16, Phase, RecordStep, Scope
from transforms.synthesize import levels
from transforms.synthesize.codec_trip import CODECS, through
from transforms.synthesize.speak import Range

_SEEDS = 31  # bits
_DECAY = -6.908  # natural logarithm of -60 dB


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a script is spoken; None: as it was."""

    room: float | None  # seconds until the reverberation is 60 dB down
    wetness: float  # its energy, as a share of the direct sound's
    noise: float | None  # dB below the speech
    codec: str | None
    seed: int

    def label(self) -> str:
        """What was done, for the clip."""
        parts = [
            None if self.room is None else f"room={self.room:.2f}",
            None if self.noise is None else f"noise={self.noise:.0f}dB",
            None if self.codec is None else f"codec={self.codec}",
        ]
        return " ".join(part for part in parts if part)


class Augment(RecordStep):
    """Spoken clips to the same clips, in rooms and over lines."""

    phase: ClassVar[Phase] = "synthesize"
    makes_audio: ClassVar[bool] = True
    reasons: ClassVar[dict[str, str]] = {}

    share: float = pydantic.Field(
        0.5, ge=0, le=1, description="Scripts that are changed (share; ours)"
    )
    room: Range | None = pydantic.Field(
        (0.1, 0.6),
        strict=False,
        description="Reverberation: time until it is 60 dB down (seconds; ours, a living room to a "
        "hall; off: none)",
    )
    noise: Range | None = pydantic.Field(
        (10.0, 30.0),
        strict=False,
        description="How far noise lies below the speech (dB; ours; off: none)",
    )
    codecs: tuple[str, ...] = pydantic.Field(
        tuple(CODECS),
        strict=False,
        description="Codecs, of which one is drawn (names: " + ", ".join(CODECS) + "; none: off)",
    )
    each: float = pydantic.Field(
        0.5,
        ge=0,
        le=1,
        description="How often each of the three is there in a changed script (share; ours)",
    )

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for name, least, most in (("room", 0.02, 3.0), ("noise", -10.0, 80.0)):
            bounds = getattr(self, name)
            if bounds is not None and not least <= bounds[0] <= bounds[1] <= most:
                raise ValueError(f"{name} is {list(bounds)}; it lies within {least:g} and {most:g}")
        if unknown := [name for name in self.codecs if name not in CODECS]:
            raise ValueError(f"unknown codec {unknown[0]!r}; known: {', '.join(CODECS)}")
        return self

    def fingerprint(self) -> Any:
        """Raises `ModelError` where the library of noises is missing."""
        if self.noise is not None and importlib.util.find_spec("torch_audiomentations") is None:
            raise ModelError(
                "augment",
                "noise needs a package: pip install 'speechloom[augment]', or set augment.noise: "
                "null",
            )
        libraries = ["av", "scipy", "soxr", "pyloudnorm"]
        if self.noise is not None:
            libraries += ["torch", "torch-audiomentations"]
        return {name: importlib.metadata.version(name) for name in libraries}

    def load(self) -> Any:
        """The class that makes noise; None where none is wanted."""
        if self.noise is None:
            return None
        import torch_audiomentations

        return torch_audiomentations.AddColoredNoise

    def __call__(self, records: Sequence[Clip], model: Any, scope: Scope) -> Iterator[Clip | Drop]:
        if not isinstance(scope.sink, FileSpool):
            raise ValueError(f"augment needs a spool in the scope of {scope.root.id}")
        places = {
            channel: self.place(scope, channel)
            for channel in sorted({clip.channel for clip in records})
        }
        if not any(places.values()):
            yield from records
            return
        audio = scope.samples()
        with scope.sink.relaid() as fresh:
            for clip in records:
                place = places[clip.channel]
                start, end = frames(clip.start, clip.rate), frames(clip.end, clip.rate)
                if start == end:
                    yield clip
                    continue
                pcm = audio.read(clip.channel, start, end)
                if place is None:
                    fresh.append(clip.channel, pcm)
                    yield clip
                    continue
                fresh.append(clip.channel, self.changed(pcm, clip, place, model, scope))
                yield _labelled(clip, place)

    def place(self, scope: Scope, channel: int) -> Place | None:
        """What is drawn for a script; None where it stays as it is."""
        rng = scope.rng(self.name(), f"{scope.root.id}/{channel}")
        change = rng.random() < self.share
        room = rng.uniform(*self.room) if self.room else 0.0
        wetness = 10 ** (rng.uniform(-15, -3) / 10)
        noise = rng.uniform(*self.noise) if self.noise else 0.0
        codec = self.codecs[int(rng.random() * len(self.codecs))] if self.codecs else ""
        with_room, with_noise, with_codec = (rng.random() < self.each for _ in range(3))
        found = Place(
            room=round(room, 2) if self.room and with_room else None,
            wetness=wetness,
            noise=round(noise, 1) if self.noise and with_noise else None,
            codec=codec if self.codecs and with_codec else None,
            seed=rng.getrandbits(_SEEDS),
        )
        return found if change and found.label() else None

    def changed(self, pcm: Pcm16, clip: Clip, place: Place, model: Any, scope: Scope) -> Pcm16:
        """A clip's samples as they are heard there; as many, and as loud."""
        wave = pcm.astype(np.float32) / np.float32(32767)
        if place.room is not None:
            wave = reverberated(wave, clip.rate, place.room, place.wetness, place.seed)
        if place.noise is not None:
            seed = scope.rng(f"{self.name()}:noise", clip.id).getrandbits(_SEEDS)
            wave = _noisy(wave, clip.rate, place.noise, model, seed)
        wave = wave * np.float32(_as_loud(wave, pcm))
        out: Pcm16 = levels.pcm16(wave)
        return out if place.codec is None else through(out, clip.rate, place.codec)


def reverberated(
    wave: levels.Wave, rate: int, seconds: float, wetness: float, seed: int
) -> levels.Wave:
    """A sound in a room: itself, and decaying noise (its energy `wetness` of the direct sound's)
    that begins 2 ms later; as long as it was."""
    from scipy.signal import fftconvolve

    length, gap = round(seconds * rate), round(0.002 * rate)
    time = np.arange(length, dtype=np.float32) / np.float32(seconds * rate)
    tail = np.random.default_rng(seed).standard_normal(length).astype(np.float32)
    tail *= np.exp(np.float32(_DECAY) * time)
    tail *= np.float32(np.sqrt(wetness / float(np.square(tail).sum())))
    answer = np.concatenate([np.ones(1, np.float32), np.zeros(gap, np.float32), tail])
    out: levels.Wave = fftconvolve(wave, answer)[: len(wave)].astype(np.float32)
    return out


def _noisy(wave: levels.Wave, rate: int, decibels: float, noise: Any, seed: int) -> levels.Wave:
    """With coloured noise `decibels` below it, drawn from `seed` alone."""
    import torch

    with one_thread(), torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(seed)
        adds = noise(
            min_snr_in_db=decibels,
            max_snr_in_db=decibels,
            min_f_decay=0.0,
            max_f_decay=2.0,
            p=1.0,
            sample_rate=rate,
            output_type="dict",
        )
        found = adds(torch.from_numpy(wave)[None, None], sample_rate=rate).samples
    out: levels.Wave = found[0, 0].numpy()
    return out


def _as_loud(wave: levels.Wave, pcm: Pcm16) -> float:
    """The factor that gives a sound the power of what it was made from, below full scale."""
    before = float(np.square(pcm.astype(np.float64) / 32767).mean())
    after = float(np.square(wave.astype(np.float64)).mean())
    peak = float(np.abs(wave).max(initial=0.0))
    if not after or not peak:
        return 1.0
    return min(float(np.sqrt(before / after)), levels.CEILING / peak)


def _labelled(clip: Clip, place: Place) -> Clip:
    """What was done stands with how it was read."""
    read, *others = clip.transcripts
    read = dataclasses.replace(read, device=f"{read.device} {place.label()}".strip())
    return dataclasses.replace(clip, transcripts=(read, *others))
