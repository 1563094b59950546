"""A handful of steps with no models behind them, named like the real ones."""

from typing import Any, ClassVar, Literal

import pydantic

from transforms.step import Filtering, Measure, Phase, Step


class Small(Step):
    phase: ClassVar[Phase] = "hear"


def made(name: str, phase: Phase, **fields: Any) -> type[Step]:
    """A step class of a phase; `fields` as `pydantic.create_model` takes them."""
    kind = pydantic.create_model(name.title(), __base__=Small, __module__=f"small.{name}", **fields)
    kind.phase = phase
    return kind


class Snr(Measure):
    columns: ClassVar[dict[str, type]] = {"snr_db": float, "noise_db": float}
    needs_audio: ClassVar[bool] = True
    __module__ = "small.snr"


class Filter(Filtering):
    min_snr_db: float | None = None
    where: dict[str, float] = pydantic.Field(default_factory=dict)
    __module__ = "small.filter"

    def needs(self) -> frozenset[str]:
        if "wrong" in self.where:
            raise TypeError("where: 'wrong' is no number")
        scores = {"snr.snr_db"} if self.min_snr_db is not None else set()
        return frozenset({"id", "licence"} | scores | set(self.where))


KNOWN: dict[str, type[Step]] = {
    "crawl": made("crawl", "gather"),
    "decode": made("decode", "hear", rate=(int, 16000)),
    "segment": made("segment", "hear", engine=(Literal["silero", "energy"], "silero")),
    "gate": made("gate", "hear", min_seconds=(float | None, None)),
    "diarize": made("diarize", "annotate"),
    "transcribe": made("transcribe", "annotate", engines=(tuple[str, ...], ("given",))),
    "snr": Snr,
    "filter": Filter,
    "split": made("split", "select", train=(float, 0.98)),
    "interleave": made("interleave", "compose", granularity=(Literal["fine", "coarse"], "fine")),
}

STREAM = "[crawl, segment, gate, diarize, transcribe, snr, filter: {min_snr_db: 5}, interleave]"
