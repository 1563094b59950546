"""How the blocks of a document are played: files written, commands run, outputs compared."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from copies import Copy
from documents import Block, missing_line

FIRST = "make curate DATA=samples\n"  # the fixture ran it


def put_engine(file: Path, block: Block) -> None:
    """Put a class before the table of engines of a file, or a line into that table."""
    text = file.read_text(encoding="utf-8")
    table = re.search(r"^ENGINES\b[^\n]*= \{", text, re.M)
    assert table is not None, f"{file} has no table of engines"
    at = table.start() if "into" in block.words else table.end()
    added = block.text + "\n\n" if "into" in block.words else block.text.strip() + " "
    file.write_text(text[:at] + added + text[at:], encoding="utf-8")


def play(found: Sequence[Block], copy: Copy, first_output: str = "") -> None:
    """Do what the blocks of a document say, one after the other.

    Raises `AssertionError` where a block ends otherwise, or prints something else, than it says.
    """
    program: list[str] = []  # the document's Python so far: blocks share names
    printed = ""
    for block in found:
        place = block.words.get("file") or block.words.get("into") or block.words.get("table")
        if "file" in block.words:
            target = copy.folder / str(place)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif place:
            put_engine(copy.folder / place, block)
        elif block.language == "sh":
            if block.text == FIRST:
                printed = first_output
                continue
            done = copy.run(block.text)
            printed = done.stdout
            wanted = int(block.words.get("exit", "0"))
            assert done.returncode == wanted, f"{block}: {done.returncode}\n{printed}"
        elif block.language == "python":
            program.append(block.text)
            script = copy.folder / "block.py"
            before = "".join(program[:-1])
            script.write_text(
                f"import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n"
                f"    exec({before!r})\nexec({block.text!r})\n",
                encoding="utf-8",
            )
            done = copy.run(f"{sys.executable} block.py; rm block.py")
            printed = done.stdout
            assert done.returncode == 0, f"{block}:\n{printed}"
        elif "output" in block.words:
            lost = missing_line(block.text, printed, str(copy.folder))
            assert lost is None, f"{block}: {lost!r} is not in\n{printed}"
