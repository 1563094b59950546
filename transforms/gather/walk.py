"""Walk a folder, or what a glob matches below one: every file answers, none twice, none forgotten.

Names are sorted by their bytes, so the order is the same on every machine. Nothing is skipped in
silence: hidden names, foreign files, links out, pipes and what cannot be read leave as drops. A
link to a folder inside DATA is not followed, for that folder is walked under its own name; outside
(with `follow_links`) each real folder is walked once, because two links per folder would otherwise
give 2^depth paths. Memory: the names of one folder, and one line per folder still to walk.
"""

import dataclasses
import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence

from schemas.records import Modality
from transforms.gather.crawl import Crawl
from transforms.gather.entry import AUDIO, Verdict, Wanted, judged, resolve, trouble, within
from transforms.gather.found import Found, dropped, walked

MAGIC = frozenset("*?[")


@dataclasses.dataclass(frozen=True, slots=True)
class Pattern:
    """A glob below a folder; the state of a match is the set of places reached in its parts."""

    parts: tuple[str, ...]
    hidden: bool

    def start(self) -> frozenset[int]:
        return self._closed({0})

    def step(self, places: frozenset[int], name: str) -> frozenset[int]:
        """The places after one more name of a path; empty where nothing below can match."""
        after = set()
        for place in places:
            if place == len(self.parts):
                continue
            part = self.parts[place]
            if name.startswith(".") and not (self.hidden or part.startswith(".")):
                continue
            if part == "**":
                after.add(place)
            elif fnmatch.fnmatchcase(name, part):
                after.add(place + 1)
        return self._closed(after)

    def done(self, places: frozenset[int]) -> bool:
        return len(self.parts) in places

    def _closed(self, places: set[int]) -> frozenset[int]:
        """`**` also stands for no folder at all."""
        closed = set(places)
        for place in sorted(places):
            while place < len(self.parts) and self.parts[place] == "**":
                place += 1
                closed.add(place)
        return frozenset(closed)


def split_glob(path: str) -> tuple[str, tuple[str, ...]]:
    """The folder before the first part with a magic character, and the parts from there on."""
    parts = path.split("/")
    first = next(i for i, part in enumerate(parts) if MAGIC & set(part))
    folder = "/".join(parts[:first])
    if not folder:
        folder = "/" if first else "."
    return folder, tuple(part for part in parts[first:] if part not in ("", "."))


@dataclasses.dataclass(frozen=True, slots=True)
class _Folder:
    path: str
    relative: str  # "" for the root
    real: str
    places: frozenset[int] | None  # None: everything below is wanted


def walk(
    root: str, crawl: Crawl, parts: Sequence[str] = (), wanted: Wanted = AUDIO
) -> Iterator[Found]:
    """What lies below a folder and matches the parts of a glob (none: everything)."""
    return _Walk(root, crawl, Pattern(tuple(parts), crawl.hidden), wanted).run()


class _Walk:
    def __init__(self, root: str, crawl: Crawl, pattern: Pattern, wanted: Wanted) -> None:
        self.root, self.crawl, self.pattern, self.wanted = root, crawl, pattern, wanted
        self.real_root = os.path.realpath(root)
        self.visited = {self.real_root}  # real folders; kept up only where links are followed

    def run(self) -> Iterator[Found]:
        places = self.pattern.start() if self.pattern.parts else None
        stack = [_Folder(self.root, "", self.real_root, places)]
        while stack:
            folder = stack.pop()
            try:
                names = sorted(os.listdir(folder.path), key=os.fsencode)
            except OSError as error:
                yield _left(folder.relative or ".", trouble(error))
                continue
            below: list[_Folder] = []
            for name in names:
                answer = self._entry(folder, name)
                if isinstance(answer, _Folder):
                    below.append(answer)
                elif answer is not None:
                    yield answer
            stack.extend(reversed(below))

    def _entry(self, folder: _Folder, name: str) -> Found | _Folder | None:
        """A file or drop, a folder to walk, or None for what the glob does not mean."""
        relative = f"{folder.relative}/{name}" if folder.relative else name
        places, wanted = folder.places, True
        if places is None:
            if name.startswith(".") and not self.crawl.hidden:
                return _left(relative, ("hidden", ""))
        else:
            places = self.pattern.step(places, name)
            wanted = self.pattern.done(places)
            if not places:
                return None
            if wanted:
                places = None
        path, real = os.path.join(folder.path, name), os.path.join(folder.real, name)
        try:
            state = os.lstat(path)
            if stat.S_ISLNK(state.st_mode):
                real, verdict = self._link(path, folder)
                if verdict is not None:
                    return _left(relative, verdict)
                state = os.stat(real)
        except OSError as error:
            return _left(relative, trouble(error))
        if stat.S_ISDIR(state.st_mode):
            return self._below(_Folder(path, relative, real, places))
        if not wanted:
            return None
        verdict, format = judged(path, state, self.crawl, self.wanted)
        if verdict is not None:
            return _left(relative, verdict)
        kind: Modality = "page" if format else "audio"
        return Found(source=walked(relative, kind), path=path, format=format or "")

    def _link(self, path: str, folder: _Folder) -> tuple[str, Verdict | None]:
        """Where a link leads, or why it is not followed."""
        real, verdict = resolve(path)
        if verdict is not None:
            return real, verdict
        is_folder = os.path.isdir(real)
        if is_folder and within(folder.real, real):
            return real, ("link_loop", "")
        if not within(real, self.real_root):
            return real, None if self.crawl.follow_links else ("link_out", "")
        return real, ("link_repeat", "") if is_folder else None

    def _below(self, folder: _Folder) -> Found | _Folder:
        if self.crawl.follow_links:
            if folder.real in self.visited:
                return _left(folder.relative, ("link_repeat", ""))
            self.visited.add(folder.real)
        return folder


def _left(relative: str, verdict: Verdict) -> Found:
    source = walked(relative)
    return Found(source=source, drop=dropped(source, *verdict))
