from hypothesis import given
from hypothesis import strategies as st

from pipeline.parts import LEAST_SECONDS, Member, Part, part_id, plan_parts
from schemas.records import Recording

SECONDS = st.floats(0, 500)


def member(number: int, seconds: float) -> Member:
    name = f"{number * 7919 % 2**32:064x}"
    return Member(root=Recording(id=name, uri="x", size=1, seconds=seconds), seconds=seconds)


def members(lengths: list[float]) -> list[Member]:
    return [member(number, seconds) for number, seconds in enumerate(lengths)]


@given(st.lists(SECONDS, max_size=40), st.data())
def test_every_member_is_in_one_part(lengths: list[float], data: st.DataObject) -> None:
    all_of_them = members(lengths)
    done = {m.id for m in all_of_them if data.draw(st.booleans())}
    parts = plan_parts(data.draw(st.permutations(all_of_them)), done, 100.0)
    planned = [m.id for part in parts for m in part.members]
    assert sorted(planned) == sorted(m.id for m in all_of_them if m.id not in done)
    assert len({part.id for part in parts}) == len(parts)
    assert [part.seconds for part in parts] == sorted(
        (part.seconds for part in parts), reverse=True
    )
    assert parts == plan_parts(all_of_them, done, 100.0)


@given(st.lists(SECONDS, max_size=40))
def test_parts_are_bounded(lengths: list[float]) -> None:
    for part in plan_parts(members(lengths), (), 100.0):
        assert part.seconds <= 200.0 or len(part.members) == 1
        assert len(part.members) <= 200.0 / LEAST_SECONDS


@given(st.lists(SECONDS, min_size=1, max_size=30), SECONDS)
def test_a_new_member_leaves_far_parts_alone(lengths: list[float], more: float) -> None:
    before = {p.id for p in plan_parts(members(lengths), (), 100.0)}
    after = {p.id for p in plan_parts(members([*lengths, more]), (), 100.0)}
    assert len(before - after) <= max(3, len(before) // 2)


def test_the_same_part_comes_back_after_a_restart() -> None:
    all_of_them = members([30.0] * 20)
    parts = plan_parts(all_of_them, (), 100.0)
    first = {m.id for m in parts[0].members}
    again = plan_parts(all_of_them, first, 100.0)
    assert {p.id for p in again} == {p.id for p in parts[1:]}


def test_a_part_alone_has_a_name_of_its_own() -> None:
    one = member(1, 5.0)
    part = Part(id=part_id([one.id]), members=(one,))
    assert part.alone(one).id != part.id
    assert part.alone(one).members == (one,)
    assert part_id(["b", "a"]) == part_id(["a", "b"]) != part_id(["a", "b"], "salt")
