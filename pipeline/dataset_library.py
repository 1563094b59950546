"""The package `datasets`, as far as it is used: to open data sets, and to stream their rows.

Whoever wrote a data set is a stranger. None of their code is run, audio is never decoded here, and
data files may not lie outside of the data set. What is opened is cut into units: each Parquet file
or tar by itself, so that a data set that grew is read only where it is new; other data sets by
splits. The price: their configuration is read twice.
"""

import dataclasses
import json
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from schemas.ids import digest_of
from transforms.gather.crawl import Crawl
from transforms.gather.dataset_columns import Columns, Kind, chosen
from transforms.gather.entry import within
from transforms.gather.found import DataError, shown, uri_of

HUB = "hf://"
_NAMED = re.compile(
    r"hf://(?:datasets/)?(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[^:@]+))?"
    r"(?::(?P<config>[^:]*)(?::(?P<split>[^:]+))?)?"
)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BY_FILE = ("parquet", "webdataset")
_SAVED = ("dataset_info.json", "dataset_dict.json")


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """A stretch of a data set that is read by itself."""

    id: str  # of this state of it, and of what is taken of it
    uri: str
    name: str  # of the data set, for people and for provenance
    split: str
    loader: str  # "disk", "parquet", "webdataset", or "whole"
    place: str  # folder, or owner/name
    config: str | None
    revision: str | None
    files: tuple[str, ...]
    root: str  # what paths in its rows may not leave
    features: str  # JSON; audio not to be decoded
    columns: Columns
    seconds: float  # megabytes, as work


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class Named:
    """A data set as DATA names it, before anything of it is read."""

    name: str
    place: str
    root: str = ""  # of a local one: its folder; of one on the hub known once it is opened
    revision: str | None = None
    config: str | None = None
    split: str | None = None

    @property
    def remote(self) -> bool:
        return not self.root


def named(data: str, crawl: Crawl) -> Named:
    """What DATA says, and the settings where it says nothing. Raises `DataError`."""
    wanted = crawl.dataset
    if not data.lower().startswith(HUB):
        folder = os.path.realpath(os.path.expanduser(data))
        if not os.path.isdir(folder):
            raise DataError(shown(data), "no folder, so no data set", "Name a folder, or hf://...")
        name = os.path.basename(folder)
        return Named(name=name, place=folder, root=folder, config=wanted.config, split=wanted.split)
    parts = _NAMED.fullmatch(data)
    if parts is None:
        raise DataError(
            shown(data), "this names no data set", "Write hf://owner/name@revision:config:split."
        )
    return Named(
        name=parts["repo"],
        place=parts["repo"],
        revision=parts["revision"],
        config=parts["config"] or wanted.config,
        split=parts["split"] or wanted.split,
    )


def library() -> Any:
    """The package. Raises `DataError` where it is not installed."""
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            "DATA",
            f"reading data sets needs the package datasets ({error})",
            "Install it: pip install 'speechloom[datasets]'.",
        ) from error
    datasets.disable_progress_bars()
    return datasets


def read_rows(unit: Unit, start: int, cache: str) -> Iterator[dict[str, Any]]:
    """The rows of a unit from `start` on; audio as a path or bytes. One of them is held."""
    datasets = library()
    if unit.loader == "disk":
        found = datasets.load_from_disk(unit.place)
        one = found[unit.split] if isinstance(found, datasets.DatasetDict) else found
        one = one.with_format(None).select_columns(_taken(unit))
        one = one.cast_column(unit.columns.audio, datasets.Audio(decode=False))
        for place in range(start, len(one)):
            yield one[place]
        return
    features = datasets.Features.from_dict(json.loads(unit.features))
    if unit.loader == "whole":
        one = datasets.load_dataset(
            unit.place,
            unit.config,
            split=unit.split,
            revision=unit.revision,
            streaming=True,
            **({} if unit.root.startswith(HUB) else {"cache_dir": cache}),
        ).select_columns(_taken(unit))
        one = one.cast_column(unit.columns.audio, datasets.Audio(decode=False))
    else:
        one = datasets.load_dataset(
            unit.loader,
            data_files={unit.split: list(unit.files)},
            split=unit.split,
            features=features,
            streaming=True,
            cache_dir=cache,
        ).select_columns(_taken(unit))
    yield from one.skip(start) if start else one


def _taken(unit: Unit) -> list[str]:
    """The columns that are read: nothing else is unpacked, let alone decoded."""
    there = json.loads(unit.features)
    names = [name if name in there else name.split(".")[0] for _, name in unit.columns.given]
    return list(dict.fromkeys([unit.columns.audio, *names]))


def opened(asked: Named, crawl: Crawl) -> list[Unit]:
    """The units of a data set, in its order. Raises `DataError`."""
    datasets = library()
    from huggingface_hub import errors

    raised: Any = errors
    try:
        if asked.remote:
            return _hub(datasets, asked, crawl)
        if any(os.path.isfile(os.path.join(asked.place, name)) for name in _SAVED):
            return _saved(datasets, asked, crawl)
        with tempfile.TemporaryDirectory(prefix="speechloom-") as cache:
            _refuse_strangers(asked.name, _text(os.path.join(asked.root, "README.md")))
            return _loaded(datasets, asked, crawl, cache_dir=cache)
    except DataError:
        raise
    except (raised.HfHubHTTPError, raised.HTTPError) as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        said = f"the hub refused, or cannot be reached ({type(error).__name__} {status or ''})"
        fix = "Check the name; a private or gated data set needs HF_TOKEN."
        raise DataError(asked.name, said, fix) from error
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        said = " ".join(f"{type(error).__name__}: {error}".split())[:400]
        fix = "Check its name and layout; a configuration is chosen by crawl.dataset.config."
        raise DataError(asked.name, f"cannot be opened as a data set ({said})", fix) from error


def _hub(datasets: Any, asked: Named, crawl: Crawl) -> list[Unit]:
    """Of the hub: first which commit is meant, then what it holds."""
    from huggingface_hub import HfApi, constants, hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    if constants.is_offline_mode():  # what lies in the cache of `datasets`, as it is
        return _loaded(datasets, asked, crawl)
    sha = asked.revision
    if sha is None or not _COMMIT.fullmatch(sha):
        sha = str(HfApi().dataset_info(asked.place, revision=sha).sha)
    try:
        card = hf_hub_download(asked.place, "README.md", repo_type="dataset", revision=sha)
    except EntryNotFoundError:
        card = ""
    _refuse_strangers(asked.name, _text(card))
    return _loaded(datasets, dataclasses.replace(asked, revision=sha), crawl)


def _saved(datasets: Any, asked: Named, crawl: Crawl) -> list[Unit]:
    found = datasets.load_from_disk(asked.place)
    splits = dict(found) if isinstance(found, datasets.DatasetDict) else {"": found}
    units = []
    for split in _splits(asked, list(splits)):
        one = splits[split]
        files = tuple(sorted(str(file["filename"]) for file in one.cache_files))
        units.append(
            _unit(
                datasets,
                asked,
                crawl,
                split,
                one.features,
                "disk",
                files,
                identity=one._fingerprint,
            )
        )
    return units


def _loaded(datasets: Any, asked: Named, crawl: Crawl, **more: Any) -> list[Unit]:
    """What `load_dataset` reads: by files where its files are read one by one, else by splits."""
    how = {"revision": asked.revision, **more}
    builder = datasets.load_dataset_builder(asked.place, asked.config, **how)
    root = asked.root or f"{HUB}datasets/{asked.place}@{asked.revision}"
    by_split = {str(k): [str(f) for f in v] for k, v in (builder.config.data_files or {}).items()}
    for file in (file for files in by_split.values() for file in files):
        if not _inside(file, root):
            raise DataError(
                asked.name, f"its data file {file[:200]} lies outside of it", "Move it inside."
            )
    found = datasets.load_dataset(asked.place, asked.config, streaming=True, **how)
    units = []
    for split in _splits(asked, [str(name) for name in found]):
        features = found[split].features
        if features is None:
            raise DataError(asked.name, "its columns have no types", "Save it as Parquet.")
        files = by_split.get(split, [])
        loader = builder.name if builder.name in _BY_FILE and files else "whole"
        for group in [[file] for file in files] if loader != "whole" else [files]:
            units.append(
                _unit(
                    datasets,
                    dataclasses.replace(asked, root=root),
                    crawl,
                    split,
                    features,
                    loader,
                    tuple(group),
                    identity=[asked.revision, builder.hash] if loader == "whole" else None,
                )
            )
    return units


def _splits(asked: Named, there: Sequence[str]) -> list[str]:
    if asked.split is None:
        return list(there)
    if asked.split not in there:
        raise DataError(
            asked.name, f"it has no split {asked.split!r}", f"There are {', '.join(there)}."
        )
    return [asked.split]


def _unit(
    datasets: Any,
    asked: Named,
    crawl: Crawl,
    split: str,
    features: Any,
    loader: str,
    files: tuple[str, ...],
    identity: Any,
) -> Unit:
    kinds, labels = _kinds(datasets, features)
    columns = chosen(asked.name, kinds, labels, crawl.dataset, crawl.ignore_columns)
    plain = features.copy()
    for name, feature in plain.items():
        if name == columns.audio:
            plain[name] = datasets.Audio(decode=False)
        elif hasattr(feature, "decode"):  # images, videos, further audio
            plain[name] = dataclasses.replace(feature, decode=False)
    told = json.dumps(plain.to_dict())  # in the order of its columns
    remote = asked.root.startswith(HUB)
    states = list(files) if remote else [_state(file, asked.root) for file in files]
    seconds = 1.0 if remote else sum(os.stat(file).st_size for file in files) / 1e6
    inside = files[0][len(asked.root) + 1 :] if loader in _BY_FILE else split
    own = asked.name if not remote else HUB + asked.name
    return Unit(
        id=digest_of(
            "unit",
            [asked.name, asked.config, split, loader, states, identity],
            told,
            dataclasses.astuple(columns),
            crawl.max_bytes,
        ),
        uri=f"{own if remote else uri_of(own)}{'/' if inside else ''}{uri_of(inside)}",
        name=asked.name,
        split=split,
        loader=loader,
        place=asked.place,
        config=asked.config,
        revision=asked.revision,
        files=files if loader in _BY_FILE else (),
        root=asked.root,
        features=told,
        columns=columns,
        seconds=max(seconds, 1e-3),
    )


def _state(file: str, root: str) -> list[Any]:
    state = os.stat(file)
    return [os.path.relpath(file, root), state.st_size, state.st_mtime_ns]


def _kinds(
    datasets: Any, features: Mapping[str, Any], above: str = ""
) -> tuple[dict[str, Kind], dict[str, tuple[str, ...]]]:
    """The kind of every column, fields of structures as a.b; the names of labels."""
    kinds: dict[str, Kind] = {}
    labels: dict[str, tuple[str, ...]] = {}
    for own, feature in features.items():
        name = f"{above}{own}"
        kinds[name] = "other"
        if isinstance(feature, datasets.Audio):
            kinds[name] = "audio"
        elif isinstance(feature, datasets.ClassLabel):
            kinds[name], labels[name] = "label", tuple(feature.names)
        elif isinstance(feature, datasets.Value):
            if "string" in feature.dtype:
                kinds[name] = "string"
            elif "int" in feature.dtype:
                kinds[name] = "integer"
        elif isinstance(feature, dict):
            below, more = _kinds(datasets, feature, f"{name}.")
            kinds |= below
            labels |= more
    return kinds, labels


def _inside(file: str, root: str) -> bool:
    outer = file.rpartition("::")[2]
    if root.startswith(HUB):
        return outer.startswith(f"{root}/") and ".." not in outer.split("/")
    return "://" not in outer and within(os.path.realpath(outer), root)


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read(1 << 20)
    except (FileNotFoundError, IsADirectoryError):
        return ""


def _refuse_strangers(name: str, card: str) -> None:
    """A card may name data files anywhere in the world; none is asked for outside of the set."""
    from huggingface_hub import DatasetCard

    data = DatasetCard(card, ignore_metadata_errors=True).data.to_dict() if card else {}
    for text in _strings(data.get("configs")):
        if "://" in text or "::" in text or text.startswith(("/", "~")) or ".." in text.split("/"):
            raise DataError(
                name, f"its README names data outside of it: {text[:200]}", "Correct its README."
            )


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for one in value.values():
            yield from _strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from _strings(one)
