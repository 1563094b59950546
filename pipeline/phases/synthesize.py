"""synthesize: pages in, spoken clips out: one FLAC each, in one tar and one Parquet per part.

A page enters as a script with one reader. What is then written, cut and said follows from the page
alone, so a page that select keeps today and dropped yesterday is spoken as it would have been then,
and its clips are found when it comes back. Utterances that stay text become clips of no length.
"""

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import ClassVar

from pipeline import layout, spending
from pipeline.commits import Content, Done
from pipeline.failures import lost
from pipeline.parts import Member
from pipeline.phases.hear import append_member
from pipeline.phases.pages import read_pages
from pipeline.work import Job, RootWork, Work, task_of
from schemas import shard_tar
from schemas.pages import READER, Line, Page, Script, script_id
from schemas.records import AudioRef, Clip, frames
from schemas.store import Store
from transforms import flac
from transforms.engines.generator_cache import CACHE
from transforms.spool import FileSpool
from transforms.step import Scope

PHASE = "synthesize"
RATE = 16000  # where no step of the recipe says otherwise

_pages_of = functools.lru_cache(maxsize=8)(read_pages)


def audio_place(key: str) -> str:
    """Where the tars of synthesized speech lie, as `layout.tar_name` takes it."""
    return layout.phase_folder(PHASE, key)


def entrance_script(page: Page) -> Script:
    """A page as it enters: its own text, read by one voice."""
    lines = (Line(role=READER, text=page.text),)
    return Script(
        id=script_id(page.id, "page", 0, lines),
        page=page.id,
        kind="page",
        language=page.language,
        lines=lines,
    )


def page_of(store: Store, member: Member) -> Page:
    """The page of a member, from the extract commit that holds it."""
    for name in member.upstream:
        page = _pages_of(store, name).get(member.id)
        if page is not None:
            return page
    raise LookupError(f"page {member.id} is in none of {member.upstream}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SynthesizeJob(Job):
    phase: ClassVar[str] = PHASE
    record: ClassVar[type] = Clip

    @property
    def rate(self) -> int:
        """The sample rate that clips are stored at."""
        return next((r for step in self.steps if (r := getattr(step, "rate", None))), RATE)

    def open_root(self, member: Member, work: Work) -> RootWork:
        task_of(member)
        page = page_of(self.store, member)
        spool = FileSpool(work.scratch, self.rate, self.scratch_bytes)
        work.stack.callback(spool.close)
        scope = Scope(
            root=page,
            seed=self.seed,
            audio=spool,
            sink=spool,
            cache=self.store.where(CACHE),
        )
        return RootWork(member=member, scope=scope, records=[entrance_script(page)])

    def entrance_seconds(self, member: Member) -> float:
        """None: a page takes no time before it is spoken."""
        return 0.0

    def finish(self, work: Work) -> Content:
        rows, digest = self._store_audio(work)
        return Content(
            done=tuple(
                Done(
                    id=root.member.id,
                    seconds=root.entrance_seconds,
                    dead=not root.records and lost(root.drops),
                )
                for root in work.roots
            ),
            rows=rows,
            drops=tuple(drop for root in work.roots for drop in root.drops),
            tallies=tuple(tally for root in work.roots for tally in root.tallies),
            tar=digest,
            spent=spending.of_roots(work.roots),
        )

    def _store_audio(self, work: Work) -> tuple[tuple[Clip, ...], str | None]:
        """Write the part's tar and store it under its digest; clips get their AudioRef."""
        path = work.scratch / "clips.tar"
        placed: list[tuple[Clip, tuple[int, int, int] | None]] = []
        with path.open("wb") as file:
            for root in work.roots:
                for clip in _of_page(root):
                    start, end = frames(clip.start, clip.rate), frames(clip.end, clip.rate)
                    if start == end:
                        placed.append((clip, None))
                        continue
                    pcm = root.scope.samples().read(clip.channel, start, end)
                    data = flac.encode(pcm, clip.rate)
                    offset = append_member(file, f"{clip.id}.flac", data)
                    digest = hashlib.sha256(pcm.astype("<i2").tobytes()).hexdigest()
                    clip = dataclasses.replace(clip, pcm_sha256=digest)
                    placed.append((clip, (offset, len(data), end - start)))
            file.write(shard_tar.ending(file.tell()))
        if not any(at for _, at in placed):
            return tuple(clip for clip, _ in placed), None
        tar = _digest(path)
        self.store.take(layout.tar_name(audio_place(self.key), tar), path)
        return tuple(_with_ref(clip, at, tar) for clip, at in placed), tar


def _of_page(root: RootWork) -> list[Clip]:
    """The clips of a page in the order of its scripts, numbered through."""
    clips = sorted(root.records, key=lambda clip: (clip.channel, clip.index))
    return [
        dataclasses.replace(clip, task=root.member.id, recording=root.member.id, index=place)
        for place, clip in enumerate(clips)
    ]


def _with_ref(clip: Clip, at: tuple[int, int, int] | None, tar: str) -> Clip:
    if at is None:
        return clip
    offset, size, length = at
    ref = AudioRef(tar=tar, offset=offset, size=size, start=0, end=length, rate=clip.rate)
    return dataclasses.replace(clip, audio=ref)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
