"""Turn what DATA names into recordings: bytes with a digest, and what their headers claim.

`listing.find` says which files there are; this step reads each once, to digest it (or trusts the
digest that is remembered for an unchanged file), and asks a probe what the container claims. The
claims serve planning only (how much audio, how to cut the parts), so a failed probe is no reason to
drop: `decode` alone judges media. The price is one more opening of each file.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Annotated, ClassVar, Protocol

import pydantic
from pydantic import Field

from schemas.records import Drop, Recording
from transforms.gather.dataset_columns import DatasetSettings
from transforms.gather.digests import DigestMemory, FileChanged
from transforms.gather.found import Fetched, Found, dropped
from transforms.gather.web import failures, warcs
from transforms.gather.web.settings import Web
from transforms.step import Phase, Step

AUDIO_SUFFIXES = (
    *(".aac", ".aif", ".aifc", ".aiff", ".amr", ".au", ".caf", ".flac", ".m4a", ".m4b", ".mka"),
    *(".mp2", ".mp3", ".oga", ".ogg", ".opus", ".snd", ".sph", ".spx", ".w64", ".wav", ".wave"),
    *(".weba", ".wma", ".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"),
)


_OF_FILES = ("empty", "too_large")  # said of files and of answers alike


class Claims(Protocol):
    """What a probe answers: what the container says of itself, unchecked."""

    @property
    def seconds(self) -> float: ...
    @property
    def rate(self) -> int: ...
    @property
    def channels(self) -> int: ...
    @property
    def codec(self) -> str: ...
    @property
    def container(self) -> str: ...


class Probe(Protocol):
    """Asks a local file for its claims. Bad media raises an exception that carries a `code`."""

    def __call__(self, path: str, /) -> Claims: ...


class Crawl(Step):
    """Find audio on local disks: a folder, a glob, a file, or a table of paths."""

    phase: ClassVar[Phase] = "gather"
    reasons: ClassVar[dict[str, str]] = {
        "hidden": "its name begins with a dot (setting `hidden`)",
        "not_audio": "neither its suffix nor its first bytes are those of an audio or video file",
        "not_page": "neither its suffix nor its first bytes are those of a page, and it is no "
        "table with a column of text",
        "empty": "the file, or the answer of its server, holds no bytes",
        "too_large": "it is larger than `max_bytes`",
        "missing": "there is no such file, or a link leads nowhere",
        "unreadable": "the system refused to open or to read it",
        "not_a_file": "a folder, pipe, socket or device where a file was expected",
        "link_out": "it leads out of DATA (setting `follow_links`)",
        "link_loop": "a link that leads back to a folder it lies in, or to itself",
        "link_repeat": "a link to a folder that is walked under another name",
        "duplicate_row": "an earlier row of the table says the same",
        "bad_cues": "the file that the table's column `cues` names is no WebVTT or SubRip that can "
        "be read",
        "changed": "the file changed while it was read; run again when it is complete",
        "no_audio": "an entry of a feed, or a row of a data set, that offers no audio",
        "bad_cell": "a row of a data set that says what cannot be taken; the detail says which",
        "document": "a feed, sitemap or page that cannot be read as one",
        "waiting": "its host asks to come later, or time ran out: run again",
        **{code: text for code, text in warcs.REASONS.items() if code not in _OF_FILES},
        **{code: text for code, text in failures.REASONS.items() if code not in _OF_FILES},
    }

    follow_links: bool = Field(
        default=False,
        description="Follow links, and paths in a table, that lead out of DATA (a stranger's data "
        "could name your private files; off by our choice).",
    )
    hidden: bool = Field(
        default=False,
        description="Take files and folders whose names begin with a dot (off, as shells do).",
    )
    audio_suffixes: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=AUDIO_SUFFIXES,
        description="Suffixes, lower case with the dot, that make a file a candidate without a "
        "look at its first bytes (the usual audio and video suffixes; ours).",
    )
    max_bytes: int | None = Field(
        default=1 << 35,
        ge=1,
        description="Largest file to take (bytes; 32 GiB: a day of 48 kHz 24-bit stereo is "
        "24.9 GB; null: no limit).",
    )
    ignore_columns: Annotated[tuple[str, ...], Field(strict=False)] = Field(
        default=(),
        description="Columns of a table to ignore, beside those that begin with x_ (none: an "
        "unknown column is an error, because a misspelt one would be lost silently).",
    )

    dataset: DatasetSettings = Field(
        default_factory=DatasetSettings,
        description="What is taken of DATA that is a Hugging Face dataset.",
    )
    web: Web = Field(
        default_factory=Web, description="How the web is asked, where DATA is of the web."
    )

    @pydantic.field_validator("audio_suffixes")
    @classmethod
    def _spelling(cls, suffixes: tuple[str, ...]) -> tuple[str, ...]:
        for suffix in suffixes:
            if suffix != suffix.lower() or not suffix.startswith(".") or len(suffix) < 2:
                raise ValueError(f"a suffix is lower case and begins with a dot, not {suffix!r}")
        return suffixes

    def __call__(
        self, found: Sequence[Found], probe: Probe, digests: DigestMemory
    ) -> Iterator[Fetched | Drop]:
        """Exactly one answer per item found, in their order.

        Two sources with equal bytes give two `Fetched` with one recording id; their recordings
        differ in the uri and perhaps in claims, and the smallest uri is to be kept
        (`recordings`). `probe` gives claims; an exception of it with a text `code` leaves them 0.
        A page is not probed: its recording's `container` is the format that its file claims.
        """
        for item in found:
            yield item.drop if item.drop is not None else self._fetch(item, probe, digests)

    def _fetch(self, item: Found, probe: Probe, digests: DigestMemory) -> Fetched | Drop:
        try:
            sha256, size = digests.digest(item.path)
        except FileChanged as error:
            return dropped(item.source, "changed", str(error))
        except (FileNotFoundError, NotADirectoryError) as error:
            return dropped(item.source, "missing", error.strerror or "")
        except OSError as error:
            return dropped(item.source, "unreadable", error.strerror or "")
        if item.source.kind == "page":
            recording = Recording(
                id=sha256, uri=item.source.uri, size=size, seconds=0.0, container=item.format
            )
            return Fetched(source=item.source, recording=recording)
        return Fetched(
            source=item.source, recording=_claimed(item, sha256, size, _ask(probe, item.path))
        )


def _ask(probe: Probe, path: str) -> Claims | None:
    try:
        return probe(path)
    except Exception as error:
        # The class belongs to whoever decodes; its `code` tells bad media from a bug.
        if not isinstance(getattr(error, "code", None), str):
            raise
        return None


def _claimed(item: Found, sha256: str, size: int, claims: Claims | None) -> Recording:
    if claims is None:
        return Recording(id=sha256, uri=item.source.uri, size=size, seconds=0.0)
    seconds = claims.seconds
    return Recording(
        id=sha256,
        uri=item.source.uri,
        size=size,
        seconds=seconds if math.isfinite(seconds) and seconds > 0 else 0.0,
        rate=max(claims.rate, 0),
        channels=max(claims.channels, 0),
        codec=claims.codec,
        container=claims.container,
    )


def recordings(fetched: Sequence[Fetched]) -> list[Recording]:
    """One recording per id, sorted by id: of equal bytes, the one of the smallest uri."""
    kept: dict[str, Recording] = {}
    for item in fetched:
        recording = item.recording
        other = kept.get(recording.id)
        if other is None or recording.uri < other.uri:
            kept[recording.id] = recording
    return [kept[key] for key in sorted(kept)]
