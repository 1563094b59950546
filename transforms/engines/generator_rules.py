"""A generator without a model: it says what the rules of the step say, and nothing more.

It lets the whole branch run offline. Nothing is rewritten and only questions that rules can find
are asked, so all that is made with it is marked `smoke`.
"""

from transforms.engines.generator import Ask, Failed, Generated, M
from transforms.engines.generator_meter import Meter


class Rules:
    """Answers with `Ask.by_rules`."""

    name = "rules"
    quality = "smoke"

    def __init__(self) -> None:
        self.meter = Meter()  # always 0: rules cost nothing

    def generate(self, ask: Ask[M], cache: str | None = None) -> Generated[M] | Failed:
        if ask.by_rules is None:
            return Failed(reason="refused", detail=f"rules have no answer to {ask.task}")
        return Generated(value=ask.by_rules, raw=ask.by_rules.model_dump_json())
