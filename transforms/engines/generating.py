"""What steps that ask a text generator have in common: the engine, how it is called, what it costs.

`engine`, `sampling` and the prompts decide what is made and are part of the key. `endpoint` says
where the model stands and is none (`unkeyed`): a server may move, and prices change.
"""

from typing import Any, ClassVar, Self

import pydantic

from transforms.engines import generator
from transforms.engines.generator import EndpointSettings, Generator, Sampling
from transforms.step import RecordStep


class Generating(RecordStep):
    """Base of the steps that generate text; see `transforms.engines.generator`."""

    unkeyed: ClassVar[frozenset[str]] = frozenset(("endpoint",))
    reasons: ClassVar[dict[str, str]] = generator.REASONS

    engine: str = pydantic.Field(
        default="rules",
        description="Who writes: rules (no model; what they make is of quality smoke) or "
        "endpoint/MODEL (engine)",
    )
    endpoint: EndpointSettings = pydantic.Field(
        default=EndpointSettings(), description="Where endpoint/MODEL is; in no key (settings)"
    )
    sampling: Sampling = pydantic.Field(
        default=Sampling(), description="How endpoint/MODEL answers (settings)"
    )

    @pydantic.model_validator(mode="after")
    def _engine_fits(self) -> Self:
        family, _ = generator.parse(self.engine)
        if family == "endpoint" and not self.endpoint.base_url:
            raise ValueError("engine endpoint/MODEL needs endpoint.base_url")
        if family != "endpoint" and self.endpoint != EndpointSettings():
            raise ValueError(f"endpoint belongs to endpoint/MODEL, not to {self.engine}")
        return self

    @property
    def asks_endpoint(self) -> bool:
        """Whether this step needs the network: `offline: true` refuses it."""
        return generator.parse(self.engine)[0] == "endpoint"

    @property
    def concurrency(self) -> int:
        """Pages that are worked on at once, by threads of one process."""
        return self.endpoint.concurrency if self.asks_endpoint else 1

    def check_reachable(self) -> None:
        """See that the endpoint answers, before work starts. Raises `ModelError`."""
        if self.asks_endpoint:
            from transforms.engines.generator_endpoint import check_reachable

            check_reachable(self.endpoint, generator.parse(self.engine)[1])

    def fingerprint(self) -> Any:
        return generator.fingerprint(self.engine, self.sampling)

    def load(self) -> Generator:
        return generator.load(self.engine, self.endpoint, self.sampling)
