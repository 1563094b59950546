"""The child that reads pages: what it may not do, how it dies, and that nothing is lost by it."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from schemas.pages import Page
from tests.extract.made_pages import (
    article,
    extracted,
    file_of,
    html,
    only_drop,
    only_page,
    paragraph,
    streamed,
)
from transforms import page_door
from transforms.extract.extract import Extract, Extracting
from transforms.extract.reading import Asked
from transforms.page_door import PageDoor, PageDoorError

STEP = Extract()
ROOT = Path(__file__).resolve().parents[2]

# After the warm-up nothing may be opened or imported: the child could not. Asked of the same code
# in a process of its own, with pages unlike those that it warms up on.
AUDIT = """
import sys
from tests.extract.made_pages import article, html, paragraph
from transforms import page_child
from transforms.extract.reading import Asked

page_child.warm_up()
# Python's own memory of what it has looked for is no file that is read
quiet = ("os.listdir", "os.scandir")
sys.addaudithook(
    lambda event, about: (_ for _ in ()).throw(SystemError(f"{event} {about}"))
    if event in ("open", "import", "socket.connect", "socket.getaddrinfo", "subprocess.Popen")
    else None
)
hrefs = ("https://www.cam.ac.uk/", "https://x.github.io/a", "https://a.b.c.kawasaki.jp/",
         "http://[2001:db8::1]/", "https://xn--bcher-kva.example/", "file:///etc/passwd")
for href in hrefs:
    head = f"<link rel=canonical href='{href}'><meta name=author content='A. B.'>"
    for language in ("en", "de", "zh", "ar", "th", "xx"):
        for body in (article(1), article(6), f"<div>{paragraph(1)}</div>", "<table><tr><td>1",
                     "<time datetime=2020-01-02>2 Jan 2020</time>" + article(2),
                     "<p>3. M\\u00e4rz 2020, vor 2 Tagen</p>", "<svg><path></svg>", "<b>" * 900):
            for favour in ("balanced", "precision", "recall"):
                page_child._read(html(body, head, language), Asked(format="html", favour=favour))
for name in ("cp1251", "koi8-r", "gb18030", "euc-kr", "iso-2022-jp", "big5", "windows-874"):
    page = b"<meta charset=" + name.encode() + b">\\xd0\\xcf\\xe0" + paragraph(1).encode()
    page_child._read(page, Asked(format="html"))
page_child._read(b"\\x93NUMPY", Asked(format="parquet"))
page_child._read(b"{broken\\n[1]\\n", Asked(format="jsonl"))
page_child._read(b'text\\n"a', Asked(format="csv"))
print("quiet")
"""


def test_after_its_warm_up_nothing_is_opened_and_nothing_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", AUDIT], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.returncode) == ("quiet\n", 0), done.stderr[-2000:]


def test_the_child_is_confined(model: Extracting) -> None:
    limits = Path(f"/proc/{model.door.pid}/limits").read_text()
    rows = {line[:25].strip(): line[25:].split()[0] for line in limits.splitlines()}
    assert rows["Max open files"] == "4"
    assert rows["Max file size"] == "0"
    assert rows["Max address space"] == str(1024 << 20)
    assert rows["Max processes"] == "0"


def test_one_child_serves_many_files(model: Extracting, tmp_path: Path) -> None:
    own = model.door.pid
    for number in range(20):
        data = html(article(2, first=number * 2))
        only_page(extracted(STEP, model, tmp_path / f"{number}.html", data))
    assert model.door.pid == own


def table_of(count: int) -> bytes:
    """Rows of four kilobytes: a pipe holds a few hundred of them."""
    rows = [{"text": paragraph(number, 40)} for number in range(count)]
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_a_child_that_is_killed_in_the_middle_of_a_table_loses_no_row(
    model: Extracting, tmp_path: Path
) -> None:
    path = tmp_path / "t.jsonl"
    file = file_of(path, table_of(1_000))
    whole = list(streamed(STEP, model, path, file))
    assert len(whole) == 1_000
    before, seen = model.door.restarts, []
    for found in streamed(STEP, model, path, file):
        if len(seen) in (5, 600):
            os.kill(model.door.pid or 0, signal.SIGKILL)
        seen.append(found)
    assert seen == whole
    assert model.door.restarts - before == 2


def test_a_child_that_is_killed_between_files_is_replaced(
    model: Extracting, tmp_path: Path
) -> None:
    data = html(article(2))
    first = extracted(STEP, model, tmp_path / "a.html", data)
    os.kill(model.door.pid or 0, signal.SIGKILL)
    assert extracted(STEP, model, tmp_path / "a.html", data) == first


def slow_page() -> bytes:
    """Attributes are compared with one another: a page of a megabyte takes seconds."""
    return html("<p " + " ".join(f"a{number}=b" for number in range(120_000)) + ">" + paragraph(0))


def test_a_page_that_takes_too_long_is_a_drop_and_the_next_one_is_read(tmp_path: Path) -> None:
    step = Extract(deadline_seconds=1.5)
    model = step.load()
    try:
        drop = only_drop(extracted(step, model, tmp_path / "slow.html", slow_page()))
        assert drop.reason == "timeout"
        assert model.door.restarts == 2  # tried once more in a fresh child
        only_page(extracted(step, model, tmp_path / "a.html", html(article(2))))
    finally:
        model.close()


def test_a_table_that_unpacks_to_more_than_fits_keeps_the_rows_before(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    bomb = "a" * (60 << 20)
    texts = pa.array([paragraph(0)] * 16 + [bomb] * 8)
    pq.write_table(pa.table({"text": texts}), path, compression="zstd", row_group_size=16)
    assert path.stat().st_size < 1 << 20
    step = Extract(memory_mb=512, max_bytes=1 << 28)
    model = step.load()
    try:
        found = extracted(step, model, path, path.read_bytes())
    finally:
        model.close()
    assert isinstance(found[0], Page)
    assert [getattr(one, "reason", "page") for one in found] == [
        "page", *["duplicate"] * 15, "memory"
    ]  # fmt: skip


def test_a_pipe_is_refused_and_does_not_hang(model: Extracting, tmp_path: Path) -> None:
    path = tmp_path / "a.html"
    file = file_of(path, html(article(2)))
    path.unlink()
    os.mkfifo(path)
    assert only_drop(list(streamed(STEP, model, path, file))).reason == "io"


def test_a_bug_of_ours_is_no_drop(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(paragraph(0))
    with PageDoor() as door, pytest.raises(PageDoorError, match="the reader's own code failed"):
        wrong: Any = "many"  # no number: what our own code would have to get wrong
        list(door.pages(str(path), Asked(format="text", max_bytes=wrong)))


def test_a_child_that_cannot_start_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_door, "_PROGRAM", "transforms.no_such_child")
    with pytest.raises(PageDoorError, match="is trafilatura installed"):
        PageDoor().start()


def test_the_child_ends_with_its_owner(tmp_path: Path) -> None:
    model = STEP.load()
    pid = model.door.pid or 0
    model.close()
    assert not Path(f"/proc/{pid}").exists()
