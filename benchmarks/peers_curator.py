"""NeMo Curator over the audio of `peers.py`; run by it, not by hand.

    PYTHON benchmarks/peers_curator.py MANIFEST FOLDER {vad,chain} {batch,streaming} CPUS

The stages that its documentation puts first: the manifest reader, conversion to mono with the
waveform in memory, and segmentation by silero, then the mapper that leaves times alone, which its
pipelines end with. `chain` also writes every segment as a FLAC file by its extraction stage. CPUS
is what a worker of a stage asks for: its own default is 1.0, and in streaming mode all stages need
theirs at once. Prints one line of JSON.
"""

import importlib.metadata
import json
import pathlib
import sys
import time


def main() -> None:
    manifest, folder, what, mode, cpus = sys.argv[1:]
    begun = time.perf_counter()
    from nemo_curator.backends.xenna import XennaExecutor
    from nemo_curator.pipeline import Pipeline
    from nemo_curator.stages.audio.common import ManifestReader
    from nemo_curator.stages.audio.postprocessing.timestamp_mapper import TimestampMapperStage
    from nemo_curator.stages.audio.preprocessing.mono_conversion import MonoConversionStage
    from nemo_curator.stages.audio.segmentation.vad_segmentation import VADSegmentationStage
    from nemo_curator.stages.resources import Resources

    given = Resources(cpus=float(cpus))
    pipeline = Pipeline(name="vad")
    pipeline.add_stage(ManifestReader(manifest_path=manifest))
    pipeline.add_stage(MonoConversionStage(output_sample_rate=16_000).with_(resources=given))
    pipeline.add_stage(
        VADSegmentationStage(
            min_interval_ms=500,
            min_duration_sec=0.25,
            max_duration_sec=30.0,
            threshold=0.5,
            speech_pad_ms=100,
        ).with_(resources=given)
    )
    pipeline.add_stage(TimestampMapperStage().with_(resources=given))
    if what == "chain":
        from nemo_curator.stages.audio.io.extract_segments import SegmentExtractionStage

        pipeline.add_stage(SegmentExtractionStage(output_dir=folder, output_format="flac"))
    imported = time.perf_counter()
    found = pipeline.run(XennaExecutor({"execution_mode": mode})) or []
    ran = time.perf_counter()
    rows = [task.data for task in found]
    with open(pathlib.Path(folder) / "manifest.jsonl", "w", encoding="utf-8") as lines:
        lines.writelines(json.dumps(row, default=str) + "\n" for row in rows)
    names = ("nemo-curator", "ray", "silero-vad", "torch")
    print(
        json.dumps(
            {
                "versions": {name: importlib.metadata.version(name) for name in names},
                "import": imported - begun,
                "run": ran - imported,
                "segments": len(rows),
                "speech": sum(row["duration"] for row in rows),
            }
        )
    )


if __name__ == "__main__":
    main()
