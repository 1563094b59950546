"""Every command and every piece of Python in the documents runs, in a copy of the repository.

All share the OUT of the README's first command, so a command costs seconds, not minutes. Blocks of
one document run in their order; where one fails, the rest of that document is not tried.
"""

import pytest
from copies import Copy
from documents import RUN, blocks
from playing import play

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.xdist_group("documents")]


@pytest.mark.parametrize("document", [name for name in RUN if name != "docs/adding.md"])
def test_what_a_document_says_runs(document: str, curated: tuple[Copy, str]) -> None:
    play(blocks(document), *curated)


def test_the_worked_examples_run(curated: tuple[Copy, str]) -> None:
    """Last, because they add steps to the copy."""
    play(blocks("docs/adding.md"), *curated)
