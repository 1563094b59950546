"""The nouns of a report: frozen values that the run fills in and the renderers only read.

Everything a renderer shows is here, so a report can be rendered, tested and compared without a run.
Sizes are the caller's choice up to `Limits`, which the renderers enforce and show when they cut.
Strings may hold anything that data can hold: the renderers escape them and remove control
characters; nothing here is trusted.
"""

import dataclasses
from typing import Literal

Direction = Literal["min", "max"]
Modality = Literal["speech", "text"]
Value = float | int | str | bool | None

SMOKE = "smoke"  # the text quality that must not be trained on unseen


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How much of a run the report shows; what is cut is said where it is cut."""

    kept: int = 20  # clips
    dropped_per_reason: int = 20
    documents: int = 12
    chunks_per_document: int = 24
    share_rows: int = 16  # the rest is summed into one row
    shards: int = 100
    leaks_per_set: int = 20
    preview_seconds: float = 12.0  # of audio per clip
    audio_bytes: int = 24_000_000  # of FLAC in the whole file; base64 adds a third


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DropCount:
    """Everything that left one step for one reason."""

    reason: str  # the reason code
    items: int  # drops: whole items, or stretches of one
    seconds: float
    meaning: str = ""  # one line for people, from the step's `reasons`


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class FunnelRow:
    """One step of one stream: what came in, what went out, what left and why."""

    phase: str
    step: str
    items_in: int
    items_out: int
    seconds_in: float | None  # None: not audio, or not yet known
    seconds_out: float | None
    drops: tuple[DropCount, ...] = ()
    noun_in: str = "clips"
    noun_out: str = "clips"
    stream: str = ""  # "" where all streams share the step

    @property
    def unexplained(self) -> float | None:
        """Seconds in less seconds out less seconds dropped; None where either side is unknown."""
        if self.seconds_in is None or self.seconds_out is None:
            return None
        return self.seconds_in - self.seconds_out - sum(drop.seconds for drop in self.drops)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """A limit of a step on a score, as the recipe sets it."""

    value: float
    direction: Direction  # "min": lower scores leave; "max": higher scores leave
    field: str  # "filter.min_snr_db"


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """The distribution of one score over clips; `histogram.of_values` makes one from numbers."""

    name: str  # "snr.db"
    unit: str  # "dB"; "" for a ratio
    edges: tuple[float, ...]  # ascending, one more than counts
    counts: tuple[int, ...]
    thresholds: tuple[Threshold, ...] = ()
    low: int = 0  # values below the first edge
    high: int = 0  # values above the last edge
    missing: int = 0  # clips without this score
    median: float | None = None
    p05: float | None = None
    p95: float | None = None
    meaning: str = ""

    def __post_init__(self) -> None:
        if len(self.edges) != len(self.counts) + 1 or len(self.counts) == 0:
            raise ValueError(
                f"histogram {self.name!r}: {len(self.edges)} edges do not fit "
                f"{len(self.counts)} counts; it needs one edge more than counts"
            )


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Share:
    """How much of the kept clips belongs to one speaker, language, licence, quality or split."""

    name: str
    items: int
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ClipScore:
    """One score of one clip."""

    name: str
    value: Value
    unit: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ClipCard:
    """A clip to look at and listen to. `preview.flac` makes the audio."""

    id: str
    seconds: float
    audio: bytes | None = None  # FLAC of at most `Limits.preview_seconds`
    audio_seconds: float = 0.0  # what `audio` holds of `seconds`
    rate: int = 0  # hertz
    start: float | None = None  # seconds in the recording
    end: float | None = None
    text: str = ""
    quality: str = ""  # "normal" | "smoke" | "given"; "" where there is no text
    engine: str = ""  # that wrote the text
    speaker: str = ""
    language: str = ""
    source: str = ""  # uri
    licence: str = ""
    stream: str = ""
    split: str = ""
    scores: tuple[ClipScore, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DroppedCard:
    """A clip, or a stretch of a recording, that left; with the comparison that made it leave."""

    step: str
    reason: str
    clip: ClipCard
    score: float | None = None
    threshold: float | None = None
    direction: Direction | None = None
    unit: str = ""
    detail: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DocumentChunk:
    """One chunk of a document under the default policy; times from the document's start."""

    modality: Modality
    start: float  # seconds
    end: float
    text: str
    speaker: str = ""
    gap: float = 0.0  # seconds of the recording left out before it


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class DocumentCard:
    """A document as a trainer would meet it under the default policy."""

    id: str
    stream: str
    split: str
    seconds: float
    chunks: tuple[DocumentChunk, ...]
    speaker: str = ""  # several: as the caller joins them
    language: str = ""
    licence: str = ""
    source: str = ""
    quality: str = ""


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ShardRow:
    """One shard; `path` is relative to the data card and uses forward slashes."""

    path: str
    stream: str
    split: str
    documents: int
    seconds: float
    size: int  # bytes
    sha256: str
    characters: int = 0


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class LeakedItem:
    """An evaluation item that clips share words or sound with, by the strongest hit of a kind."""

    item: str
    kind: str  # "ngram" | "fuzzy" | "audio"
    score: float  # words in common; similarity; share that is heard
    clip: str
    clips: int  # with such a hit
    seconds: float  # of them
    shared: str
    context: str


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class SetHits:
    """What a stream shares with an evaluation set."""

    stream: str
    name: str
    dropped: bool  # clips with a hit left; else they are noted
    items: int
    out_of_reach: int  # items without a text that is long enough to be found
    flagged: int  # items with a hit of any kind
    clips: int
    leaks: tuple[LeakedItem, ...]


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class GroupRow:
    """One group of documents: how much there is and should be, and how often it is shown."""

    name: str  # "" where nothing could be said
    documents: int
    seconds: float
    share: float  # of the labelled seconds; 0 of the group without a label
    reference: float | None  # share of the reference; None without one
    epochs: float  # weight of its documents

    @property
    def gap(self) -> float | None:
        """How much of the whole is missing (above 0) against the reference."""
        return None if self.reference is None else self.reference - self.share


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Coverage:
    """Shares of the documents to train on by one label, beside those of a reference."""

    by: str  # column
    method: str  # of the weights
    rows: tuple[GroupRow, ...]  # the largest gap first, or the largest group
    smoothing: float
    kl: float | None  # KL(reference || documents), bits; None without a reference
    js: float | None  # Jensen-Shannon, bits
    reference_texts: int
    budget_seconds: float
    shown_seconds: float  # by these weights; less than the budget where caps allow no more
    smoke: bool  # labels are of smoke quality


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """The run in a few numbers."""

    sources: int
    recordings: int
    recorded_seconds: float
    clips: int  # kept
    clip_seconds: float
    documents: int
    document_seconds: float
    dropped_items: int
    dropped_seconds: float
    speakers: int = 0
    pages: int = 0  # of the web, each text once
    spoken_seconds: float = 0.0  # of `document_seconds`: made from pages, never recorded


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class StreamTopics:
    """What the documents of one stream are about; "" where no classifier could say."""

    stream: str
    topics: tuple[Share, ...]

    @property
    def seconds(self) -> float:
        return sum(share.seconds for share in self.topics)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class RunSummary:
    """All that is shown of a run. No dates by default: reports of equal runs are equal bytes."""

    name: str
    recipe: str  # its full text
    totals: Totals
    funnel: tuple[FunnelRow, ...]
    device: str = ""  # device class
    versions: tuple[tuple[str, str], ...] = ()
    created: str | None = None  # shown only where the caller insists
    streams: tuple[str, ...] = ()
    policy: str = ""  # the default interleaving policy, in words
    tokens: tuple[str, ...] = ()  # tokenizers whose units are stored
    audio: bool = True  # FLACs are stored; False: tokens alone
    histograms: tuple[Histogram, ...] = ()
    speakers: tuple[Share, ...] = ()
    languages: tuple[Share, ...] = ()
    licences: tuple[Share, ...] = ()
    qualities: tuple[Share, ...] = ()
    splits: tuple[Share, ...] = ()
    kept: tuple[ClipCard, ...] = ()
    dropped: tuple[DroppedCard, ...] = ()
    documents: tuple[DocumentCard, ...] = ()
    shards: tuple[ShardRow, ...] = ()
    evaluation_sets: tuple[SetHits, ...] = ()  # that were compared with
    coverage: Coverage | None = None
    weights: bytes | None = None  # of documents, as the file holds them
    topics: tuple[StreamTopics, ...] = ()  # of streams whose clips or pages have topics
    notices: tuple[str, ...] = ()  # anything else people must know, one sentence each
    limits: Limits = Limits()

    def smoke(self) -> Share | None:
        """The share of kept clips whose text is smoke quality, if there is any."""
        return next((s for s in self.qualities if s.name == SMOKE and s.items > 0), None)
