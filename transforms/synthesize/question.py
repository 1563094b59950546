"""Questions of a page with their answers, said by two voices (Quest).

SpeLangy mines questions from web pages, has invalid ones removed by a language model and has a
chain of thought and an answer written (methods a.3). Here: rules find candidates (`mining`), the
generator says which of them are questions, then answers each: reasoning, then a short answer, and
wrong ones where multiple choice is wanted. A question stays as the page asked it, so a page cannot
have another one asked; answers must fit it in form, and by default be found on the page.

The default engine, `rules`, answers only what a definition or a short sentence under a heading
answers, and all of it is marked `smoke`. Pages that a split holds out become an evaluation set
(`evaluation_rows`); their documents lie in the shards of that split and of no other.
"""

import importlib.metadata
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

import pydantic

from schemas.pages import ANSWERER, ASKER, Line, Script, script_id
from schemas.records import Drop
from transforms.engines.generating import Generating
from transforms.engines.generator import Ask, Failed, Generator, Shape
from transforms.step import Phase, Scope
from transforms.synthesize import preserved
from transforms.synthesize.mining import SHORT, Candidate, candidates
from transforms.synthesize.preserved import SMALL, content, values
from transforms.synthesize.prompts import prompt, prompts_digest, task_name
from transforms.synthesize.rewrite import plain

S = TypeVar("S", bound=Shape)

COMPLAINT = "That answer cannot be used: {why}. Answer the first question again."
LEAST_REASONING, MOST_REASONING = 5, 200  # words


class Verdict(Shape):
    """Whether one of a list of questions is one."""

    number: int
    valid: bool


class Verdicts(Shape):
    """What a generator says of a list of questions."""

    questions: tuple[Verdict, ...]


class Answered(Shape):
    """What a generator answers."""

    answerable: bool
    reasoning: str
    answer: str
    distractors: tuple[str, ...]


class Question(Generating):
    """Turn pages into questions with reasoned answers."""

    phase: ClassVar[Phase] = "synthesize"
    reasons: ClassVar[dict[str, str]] = {
        **Generating.reasons,
        "no_question": "The rules found no question on the page.",
        "invalid": "The generator says that this is no question which stands for itself.",
        "unanswerable": "The generator, or the rules, cannot answer the question.",
        "unfit": "The answer's form was wrong twice: its length, or its wrong answers.",
        "ungrounded": "The answer is not found on the page.",
    }

    max_questions: int = pydantic.Field(
        default=4, ge=1, le=50, description="Questions of one page, at most (count; ours)"
    )
    distractors: int = pydantic.Field(
        default=0,
        ge=0,
        le=9,
        description="Wrong answers that are made beside the right one, for evaluation sets (count; "
        "rules make none)",
    )
    grounded: bool = pydantic.Field(
        default=True,
        description="Keep only answers whose words and numbers stand on the page (flag; ours)",
    )
    keep_page: bool = pydantic.Field(
        default=False, description="Say the page's own text, too, before its questions (flag)"
    )

    @pydantic.model_validator(mode="after")
    def _options_need_a_model(self) -> "Question":
        if self.distractors and not self.asks_endpoint:
            raise ValueError("distractors need engine endpoint/MODEL: rules make none")
        return self

    def fingerprint(self) -> Any:
        return {
            "generator": super().fingerprint(),
            "prompts": prompts_digest("validate", "answer"),
            "checks": preserved.fingerprint(),
            "sentencex": importlib.metadata.version("sentencex"),
        }

    def imports(self) -> tuple[str, ...]:
        return ("sentencex",)

    def __call__(
        self, records: Sequence[Script], model: Generator, scope: Scope
    ) -> Iterator[Script | Drop]:
        index = 0
        for script in records:
            if self.keep_page:
                yield script
            for item in self._asked(script, model, scope.cache):
                if isinstance(item, Drop):
                    yield item
                    continue
                candidate, answer = item
                lines = spoken(candidate.question, answer)
                smoke = "smoke" in (script.quality, model.quality)
                yield Script(
                    id=script_id(script.page, "question", index, lines),
                    page=script.page,
                    kind="question",
                    language=script.language,
                    lines=lines,
                    quality="smoke" if smoke else model.quality,
                    engine=model.name,
                    options=answer.distractors,
                )
                index += 1

    def _asked(
        self, script: Script, model: Generator, cache: str | None
    ) -> Iterator[tuple[Candidate, Answered] | Drop]:
        """The questions of a script that have an answer, and why the others have none."""
        text = "\n\n".join(line.text for line in script.lines)
        found = candidates(script.page, text, script.language, self.max_questions)
        if not found:
            yield self._drop(script.id, script, "no_question", "")
            return
        valid = self._valid(found, script, model, cache)
        if isinstance(valid, Failed):
            yield self._drop(script.id, script, valid.reason, valid.detail)
            return
        for candidate, good in zip(found, valid, strict=True):
            answer: Answered | Failed = Failed(reason="invalid", detail="")
            if good:
                answer = self._answer(candidate, text, script, model, cache)
            if isinstance(answer, Failed):
                detail = f"{candidate.question!r:.120} {answer.detail}".strip()
                yield self._drop(candidate.id, script, answer.reason, detail)
            else:
                yield candidate, answer

    def _valid(
        self, found: Sequence[Candidate], script: Script, model: Generator, cache: str | None
    ) -> list[bool] | Failed:
        numbers = list(range(1, len(found) + 1))
        ask = Ask(
            root=script.page,
            task=task_name("validate", script.language),
            instruction=prompt("validate").text(script.language),
            data="\n".join(f"{n}. {one.question}" for n, one in zip(numbers, found, strict=True)),
            shape=Verdicts,
            by_rules=Verdicts(questions=tuple(Verdict(number=n, valid=True) for n in numbers)),
        )

        def wrong(said: Verdicts) -> Failed | None:
            if [one.number for one in said.questions] == numbers:
                return None
            return Failed(reason="unfit", detail=f"not one entry for each of {len(numbers)}")

        answer = _fitting(ask, wrong, model, cache)
        return answer if isinstance(answer, Failed) else [one.valid for one in answer.questions]

    def _answer(
        self,
        candidate: Candidate,
        text: str,
        script: Script,
        model: Generator,
        cache: str | None,
    ) -> Answered | Failed:
        by_rules = Answered(
            answerable=bool(candidate.answer),
            reasoning=candidate.reasoning,
            answer=candidate.answer,
            distractors=(),
        )
        said = prompt("answer").text(script.language)
        ask = Ask(
            root=script.page,
            task=task_name("answer", script.language),
            instruction=said.replace("{distractors}", str(self.distractors)),
            data=f"{candidate.question}\n\n{candidate.passage}",
            shape=Answered,
            by_rules=by_rules,
        )

        def wrong(answer: Answered) -> Failed | None:
            if not answer.answerable:
                return None
            return self._unfit(answer) or self._ungrounded(answer, candidate, text, script)

        found = _fitting(ask, wrong, model, cache)
        if isinstance(found, Failed):
            return found
        if not found.answerable:
            return Failed(reason="unanswerable", detail="")
        return found

    def _unfit(self, answer: Answered) -> Failed | None:
        reasoning, short = len(answer.reasoning.split()), len(answer.answer.split())
        if not 1 <= short <= SHORT:
            return Failed(reason="unfit", detail=f"answer has {short} words, of 1 to {SHORT}")
        if not LEAST_REASONING <= reasoning <= MOST_REASONING:
            return Failed(
                reason="unfit",
                detail=f"reasoning has {reasoning} words, of {LEAST_REASONING} to {MOST_REASONING}",
            )
        given = [_same(one) for one in (answer.answer, *answer.distractors)]
        if len(answer.distractors) != self.distractors:
            return Failed(
                reason="unfit",
                detail=f"{len(answer.distractors)} distractors, not {self.distractors}",
            )
        if len(set(given)) < len(given) or not all(given):
            return Failed(reason="unfit", detail="two options are equal, or one is empty")
        return None

    def _ungrounded(
        self, answer: Answered, candidate: Candidate, text: str, script: Script
    ) -> Failed | None:
        """An answer with words or numbers that neither page nor question have."""
        if not self.grounded:
            return None
        known = f"{candidate.question}\n{text}"
        words, there = content(answer.answer), content(known)
        if words and len(words & there) < len(words) / 2:
            return Failed(reason="ungrounded", detail="most of the answer's words are not there")
        language = (script.language or "").partition("-")[0]
        new = values(answer.answer, language) - values(known, language)
        if any(value > SMALL for value in new):
            return Failed(reason="ungrounded", detail="a number of the answer is not there")
        return None

    def _drop(self, about: str, script: Script, reason: str, detail: str) -> Drop:
        return Drop(
            id=about,
            root=script.page,
            step=self.name(),
            reason=reason,
            seconds=0.0,
            detail=detail,
        )


def spoken(question: str, answer: Answered) -> tuple[Line, ...]:
    """What is said: the question, the reasoning, and the short answer as a sentence."""
    short = plain(answer.answer)
    if short[-1:] not in ".!?\u3002":
        short += "."
    return (
        Line(role=ASKER, text=question),
        Line(role=ANSWERER, text=plain(answer.reasoning)),
        Line(role=ANSWERER, text=short),
    )


def _fitting(
    ask: Ask[S],
    wrong: Callable[[S], Failed | None],
    model: Generator,
    cache: str | None,
) -> S | Failed:
    """An answer with which nothing is wrong, asked for at most twice."""
    why: Failed | None = None
    for _ in range(2):
        answer = model.generate(ask, cache)
        if isinstance(answer, Failed):
            return answer
        why = wrong(answer.value)
        if why is None:
            return answer.value
        ask = ask.again(answer.raw, COMPLAINT.format(why=why.detail))
    assert why is not None
    return why


def _same(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().casefold()
