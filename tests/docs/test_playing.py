"""The player itself: what it accepts, and that it sees a document that is not true."""

from pathlib import Path

import pytest
from copies import Copy
from documents import blocks
from playing import play

TRUE = """
```csv file=below/table.csv
a,b
```

```sh
cat below/table.csv
echo "done in 3 s, 2 parts"
```

```text output
...
done in 90 s, 17 parts
```

```sh exit=3
exit 3
```

```python
number = 6
print("not said again")
```

```python
print(f"number {number * 7}")
```

```text output
number 42
```
"""
TABLE = 'class One:\n    pass\n\n\nENGINES: dict[str, type] = {"one": One}\n'
ENGINE = """
```python into=engines.py
class Two:
    pass
```

```python table=engines.py
"two": Two,
```
"""


def test_a_true_document_passes(tmp_path: Path) -> None:
    play(blocks("true.md", TRUE), Copy(tmp_path))
    assert (tmp_path / "below" / "table.csv").read_text() == "a,b\n"
    assert not (tmp_path / "block.py").exists()


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("cat below/table.csv", "cat below/tables.csv"),
        ("exit=3", "exit=2"),
        ("exit 3", "true"),
        ("done in 90 s, 17 parts", "done in 90 s, 17 pieces"),
        ("a,b", "a;b\n```\n\n```text output\nsomething"),
        ("number * 7", "numbers * 7"),
        ("number 42", "not said again"),
    ],
)
def test_an_untrue_document_fails(tmp_path: Path, said: str, instead: str) -> None:
    assert TRUE.count(said) == 1
    with pytest.raises(AssertionError):
        play(blocks("untrue.md", TRUE.replace(said, instead)), Copy(tmp_path))


def test_an_engine_is_put_before_its_table_and_into_it(tmp_path: Path) -> None:
    file = tmp_path / "engines.py"
    file.write_text(TABLE)
    play(blocks("engine.md", ENGINE), Copy(tmp_path))
    names: dict[str, dict[str, type]] = {}
    exec(file.read_text(), names)
    assert sorted(names["ENGINES"]) == ["one", "two"]


def test_a_file_without_a_table_of_engines_is_no_place_for_one(tmp_path: Path) -> None:
    (tmp_path / "engines.py").write_text("ENGINE = 1\n")
    with pytest.raises(AssertionError, match="no table"):
        play(blocks("engine.md", ENGINE), Copy(tmp_path))
