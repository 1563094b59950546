"""What steps cost in time and memory where OUT has nothing measured of its own yet.

Measured on one core of a server of 2023 (x86-64-v4): times of the offline stream of recordings by
`benchmarks/phase_costs.py` on hours of made conversations, those of other steps and the decoding of
packed media by the tallies of `make curate DATA=samples`; memory as the peak of a process that
imports the runner and uses the one model. Other machines differ by a factor of two or three: a plan
says so, and the tallies of OUT take over as soon as there are any.
"""

import dataclasses

from transforms.engines import pyannote_files, whisper_files
from transforms.engines.models import ModelError
from transforms.step import Step


@dataclasses.dataclass(frozen=True, slots=True)
class Cost:
    """Of one step with one engine, in one worker."""

    seconds: float  # of one core, per second of audio that reaches the step
    bytes: int = 0  # of memory, above the worker's own


BASE_BYTES = 350_000_000  # a worker with the runner loaded (193 MB) and the samples of a part
CHILD_BYTES = 150_000_000  # the process that opens media for it
DRIVER_BYTES = 200_000_000  # the process that plans and supervises

START_SECONDS = 3.0  # workers and their models
PHASE_SECONDS = 0.1  # to plan and compact one phase
REPORT_SECONDS = 1.0
LOOK_SECONDS = 0.01  # to probe one file
DIGEST_BYTES = 300e6  # digested in a second, from a disk
COMPOSE_SECONDS = 0.0002  # to decode and encode one second of FLAC for a shard
SET_SECONDS = 0.00005  # to select the clips of one second, and as much to arrange them

CLIP_SECONDS = 4.0  # of a clip: 3.2 s in made conversations, 5.0 s in recorded ones
STORED_SHARE = 0.85  # of a recording that is stored as speech
FLAC_SHARE = 0.62  # of the bytes of PCM16 that FLAC takes (samples/: 20.1 kB a second at 16 kHz)

# Above a model's own files: its library, and the buffers of a batch. A process that transcribes
# with the toy model of the tests peaks at 125 MB; pyannote.audio with a tiny one at 1.3 GB.
MODEL_OVERHEAD = {"faster-whisper": 125_000_000, "pyannote": 1_000_000_000}

_UNKNOWN = Cost(0.001)


@dataclasses.dataclass(frozen=True, slots=True)
class Beside:
    """What a phase takes beside its steps, in seconds of one core: for each of these more."""

    part: float
    recording: float
    clip: float


# benchmarks/phase_costs.py, 0.4 h in four shapes, OUT on a local disk
BESIDE = {
    "hear": Beside(0.0032, 0.0002, 0.0004),
    "annotate": Beside(0.0025, 0.0, 0.0),
    "measure": Beside(0.0116, 0.0001, 0.0005),
    "select to compose": Beside(0.0, 0.0004, 0.0003),
}

# Cost grows as hours to this power, from MEASURED_HOURS on. The phases up to measure know parts and
# nothing beyond them; from 0.1 to 3 h the fit of benchmarks/phase_costs.py gave 0.96, 0.98, 0.99,
# and 0.97 for the processor time of a whole run, each within its error of 1.
EXPONENTS = {"hear": 1.0, "annotate": 1.0, "measure": 1.0, "select to compose": 1.0}
MEASURED_HOURS = 3.0

# By step, or by "step/engine" where the engine decides.
_COSTS = {
    "decode": Cost(0.0006),  # packed, of 44.1 kHz; FLAC of 16 kHz takes 0.00014
    "segment/silero": Cost(0.0009, 37_000_000),
    "segment/energy": Cost(0.0001),
    "segment/none": Cost(0.0001),
    "gate": Cost(0.00001),
    "diarize/resemblyzer": Cost(0.0027, 490_000_000),
    "diarize/one": Cost(0.0),
    "diarize/given": Cost(0.0),
    "cues": Cost(0.0003),
    "transcribe/given": Cost(0.00006),
    "transcribe/pocketsphinx": Cost(0.28, 97_000_000),
    "snr": Cost(0.00025),
    "clipping": Cost(0.00002),
    "speech_ratio/silero": Cost(0.0009, 37_000_000),
    "loudness": Cost(0.00027),
    "language/lid.176": Cost(0.00001, 5_000_000),
    "text_rate": Cost(0.00001),
    "topic/smoke": Cost(0.00001),
}


def engines(step: Step) -> tuple[str, ...]:
    """The engines that a step's settings name; () where it has no choice of them."""
    one = getattr(step, "engine", None)
    if isinstance(one, str):
        return (one,)
    return tuple(getattr(step, "engines", ()))


def cost(step: Step) -> Cost:
    """What a step costs. Of several engines all are counted: each may be asked for every clip.

    An engine that takes a model by name counts with the bytes of the model's files, and without
    time: see `unmeasured`.
    """
    names = [f"{step.name()}/{engine}" for engine in engines(step)] or [step.name()]
    found = [
        Cost(0.0, model_bytes(engine)) if "/" in (engine := name.partition("/")[2]) else one
        for name, one in ((name, _COSTS.get(name, _UNKNOWN)) for name in names)
    ]
    return Cost(sum(one.seconds for one in found), sum(one.bytes for one in found))


def unmeasured(step: Step) -> tuple[str, ...]:
    """Engines whose time depends on a model that nobody measured for this table."""
    return tuple(f"{step.name()} {engine}" for engine in engines(step) if "/" in engine)


def known(step: Step) -> bool:
    """Whether the table has this step, with all the engines that it names."""
    names = [f"{step.name()}/{engine}" for engine in engines(step)] or [step.name()]
    return all(name in _COSTS for name in names)


def model_bytes(engine: str) -> int:
    """Bytes of the files of the model that an engine's name names; 0 where it is not here.

    Loaded, a model takes about that and the buffers of a batch (MODEL_OVERHEAD).
    """
    family, _, variant = engine.partition("/")
    locate = {"faster-whisper": whisper_files.locate, "pyannote": pyannote_files.directory}
    try:
        folder = locate[family](variant)
    except (KeyError, ModelError):
        return 0
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return size + MODEL_OVERHEAD[family]


def worker_bytes(steps: tuple[Step, ...]) -> int:
    """Memory of one worker that runs all these steps: models stay loaded from phase to phase."""
    models = {(step.name(), engines(step)): cost(step).bytes for step in steps}
    return BASE_BYTES + CHILD_BYTES + sum(models.values())
