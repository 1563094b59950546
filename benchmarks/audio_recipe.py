"""The stream of recordings of `recipes/offline.yaml`, as a recipe of its own.

Benchmarks of hearing give DATA without pages; streams of pages would only be planned and find
nothing, and what is measured would not be what it was before there were any.
"""

import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on


def text() -> str:
    """The recipe: all of the shipped one but its other streams."""
    from ruamel.yaml import YAML
    from ruamel.yaml.compat import StringIO

    yaml = YAML()
    tree = yaml.load((on.ROOT / "recipes" / "offline.yaml").read_text(encoding="utf-8"))
    tree["streams"] = {"web": tree["streams"]["web"]}
    written = StringIO()
    yaml.dump(tree, written)
    return written.getvalue()


def path() -> pathlib.Path:
    """A file with it, which stays as long as this machine keeps its temporary files."""
    folder = pathlib.Path(tempfile.gettempdir()) / "speechloom-bench-recipe"
    folder.mkdir(exist_ok=True)
    file = folder / "offline.yaml"
    file.write_text(text(), encoding="utf-8")
    return file
