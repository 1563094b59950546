"""What documents say without being run: links resolve, fences are known, nothing private is in."""

import re
from pathlib import Path

import pytest
from documents import (
    LANGUAGES,
    ROOT,
    RUN,
    WORDS,
    all_documents,
    anchors,
    blocks,
    links,
    missing_line,
    read,
)

DOCUMENTS = all_documents()


def broken_links(document: str, text: str) -> list[str]:
    """The links of a document that lead to no file or no heading of the repository."""
    broken = []
    for line, target in links(text):
        if target.startswith(("https://", "http://")):
            continue
        path, _, heading = target.partition("#")
        file = (ROOT / document).parent / path if path else ROOT / document
        inside = text if not path else None
        if path and (not file.exists() or ROOT not in file.resolve().parents):
            broken.append(f"{document}:{line}: {target}")
            continue
        if heading and heading not in anchors(inside or file.read_text(encoding="utf-8")):
            broken.append(f"{document}:{line}: {target} (no such heading)")
    return broken


def test_the_documents_that_are_run_exist_and_are_reached_from_the_readme() -> None:
    assert set(RUN) <= set(DOCUMENTS)
    reached = {target.partition("#")[0] for _, target in links(read("README.md"))}
    others = {name for name in DOCUMENTS if name.startswith("docs/")}
    assert others <= reached


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    assert broken_links(document, read(document)) == []


def test_the_check_of_links_sees_what_is_broken() -> None:
    text = "# One\n\n[a](docs/nowhere.md) [b](#two) [c](#one) [d](../x) `[e](no.md)` [f](LICENSE)\n"
    found = [one.partition(": ")[2] for one in broken_links("README.md", text)]
    assert found == ["docs/nowhere.md", "#two (no such heading)", "../x"]


@pytest.mark.parametrize("document", RUN)
def test_fences_say_what_becomes_of_their_blocks(document: str) -> None:
    for block in blocks(document):
        assert block.language in LANGUAGES, str(block)
        assert set(block.words) <= WORDS, str(block)
        if block.language in ("yaml", "csv", "json"):
            assert "file" in block.words, f"{block}: nothing would check it"
        if "output" in block.words:
            assert block.language == "text", str(block)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_nothing_of_a_machine_or_a_registry_stands_in_a_document(document: str) -> None:
    text = read(document)
    private = re.compile(
        r"/(work|home|root|Users|tmp|mnt)/[a-z]|pypi\.org|pythonhosted|files\.python|conda\.|"
        r"--(extra-)?index-url|hf\.co|huggingface\.co"
    )
    assert [found[0] for found in private.finditer(text)] == []


@pytest.mark.parametrize("document", RUN)
def test_lines_are_short_enough_to_be_read_as_text(document: str) -> None:
    long = [
        number
        for number, line in enumerate(read(document).split("\n"), 1)
        if len(line) > 100 and not line.startswith("|") and "](" not in line
    ]
    assert long == []


def test_paths_that_documents_name_exist() -> None:
    """`pipeline/work.py` in backticks is a promise. Files that a document makes are none."""
    wrong = []
    for document in RUN:
        text = read(document)
        made = {block.words["file"] for block in blocks(document) if "file" in block.words}
        for name in re.findall(
            r"`((?:schemas|transforms|pipeline|recipes|samples|tests|benchmarks|docs)/[\w./-]+)`",
            text,
        ):
            if name not in made and not (ROOT / name).exists():
                wrong.append(f"{document}: {name}")
    assert wrong == []


def test_the_comparison_of_outputs_forgets_numbers_and_nothing_else() -> None:
    printed = "hear      2 parts, 0.09 h of audio in 1 min 3 s\n  filter   44 clips\nnote: a\n"
    assert missing_line("hear 1 parts, 0.10 h of audio in 2 s\n...\nnote: a\n", printed) is None
    assert missing_line("filter 3 clips\nhear 1 parts, 0.1 h of audio in 2 s\n", printed)
    assert missing_line("note: b\n", printed) == "note: b"
    assert missing_line("note…\n", printed) is None
    assert missing_line("notes…\n", printed) == "notes…"
    assert missing_line("shards: …/out\n", "shards: /a/b/out\n", "/a/b") is None


def test_a_block_ends_where_its_fence_ends() -> None:
    text = "```sh exit=2\nfalse\n```\n\n````text\n```\n````\n"
    first, second = blocks("x.md", text)
    assert (first.language, first.words, first.text, first.line) == (
        "sh",
        {"exit": "2"},
        "false\n",
        1,
    )
    assert second.text == "```\n"
    with pytest.raises(ValueError, match="not closed"):
        blocks("x.md", "```sh\n")


def test_the_changelog_has_the_parts_that_keep_a_changelog_names() -> None:
    text = read("CHANGELOG.md")
    assert "## [Unreleased]" in text
    kinds = set(re.findall(r"^### (.+)$", text, re.M))
    assert kinds <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    assert Path(ROOT / "LICENSE").is_file()


def test_what_the_readme_says_is_there_is_there() -> None:
    """When one of these comes or goes, its sentence in the README is to be changed."""
    from transforms.engines import recognizer, synthesizer
    from transforms.step import registry

    text = " ".join(read("README.md").split())
    there = text[text.index("There: local folders") :].partition("**Limits")[0].lower()
    for name in synthesizer.ENGINES:
        assert name in there or name == "endpoint", name
    assert {"faster-whisper", "pocketsphinx"} <= set(recognizer.ENGINES)
    assert {"rewrite", "question", "speak", "verify"} <= set(registry())
    runners = read("docs/running.md")
    assert ("no job has been run" in runners) == ("only beam's prism has run jobs" in there)
