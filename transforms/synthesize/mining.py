"""Questions that rules find on a page (Quest): asked in it, in its headings, or behind its
definitions.

SpeLangy mines questions from HTML with regular expressions that are not known; these are ours.
A sentence is a question where it ends with a question mark and, in the languages of `WORDS`, begins
as a question does. "X is a Y" becomes "What is X?". What rules can also answer (a definition, a
heading whose next paragraph begins with a short sentence) carries its answer, for the engine that
has no model.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Mapping

from schemas.ids import digest_of

MOST_WORDS, LEAST_WORDS = 30, 3  # of a question
SHORT = 12  # words of a short answer
TERM = 6  # words of what is defined
CONTEXT = 3000  # characters of the page around a question


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Language:
    """How questions look in a language."""

    begins: frozenset[str]  # first words
    personal: frozenset[str]  # words by which a page speaks to its reader or of itself
    defined: re.Pattern[str]  # "X is a Y": groups term, said
    asked: str  # {term}


def _language(begins: str, personal: str, defined: str, asked: str) -> Language:
    return Language(
        begins=frozenset(begins.split()),
        personal=frozenset(personal.split()),
        defined=re.compile(rf"^(?P<term>\S[^,;:()]*?) (?:{defined})(?P<said>[^?!]+)\.$"),
        asked=asked,
    )


WORDS: Mapping[str, Language] = {
    "en": _language(
        "what who whom whose when where why which how is are was were do does did can could "
        "should would will has have in on at for to from with",
        "you your yours we us our ours i my me click subscribe cookie cookies here",
        "is (?=an? |the |one of )|are (?=the |small |large |a kind)",
        "What is {term}?",
    ),
    "de": _language(
        "was wer wen wem wessen wann wo woher wohin warum weshalb wieso welche welcher welches "
        "wie ist sind war waren hat haben kann können muss soll wozu womit woraus",
        "sie ihr ihre ihnen du dein wir uns unser ich mein hier klicken",
        "ist (?=eine? |der |die |das )",
        "Was ist {term}?",
    ),
    "fr": _language(
        "que qui quoi quand où pourquoi comment quel quelle quels quelles combien est qu'est-ce "
        "est-ce à de dans en",
        "vous votre vos tu ton nous notre nos je mon ici cliquez",
        "est (?=une? |le |la |l')",
        "Qu'est-ce que {term}?",
    ),
    "es": _language(
        "¿qué ¿quién ¿quiénes ¿cuándo ¿dónde ¿por ¿cómo ¿cuál ¿cuáles ¿cuánto ¿cuántos ¿es ¿a ¿en",
        "usted ustedes tú tu nosotros nuestro yo mi aquí",
        "es (?=una? |el |la )",
        "¿Qué es {term}?",
    ),
}
_PRONOUNS = (
    "it this that these those he she they there here what which who one er es sie das dies dieser "
    "diese hier was il elle ce cela c' ici esto eso él ella"
)
_NOT_DEFINED = frozenset(_PRONOUNS.split())
_LEAD = re.compile(r"^(?:\W*\bQ\b\s*[:.]\s*|[\s\-*\u2022\u2013]+|\(?\d{1,3}[.)]\s+|#+\s*)+")
_URL = re.compile(r"https?://|www\.|@\w")
_CLAUSE = re.compile(r",| which | that | who | because | welche | die | qui | que ")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """A question as it was found."""

    id: str
    question: str
    kind: str  # heading | sentence | definition
    passage: str  # of the page, around the question
    reasoning: str = ""  # what rules say of it,
    answer: str = ""  # and the short answer; "" where they cannot


def candidates(page: str, text: str, language: str | None, most: int) -> list[Candidate]:
    """The first `most` different questions of a page: headings, then sentences, then definitions,
    each in the order of the text. `page`: its id."""
    code = (language or "").partition("-")[0]
    found: dict[str, Candidate] = {}
    for one in (*_headings(page, text, code), *_sentences(page, text, code)):
        found.setdefault(one.question.casefold(), one)
    ranked = sorted(found.values(), key=lambda one: _RANK[one.kind])  # stable: text order
    return ranked[:most]


_RANK = {"heading": 0, "sentence": 1, "definition": 2}


def _headings(page: str, text: str, code: str) -> Iterator[Candidate]:
    """Paragraphs that are one question, answered by the next one."""
    parts = re.split(r"\n\s*\n|\n", text)
    paragraphs = [part.strip() for part in parts if part.strip()]
    at = 0
    for heading, after in itertools.pairwise([*paragraphs, ""]):
        at = max(at, text.find(heading, at))
        question = cleaned(heading)
        if not is_question(question, code) or after.endswith("?") or not after:
            continue
        if len(sentences(heading, code)) != 1:
            continue
        said = sentences(after, code)
        short = said[0] if said and len(said[0].split()) <= SHORT else ""
        reasoning = " ".join(said[1:3])
        answered = bool(short and reasoning)
        yield _candidate(
            page,
            question,
            "heading",
            context(text, at),
            reasoning if answered else "",
            short if answered else "",
        )


def _sentences(page: str, text: str, code: str) -> Iterator[Candidate]:
    """Questions inside paragraphs, and definitions."""
    at = 0
    for sentence in sentences(text, code):
        at = max(at, text.find(sentence, at))
        question = cleaned(sentence)
        if is_question(question, code):
            yield _candidate(page, question, "sentence", context(text, at))
            continue
        defined = definition(question, code)
        if defined is not None:
            asked, answer = defined
            yield _candidate(page, asked, "definition", context(text, at), question, answer)


def _candidate(
    page: str, question: str, kind: str, passage: str, reasoning: str = "", answer: str = ""
) -> Candidate:
    return Candidate(
        id=digest_of("question", page, question),
        question=question,
        kind=kind,
        passage=passage,
        reasoning=reasoning,
        answer=answer,
    )


def is_question(text: str, code: str) -> bool:
    """Whether a sentence asks something of the world."""
    words = text.split()
    if not text.endswith(("?", "\uff1f", "\u061f")) or "\n" in text or _URL.search(text):
        return False
    if not LEAST_WORDS <= len(words) <= MOST_WORDS:
        return False
    if code not in WORDS:
        return True
    plain = [re.sub(r"[^\w'¿-]", "", word).casefold() for word in words]
    about = WORDS[code]
    begins = plain[0] in about.begins or plain[0].split("'")[0] in about.begins
    return begins and not about.personal & set(plain)


def definition(sentence: str, code: str) -> tuple[str, str] | None:
    """Question and short answer of "X is a Y"; None for another sentence."""
    about = WORDS.get(code)
    found = about.defined.match(sentence) if about else None
    if about is None or found is None or _URL.search(sentence):
        return None
    term, said = found["term"], _CLAUSE.split(found["said"], maxsplit=1)[0].strip()
    first = term.split()[0].casefold()
    if len(term.split()) > TERM or first in _NOT_DEFINED or not 2 <= len(said.split()) <= SHORT:
        return None
    plain = {word.casefold() for word in re.findall(r"[\w']+", sentence)}
    if plain & about.personal:
        return None
    if first in ("a", "an", "the", "ein", "eine", "der", "die", "das", "le", "la", "un", "una"):
        term = term[0].lower() + term[1:]
    return about.asked.format(term=term), said


def sentences(text: str, code: str) -> list[str]:
    """The sentences of a text, without blanks around them; a line break ends one."""
    import sentencex

    return [
        stripped
        for line in text.split("\n")
        if line.strip()
        for sentence in sentencex.segment(code or "en", line)
        if (stripped := sentence.strip())
    ]


def cleaned(text: str) -> str:
    """Without list marks and "Q:" before it, blanks made one."""
    return " ".join(_LEAD.sub("", text.strip()).split())


def context(text: str, at: int) -> str:
    """The part of a page around a place, cut at blanks."""
    start, end = max(0, at - CONTEXT // 6), at + CONTEXT
    if start:
        start = text.find(" ", start) + 1
    if end < len(text):
        end = max(text.rfind(" ", start, end), start + 1)
    return text[start:end].strip()
