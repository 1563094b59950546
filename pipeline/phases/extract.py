"""extract: files in, pages out. What boilerplate, tables and foreign languages leave is text."""

import dataclasses
from typing import ClassVar

from pipeline import bodies
from pipeline.commits import Content, Done
from pipeline.failures import lost
from pipeline.parts import Member
from pipeline.phases.pages import PHASE
from pipeline.work import Job, RootWork, Work
from schemas.pages import Page
from schemas.records import Recording
from transforms.step import Scope


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExtractJob(Job):
    phase: ClassVar[str] = PHASE
    record: ClassVar[type] = Page

    def open_root(self, member: Member, work: Work) -> RootWork:
        if not isinstance(member.root, Recording):
            raise TypeError(f"{member.id} is not a file")
        path = member.path and bodies.bring(self.store, member.path, work.scratch)
        scope = Scope(root=member.root, seed=self.seed, path=path)
        return RootWork(member=member, scope=scope, records=[member.root])

    def entrance_seconds(self, member: Member) -> float:
        return 0.0

    def finish(self, work: Work) -> Content:
        return Content(
            done=tuple(
                Done(id=root.member.id, seconds=0.0, dead=not root.records and lost(root.drops))
                for root in work.roots
            ),
            rows=tuple(page for root in work.roots for page in root.records),
            drops=tuple(drop for root in work.roots for drop in root.drops),
            tallies=tuple(tally for root in work.roots for tally in root.tallies),
        )
