"""The insertions of a run as a table: what was shown where, in the place of what.

A run writes them into its log as they happen, so a run that was stopped and resumed has each once;
here they become Parquet or JSON lines for whoever asks the question later.
"""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from trainer import journal
from trainer.failures import SetupError

SCHEMA = pa.schema(
    [
        ("experiment", pa.string()),
        ("document", pa.string()),
        ("shard", pa.string()),
        ("showing", pa.int32()),
        ("step", pa.int64()),
        ("pack", pa.int64()),
        ("piece", pa.int32()),
        ("position", pa.int32()),
        ("positions", pa.int32()),
        ("set_name", pa.string()),
        ("replaced", pa.list_(pa.string())),
    ]
)


def insertions(out: Path) -> list[dict[str, Any]]:
    """Of a run's OUT, by step and place. Raises `SetupError` where there is no log."""
    try:
        lines = journal.read(out)
    except (FileNotFoundError, ValueError) as error:
        raise SetupError(f"{out}: no log of a run: {error}") from error
    found = [
        {name: line[name] for name in SCHEMA.names} for line in lines if line["event"] == "inserted"
    ]
    return sorted(found, key=lambda row: (row["pack"], row["piece"]))


def write_insertions(rows: list[dict[str, Any]], path: Path) -> None:
    """As `.parquet`, or else as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows, SCHEMA), path, compression="zstd")
        return
    text = "".join(json.dumps(row, sort_keys=True) + "\n" for row in rows)
    path.write_text(text, encoding="utf-8")
