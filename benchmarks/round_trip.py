"""How well a recognizer hears each voice: word error rates of what was spoken and heard again.

    python benchmarks/round_trip.py [--engines espeak-ng,flite] [--recognizer pocketsphinx]
        [--sentences 12] [--voices 6]

Each voice speaks the same sentences of our own at its normal speed and pitch, as `speak` does, and
`verify`'s own measure compares what is heard with what was to be said. Of an engine's usual English
voices the first of each accent are taken, `--voices` in all; flite has four. The rate belongs to
the pair of voice and recognizer, not to the voice alone. Limits of `verify` come from here.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on
from benchmarks.made_sentences import sentences
from benchmarks.speak import spent
from pipeline import device
from schemas.pages import Line, Page, Utterance, script_id, utterance_id
from schemas.records import Clip
from transforms.spool import FileSpool
from transforms.step import Scope
from transforms.synthesize.round_trip import seconds_per_character
from transforms.synthesize.speak import Speak
from transforms.synthesize.verify import Verify


def utterances(count: int) -> tuple[Page, list[Utterance]]:
    """One script of one reader."""
    name = "5" * 64
    texts = sentences(0, count)
    page = Page(id=name, root=name, index=0, uri="", text="\n".join(texts), language="en")
    lines = tuple(Line(role="reader", text=text) for text in texts)
    script = script_id(name, "page", 0, lines)
    return page, [
        Utterance(
            id=utterance_id(script, at, text, True),
            page=name,
            script=script,
            index=at,
            line=at,
            role="reader",
            text=text,
            language="en",
        )
        for at, text in enumerate(texts)
    ]


def voices_of(engine: str, most: int) -> list[str]:
    """English voices: accent by accent, the first of each before the second of any."""
    found = [voice for voice in Speak(engine=engine).ensemble().of("en")]
    rank: dict[str, int] = {}
    order = []
    for voice in found:
        rank[voice.accent] = rank.get(voice.accent, 0) + 1
        order.append((rank[voice.accent], voice.accent, voice.name))
    return [name for _, _, name in sorted(order)][:most]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engines", default="espeak-ng,flite")
    parser.add_argument("--recognizer", default="pocketsphinx")
    parser.add_argument("--sentences", type=int, default=12)
    parser.add_argument("--voices", type=int, default=6)
    asked = parser.parse_args()
    device.pin()
    page, records = utterances(asked.sentences)
    listen = Verify(engine=asked.recognizer, max_wer=None, pace=None, retake=False)
    model = listen.load()
    rows = []
    heard = cost = 0.0
    for engine in asked.engines.split(","):
        for voice in voices_of(engine, asked.voices):
            step = Speak(engine=engine, voices=(voice,), speed=(1.0, 1.0), pitch=(1.0, 1.0))
            stage = step.load()
            with FileSpool(pathlib.Path(tempfile.gettempdir()), step.rate, 1 << 30) as spool:
                scope = Scope(root=page, seed=1, audio=spool, sink=spool)
                clips = [c for c in step(records, stage, scope) if isinstance(c, Clip)]
                begun = spent()
                done = [c for c in listen(clips, model, scope) if isinstance(c, Clip)]
                cost += spent() - begun
            stage.close()
            rates = [clip.disagreement for clip in done if clip.disagreement is not None]
            heard += sum(clip.seconds for clip in clips)
            pace = statistics.median(seconds_per_character(clip) for clip in clips)
            rows.append(
                on.row(
                    f"{engine}/{voice}",
                    len(clips),
                    f"{statistics.fmean(rates):.2f}",
                    f"{statistics.median(rates):.2f}",
                    f"{max(rates):.2f}",
                    f"{pace:.3f}",
                )
            )
    print(on.circumstances())
    print(f"Recognizer {asked.recognizer}, {heard / cost:.1f} audio s per core s.\n")
    print(on.head("voice", "clips", "mean WER", "median", "highest", "s per letter"))
    print("\n".join(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
