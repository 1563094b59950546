"""Whisper models in CTranslate2's format: where they lie, whether they are whole, what they are.

A variant is a size of faster-whisper's list, a hub id (`org/name`) or a folder; a size and an id
may end in `@revision`. Looked for on this machine only: in the hub's cache (`hub`), or the folder.
All that can be seen without loading the weights is checked here, so that a run is refused before
work.
"""

import difflib
import importlib.util
import json
import re
import struct
from pathlib import Path
from typing import BinaryIO

from transforms.engines.hub import HubModel
from transforms.engines.models import ModelError, files_digest

FAMILY = "faster-whisper"
NEEDED = ("config.json", "model.bin", "tokenizer.json")
VOCABULARIES = ("vocabulary.json", "vocabulary.txt")
OPTIONAL = ("preprocessor_config.json",)

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*(@[\w.-]+)?")
_SIZE = re.compile(r"[A-Za-z0-9][\w.-]*(@[\w.-]+)?")
_SPEC = "WhisperSpec"
_BINARY_VERSION = 6  # of model.bin, since CTranslate2 2.0


def is_folder(variant: str) -> bool:
    """Whether a variant is meant as a folder: it looks like one, or is one."""
    return variant[:1] in "/.~" or variant.count("/") > 1 or Path(variant).is_dir()


def repository(variant: str) -> tuple[str, str | None]:
    """Hub id and revision of a size or hub id."""
    from faster_whisper.utils import _MODELS

    name, _, revision = variant.partition("@")
    return _MODELS.get(name, name), revision or None


def check_name(variant: str) -> None:
    """Raises `ValueError` where a variant cannot be meant. Looks at no model."""
    if not variant:
        raise ValueError(
            f"engine {FAMILY} needs a model: {FAMILY}/large-v3, {FAMILY}/org/name or "
            f"{FAMILY}/./folder"
        )
    if importlib.util.find_spec("faster_whisper") is None:
        raise ValueError(
            f"engine {FAMILY} is not installed here; install the extra: pip install -e '.[whisper]'"
        )
    if is_folder(variant) or _HUB_ID.fullmatch(variant):
        return
    from faster_whisper.utils import available_models

    size = variant.partition("@")[0]
    if not _SIZE.fullmatch(variant) or size not in available_models():
        near = difflib.get_close_matches(size, available_models(), n=1, cutoff=0.0)[0]
        raise ValueError(
            f"{FAMILY} has no size {variant!r}; did you mean {near!r}? Sizes: "
            f"{', '.join(available_models())}; or write a hub id (org/name) or a folder (./name)"
        )


def how_to_get(variant: str) -> str:
    """What to do so that the model is there."""
    if is_folder(variant):
        return (
            "Put the files of a converted model there: `hf download ORG/NAME --local-dir "
            f"{variant}`, or convert a checkpoint: `ct2-transformers-converter --model CHECKPOINT "
            f"--output_dir {variant} --copy_files tokenizer.json preprocessor_config.json`"
        )
    repo, revision = repository(variant)
    chosen = f" --revision {revision}" if revision else ""
    name = repo.rpartition("/")[2]
    return (
        f"Download it once: `hf download {repo}{chosen}`. For a machine without a network: "
        f"`hf download {repo}{chosen} --local-dir models/{name}` on another one, copy the folder, "
        f"and write {FAMILY}/./models/{name} in the recipe"
    )


def hub_model(engine: str) -> HubModel | None:
    """What `faster-whisper/<variant>` is on the hub; None where it names a folder."""
    variant = engine.removeprefix(f"{FAMILY}/")
    return None if is_folder(variant) else _on_hub(variant)


def _on_hub(variant: str) -> HubModel:
    repo, revision = repository(variant)
    return HubModel(
        engine=f"{FAMILY}/{variant}",
        repo=repo,
        revision=revision,
        files=(*NEEDED, *VOCABULARIES, *OPTIONAL),
        by_hand=how_to_get(variant),
    )


def locate(variant: str) -> Path:
    """The folder of a model on this machine, with all its files. Raises `ModelError`."""
    engine = f"{FAMILY}/{variant}"
    if is_folder(variant):
        folder = Path(variant).expanduser()
        if not folder.is_dir():
            where = folder.absolute()
            raise ModelError(engine, f"there is no folder {where}. {how_to_get(variant)}")
    else:
        folder = _on_hub(variant).located()
    _check(engine, folder, how_to_get(variant))
    return folder


def digest(folder: Path) -> str:
    """The sha256 over all files of a model that matter."""
    return files_digest(folder, present(folder))


def present(folder: Path) -> list[str]:
    return [n for n in (*NEEDED, *VOCABULARIES, *OPTIONAL) if (folder / n).is_file()]


def _check(engine: str, folder: Path, fix: str) -> None:
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in VOCABULARIES):
        missing.append(VOCABULARIES[0])
    if missing:
        why = (
            " (faster-whisper would fetch one from the hub)" if "tokenizer.json" in missing else ""
        )
        raise ModelError(engine, f"{folder} lacks {', '.join(missing)}{why}. {fix}")
    for name in present(folder):
        if name.endswith(".json"):
            _check_json(engine, folder / name, fix)
    with (folder / "model.bin").open("rb") as stream:
        fault = _fault(stream, (folder / "model.bin").stat().st_size)
    if fault:
        raise ModelError(engine, f"{folder / 'model.bin'} {fault}. {fix}")


def _check_json(engine: str, path: Path, fix: str) -> None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(engine, f"{path} is broken, it is no JSON: {error}. {fix}") from error
    wanted = list if path.name == "vocabulary.json" else dict
    if not isinstance(value, wanted) or not value:
        raise ModelError(engine, f"{path} is broken, it holds no {wanted.__name__}. {fix}")


def _fault(stream: BinaryIO, size: int) -> str:
    """What is wrong with the weights as far as their table of contents says; "" for nothing."""
    version, spec = struct.unpack("<I", stream.read(4).ljust(4, b"\0"))[0], ""
    try:
        spec = _name(stream)
        if spec != _SPEC:
            return "holds no Whisper model of CTranslate2"
        if version != _BINARY_VERSION:
            return ""  # another layout: loading will tell
        _, count = struct.unpack("<II", stream.read(8))
        for _ in range(count):
            _name(stream)
            (rank,) = stream.read(1)
            stream.seek(4 * rank + 1, 1)
            (length,) = struct.unpack("<I", stream.read(4))
            stream.seek(length, 1)
    except (struct.error, ValueError):
        return "breaks off" if spec else "holds no Whisper model of CTranslate2"
    return "breaks off" if stream.tell() > size else ""


def _name(stream: BinaryIO) -> str:
    (length,) = struct.unpack("<H", stream.read(2))
    return stream.read(length).rstrip(b"\0").decode("ascii")
