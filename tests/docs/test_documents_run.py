"""Every command and every piece of Python in the documents runs, in a copy of the repository.

All share the OUT of the README's first command, so a command costs seconds, not minutes. Blocks of
one document run in their order; where one fails, the rest of that document is not tried.
"""

import re
import sys
from pathlib import Path

import pytest
from copies import Copy
from documents import RUN, Block, blocks, missing_line

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.xdist_group("documents")]

FIRST = "make curate DATA=samples\n"  # the fixture ran it


def put_engine(file: Path, block: Block) -> None:
    """Put a class before the table of engines of a file, or a line into that table."""
    text = file.read_text(encoding="utf-8")
    table = re.search(r"^ENGINES\b[^\n]*= \{", text, re.M)
    assert table is not None, f"{file} has no table of engines"
    at = table.start() if "into" in block.words else table.end()
    added = block.text + "\n\n" if "into" in block.words else block.text.strip() + " "
    file.write_text(text[:at] + added + text[at:], encoding="utf-8")


def play(document: str, copy: Copy, first_output: str) -> None:
    """Do what a document says, block by block."""
    program: list[str] = []  # the document's Python so far: blocks share names
    printed = ""
    for block in blocks(document):
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


@pytest.mark.parametrize("document", [name for name in RUN if name != "docs/adding.md"])
def test_what_a_document_says_runs(document: str, curated: tuple[Copy, str]) -> None:
    play(document, *curated)


def test_the_worked_examples_run(curated: tuple[Copy, str]) -> None:
    """Last, because they add steps to the copy."""
    play("docs/adding.md", *curated)
