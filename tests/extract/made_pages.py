"""Pages for tests, in our own words: sentences that differ, so that nothing is taken for a copy."""

import hashlib
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from schemas.pages import Page
from schemas.records import Drop, Recording
from transforms.extract.extract import Extract, Extracting
from transforms.step import Scope

TOWNS = ("Alba", "Breda", "Cork", "Dover", "Essen", "Faro", "Gent", "Husum", "Ivry", "Jena")
GOODS = ("bread", "cheese", "apples", "nails", "rope", "lamps", "books", "salt", "wool", "tea")


def sentence(number: int) -> str:
    """The sentence of a number; no two are alike."""
    town, good = TOWNS[number % 10], GOODS[number // 10 % 10]
    return (
        f"In the year {1500 + number} the people of {town} sold {good} at the gate, and whoever "
        f"came late went home with an empty basket."
    )


def paragraph(number: int, sentences: int = 3) -> str:
    return " ".join(sentence(number * sentences + place) for place in range(sentences))


def article(count: int = 4, first: int = 0) -> str:
    """The body of a page with so many paragraphs, between a menu and a footer."""
    inside = "".join(f"<p>{paragraph(first + place)}</p>" for place in range(count))
    return (
        "<nav><ul><li><a href=/>Home</a></li><li><a href=/shop>Shop</a></li></ul></nav>"
        f"<article><h1>The markets</h1>{inside}</article>"
        "<footer>All cookies are baked here. <a href=/imprint>Imprint</a></footer>"
    )


def html(body: str, head: str = "", language: str = "en") -> bytes:
    text = (
        f"<!doctype html><html lang={language}><head><title>Markets</title>{head}</head>"
        f"<body>{body}</body></html>"
    )
    return text.encode()


def file_of(path: Path, data: bytes, uri: str = "", container: str = "") -> Recording:
    """A file with these bytes, as gather would tell it."""
    path.write_bytes(data)
    return Recording(
        id=hashlib.sha256(data).hexdigest(),
        uri=uri or path.name,
        size=len(data),
        seconds=0.0,
        container=container,
    )


def recorded(path: Path) -> Recording:
    """A file that is there, as gather would tell it."""
    data = path.read_bytes()
    return Recording(
        id=hashlib.sha256(data).hexdigest(), uri=path.name, size=len(data), seconds=0.0
    )


def extracted(
    step: Extract, model: Extracting, path: Path, data: bytes, uri: str = "", **told: Any
) -> list[Page | Drop]:
    file = file_of(path, data, uri, **told)
    return list(streamed(step, model, path, file))


def streamed(
    step: Extract, model: Extracting, path: Path, file: Recording
) -> Iterator[Page | Drop]:
    yield from step([file], model, Scope(root=file, seed=1, path=str(path)))


def only_page(found: list[Page | Drop]) -> Page:
    (page,) = found
    assert isinstance(page, Page), page
    return page


def only_drop(found: list[Page | Drop]) -> Drop:
    (drop,) = found
    assert isinstance(drop, Drop), drop
    return drop


def row_table(suffix: str, count: int) -> bytes:
    """So many paragraphs as a file of this kind."""
    texts = [paragraph(number) for number in range(count)]
    if suffix == "jsonl":
        rows = [json.dumps({"text": one, "id": place}) for place, one in enumerate(texts)]
        return "".join(f"{row}\n" for row in rows).encode()
    if suffix == "csv":
        return ("id,text\n" + "".join(f'{n},"{one}"\n' for n, one in enumerate(texts))).encode()
    if suffix == "parquet":
        file = io.BytesIO()
        pq.write_table(pa.table({"text": texts}), file, row_group_size=3)
        return file.getvalue()
    return "\n\n".join(["# The markets", *texts, "- one\n- two"]).encode()
