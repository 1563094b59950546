"""What is shown of a stream of drops is what would be shown if all of them were held."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.commits import drop_key
from pipeline.report import preview, shown_drops
from pipeline.report.shown_drops import ShownDrops
from schemas.ids import digest_of
from schemas.records import AudioRef, Drop


def drop(number: int, reason: str = "low") -> Drop:
    name = digest_of("record", number)
    return Drop(id=name, root=name, step="gate", reason=reason, seconds=float(number))


def sound(number: int) -> AudioRef:
    return AudioRef(tar="a" * 64, offset=number, size=1, start=0, end=1, rate=16000)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=120),
    st.integers(0, 5),
    st.integers(1, 20),
)
def test_a_stream_shows_what_all_of_it_would(
    given_drops: list[tuple[int, bool]], most: int, held: int
) -> None:
    heard = {number for number, audible in given_drops if audible}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shown_drops, "HELD", held)
        chosen = ShownDrops(7, most)
        for number, _ in given_drops:
            for reason in ("low", "high"):
                audible = number in heard and reason == "low"
                chosen.add(drop(number, reason), sound(number) if audible else None)
    wanted = []
    for reason in ("high", "low"):
        every = {drop_key(drop(n, reason)): n for n, _ in given_drops}
        audible = [key for key, n in every.items() if n in heard and reason == "low"]
        keys = preview.pick(7, f"gate:{reason}", audible, most)
        rest = every.keys() - set(audible)
        keys += preview.pick(7, f"gate:{reason}", rest, most - len(keys))
        wanted += [(reason, every[key], key in audible) for key in keys]
    shown = [(one.reason, int(one.seconds), audio is not None) for one, audio in chosen.shown()]
    assert shown == wanted


def test_few_are_held_of_many() -> None:
    chosen = ShownDrops(1, 3)
    for number in range(2000):
        chosen.add(drop(number))
    assert len(chosen._held["gate", "low"]) < shown_drops.HELD + 6
    assert len(list(chosen.shown())) == 3
