"""The child that reads pages: what parses strangers' HTML, tables and text, and can do no more.

Started by `transforms.page_door` as `python -m transforms.page_child <parent> <memory_mb>`, and
confined as the media child is (`transforms.door_confined`). All that the libraries load late, they
load on a page of our own before the limits: later nothing can be opened.
"""

import io
import json
import logging
import os
import socket
import sys
import time
import traceback
from typing import Any

import lxml
import markdown_it
import pyarrow as pa
import pyarrow.parquet as pq
import trafilatura

from transforms.door_confined import allow_cpu, confine, next_question, say, tie_to
from transforms.extract import encoding
from transforms.extract.reading import Asked, answers

_SENTENCE = "The baker opens the door at six, and the smell of bread goes down the whole street. "


def main() -> None:
    """Serve questions until the parent closes the socket."""
    parent, memory_mb = int(sys.argv[1]), int(sys.argv[2])
    tie_to(parent)
    logging.disable(logging.CRITICAL)  # what libraries would say of bad pages
    os.environ["TZ"] = "UTC"
    time.tzset()
    warm_up()
    confine(memory_mb)
    questions = socket.socket(fileno=0)
    say({"hello": {"trafilatura": trafilatura.__version__, "lxml": lxml.__version__,
                   "markdown-it": markdown_it.__version__}})  # fmt: skip
    while (asked := next_question(questions)) is not None:
        _answer(*asked)


def warm_up() -> None:
    """Read a page, a short one and one of each other format, so that every late import is done."""
    long = f"<p>{_SENTENCE * 4}</p>" * 6
    head = "<head><title>Bread</title><meta name=date content=2020-02-03></head>"
    urls = (
        "https://bread.example.org/2020/02/03/door.html",
        "https://www.bread.example.co.uk/",  # two labels: asks the list of public suffixes
        "https://b\u00e4cker.example/",
        "https://localhost/",
        "http://192.0.2.7/",
        "",
    )
    for body in (
        f"<article><h1>Bread</h1>{long}</article>",
        f"<p>{_SENTENCE}</p>",
        f"<div>{_SENTENCE * 8}</div><nav><a href=/>home</a></nav><div>{_SENTENCE}</div>" * 3,
        "<pre>x = 1</pre>",
    ):
        page = f"<html lang=en>{head}<body>{body}</body></html>".encode()
        for favour in ("balanced", "precision", "recall"):
            for url in urls:
                _read(page, Asked(format="html", url=url, favour=favour))
    encoding.load()
    table = io.BytesIO()
    pq.write_table(pa.table({"text": [_SENTENCE]}), table)
    rows = json.dumps({"text": _SENTENCE}).encode()
    _read(table.getvalue(), Asked(format="parquet"))
    _read(rows, Asked(format="jsonl"))
    _read(b"text\nbread\n", Asked(format="csv"))
    _read(f"{_SENTENCE}\n\n- a\n\n|a|\n|-|\n|b|\n".encode(), Asked(format="markdown"))
    _read(_SENTENCE.encode("utf-16"), Asked(format="text"))
    json.dumps({"words": traceback.format_exception(ValueError("warm"))})


def _read(data: bytes, asked: Asked) -> None:
    list(answers(io.BytesIO(data), len(data), asked))


def _answer(question: dict[str, Any], descriptor: int) -> None:
    seconds, size = float(question["deadline"]), int(question["size"])
    count = 0
    allow_cpu(seconds)
    try:
        with os.fdopen(descriptor, "rb") as file:
            for answer in answers(file, size, Asked(**question["asked"])):
                say(answer)
                count += 1
                allow_cpu(seconds)
        say({"end": count})
    except MemoryError:
        say({"lost": "memory", "detail": "an allocation failed"})
    except RecursionError as error:
        say({"lost": "crash", "detail": f"nested too deeply: {error}"[:300]})
    except pa.ArrowMemoryError as error:
        say({"lost": "memory", "detail": str(error)[:300]})
    except Exception:
        say({"bug": traceback.format_exc()[-4000:]})


if __name__ == "__main__":
    main()
