"""validate names everything that is wrong with a set, and follows an OUT to its sets."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

from pipeline.commands.validate import decoded
from tests.commands.made import Made, Said, speechloom
from tests.commands.made import tone as made_tone
from transforms import flac

Copy = Callable[[Made], Made]


def composition(made: Made) -> Path:
    key = json.loads((made.out / "runs/fast.json").read_text())["compose"]
    return made.out / "compose" / key


def validate(*arguments: str | Path) -> Said:
    return speechloom("validate", *arguments)


def test_an_out_a_folder_and_a_manifest_are_fine(made: Made) -> None:
    folder = composition(made)
    said = [validate(made.out), validate(folder), validate(folder / "manifest.json", "--quick")]
    assert [one.code for one in said] == [0, 0, 0], said
    documents = json.loads((folder / "manifest.json").read_text())["totals"]
    count = sum(row["documents"] for row in documents.values())
    assert all(f"{count} documents" in one.out for one in said)


def test_an_out_holds_a_set_for_each_recipe(grown: Made) -> None:
    said = validate(grown.out)
    assert said.code == 0, said.out
    assert len(said.out.splitlines()) == 2


def test_every_problem_is_listed(made: Made, copy: Copy) -> None:
    folder = composition(copy(made))
    (shard,) = folder.rglob("*.tar")
    data = bytearray(shard.read_bytes())
    data[600] ^= 0xFF  # inside the first FLAC
    shard.write_bytes(bytes(data))
    shard.with_suffix(".parquet").unlink()
    (folder / "stale.tar").write_bytes(b"")
    said = validate(folder)
    assert said.code == 1
    assert {line.split(": ")[1] for line in said.out.splitlines()[1:]} >= {
        "extra",
        "missing",
        "altered",
    }
    assert "problems found" in said.err


def test_a_flac_that_no_longer_decodes_is_found_by_decoding(made: Made, copy: Copy) -> None:
    """`--quick` sees the digest only; the full check says which document is spoilt."""
    folder = composition(copy(made))
    shard = min(folder.rglob("*.tar"))
    data = bytearray(shard.read_bytes())
    for at in range(20_000, 20_400):  # sound, far behind the header
        data[at] ^= 0x5A
    shard.write_bytes(bytes(data))
    assert "bad_flac" in validate(folder).out
    quick = validate(folder, "--quick")
    assert quick.code == 1 and "bad_flac" not in quick.out


def test_a_folder_without_a_manifest(tmp_path: Path) -> None:
    said = validate(tmp_path)
    assert said.code == 1 and "missing" in said.out


def test_an_out_without_a_finished_run(made: Made, tmp_path: Path) -> None:
    shutil.copytree(made.out, tmp_path / "out")
    (tmp_path / "out/runs/fast.json").unlink()
    said = validate(tmp_path / "out")
    assert said.code == 1 and "no finished run" in said.err


def test_a_store_that_is_no_store_is_refused_clearly() -> None:
    said = validate("ftp://host/folder")
    assert said.code == 1 and "cannot store at 'ftp://host/folder'" in said.err


def test_decoded_counts_frames_and_rate() -> None:
    pcm = (made_tone(20.0, 220) * 32767).astype("int16")
    assert decoded(flac.encode(pcm, 24000)) == (len(pcm), 24000)
