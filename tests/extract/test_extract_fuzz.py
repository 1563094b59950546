"""Seeded damage to good files: every one gives pages or reasons, and none is a bug of ours."""

import os
import random
from pathlib import Path

import pytest

from schemas.pages import Page
from schemas.records import Drop
from tests.extract.made_pages import article, extracted, html, row_table
from transforms.extract.extract import Extract, Extracting

ITEMS = int(os.environ.get("SPEECHLOOM_FUZZ", "200"))
PIECES = (
    *(b"<", b">", b"</", b"<!--", b"]]>", b"&", b"&#x0;", b"&#1114112;", b"\0", b"\xff\xfe"),
    *(b"<table>", b"<select>", b"<svg><math>", b"<template>", b"<frameset>", b"<base href=//[>"),
    *(b"<meta charset=utf-16>", b"<script>{\"@type\":", b"<time datetime='", b"<link rel="),
    *(b'"', b"\n", b"\r", b"{", b"\\u", b"\\ud800", b"1e999", b",", b"\t", b"PAR1", b"\x1f\x8b"),
)  # fmt: skip


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Bytes with pieces cut out, doubled, turned and put in."""
    body = bytearray(data)
    for _ in range(chance.randint(1, 12)):
        at = chance.randrange(len(body) + 1)
        length = chance.randint(1, max(1, len(body) // 6))
        kind = chance.randrange(4)
        if kind == 0:
            del body[at : at + length]
        elif kind == 1:
            body[at:at] = body[at : at + length]
        elif kind == 2 and at < len(body):
            body[at] = chance.randrange(256)
        else:
            body[at:at] = chance.choice(PIECES) * chance.randint(1, 40)
    return bytes(body)


@pytest.mark.parametrize("name", ["a.html", "a.md", "a.txt", "t.jsonl", "t.csv", "t.parquet"])
def test_damaged_files_give_pages_or_reasons(model: Extracting, tmp_path: Path, name: str) -> None:
    suffix = name.partition(".")[2]
    good = html(article(5)) if suffix == "html" else row_table(suffix, 7)
    step = Extract()
    before = model.door.restarts
    told = set()
    for seed in range(ITEMS // 6 + 1):
        data = damaged(good, random.Random(f"{name} {seed}"))
        found = extracted(step, model, tmp_path / name, data, container=claimed(suffix))
        assert found, seed
        ids = [one.id for one in found]
        assert len(set(ids)) == len(ids), seed
        for one in found:
            if isinstance(one, Drop):
                assert one.reason in Extract.reasons, seed
                told.add(one.reason)
            else:
                assert isinstance(one, Page)
                assert one.text == one.text.strip() != ""
    assert told
    assert model.door.restarts - before <= 2


def claimed(suffix: str) -> str:
    return {"md": "markdown", "txt": "text"}.get(suffix, suffix)
