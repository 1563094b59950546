"""docs/generating.md against the code: its recipe loads, its commands parse, its reasons exist."""

import re
import shlex
from pathlib import Path

import pytest

import pipeline.__main__
import trainer.__main__
from pipeline.recipe import resolve
from schemas.settings import parse
from transforms.engines.generator import REASONS
from transforms.synthesize.preserved import REASONS as CHANGES
from transforms.synthesize.rewrite import Rewrite
from transforms.synthesize.spoken_form import LANGUAGES

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "generating.md").read_text("utf-8")


def fences(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def test_its_recipe_loads() -> None:
    (text,) = fences("yaml")
    found = resolve(parse(text, "synthetic.yaml"))
    rewrite = next(step for step in found.streams["krist"] if isinstance(step, Rewrite))
    assert rewrite.asks_endpoint and rewrite.concurrency == 16


@pytest.mark.parametrize("line", [line for text in fences("sh") for line in text.splitlines()])
def test_its_commands_parse(line: str) -> None:
    program, *given = shlex.split(line)
    if program == "make":
        given = ["evalset", "--text", "x", "--out", "y"]
        program = "speechloom-train"
    tops = {"speechloom": pipeline.__main__.parser, "speechloom-train": trainer.__main__.parser}
    assert tops[program](given[0]).parse_args(given).command == given[0]


def test_its_reasons_exist() -> None:
    for reason in (*REASONS, *CHANGES):
        assert f"`{reason}`" in TEXT
    assert len(LANGUAGES) == 7 and "seven languages" in TEXT
