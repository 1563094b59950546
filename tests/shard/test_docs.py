"""The document about shards names the fields that shards have."""

import re
from pathlib import Path

from schemas.shard import PER_CHUNK, PER_WORD, PLAIN
from transforms.compose.policies import POLICIES

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "shards.md").read_text(encoding="utf-8")


def test_the_tables_hold_every_field_in_order_with_its_type() -> None:
    found = re.findall(r"^\| `(\w+)` \| (str|int|float|bool) \|", TEXT, re.MULTILINE)
    fields = PLAIN | PER_CHUNK | PER_WORD
    assert found == [(name, kind.__name__) for name, kind in fields.items()]


def test_every_policy_is_described() -> None:
    table = TEXT[TEXT.index("| policy |") :]
    assert set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", table, re.M)))) == set(
        POLICIES
    )
