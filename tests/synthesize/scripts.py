"""A page as the script that it begins as, and a generator that waits for no one: what tests of
steps that write about pages share."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from schemas.ids import bytes_digest
from schemas.pages import READER, Line, Page, Script, script_id
from tests.generate.endpoint import Mock
from transforms.engines.generator import EndpointSettings
from transforms.step import RecordStep, Scope


def page(text: str, language: str | None = "en") -> Page:
    digest = bytes_digest(text.encode())
    return Page(id=digest, root=digest, index=0, uri="file", text=text, language=language)


def script(of: Page) -> Script:
    """The page as it is read out."""
    lines = (Line(role=READER, text=of.text),)
    name = script_id(of.id, "page", 0, lines)
    return Script(id=name, page=of.id, kind="page", language=of.language, lines=lines)


def written(step: RecordStep, of: Page, cache: Path | None = None) -> Iterator[Any]:
    """What a step makes of the script of a page: scripts and drops."""
    scope = Scope(root=of, seed=1, cache=None if cache is None else str(cache))
    yield from step([script(of)], step.load(), scope)


def impatient(mock: Mock) -> EndpointSettings:
    return EndpointSettings(base_url=mock.url, tries=2, longest_wait=0.01, total_seconds=5.0)
