"""lhotse over the audio of `peers.py`; run by it, not by hand.

    PYTHON benchmarks/peers_lhotse.py MANIFEST FOLDER {vad,chain} JOBS

Its activity detection workflow (`lhotse workflows activity-detection`) with the same class and the
same executor; but the model comes from the silero-vad package, because its own way is to clone the
model's repository. `chain` cuts the recordings to what was found and writes them as shards of FLAC
(`CutSet.to_shar`) in as many jobs. Prints one line of JSON.
"""

import importlib.metadata
import json
import sys
import time
from functools import partial
from itertools import chain

from lhotse import CutSet, Recording, RecordingSet, SupervisionSet
from lhotse.parallel import ParallelExecutor
from lhotse.workflows.activity_detection.silero_vad import SileroVAD16k

SHARD_CUTS = 200


class Packaged(SileroVAD16k):
    """The same detector, with the settings that `peers.py` gives to all."""

    @classmethod
    def _get_model(cls, *, force_download: bool = False):
        import torch
        from silero_vad import get_speech_timestamps, load_silero_vad

        torch.set_num_threads(1)

        def predict(audio, model, sampling_rate, **_):
            return get_speech_timestamps(
                audio,
                model,
                sampling_rate=sampling_rate,
                threshold=0.5,
                min_speech_duration_ms=250,
                max_speech_duration_s=30.0,
                min_silence_duration_ms=500,
                speech_pad_ms=100,
            )

        return load_silero_vad(), (predict,)


def main() -> None:
    manifest, folder, what, jobs = sys.argv[1:]
    begun = time.perf_counter()
    with open(manifest, encoding="utf-8") as lines:
        paths = [json.loads(line)["audio_filepath"] for line in lines]
    recordings = RecordingSet.from_recordings(Recording.from_file(path) for path in paths)
    detect = ParallelExecutor(
        init_fn=partial(Packaged, device="cpu"), num_jobs=int(jobs), verbose=False
    )
    found = SupervisionSet.from_segments(chain.from_iterable(detect(recordings)))
    found.to_file(f"{folder}/supervisions.jsonl.gz")
    if what == "chain":
        cuts = CutSet.from_manifests(recordings=recordings, supervisions=found)
        cuts = cuts.trim_to_supervisions(keep_overlapping=False).to_eager()
        cuts.to_shar(
            folder, fields={"recording": "flac"}, shard_size=SHARD_CUTS, num_jobs=int(jobs)
        )
    names = ("lhotse", "silero-vad", "torch")
    print(
        json.dumps(
            {
                "versions": {name: importlib.metadata.version(name) for name in names},
                "run": time.perf_counter() - begun,
                "segments": len(found),
                "speech": sum(one.duration for one in found),
            }
        )
    )


if __name__ == "__main__":
    main()
