"""Judge one file by what is cheap to know: where it leads, what it is, how its bytes begin.

A file is a candidate when its suffix or its first bytes are those of audio: the union, so that
neither a missing suffix nor a web page saved as `.wav` is settled here by a guess (`decode` judges
the latter). The bare frame headers of MP3 and AAC are left to the suffix: two bytes of a UTF-16
text look like one. Where web text is wanted too, what is no audio may be a page (`page_files`).
"""

import errno
import os
import stat

from schemas.records import Modality
from transforms.gather.crawl import Crawl
from transforms.gather.digests import open_regular
from transforms.gather.found import shown
from transforms.gather.page_files import PageFormat, page_claim
from transforms.gather.sniff import HEAD, begins_like_audio

Verdict = tuple[str, str]  # reason, detail
Wanted = frozenset[Modality]  # what a run takes of DATA
AUDIO: Wanted = frozenset(("audio",))
PAGES: Wanted = frozenset(("page",))


def within(path: str, folder: str) -> bool:
    """Whether a real path lies in a real folder, or is it."""
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def resolve(path: str) -> tuple[str, Verdict | None]:
    """Where a path leads when all links are followed; or why it leads nowhere."""
    try:
        return os.path.realpath(path, strict=True), None
    except OSError as error:
        return "", trouble(error)


def trouble(error: OSError) -> Verdict:
    """The reason code of what the system said of a path."""
    if error.errno == errno.ELOOP:
        return "link_loop", ""
    nowhere = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
    reason = "missing" if error.errno in nowhere else "unreadable"
    return reason, error.strerror or ""


def judge(path: str, state: os.stat_result, crawl: Crawl) -> Verdict | None:
    """Why a path (its links followed in `state`) is no candidate; None where it is one."""
    if not stat.S_ISREG(state.st_mode):
        return "not_a_file", _kind(state.st_mode)
    if state.st_size == 0:
        return "empty", ""
    if crawl.max_bytes is not None and state.st_size > crawl.max_bytes:
        return "too_large", f"{state.st_size} bytes, at most {crawl.max_bytes}"
    if os.path.splitext(path)[1].lower() in crawl.audio_suffixes:
        return None
    try:
        descriptor = open_regular(path)
        try:
            head = os.read(descriptor, HEAD)
        finally:
            os.close(descriptor)
    except OSError as error:
        return trouble(error)
    return None if begins_like_audio(head) else ("not_audio", _suffix(path))


def judged(
    path: str, state: os.stat_result, crawl: Crawl, wanted: Wanted, name: str = ""
) -> tuple[Verdict | None, PageFormat | None]:
    """Why a path is no candidate for what is wanted, or None; and the format of a page.

    A file that may be audio is never a page. `name`: as of `page_files.page_claim`.
    """
    verdict = judge(path, state, crawl)
    if "page" not in wanted:
        return verdict, None
    if verdict is None:
        return (None if "audio" in wanted else ("not_page", _suffix(path))), None
    if verdict[0] != "not_audio":
        return verdict, None
    try:
        claim = page_claim(path, name)
    except OSError as error:
        return trouble(error), None
    if claim is not None:
        return None, claim.format
    return (verdict if "audio" in wanted else ("not_page", verdict[1])), None


def _suffix(path: str) -> str:
    return shown(os.path.splitext(path)[1]) or "no suffix"


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "folder",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
        stat.S_IFCHR: "device",
        stat.S_IFBLK: "device",
    }
    return kinds.get(stat.S_IFMT(mode), "unknown kind")
