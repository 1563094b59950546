"""Personal data in text: each kind found and masked, honest text left alone, linear time."""

import time

import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_sound import RATE, make_clip, make_scope, score

from transforms.engines.models import ModelError
from transforms.measure.personal import KINDS, Search, find, masked
from transforms.measure.personal_data import PersonalData
from transforms.measure.personal_numbers import SHAPES, luhn
from transforms.measure.text_view import plain, spoken


def shown(text: str, search: Search | None = None) -> str:
    return masked(text, find(text, search))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Write to anna.berg+x@mail.example.org, please.", "Write to [EMAIL], please."),
        ("<jürgen@bücher.example>", "<[EMAIL]>"),
        ("anna@example", "anna@example"),
        ("mail bob at gmail dot com", "mail [EMAIL]"),
        ("it is anna dot berg at example dot co dot uk, yes", "it is [EMAIL], yes"),
        ("write to j o e 7 at example dot com", "write to [EMAIL]"),
        ("info (at) example (dot) org", "[EMAIL]"),
        ("look at example dot com", "look at example dot com"),
        ("I was at home. Example dot com is a site", "I was at home. Example dot com is a site"),
        ("call me at 415 555 2671 two times", "call me at [PHONE] two times"),
        ("Call +49 30 901820 now", "Call [PHONE] now"),
        ("(0171) 1234567", "[PHONE]"),
        ("my number is five five five, oh one double nine", "my number is [PHONE]"),
        ("ring four one five five five five two six seven one", "ring [PHONE]"),
        ("call nine one one", "call nine one one"),
        ("one two three four five six seven eight", "one two three four five six seven eight"),
        ("ten nine eight seven six five four three", "ten nine eight seven six five four three"),
        ("on 01.02.2023 at 12:30:45", "on 01.02.2023 at 12:30:45"),
        ("from 1998-2001, 1,234,567.89 dollars", "from 1998-2001, 1,234,567.89 dollars"),
        ("pi is 3.14159265358979", "pi is 3.14159265358979"),
        ("it costs $4155552671", "it costs $4155552671"),
        ("card 4111 1111 1111 1111.", "card [CARD]."),
        ("3782 822463 10005", "[CARD]"),
        ("4111 1111 1111 1112", "4111 1111 1111 1112"),
        ("we drew 41 11 1111 1111 1111 11", "we drew 41 11 1111 1111 1111 11"),
        ("IBAN DE89 3704 0044 0532 0130 00, danke", "IBAN [IBAN], danke"),
        ("gb82west12345698765432", "[IBAN]"),
        ("DE89 3704 0044 0532 0130 01", "DE89 3704 0044 0532 0130 01"),
        ("host 192.168.1.10.", "host [IP]."),
        ("version 1.2.3.4", "version 1.2.3.4"),
        ("999.1.1.1", "999.1.1.1"),
        ("2001:db8::8a2e:370:7334 up", "[IP] up"),
        ("one ninety two dot one sixty eight dot one dot ten", "[IP]"),
        ("ssn 123-45-6789", "ssn [NATIONAL_ID]"),
        ("123 45 6789 apples", "123 45 6789 apples"),
        ("my social security number is five one three, eight four, two oh seven nine",
         "my social security number is [NATIONAL_ID]"),
        ("415 555 2671 212 555 0100", "[PHONE] [PHONE]"),
        ("DNI 12345678Z", "DNI [NATIONAL_ID]"),
        ("DNI 12345678A", "DNI 12345678A"),
        ("tax id 513842079", "tax id 513842079"),
        ("ssn 513842079", "ssn [NATIONAL_ID]"),
        ("the office, 3 1 2 9 3 1 1 7 5 4, is closed", "the office, [PHONE], is closed"),
        ("write to anna seven three at example dot com", "write to [EMAIL]"),
        ("tracking 039804790355 says", "tracking 039804790355 says"),
        ("CPF 529.982.247-25", "CPF [NATIONAL_ID]"),
        ("رقم الهاتف +٤٩ ٣٠ ٩٠١٨٢٠", "رقم الهاتف [PHONE]"),
        ("\u202bא \u200e+49\u200b30901820", "\u202bא \u200e[PHONE]"),
        ("ＡＮＮＡ＠ｅｘａｍｐｌｅ．ｃｏｍ", "[EMAIL]"),  # noqa: RUF001
        ("", ""),
        ("\ud800", "\ud800"),
    ],
)  # fmt: skip
def test_what_is_masked_and_what_is_not(text: str, expected: str) -> None:
    assert shown(text) == expected


def test_only_what_is_asked_for_is_looked_for() -> None:
    text = "anna@example.com or 415-555-2671 or nine eight seven at gmail dot com"
    assert {f.kind for f in find(text)} == {"email", "phone"}
    assert [f.kind for f in find(text, Search(kinds=("phone",)))] == ["phone"]
    assert not any(f.said for f in find(text, Search(spoken=False)))
    assert find("call 020 7946 0958", Search(regions=("GB",)))
    assert not find("020 7946 0958", Search(regions=("US",)))
    assert not find("ssn 123-45-6789", Search(national=("fr.nir",), kinds=("national_id",)))


def test_a_stronger_kind_takes_what_two_would() -> None:
    (found,) = find("call 4111111111111111 now")
    assert found.kind == "card"


def test_views_know_where_everything_stood() -> None:
    text = "\u202b\u0664\u0661\u0665 x"
    view = plain(text)
    assert view.text == "415 x"
    assert view.span(0, 3) == (1, 4)
    words = spoken(plain("so twenty three, double five ok"))
    assert words is not None
    assert words.text == "so 2355 ok"
    assert words.span(3, 5) == (3, 15)
    assert spoken(plain("nothing said")) is None
    hundred = spoken(plain("one eight hundred five thousand"))
    assert hundred is not None and hundred.text == "18005000"


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=80) | st.text("0123456789 -.@+()atdo:one", max_size=120))
def test_what_is_found_lies_apart_and_the_rest_stays(text: str) -> None:
    found = find(text)
    at = 0
    for one in found:
        assert at <= one.start < one.end <= len(text)
        assert one.kind in KINDS
        at = one.end
    rest = "".join(
        text[a:b]
        for a, b in zip(
            [0, *(f.end for f in found)], [*(f.start for f in found), len(text)], strict=True
        )
    )
    kept = shown(text)
    for one in found:
        kept = kept.replace(f"[{one.kind.upper()}]", "", 1)
    assert kept == rest


@pytest.mark.parametrize(
    "piece",
    ["a", "@", "a@a.", "1 ", "1", "1.1.", "::", "one ", "one two ", "a at b dot ", "AB12",
     "4111-", "+1("],
)  # fmt: skip
def test_hostile_text_takes_linear_time(piece: str) -> None:
    def spent(characters: int) -> float:
        text = piece * (characters // len(piece))
        began = time.process_time()
        find(text)
        return time.process_time() - began

    spent(1000)
    short, long = spent(3_000), spent(24_000)
    assert long < 8 * 4 * max(short, 0.005)  # quadratic would be 64


def test_luhn() -> None:
    assert luhn("79927398713")
    assert not any(luhn(f"7992739871{n}") for n in (0, 1, 2, 4, 5, 6, 7, 8, 9))


def test_the_measure_counts_by_kind() -> None:
    clips = [
        make_clip(0, RATE, text="anna@example.com, bob@example.com, 415-555-2671"),
        make_clip(RATE, 2 * RATE, text="mail bob at gmail dot com"),
        make_clip(2 * RATE, 3 * RATE, text=""),
    ]
    step = PersonalData()
    columns = list(step.columns)
    rows = [dict(zip(columns, s.values, strict=True)) for s in score(step, clips, make_scope())]
    assert (rows[0]["total"], rows[0]["email"], rows[0]["phone"], rows[0]["said"]) == (3, 2, 1, 0)
    assert (rows[1]["total"], rows[1]["email"], rows[1]["said"]) == (1, 1, 1)
    assert set(rows[2].values()) == {0}
    assert set(step.fingerprint()) == {"phonenumbers", "python-stdnum"}


@pytest.mark.parametrize(
    "wrong", [{"national_ids": ["xx.yy"]}, {"regions": ["de"]}, {"kinds": []}, {"kinds": ["name"]}]
)
def test_settings_that_nobody_knows_are_refused(wrong: dict[str, list[str]]) -> None:
    with pytest.raises(pydantic.ValidationError):
        PersonalData.model_validate(wrong)


def test_a_missing_package_is_told_before_work(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "stdnum" else found(name)
    )
    with pytest.raises(ModelError, match=r"python-stdnum: pip install 'speechloom\[privacy\]'"):
        PersonalData().fingerprint()


def test_every_identity_number_has_a_check_in_the_library() -> None:
    import importlib

    for name in SHAPES:
        assert importlib.import_module(f"stdnum.{name}").is_valid("0") is False
