"""Plain text files as pages, one per block between lines of `===`; nothing of the web in them."""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from schemas.ids import bytes_digest
from schemas.pages import Page
from schemas.records import Drop
from transforms.step import Phase, RecordStep, Scope


class Extract(RecordStep):
    """Text files to pages."""

    phase: ClassVar[Phase] = "extract"
    reasons: ClassVar[dict[str, str]] = {"no_text": "nothing is left of it"}

    def __call__(self, records: Sequence[Any], model: Any, scope: Scope) -> Iterator[Page | Drop]:
        (file,) = records
        assert scope.path is not None
        text = unicodedata.normalize("NFC", Path(scope.path).read_text(encoding="utf-8"))
        for index, block in enumerate(text.split("\n===\n")):
            if not block.strip():
                yield Drop(id=file.id, root=file.id, step="extract", reason="no_text", seconds=0.0)
                continue
            yield Page(
                id=bytes_digest(block.strip().encode()),
                root=file.id,
                index=index,
                uri=f"{file.uri}#{index}",
                text=block.strip(),
                language="en",
            )
