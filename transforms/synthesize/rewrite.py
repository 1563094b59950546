"""Make written text speakable without changing what it says (Krist).

SpeLangy has page text lightly rewritten by a language model before it is spoken (methods a.3); its
prompt is not known, ours lies in `prompts/`. A text is rewritten block by block. Each block must
keep its numbers, its names, most of its words and its length (`preserved`); one that does not is
asked for once more, with what is wrong, and then decides over the page by `on_fail`.

The default engine, `rules`, rewrites nothing: the text stays as it was written and is marked
`smoke`. What a voice reads of it (numbers, units, dates) is `spoken_form`, which `speak` calls.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import pydantic

from schemas.pages import Line, Script, script_id
from schemas.records import Drop
from transforms.engines.generating import Generating
from transforms.engines.generator import Ask, Failed, Generator, Shape
from transforms.step import Phase, Scope
from transforms.synthesize import preserved
from transforms.synthesize.blocks import blocks
from transforms.synthesize.preserved import Change, Limits
from transforms.synthesize.prompts import prompt, prompts_digest, task_name

COMPLAINT = (
    "That rewriting changes the text ({why}). Rewrite the first text again and keep every number, "
    "name and statement of it."
)


class Rewritten(Shape):
    """What a generator answers."""

    text: str = pydantic.Field(min_length=1)


class Rewrite(Generating):
    """Make scripts speakable, with their facts kept."""

    phase: ClassVar[Phase] = "synthesize"
    reasons: ClassVar[dict[str, str]] = {**Generating.reasons, **preserved.REASONS}

    skip: bool = pydantic.Field(
        default=False, description="Leave every text as it is, and ask nobody (flag)"
    )
    on_fail: Literal["drop", "keep_original"] = pydantic.Field(
        default="drop",
        description="What becomes of a text with a block that cannot be rewritten faithfully: the "
        "whole leaves, or the block stays as it was written (mode)",
    )
    max_characters: int = pydantic.Field(
        default=4000, ge=200, description="Longest block that is asked about (characters; ours)"
    )
    min_length: float = pydantic.Field(
        default=0.5,
        gt=0,
        le=1,
        description="Shortest rewriting, against the text as it is said (share of its letters; "
        "ours)",
    )
    max_length: float = pydantic.Field(
        default=2.0, ge=1, description="Longest rewriting, likewise (share; ours)"
    )
    min_names: float = pydantic.Field(
        default=0.8,
        ge=0,
        le=1,
        description="Names that have to stay: words with a capital inside a sentence (share; ours)",
    )
    min_words: float = pydantic.Field(
        default=0.5, ge=0, le=1, description="Words of four letters or more that stay (share; ours)"
    )
    max_new_words: float = pydantic.Field(
        default=0.5, ge=0, le=1, description="Words of the rewriting that are new (share; ours)"
    )

    def fingerprint(self) -> Any:
        return {
            "generator": super().fingerprint(),
            "prompts": prompts_digest("rewrite"),
            "checks": preserved.fingerprint(),
        }

    def __call__(
        self, records: Sequence[Script], model: Generator, scope: Scope
    ) -> Iterator[Script | Drop]:
        for index, script in enumerate(records):
            yield script if self.skip else self._script(script, index, model, scope.cache)

    def _script(
        self, script: Script, index: int, model: Generator, cache: str | None
    ) -> Script | Drop:
        lines = []
        for line in script.lines:
            text = ""
            for block, gap in blocks(line.text, self.max_characters):
                found = self._block(block, script, model, cache) if block.strip() else block
                if not isinstance(found, str):
                    if self.on_fail == "drop":
                        return self._drop(script, found)
                    found = block
                text += found + gap
            lines.append(Line(role=line.role, text=text))
        return Script(
            id=script_id(script.page, "rewrite", index, tuple(lines)),
            page=script.page,
            kind="rewrite",
            language=script.language,
            lines=tuple(lines),
            quality="smoke" if "smoke" in (script.quality, model.quality) else model.quality,
            engine=model.name,
        )

    def _block(
        self, block: str, script: Script, model: Generator, cache: str | None
    ) -> str | Failed | Change:
        """A block rewritten, or why it is not."""
        ask = Ask(
            root=script.page,
            task=task_name("rewrite", script.language),
            instruction=prompt("rewrite").text(script.language),
            data=block,
            shape=Rewritten,
            by_rules=Rewritten(text=block),
        )
        limits = Limits(
            min_length=self.min_length,
            max_length=self.max_length,
            min_names=self.min_names,
            min_words=self.min_words,
            max_new_words=self.max_new_words,
        )
        wrong: Change | None = None
        for _ in range(2):
            answer = model.generate(ask, cache)
            if isinstance(answer, Failed):
                return answer
            text = plain(answer.value.text)
            wrong = preserved.change(block, text, script.language, limits)
            if wrong is None:
                return text
            ask = ask.again(answer.raw, COMPLAINT.format(why=wrong.detail))
        assert wrong is not None
        return wrong

    def _drop(self, script: Script, why: Failed | Change) -> Drop:
        return Drop(
            id=script.id,
            root=script.page,
            step=self.name(),
            reason=why.reason,
            seconds=0.0,
            score=why.score if isinstance(why, Change) else None,
            threshold=why.threshold if isinstance(why, Change) else None,
            detail=why.detail,
        )


def plain(text: str) -> str:
    """A generated text without control characters, in NFC, without blanks around it."""
    kept = "".join(
        letter for letter in text if letter == "\n" or unicodedata.category(letter) not in _CONTROL
    )
    return unicodedata.normalize("NFC", kept).strip()


_CONTROL = frozenset(("Cc", "Cs", "Co", "Cn"))
