"""The comparison with peers: who is not installed is left out by name; pages are as planned."""

import pathlib
import sys

import pytest

from benchmarks import peers


def test_peers_that_are_not_given_are_left_out_by_name(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/peers.py", "--minutes", "0", "--pages", "0"])
    peers.main()
    said = capsys.readouterr().out
    for name in ("curator", "lhotse", "datatrove"):
        assert f"{name} is left out: no --{name}-python says where it is installed." in said


def test_an_interpreter_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks/peers.py", "--curator-python", "/nowhere/python"])
    with pytest.raises(SystemExit, match="--curator-python /nowhere/python"):
        peers.main()


def test_every_tenth_page_is_a_near_copy(tmp_path: pathlib.Path) -> None:
    words = [f"word{number}" for number in range(5000)]
    copied, source = peers.paragraphs(19, words), peers.paragraphs(14, words)
    assert copied[1:] == source[1:] and copied[0] != source[0]
    assert len({"".join(peers.paragraphs(n, words)) for n in range(10)}) == 10
    html, lines = peers.pages(tmp_path, 12)
    assert len(list(html.iterdir())) == 12
    assert sorted(len(path.read_text().splitlines()) for path in lines.iterdir()) == [6, 6]


def test_of_repeats_the_fastest_counts() -> None:
    walls = iter([3.0, 1.0, 2.0])

    def run() -> list[peers.Took]:
        wall = next(walls)
        return [peers.Took(name="one", what="text", wall=wall, cpu=None, work=wall, found="")]

    assert [row.wall for row in peers.fastest([run], 3)] == [1.0]
