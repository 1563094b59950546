"""The loop that a pipeline is compared with: decode, find speech, find speakers, deal the text.

    python benchmarks/bare_loop.py LIST.json

One process of a bare Python loop over the files of a list: the same Door, the same engines with the
same settings as a worker of the pipeline, and nothing else: no parts, no checks, no commits, no
stored audio. The pins of a worker come from whoever starts it, in the environment. Prints one line
of JSON: wall seconds of loading the models, of the loop, and of each step in it.
"""

import json
import pathlib
import sys
import tempfile
import time
from collections import Counter

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from schemas.records import frames
from transforms.annotate.diarize import Diarize
from transforms.engines import recognizer, vad
from transforms.hear.decode import Decode
from transforms.hear.segment import SegmentStep, stretches
from transforms.spool import FileSpool

RATE = 16_000
CAP = 8 << 30  # bytes of scratch for one recording


def work(items: list[dict[str, str]]) -> dict[str, object]:
    """Go through the files; what was found is counted, so that two loops can be compared."""
    began = time.perf_counter()
    decode, segment, diarize = Decode(), SegmentStep(), Diarize()
    door, detector, diarizer = decode.load(), segment.load(), diarize.load()
    given = recognizer.load("given")
    spent: Counter[str] = Counter()
    found: Counter[str] = Counter()
    loaded = clock = time.perf_counter()

    def lap(name: str) -> None:
        nonlocal clock
        now = time.perf_counter()
        spent[name] += now - clock
        clock = now

    with tempfile.TemporaryDirectory() as folder:
        for item in items:
            with FileSpool(pathlib.Path(folder), RATE, CAP) as spool:
                decoded = door.decode(item["path"], RATE, "mix", spool)
                lap("decode")
                size = RATE * 16
                blocks = (
                    spool.read(0, start, min(start + size, decoded.length))
                    for start in range(0, decoded.length, size)
                )
                curve = detector.probabilities(vad.at_rate(blocks, RATE))
                spoken = stretches(curve, segment, decoded.length, RATE)
                lap("segment")
                places = [(stretch.start, stretch.end) for stretch in spoken]
                turns = diarizer.turns(spool, 0, places, RATE) if places else []
                lap("diarize")
                shares = recognizer.deal(item["text"], [t.end - t.start for t in turns])
                for turn, text in zip(turns, shares, strict=True):
                    start, end = frames(turn.start, RATE), frames(turn.end, RATE)
                    about = recognizer.Given(text=text, language=None)
                    found["texts"] += (
                        given.transcribe(spool.read(0, start, end), RATE, about) is not None
                    )
                lap("transcribe")
                found["files"] += 1
                found["frames"] += decoded.length
                found["turns"] += len(turns)
    ended = time.perf_counter()
    door.close()
    return {
        "load": loaded - began,
        "loop": ended - loaded,
        "steps": {name: round(seconds, 4) for name, seconds in spent.items()},
        "found": dict(found),
    }


if __name__ == "__main__":
    print(json.dumps(work(json.loads(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8")))))
