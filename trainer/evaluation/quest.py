"""A table of questions into an evaluation set (`speechloom-train questions`).

Takes the multiple-choice rows that the synthesis of questions holds out (question, options, answer,
digest of the page), with the paths of the spoken questions where they were spoken, and any other
table alike. Items are grouped by page: questions on one page are not independent. Pages that
training has seen are refused. Rows without options can be given distractors: answers of other
pages, drawn by (seed, id); that choice is ours, and the papers do not say theirs.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from schemas.ids import digest_of, rng
from schemas.problems import nearest
from trainer.evaluation.errors import EvaluationError
from trainer.evaluation.items import plain
from trainer.evaluation.layout import AUDIO, EvalSet, write_set

NEEDED = ("question", "answer", "page")
OTHERS = ("id", "options", "audio", "engine", "voice")


def convert(
    table: Path,
    out: Path,
    *,
    training_pages: Path | None = None,
    distractors: int | None = None,
    seed: int = 0,
) -> EvalSet:
    """Write the set of a table. Raises `EvaluationError` with the row of what is wrong."""
    items, audio = items_of(
        table, training_pages=training_pages, distractors=distractors, seed=seed
    )
    return write_set(out, items, audio)


def items_of(
    table: Path,
    *,
    training_pages: Path | None = None,
    distractors: int | None = None,
    seed: int = 0,
) -> tuple[list[dict[str, Any]], dict[str, Path | bytes]]:
    """The items of a table, and the audio that they name. Raises `EvaluationError`."""
    rows = [_row(row, f"{table}:{number}") for number, row in _rows(table)]
    if not rows:
        raise EvaluationError(f"{table}: no rows")
    if training_pages is not None:
        _held_out(rows, table, training_pages)
    if distractors is not None:
        rows = _with_distractors(rows, distractors, seed)
    items: list[dict[str, Any]] = []
    audio: dict[str, Path | bytes] = {}
    for row in rows:
        if row["options"] is None:
            raise EvaluationError(
                f"{row['where']}: no options; give them, or have distractors drawn (--distractors)"
            )
        question: dict[str, str] = {"text": row["question"]}
        if row["audio"] is not None:
            path = table.parent / row["audio"]
            if not path.is_file():
                raise EvaluationError(f"{row['where']}: audio {row['audio']!r}: no such file")
            name = digest_of("audio", row["id"])[:16] + path.suffix.lower()
            question["audio"] = f"{AUDIO}/{name}"
            audio[question["audio"]] = path
        items.append(
            {
                "kind": "cloze",
                "id": row["id"],
                "group": row["page"],
                "engine": row["engine"],
                "voice": row["voice"],
                "question": question,
                "options": row["options"],
                "answer": _place(row),
            }
        )
    return items, audio


def _rows(table: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Rows with their lines (JSONL, CSV) or numbers (Parquet), from 1."""
    if table.suffix == ".parquet":
        import pyarrow.parquet as pq

        found = pq.ParquetFile(table).read(use_threads=False).to_pylist()
        yield from enumerate(found, 1)
    elif table.suffix == ".csv":
        with table.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            for row in reader:
                given = {key: value for key, value in row.items() if value != ""}
                if given.get("options") is not None:
                    given["options"] = _json(given["options"], f"{table}:{reader.line_num}")
                yield reader.line_num, given
    elif table.suffix == ".jsonl":
        for number, line in enumerate(table.read_text(encoding="utf-8").split("\n"), 1):
            if line.strip():
                yield number, _json(line, f"{table}:{number}")
    else:
        raise EvaluationError(f"{table}: needs .jsonl, .csv or .parquet")


def _json(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise EvaluationError(f"{where}: not JSON: {error}") from error


def _row(given: Any, where: str) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise EvaluationError(f"{where}: {type(given).__name__}, not an object")
    known = {key: value for key, value in given.items() if value is not None}
    for key in known:
        if key not in NEEDED + OTHERS:
            raise EvaluationError(f"{where}: unknown column {key!r}{nearest(key, NEEDED + OTHERS)}")
    for key in NEEDED:
        if key not in known:
            raise EvaluationError(f"{where}: no {key}")
    for key, value in known.items():
        if key == "options":
            if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
                raise EvaluationError(f"{where}: options are {value!r}, not a list of texts")
        elif not isinstance(value, str) and not (key == "answer" and type(value) is int):
            raise EvaluationError(f"{where}: {key} is {value!r}, not a text")
    found = dict.fromkeys(NEEDED + OTHERS) | known
    if found["id"] is None:
        found["id"] = digest_of("question", found["page"], found["question"], found["options"])[:16]
    return found | {"where": where}


def _place(row: Mapping[str, Any]) -> int:
    """The answer's place in the options, however the table names it."""
    answer, options = row["answer"], row["options"]
    if isinstance(answer, int):
        if not 0 <= answer < len(options):
            raise EvaluationError(
                f"{row['where']}: answer is {answer}; options have the places 0 to "
                f"{len(options) - 1}"
            )
        return answer
    same = [place for place, option in enumerate(options) if plain(option) == plain(answer)]
    if len(same) != 1:
        raise EvaluationError(
            f"{row['where']}: the answer {answer!r} is {len(same)} of the options {options!r}"
        )
    return same[0]


def _held_out(rows: Sequence[Mapping[str, Any]], table: Path, training_pages: Path) -> None:
    """Refuse pages that training has seen. The file holds a digest a line."""
    seen = set(training_pages.read_text(encoding="utf-8").split())
    leaked = [row for row in rows if row["page"] in seen]
    if leaked:
        raise EvaluationError(
            f"{table}: {len(leaked)} of {len(rows)} questions are on pages of training "
            f"({training_pages}), the first at {leaked[0]['where']}; hold those pages out"
        )


def _with_distractors(
    rows: Sequence[Mapping[str, Any]], count: int, seed: int
) -> list[dict[str, Any]]:
    """Rows without options get answers of other pages, all different."""
    found = []
    for row in rows:
        if row["options"] is not None:
            found.append(dict(row))
            continue
        answer = row["answer"]
        if not isinstance(answer, str):
            raise EvaluationError(f"{row['where']}: without options, the answer has to be a text")
        pool: dict[str, str] = {}
        for other in rows:
            if other["page"] != row["page"] and isinstance(other["answer"], str):
                pool.setdefault(plain(other["answer"]), other["answer"])
        pool.pop(plain(answer), None)
        if len(pool) < count:
            raise EvaluationError(
                f"{row['where']}: {count} distractors are asked for, and other pages have "
                f"{len(pool)} other answers"
            )
        chance = rng(seed, "distractors", row["id"])
        drawn = chance.sample([pool[key] for key in sorted(pool)], count)
        options = [answer, *drawn]
        chance.shuffle(options)
        found.append({**row, "options": options})
    return found
