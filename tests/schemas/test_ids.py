import hashlib
import io
import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.ids import (
    ID_DIGITS,
    bytes_digest,
    canonical_json,
    digest_of,
    fraction,
    rng,
    set_digest,
    stream_digest,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


def test_digests_of_bytes_are_those_of_other_tools() -> None:
    assert bytes_digest(b"") == hashlib.sha256(b"").hexdigest()
    data = bytes(range(256)) * 20
    assert stream_digest(io.BytesIO(data), block=7) == hashlib.sha256(data).hexdigest()


def test_an_id_is_pinned() -> None:
    """Ids stand in every OUT and every shard: a change of spelling would orphan them all."""
    assert (
        digest_of("source", "a.wav", "")
        == hashlib.sha256(b'["source","a.wav",""]').hexdigest()[:ID_DIGITS]
    )
    assert (
        digest_of("é", None, 1, 1.5, [True])
        == hashlib.sha256(b'["\\u00e9",null,1,1.5,[true]]').hexdigest()[:ID_DIGITS]
    )


def test_parts_do_not_run_together() -> None:
    assert digest_of("ab", "c") != digest_of("a", "bc")
    assert digest_of("a", ["b"]) != digest_of("a", "b")
    assert digest_of(1) != digest_of("1") != digest_of(1.0) != digest_of(True)


@given(st.lists(JSON, max_size=3), st.lists(JSON, max_size=3))
def test_equal_ids_mean_equal_parts(one: list[object], other: list[object]) -> None:
    same = canonical_json(one) == canonical_json(other)
    assert (digest_of(*one) == digest_of(*other)) == same
    assert json.loads(canonical_json(one)) == one


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_has_no_id(value: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of(value)


@given(st.lists(st.text(max_size=4)))
def test_a_set_has_one_id_in_any_order(names: list[str]) -> None:
    assert set_digest(names) == set_digest(reversed(names)) == set_digest(names * 2)
    assert set_digest([*names, "one more than all of them"]) != set_digest(names)


@given(st.integers(), st.text(max_size=5), st.text(max_size=5))
def test_a_draw_belongs_to_its_record(seed: int, step: str, name: str) -> None:
    assert 0 <= fraction(seed, step, name) < 1
    assert fraction(seed, step, name) == fraction(seed, step, name)
    assert rng(seed, step, name).random() == rng(seed, step, name).random()
    assert rng(seed, step, name).random() != rng(seed + 1, step, name).random()


def test_draws_are_uniform() -> None:
    draws = [fraction(1, "split", str(n)) for n in range(4000)]
    for edge in (0.1, 0.5, 0.9):
        assert sum(draw < edge for draw in draws) / len(draws) == pytest.approx(edge, abs=0.03)


def test_draws_are_the_same_in_every_process() -> None:
    code = (
        "from schemas.ids import fraction, rng; "
        "print(fraction(3, 'a', 'b'), rng(3, 'a', 'b').random())"
    )
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert [float(word) for word in said] == [fraction(3, "a", "b"), rng(3, "a", "b").random()]
