"""objects: DATA in an object store; each object is read once into OUT, under its digest.

The listing says of every object its size and ETag: one that is known with both is not read again.
An object's row stands in the frontier beside those of URLs. Reading is streamed and capped. Of the
store's errors only the class is told, because their text may hold a signature.
"""

import dataclasses
import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

from pipeline import bodies, commits, layout, suppression
from pipeline.commits import Content, Done
from pipeline.phases.fetch import body_name, fetch_key, frontier
from pipeline.simple import SimpleJob
from schemas.ids import digest_of
from schemas.records import Source, source_id
from schemas.store import Store
from schemas.tables import arrow_schema
from transforms.gather.crawl import Crawl
from transforms.gather.found import DataError, Found, dropped
from transforms.gather.suppressed import Suppressed
from transforms.gather.web.frontier import ENDED, Row

SCHEMES = ("gs://", "s3://", "az://", "abfs://")
CHUNK = 1 << 22
PART_BYTES = 1 << 28  # what a kill costs at most, but for larger objects
PART_OBJECTS = 500


def names_objects(data: str) -> bool:
    """Whether DATA is in an object store."""
    return data.lower().startswith(SCHEMES)


def opened(bucket: str) -> Any:
    """The store of a bucket; credentials come from the environment, as its tools have them."""
    import obstore

    return obstore.store.from_url(bucket)


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class ObjectsPart:
    """Objects that one worker reads."""

    id: str
    bucket: str
    paths: tuple[str, ...]
    rows: tuple[Row, ...]
    seconds: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class ObjectsJob(SimpleJob):
    phase: ClassVar[str] = "fetch"

    max_bytes: int | None

    def run_part(self, part: ObjectsPart) -> None:
        local = self.store.local(f"{layout.phase_folder('fetch', self.key)}/scratch")
        if local is not None:
            local.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(dir=local if local is not None else self.scratch))
        bucket = opened(part.bucket)
        try:
            rows = [
                self._read(bucket, path, row, folder / str(number))
                for number, (path, row) in enumerate(zip(part.paths, part.rows, strict=True))
            ]
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        done = tuple(Done(id=row.id, seconds=0.0) for row in rows if row.state in ENDED)
        content = Content(done=done, rows=tuple(rows))
        schema = arrow_schema(Row)
        commits.write(self.store, self.phase, self.key, part.id, content, schema, self.run)

    def _read(self, bucket: Any, path: str, row: Row, body: Path) -> Row:
        """The row of an object after it was read; its body is in OUT then."""
        import obstore
        from obstore.exceptions import BaseError

        limit = 1 << 62 if self.max_bytes is None else self.max_bytes
        row = dataclasses.replace(row, attempts=row.attempts + 1, ended=int(time.time()))
        digest, size = hashlib.sha256(), 0
        try:
            answer = obstore.get(bucket, path)
            with body.open("wb") as file:
                for piece in answer.stream(min_chunk_size=CHUNK):
                    size += len(piece)
                    if size > limit:
                        return _ended(row, "dead", "too_large", f"more than {limit} bytes")
                    digest.update(piece)
                    file.write(piece)
            etag = str(answer.meta.get("e_tag") or "")
        except FileNotFoundError:
            return _ended(row, "dead", "gone", "it was listed, and is not there")
        except (BaseError, OSError) as error:
            name = type(error).__name__
            if "Permission" in name or "Unauthenticated" in name:
                return _ended(row, "dead", "forbidden", name)
            return _ended(row, "waiting", "connect", name)
        if not size:
            return _ended(row, "dead", "empty", "")
        self.store.take(body_name(self.key, digest.hexdigest()), body)
        return dataclasses.replace(
            row, state="done", bytes=size, received=size, sha256=digest.hexdigest(), etag=etag
        )


def _ended(row: Row, state: Any, reason: str, detail: str) -> Row:
    return dataclasses.replace(row, state=state, reason=reason, detail=detail, sha256="")


@dataclasses.dataclass(frozen=True, slots=True)
class Listed:
    """One object as the store lists it."""

    uri: str
    path: str
    size: int
    etag: str

    @property
    def id(self) -> str:
        """Of this state of it: one that changed is another."""
        return digest_of("object", self.uri, self.size, self.etag)


def listing(data: str) -> tuple[str, list[Listed]]:
    """The bucket of DATA, and its objects below DATA, or DATA itself; sorted by path."""
    import obstore
    from obstore.exceptions import BaseError

    scheme, _, rest = data.partition("://")
    name, _, prefix = rest.partition("/")
    bucket = f"{scheme.lower()}://{name}"
    if "@" in name or "?" in data:
        raise DataError(f"{scheme}://", "no keys in DATA", "Set them in the environment.")
    try:
        store = opened(bucket)
        found = [
            _listed(bucket, one) for page in obstore.list(store, prefix=prefix) for one in page
        ]
        if not found and prefix:
            found = [_listed(bucket, obstore.head(store, prefix))]
    except FileNotFoundError:
        found = []
    except (BaseError, OSError) as error:
        why = f"cannot be listed ({type(error).__name__})"
        fix = "Check its name, and the credentials in the environment."
        raise DataError(f"{bucket}/{prefix}", why, fix) from None
    if not found:
        raise DataError(f"{bucket}/{prefix}", "there is no object of that name", "Check it.")
    return bucket, sorted(found, key=lambda one: one.path)


def _listed(bucket: str, meta: Any) -> Listed:
    path = str(meta["path"])
    return Listed(f"{bucket}/{path}", path, int(meta["size"]), str(meta.get("e_tag") or ""))


def found_in_objects(
    data: str, crawl: Crawl, store: Store, run: Any, common: dict[str, Any], run_id: str
) -> list[Found]:
    """Every object below DATA: a file with its bytes, or a drop. `run` None: nothing is read."""
    bucket, listed = listing(data)
    limit = crawl.web.max_items
    listed = listed if limit is None else listed[:limit]
    away = suppression.suppressed(store)
    reasons = {one.id: _reason(one, crawl, away) for one in listed}
    fits = {one.id: one for one in listed if reasons[one.id] is None}
    known = frontier(store, fetch_key(), fits)
    todo = [one for name, one in fits.items() if name not in known or not known[name].sha256]
    if todo and run is not None:
        job = ObjectsJob(max_bytes=crawl.max_bytes, **common)
        run(job, list(_parts(bucket, todo, known, run_id)))
        known = frontier(store, fetch_key(), fits)
    return [_found(one, reasons[one.id], known.get(one.id), store) for one in listed]


def _reason(one: Listed, crawl: Crawl, away: Suppressed) -> str | None:
    """Why an object is not read; None where it is."""
    if away.source(Source(id=source_id(one.uri), uri=one.uri)):
        return "suppressed"
    if not one.path.lower().endswith(crawl.audio_suffixes):
        return "not_audio"
    if not one.size:
        return "empty"
    return "too_large" if crawl.max_bytes is not None and one.size > crawl.max_bytes else None


def _parts(
    bucket: str, todo: Iterable[Listed], known: dict[str, Row], run_id: str
) -> Iterator[ObjectsPart]:
    group: list[Listed] = []
    for one in todo:
        if group and (
            sum(o.size for o in group) + one.size > PART_BYTES or len(group) >= PART_OBJECTS
        ):
            yield _part(bucket, group, known, run_id)
            group = []
        group.append(one)
    yield _part(bucket, group, known, run_id)


def _part(bucket: str, group: Sequence[Listed], known: dict[str, Row], run_id: str) -> ObjectsPart:
    rows = [known.get(one.id, Row(id=one.id, url=one.uri, kind="audio")) for one in group]
    return ObjectsPart(
        id=digest_of("objects", run_id, [[row.id, row.turn] for row in rows]),
        bucket=bucket,
        paths=tuple(one.path for one in group),
        rows=tuple(
            dataclasses.replace(row, state="waiting", reason="", detail="", turn=row.turn + 1)
            for row in rows
        ),
        seconds=sum(one.size for one in group) / 1e6,
    )


def _found(one: Listed, reason: str | None, row: Row | None, store: Store) -> Found:
    source = Source(id=source_id(one.uri), uri=one.uri)
    if reason is not None:
        return Found(source=source, drop=dropped(source, reason))
    if row is None or not row.sha256:
        reason = (row.reason if row is not None else "") or "waiting"
        detail = row.detail if row is not None else ""
        return Found(source=source, drop=dropped(source, reason, detail))
    return Found(source=source, path=bodies.place_of(store, row.sha256))
