"""How toxic a text is, for five harms, apart from what it is about.

Per harm (hate and violence, ideological, sexual, illegal, self-inflicted) a text is safe, topical
or toxic, with a toxicity of 0..1; `toxic` is the greatest of all harms, and news, history, health
advice or a court report on the same subject do not raise it (Mendu et al. 2025). The default
engine is a list of phrases in English, German, Spanish and French with context; a real classifier
goes into the slot by `engine: hf/FOLDER`. Text in other languages is judged by all lists at once.
"""

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import pydantic

from schemas.ids import digest_of
from schemas.records import Clip, Scores
from transforms.engines import harm_model, harm_terms
from transforms.engines.harm import HARMS, HarmEngine
from transforms.engines.harm_words import WordLists
from transforms.step import Measure, Scope


class Harm(Measure):
    """Level and toxicity of a text per harm, and the greatest toxicity and topicality."""

    columns: ClassVar[dict[str, type]] = {
        "toxic": float,
        "topical": float,
        "worst": str,
        **dict.fromkeys(HARMS, str),
        **{f"{harm}_toxic": float for harm in HARMS},
    }
    needs_audio: ClassVar[bool] = False

    engine: str = pydantic.Field(
        "words", description="Judge: words (our lists), or hf/FOLDER (a local text classifier)"
    )
    labels: dict[str, str] = pydantic.Field(
        {},
        description="What the classifier's labels mean, where their names do not say: "
        "LABEL_1 as `sexual:toxic` (harm and level; none)",
    )

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> "Harm":
        if self.engine != "words":
            harm_model.folder_of(self.engine)
        elif self.labels:
            raise ValueError("labels belong to a classifier: engine words has none")
        for label, said in self.labels.items():
            if harm_model.meaning(said) is None:
                raise ValueError(
                    f"labels: {label} is {said!r}; write a harm ({', '.join(HARMS)}), a colon and "
                    "safe, topical or toxic"
                )
        return self

    def fingerprint(self) -> Any:
        if self.engine != "words":
            return harm_model.fingerprint(self.engine)
        lists = [harm_terms.TOXIC, harm_terms.TOPIC, harm_terms.DISTANT]
        return {"terms": digest_of("harm terms", repr(lists))}

    def load(self) -> HarmEngine:
        if self.engine != "words":
            return harm_model.Classifier(self.engine, self.labels)
        return WordLists()

    def __call__(
        self, records: Sequence[Clip], model: HarmEngine, scope: Scope
    ) -> Iterator[Scores]:
        for clip in records:
            found = dict(model.judge(clip.text, clip.language)) if clip.text.strip() else {}
            if not found:
                yield Scores(id=clip.id, values=(None,) * len(self.columns))
                continue
            worst = max(found, key=lambda harm: (found[harm].toxic, -HARMS.index(harm)))
            yield Scores(
                id=clip.id,
                values=(
                    found[worst].toxic,
                    max(one.topical for one in found.values()),
                    worst if found[worst].toxic > 0 else None,
                    *(found[harm].level if harm in found else None for harm in HARMS),
                    *(found[harm].toxic if harm in found else None for harm in HARMS),
                ),
            )
