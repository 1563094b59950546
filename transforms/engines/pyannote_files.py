"""A pyannote pipeline's files: where they are, what they are, and whether they are safe to load.

A pipeline is a directory: config.yaml, segmentation/pytorch_model.bin, embedding/pytorch_model.bin
and plda/*.npz. It is named by its path, or by its id on the Hugging Face hub, whose copy in the
hub's cache is taken (see `hub`).

pyannote.audio reads checkpoints as pickles, which can run any program, and takes whatever a
configuration leaves out from the hub. So before it sees a directory, the configuration must name
everything inside it, and the pickles may hold nothing but tensors and pyannote's own descriptions.
"""

import importlib.metadata
import importlib.util
import re
from pathlib import Path
from typing import Any

from transforms.engines.hub import HubModel
from transforms.engines.models import ModelError, files_digest

FAMILY = "pyannote"
COMMUNITY = "pyannote/speaker-diarization-community-1"
PIPELINE = "pyannote.audio.pipelines.SpeakerDiarization"
INSTALL = "pip install 'speechloom[pyannote]'"
# Files inside each folder that a configuration names.
PARTS = {
    "segmentation": ("pytorch_model.bin",),
    "embedding": ("pytorch_model.bin",),
    "plda": ("plda.npz", "xvec_transform.npz"),
}
CLUSTERINGS = ("VBxClustering", "AgglomerativeClustering")  # those that need no number of speakers
_HUB_ID = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w.-]+))?")
# What a checkpoint's pickle may name beyond torch's own safe list.
_KNOWN = {
    f"pyannote.audio.core.task.{name}" for name in ("Specifications", "Problem", "Resolution")
}


def place_of(engine: str) -> str:
    """The path or hub id in the name of an engine: what follows `pyannote/`.

    `pyannote` alone is the community pipeline. Raises `ValueError` where nothing follows.
    """
    if engine == FAMILY:
        return COMMUNITY
    place = engine.removeprefix(f"{FAMILY}/")
    if not place or place == engine:
        raise ValueError(
            f"{engine!r} names no pipeline; write {FAMILY}/<directory> or {FAMILY}/<hub id>, as in "
            f"{FAMILY}/{COMMUNITY}"
        )
    if not is_directory(place) and not _HUB_ID.fullmatch(place):
        raise ValueError(
            f"{engine!r} names no pipeline: {place!r} is no directory (write ./{place} for one "
            f"that will be there) and no hub id (owner/name, or owner/name@revision), as in "
            f"{FAMILY}/{COMMUNITY}"
        )
    return place


def is_directory(place: str) -> bool:
    """Whether a place is meant as a directory: it looks like one, or is one."""
    return place[:1] in "/.~" or place.count("/") > 1 or Path(place).is_dir()


def directory(place: str) -> Path:
    """The directory of a pipeline on this machine, checked. Raises `ModelError`."""
    if is_directory(place):
        path = Path(place).expanduser()
        if not path.is_dir():
            raise _error(place, f"there is no directory {path.absolute()}. {_how(place)}")
    else:
        require_package()
        path = _on_hub(place).located()
    check(path, place)
    return path


def digest(path: Path) -> str:
    """The sha256 over all files of a pipeline, their names included; hidden ones are left out."""
    names = [file.relative_to(path) for file in path.rglob("*") if file.is_file()]
    return files_digest(
        path,
        [name.as_posix() for name in names if not any(p.startswith(".") for p in name.parts)],
    )


def check(path: Path, place: str) -> None:
    """Whether a directory holds a whole pipeline of which nothing comes from elsewhere.

    Raises `ModelError`. Reads config.yaml only; `check_pickles` looks into the models.
    """
    config = _config(path, place)
    pipeline = config.get("pipeline")
    parameters = pipeline.get("params") if isinstance(pipeline, dict) else None
    if not isinstance(pipeline, dict) or not isinstance(parameters, dict):
        raise _error(place, f"{path}/config.yaml has no pipeline with params. {_how(place)}")
    if pipeline.get("name") != PIPELINE:
        raise _error(
            place,
            f"{path}/config.yaml names the pipeline {pipeline.get('name')!r}; only {PIPELINE} is "
            f"run. {_how(place)}",
        )
    if config.get("preprocessors"):
        raise _error(
            place,
            f"{path}/config.yaml asks for preprocessors, which may run any program; remove them",
        )
    clustering = parameters.get("clustering", CLUSTERINGS[0])
    if clustering not in CLUSTERINGS:
        raise _error(
            place,
            f"{path}/config.yaml asks for the clustering {clustering!r}, which must be told the "
            f"number of speakers; choose one of {', '.join(CLUSTERINGS)}",
        )
    for part, files in PARTS.items():
        named = parameters.get(part)
        if not isinstance(named, str) or not re.fullmatch(r"\$model/[\w.-]+(/[\w.-]+)*", named):
            raise _error(
                place,
                f"{path}/config.yaml says {part}: {named!r}, so it would come from the hub or "
                f"from elsewhere; put it into the directory and write {part}: $model/{part} "
                f"(the pipeline {COMMUNITY} is made so)",
            )
        folder = path / named.removeprefix("$model/")
        if ".." in folder.parts:
            raise _error(place, f"{path}/config.yaml says {part}: {named}, outside of it")
        lacking = [name for name in files if not (folder / name).is_file()]
        if lacking:
            raise _error(
                place,
                f"the pyannote pipeline {path} lacks {folder.name}/{lacking[0]}: its download "
                f"broke off, or only part of it was copied. {_how(place)}",
            )


def check_pickles(path: Path, place: str) -> None:
    """Whether the models of a checked directory hold tensors and descriptions only.

    Raises `ModelError`. Imports torch.
    """
    import pickle

    from torch.serialization import get_unsafe_globals_in_checkpoint

    parameters = _config(path, place)["pipeline"]["params"]
    for part in ("segmentation", "embedding"):
        file = path / parameters[part].removeprefix("$model/") / PARTS[part][0]
        try:
            foreign = sorted(set(get_unsafe_globals_in_checkpoint(file)) - _KNOWN)
        except (OSError, RuntimeError, ValueError, EOFError, pickle.UnpicklingError) as error:
            raise _error(
                place, f"{file} is no checkpoint that can be read: {error}. {_how(place)}"
            ) from error
        if foreign:
            raise _error(
                place,
                f"{file} could run a program when it is loaded: it names {', '.join(foreign)}. If "
                "you made it yourself, save it again with its state_dict, hyper_parameters and "
                "specifications only",
            )


def require_package() -> None:
    """Raises `ModelError` where pyannote.audio is not installed. Does not import it."""
    try:
        importlib.metadata.version("pyannote.audio")
    except importlib.metadata.PackageNotFoundError:
        raise ModelError(
            FAMILY,
            f"the package pyannote.audio is not installed: {INSTALL}, or choose another engine",
        ) from None


def _config(path: Path, place: str) -> dict[str, Any]:
    import ruamel.yaml

    try:
        text = (path / "config.yaml").read_text(encoding="utf-8")
        config = ruamel.yaml.YAML(typ="safe", pure=True).load(text)
    except FileNotFoundError:
        raise _error(
            place, f"{path} holds no pyannote pipeline: config.yaml is missing. {_how(place)}"
        ) from None
    except (ruamel.yaml.error.YAMLError, UnicodeDecodeError) as error:
        raise _error(place, f"{path}/config.yaml cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise _error(place, f"{path}/config.yaml is not a configuration but {config!r}")
    return config


def _error(place: str, message: str) -> ModelError:
    return ModelError(f"{FAMILY}/{place}", message)


def _how(place: str) -> str:
    """What to do so that the pipeline is there."""
    model, _, revision = (COMMUNITY if is_directory(place) else place).partition("@")
    chosen = f" --revision {revision}" if revision else ""
    where = place if is_directory(place) else f"./models/{model.rpartition('/')[2]}"
    return (
        f"Published pipelines are gated: accept the conditions at https://hf.co/{model}, make a "
        f"token at https://hf.co/settings/tokens, and download it once: `HF_TOKEN=hf_... hf "
        f"download {model}{chosen}`. For a machine without a network add `--local-dir {where}` on "
        f"another one, copy the directory, and write {FAMILY}/{where} in the recipe"
    )


def hub_model(engine: str) -> HubModel | None:
    """What `pyannote/<place>` is on the hub; None where it names a directory.

    Raises `ModelError` where pyannote.audio, which brings the hub's library, is not installed.
    """
    place = place_of(engine)
    if is_directory(place):
        return None
    require_package()
    return _on_hub(place)


def _on_hub(place: str) -> HubModel:
    model, _, revision = place.partition("@")
    return HubModel(
        engine=f"{FAMILY}/{place}", repo=model, revision=revision or None, by_hand=_how(place)
    )
