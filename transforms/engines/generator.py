"""Text generators: what a step asks for in words, answered by a model or by rules.

A step puts an `Ask`: an instruction of ours, the text of a page as data, the shape of the answer
(a pydantic model), and what rules alone would say. An engine answers with a value of that shape, or
says why there is none (`Failed`, with a reason code of `REASONS`). It is safe for threads, its
answer depends on the question alone, and what it spends is on its meter.

Engines: `rules` (no model: what the step's rules say; everything made with it is of quality
`smoke`) and `endpoint/MODEL` (any OpenAI-compatible chat endpoint).

A page cannot take the place of the instruction as far as structure allows: its text is data in a
message of its own, between marks that hold a digest of the page and so cannot stand in it; the
answer must have the shape, and the step compares it with the page. A model that obeys the page
anyway makes an answer that those checks refuse, or one that they cannot tell from a faithful one.
"""

import dataclasses
import difflib
from typing import Any, Generic, Literal, Protocol, TypeVar

import pydantic

from schemas.ids import digest_of
from transforms.engines.generator_meter import Meter

M = TypeVar("M", bound=pydantic.BaseModel)

REASONS: dict[str, str] = {
    "refused": "The generator refused to answer, or its filter did.",
    "malformed": "The generator's answer had not the shape that was asked for, twice.",
    "cut_short": "The generator's answer reached the limit of tokens before its end.",
    "too_large": "The endpoint's answer was larger than max_answer_bytes.",
    "rejected": "The endpoint rejected the question itself, as one that is too long.",
    "unanswered": "The endpoint is up, but gave no answer to this question after all tries.",
}
"""Why a question has no answer; each becomes a drop of the step that asked."""


class Shape(pydantic.BaseModel):
    """Base of what is asked for: strict, and no field but those that are named."""

    model_config = pydantic.ConfigDict(frozen=True, strict=True, extra="forbid")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ask(Generic[M]):
    """One question to a generator."""

    root: str  # id of the page: who pays
    task: str  # name of the prompt with its version: "rewrite.en/1"
    instruction: str  # ours alone; nothing of a page
    data: str  # of the page
    shape: type[M]
    by_rules: M | None  # what rules say; None where they cannot say anything
    previous: str = ""  # an answer that was refused,
    complaint: str = ""  # and why, in words of ours

    @property
    def seal(self) -> str:
        """What the marks around the data hold: a digest of the page, which its own text cannot
        contain but by finding a fixed point of SHA-256."""
        return digest_of("seal", self.root, self.task, self.data)[:16]

    def again(self, previous: str, complaint: str) -> "Ask[M]":
        """The same question with what is wrong with an answer to it."""
        return dataclasses.replace(self, previous=previous, complaint=complaint)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Generated(Generic[M]):
    """An answer of the right shape."""

    value: M
    raw: str  # as it came: what a complaint quotes


@dataclasses.dataclass(frozen=True, kw_only=True)
class Failed:
    """No answer to this question; others may have theirs."""

    reason: str  # a key of `REASONS`
    detail: str


class Generator(Protocol):
    """An engine of the family; safe for threads."""

    name: str  # as it stands in a recipe
    quality: str  # of all that is made with it: "normal" | "smoke"
    meter: Meter

    def generate(self, ask: Ask[M], cache: str | None = None) -> Generated[M] | Failed:
        """The answer to one question. `cache`: where answers are kept, a path or the URL of a
        store; None: nowhere, unless the settings name a place.

        Raises `ModelError` where no question can be answered: the endpoint is down or forbids it.
        """
        ...


class _Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(
        frozen=True, strict=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


class EndpointSettings(_Settings):
    """Where a generator is and how it is called. No part of any key: answers do not depend on it,
    and a server may move."""

    base_url: str = pydantic.Field(
        default="",
        description="Address of an OpenAI-compatible endpoint, up to /v1 "
        "(http://127.0.0.1:8000/v1); no key or password in it",
    )
    key_env: str | None = pydantic.Field(
        default=None,
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable that holds the key; the key itself never stands in a "
        "recipe (name; none is sent)",
    )
    concurrency: int = pydantic.Field(
        default=8, ge=1, le=256, description="Calls at once from one worker process (count; ours)"
    )
    connect_seconds: float = pydantic.Field(
        default=10.0, gt=0, description="Longest wait for a connection (seconds; ours)"
    )
    total_seconds: float = pydantic.Field(
        default=120.0, gt=0, description="Longest wait for a whole answer (seconds; ours)"
    )
    tries: int = pydantic.Field(
        default=5,
        ge=1,
        le=20,
        description="Attempts where a fault may pass: 429, 5xx, connections, time-outs (count; "
        "ours)",
    )
    longest_wait: float = pydantic.Field(
        default=60.0,
        ge=0,
        description="Longest wait between attempts, also of what Retry-After asks for (seconds; "
        "ours)",
    )
    max_answer_bytes: int = pydantic.Field(
        default=1 << 20, ge=1024, description="Larger answers are not read (bytes; ours)"
    )
    price_in: float = pydantic.Field(
        default=0.0,
        ge=0,
        description="Price of a million tokens that are sent (money; for reports)",
    )
    price_out: float = pydantic.Field(
        default=0.0,
        ge=0,
        description="Price of a million tokens that are generated (money; for reports)",
    )
    cache: str | None = pydantic.Field(
        default=None,
        description="Folder or bucket of answers that were generated before, shared by runs "
        "(path; <OUT>/generated)",
    )

    @pydantic.field_validator("base_url")
    @classmethod
    def _address(cls, url: str) -> str:
        import urllib.parse

        if not url:
            return url
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("an address begins with http:// or https://")
        if "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError(
                "an address stands in keys, logs and manifests, so no user, password, query or "
                "fragment may stand in it; put the key into an environment variable (key_env)"
            )
        return url.rstrip("/")


class Sampling(_Settings):
    """How a model answers: part of every key, and of every cached answer."""

    temperature: float | None = pydantic.Field(
        default=0.0, ge=0, le=2, description="Temperature (0: the likeliest; off: not sent)"
    )
    top_p: float | None = pydantic.Field(
        default=None,
        gt=0,
        le=1,
        description="Share of probability that is drawn from (off: not sent)",
    )
    seed: int | None = pydantic.Field(
        default=0, ge=0, description="Seed that the endpoint is given (off: not sent)"
    )
    max_tokens: int = pydantic.Field(
        default=4096, ge=16, description="Longest answer (tokens; ours)"
    )
    length_field: Literal["max_tokens", "max_completion_tokens"] = pydantic.Field(
        default="max_tokens", description="What the endpoint calls that limit (name)"
    )
    structured: Literal["json_schema", "json_object", "none"] = pydantic.Field(
        default="json_schema",
        description="What of response_format the endpoint knows; the answer is checked in any case "
        "(mode)",
    )


ENGINES = ("rules", "endpoint")


def parse(name: str) -> tuple[str, str]:
    """Family and model of an engine's name. Raises `ValueError`."""
    family, slash, model = name.partition("/")
    if family not in ENGINES:
        near = difflib.get_close_matches(family, ENGINES, n=1, cutoff=0.0)[0]
        raise ValueError(
            f"unknown generator {name!r}; did you mean {near!r}? Known: rules, endpoint/MODEL"
        )
    if family == "rules" and slash:
        raise ValueError(f"engine rules has no models; write rules, not {name}")
    if family == "endpoint" and not model.strip():
        raise ValueError("write endpoint/MODEL, with the model's name as the endpoint knows it")
    return family, model


def fingerprint(name: str, sampling: Sampling) -> dict[str, Any]:
    """What of an engine is part of a key, beyond a step's settings. The address is none of it."""
    family, model = parse(name)
    return {"engine": family, "model": model}


def load(name: str, endpoint: EndpointSettings, sampling: Sampling) -> Generator:
    """The engine of that name, ready to be asked. Raises `ModelError` where its key is missing."""
    family, model = parse(name)
    if family == "rules":
        from transforms.engines.generator_rules import Rules

        return Rules()
    from transforms.engines.generator_endpoint import Endpoint

    return Endpoint(model, endpoint, sampling)
