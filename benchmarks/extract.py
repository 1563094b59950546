"""How fast pages are read: `extract` against trafilatura called in this process, and `chunk`.

    python benchmarks/extract.py [--pages 400] [--repeats 3] [--folder PAGES]

Pages are of our own words, 3 to 60 paragraphs between a menu and a footer, or the HTML files of a
folder. The bare loop decodes a file as UTF-8 and calls `trafilatura.extract` with the same
settings; it has no limits of time or memory, and one bad page ends it. `extract` reads the file
twice (its digest is checked), hands it to the confined child, takes the text apart and tells the
language. Figures are per second of processor time, of both processes of `extract` together; rounds
take turns, and medians are printed. `chunk` is timed apart, over the texts that came.
"""

import argparse
import pathlib
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

import psutil

from benchmarks import circumstances as on
from benchmarks.made_sentences import sentences
from pipeline import device
from schemas.ids import bytes_digest
from schemas.pages import Line, Page, Script, script_id
from schemas.records import Recording
from transforms.extract.extract import Extract, Extracting
from transforms.step import Scope
from transforms.synthesize.chunk import Chunk


def write(folder: pathlib.Path, count: int) -> list[pathlib.Path]:
    """Pages from short to long."""
    paths = []
    for number in range(count):
        paragraphs = 3 + number * 57 // max(count - 1, 1)
        texts = sentences(number, 4 * paragraphs)
        body = "".join(
            f"<p>{' '.join(texts[4 * place : 4 * place + 4])}</p>" for place in range(paragraphs)
        )
        menu = "<nav><ul>" + "<li><a href=/a>Go there</a></li>" * 30 + "</ul></nav>"
        page = (
            f"<!doctype html><html lang=en><head><title>Page {number}</title></head><body>{menu}"
            f"<article><h1>Page {number}</h1>{body}</article><footer>End.</footer></body></html>"
        )
        path = folder / f"{number}.html"
        path.write_text(page, encoding="utf-8")
        paths.append(path)
    return paths


def recorded(path: pathlib.Path) -> Recording:
    data = path.read_bytes()
    return Recording(
        id=bytes_digest(data), uri=path.name, size=len(data), seconds=0.0, container="html"
    )


def bare(paths: Sequence[pathlib.Path]) -> float:
    import trafilatura

    began = time.process_time()
    for path in paths:
        trafilatura.bare_extraction(
            path.read_bytes().decode("utf-8", "replace"),
            include_comments=False,
            with_metadata=True,
            date_extraction_params={
                "original_date": True, "extensive_search": False, "max_date": "2100-01-01"
            },
        )  # fmt: skip
    return time.process_time() - began


def ours(step: Extract, model: Extracting, files: Sequence[tuple[str, Recording]]) -> float:
    began = time.process_time() + of_child(model)
    for path, file in files:
        for _ in step([file], model, Scope(root=file, seed=1, path=path)):
            pass
    return time.process_time() + of_child(model) - began


def of_child(model: Extracting) -> float:
    """Processor seconds of the child so far."""
    used = psutil.Process(model.door.pid).cpu_times()
    return used.user + used.system


def scripts(
    step: Extract, model: Extracting, files: Sequence[tuple[str, Recording]]
) -> list[Script]:
    found = []
    for path, file in files:
        for page in step([file], model, Scope(root=file, seed=1, path=path)):
            if isinstance(page, Page):
                lines = (Line(role="reader", text=page.text),)
                own = script_id(page.id, "page", 0, lines)
                found.append(
                    Script(id=own, page=page.id, kind="page", language=page.language, lines=lines)
                )
    return found


def main() -> None:
    device.pin()
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--pages", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--folder", type=pathlib.Path)
    asked = parser.parse_args()
    step = Extract(min_characters=0, min_prose_share=None)
    model = step.load()
    with tempfile.TemporaryDirectory() as folder:
        paths = (
            sorted(asked.folder.rglob("*.html"))
            if asked.folder
            else write(pathlib.Path(folder), asked.pages)
        )
        files = [(str(path), recorded(path)) for path in paths]
        size = sum(file.size for _, file in files)
        print(f"{on.circumstances()}\n\n{len(paths)} pages, {size / 1e6:.1f} MB")
        rounds = [(bare(paths), ours(step, model, files)) for _ in range(asked.repeats + 1)][1:]
        texts = scripts(step, model, files)
    model.close()
    alone, whole = (statistics.median(column) for column in zip(*rounds, strict=True))
    print(f"bare trafilatura  {len(paths) / alone:7.0f} pages/s {size / alone / 1e6:6.1f} MB/s")
    print(f"extract           {len(paths) / whole:7.0f} pages/s {size / whole / 1e6:6.1f} MB/s")
    print(f"extract / bare    {alone / whole:7.2f}")
    characters = sum(len(script.lines[0].text) for script in texts)
    for by in ("sentences", "poisson"):
        cutting = Chunk.model_validate({"by": by})
        split = cutting.load()
        scope = Scope(root=files[0][1], seed=1)
        began = time.process_time()
        count = sum(1 for _ in cutting(texts, split, scope))
        took = time.process_time() - began
        print(f"chunk {by:12}{characters / took / 1e6:7.1f} million characters/s, {count} chunks")


if __name__ == "__main__":
    main()
