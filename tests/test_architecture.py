"""The rooms and their one direction, read from the source: also imports inside functions count."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from transforms.step import PHASES, Measure, Step, registry

ROOT = Path(__file__).resolve().parent.parent

# Which rooms a room may import.
MAY_IMPORT = {
    "schemas": {"schemas"},
    "transforms": {"schemas", "transforms"},
    "pipeline": {"schemas", "transforms", "pipeline"},
    "trainer": {"schemas", "transforms", "trainer"},
}
# Packages that belong to some rooms only.
ONLY_IN = {"apache_beam": {"pipeline"}}
# Too heavy to load with a noun or a verb: they belong into load() and into functions.
HEAVY = {
    "av",
    "datasets",
    "fasttext",
    "faster_whisper",
    "onnxruntime",
    "pocketsphinx",
    "pyannote",
    "pyloudnorm",
    "resemblyzer",
    "scipy",
    "silero_vad",
    "sklearn",
    "soundfile",
    "soxr",
    "torch",
    "torchaudio",
}
VAGUE = {"utils", "util", "common", "helpers", "helper", "core", "base", "misc", "tools"}
# Programs of child processes: they load what they need as they start, and nobody imports them.
CHILDREN = {
    "transforms/door_child.py": "transforms.door_child",
    "transforms/page_child.py": "transforms.page_child",
    "transforms/engines/synth_espeak_child.py": "transforms.engines.synth_espeak_child",
}
ROOMS = [room for room in MAY_IMPORT if (ROOT / room).is_dir()]
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
STEPS = sorted(registry().items())


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(tree: ast.AST) -> Iterator[str]:
    """Every module that a tree imports, wherever in it, by `import`, `from` or `import_module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield str(node.module)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = ast.unparse(node.func)
            if called.endswith(("import_module", "__import__")):
                yield str(node.args[0].value)


def broken_rules(room: str, source: str) -> set[str]:
    """The imports of a source text that its room forbids."""
    found = {module.partition(".")[0] for module in imported(ast.parse(source))}
    foreign = found & MAY_IMPORT.keys() - MAY_IMPORT[room]
    return foreign | {name for name in found & ONLY_IN.keys() if room not in ONLY_IN[name]}


def test_rooms_are_found() -> None:
    assert {"schemas", "transforms", "pipeline"} <= set(ROOMS)
    assert len(FILES) > 50


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_one_way(path: Path) -> None:
    room = path.relative_to(ROOT).parts[0]
    assert broken_rules(room, path.read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    ("room", "source", "broken"),
    [
        ("schemas", "from transforms.step import Step", {"transforms"}),
        ("schemas", "def f():\n    import pipeline.recipe", {"pipeline"}),
        ("transforms", "def f():\n    import apache_beam as beam", {"apache_beam"}),
        ("transforms", "import importlib\nimportlib.import_module('pipeline')", {"pipeline"}),
        ("trainer", "import pipeline, apache_beam", {"pipeline", "apache_beam"}),
        ("pipeline", "import trainer.data", {"trainer"}),
        ("pipeline", "import apache_beam, schemas.ids, transforms.step", set()),
    ],
)
def test_the_check_itself_sees_what_is_forbidden(room: str, source: str, broken: set[str]) -> None:
    assert broken_rules(room, source) == broken


def top_level(tree: ast.Module) -> ast.Module:
    """What runs when a module is imported: everything outside functions."""
    body = [n for n in tree.body if not isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in body:
        if isinstance(node, ast.ClassDef):
            node.body = [n for n in node.body if not isinstance(n, ast.FunctionDef)] or [ast.Pass()]
    return ast.Module(body=body, type_ignores=[])


def test_nouns_and_verbs_load_nothing_heavy() -> None:
    heavy = {
        (name_of(path), module)
        for path in FILES
        if path.relative_to(ROOT).parts[0] in ("schemas", "transforms")
        and name_of(path) not in CHILDREN
        for module in imported(top_level(ast.parse(path.read_text(encoding="utf-8"))))
        if module.partition(".")[0] in HEAVY
    }
    assert heavy == set()


def test_nobody_imports_the_program_of_a_child() -> None:
    importers = [
        name_of(path)
        for path in FILES
        if set(CHILDREN.values()) & set(imported(ast.parse(path.read_text(encoding="utf-8"))))
    ]
    assert importers == []


def test_every_step_can_be_named_without_loading_anything_heavy() -> None:
    code = (
        "import sys, transforms.step; transforms.step.registry(); "
        f"print(sorted(set(sys.modules) & {HEAVY | {'apache_beam'}!r}))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "[]"


def test_no_room_or_file_has_a_vague_name() -> None:
    vague = [name_of(path) for path in FILES if VAGUE & set(path.with_suffix("").parts)]
    assert vague == []


@pytest.mark.parametrize("room", ROOMS)
def test_the_rooms_are_ours(room: str) -> None:
    """Their names are generic: another package of that name must not stand before them."""
    found = importlib.import_module(room).__file__
    assert found is not None
    assert Path(found) == ROOT / room / "__init__.py"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_every_file_says_why_it_exists(path: Path) -> None:
    about = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert about is not None
    assert len(about.split()) >= 4


def test_every_package_folder_is_a_package() -> None:
    """A folder without `__init__.py` would be missing from an installed speechloom."""
    assert [name_of(p) for p in FILES if not (p.parent / "__init__.py").is_file()] == []


def test_the_wings_hold_steps() -> None:
    """`registry` refuses files with two steps; here: each wing has one at least."""
    assert {kind.phase for _, kind in STEPS} == set(PHASES)


@pytest.mark.parametrize(("name", "kind"), STEPS)
def test_a_step_is_named_after_its_file_and_described(name: str, kind: type[Step]) -> None:
    module = sys.modules[kind.__module__]
    assert module.__name__ == f"transforms.{kind.phase}.{name}"
    assert kind.name() == name
    assert kind.__doc__ is not None
    assert kind.__doc__ != Step.__doc__
    undescribed = [key for key, field in kind.model_fields.items() if not field.description]
    assert undescribed == []


@pytest.mark.parametrize(("name", "kind"), STEPS)
def test_a_step_works_with_its_defaults(name: str, kind: type[Step]) -> None:
    """So that `- name` in a recipe is enough, and the dump in a manifest loads again."""
    step = kind()
    assert kind.model_validate_json(step.model_dump_json()) == step


@pytest.mark.parametrize(("name", "kind"), STEPS)
def test_reasons_are_codes_with_a_line_for_people(name: str, kind: type[Step]) -> None:
    for code, meaning in kind.reasons.items():
        assert code.replace("_", "").isalnum()
        assert code == code.lower()
        assert "\n" not in meaning
        assert len(meaning.split()) >= 3


@pytest.mark.parametrize(("name", "kind"), STEPS)
def test_settings_have_one_order(name: str, kind: type[Step]) -> None:
    """A set has no order that another process shares: its dump would change phase keys."""
    sets = [
        key
        for key, field in kind.model_fields.items()
        if any(word in str(field.annotation) for word in ("frozenset", "set[", "AbstractSet"))
    ]
    assert sets == []


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name, kind in STEPS if issubclass(kind, Measure)]
)
def test_a_measure_declares_its_columns(name: str, kind: type[Measure]) -> None:
    assert kind.columns
    assert set(kind.columns.values()) <= {float, int, str, bool}
    assert isinstance(kind.needs_audio, bool)
