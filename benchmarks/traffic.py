"""What a run asks of an object store, and what crosses its shuffles: for each part, and each hour.

    python benchmarks/traffic.py [--recordings 20 60] [--commits 2000] [--folder DIR]

Made recordings of 22 s, each a part of its own, are curated into a bucket of moto's S3 server on
this machine by the way that other engines take: parts are dealt through OUT, and spread by one
shuffle in each phase (FnApiRunner in this process). Requests are counted by the server, by verb and
by the folder that they ask for; what one more part takes is the difference of two runs. Bytes
across shuffles are those that Beam's grouping buffers are given.

Then a phase is given so many commits of one record each, and read: before and after compaction. The
prices are list prices of S3 and Cloud Storage for a thousand requests, as we remember them.
"""

import argparse
import contextlib
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from benchmarks import circumstances as on

BUCKET = "bucket"
SECONDS = 22.0
WRITES, READS = 0.005, 0.0004  # US dollars for 1000 puts, lists and copies; for 1000 gets and heads
DEAR = ("PUT", "LIST")
FREE = ("POST", "DELETE")  # removing
PART_SECONDS = 600.0  # of a part of a real run

Asked = Counter[tuple[str, str]]  # (folder, verb) -> requests


def serve(log: str) -> None:
    """An S3 server that notes every request as a line of a file; until its parent ends."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import WSGIRequestHandler, make_server

    from pipeline import worker

    with open(log, "w", encoding="utf-8", buffering=1) as lines:

        class Noting(WSGIRequestHandler):
            def log_request(self, *_: object) -> None:
                lines.write(f"{self.command} {self.path}\n")

        worker.die_with_parent(int(sys.argv[3]))
        application = DomainDispatcherApplication(create_backend_app)
        # One request at a time, as in tests/s3_server.py: only so moto's conditional puts hold.
        server = make_server("127.0.0.1", 0, application, False, request_handler=Noting)
        print(server.server_port, flush=True)
        server.serve_forever()


class Counted:
    """The requests of the server, as its log has them."""

    def __init__(self, log: pathlib.Path):
        self._log = log
        self._read = 0

    def take(self) -> Asked:
        """Those since the last call."""
        lines = self._log.read_text(encoding="utf-8").splitlines()
        found = Counter(map(classified, lines[self._read :]))
        self._read = len(lines)
        return found


def classified(line: str) -> tuple[str, str]:
    """The folder of OUT that a request was for, and its verb; LIST for a listing."""
    verb, path = line.split(" ", 1)
    name, _, query = path.partition("?")
    if verb == "GET" and "list-type" in query:
        values = dict(one.partition("=")[::2] for one in query.split("&"))
        prefix = urllib.request.unquote(values.get("prefix", ""))
        return prefix.split("/")[1] if "/" in prefix else "", "LIST"
    parts = name.lstrip("/").split("/")
    return parts[2] if len(parts) > 2 else "", verb


@contextlib.contextmanager
def bucket(folder: pathlib.Path) -> Iterator[Counted]:
    """A server with an empty bucket, and this process led to it."""
    log = folder / "requests.log"
    command = [sys.executable, __file__, "--serve", str(log), str(os.getpid())]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        address = f"http://127.0.0.1:{int(process.stdout.readline())}"
        os.environ.update(
            AWS_ENDPOINT_URL=address,
            AWS_ALLOW_HTTP="true",
            AWS_ACCESS_KEY_ID="nobody",
            AWS_SECRET_ACCESS_KEY="nothing",
            AWS_REGION="us-east-1",
        )
        request = urllib.request.Request(f"{address}/{BUCKET}", method="PUT")
        urllib.request.urlopen(request, timeout=30).close()
        yield Counted(log)
    finally:
        process.kill()
        process.wait()


class Shuffled:
    """Bytes that reach Beam's grouping buffers in this process, by the phase of the job."""

    def __init__(self) -> None:
        self.bytes: Counter[str] = Counter()
        self.phase = ""

    def __enter__(self) -> "Shuffled":
        from apache_beam.runners.portability.fn_api_runner.execution import GroupingBuffer

        self._buffer, self._append = GroupingBuffer, GroupingBuffer.append

        def append(buffer: Any, data: bytes) -> None:
            self.bytes[self.phase] += len(data)
            self._append(buffer, data)

        GroupingBuffer.append = append
        return self

    def __exit__(self, *_: object) -> None:
        self._buffer.append = self._append


def curated(folder: pathlib.Path, count: int, shuffled: Shuffled) -> Any:
    """Curate so many recordings into the bucket."""
    from pipeline.runners.engine import Engine
    from pipeline.runners.submit import Submitted
    from tests.laws import made_corpus, runs
    from tests.laws.made_corpus import Row

    rows = []
    for number in range(count):
        name = f"{number}.wav"
        sound = made_corpus.wav(made_corpus.voice(number, SECONDS))
        made_corpus.write_file(folder / "data" / name, sound)
        rows.append(Row(audio=name, text=made_corpus.words(number, 60), speaker=f"s{number % 7}"))
    table = made_corpus.write_table(folder / "data" / "table.csv", rows)
    engine = Engine(name="FnApiRunner", given=("--runner=FnApiRunner",), elsewhere=True)

    class Told(Submitted):
        def run(self, job: Any, *arguments: Any, **more: Any) -> dict[str, int]:
            shuffled.phase = job.phase
            return super().run(job, *arguments, **more)

    out: Any = f"s3://{BUCKET}/out{count}"
    ran = runs.curate(
        table,
        out,
        ["shards.hours=2"],
        workers=lambda observe: Told(engine, observe),
        part_seconds=20.0,
    )
    return ran


def clips_of(ran: Any) -> int:
    from schemas.records import Clip
    from tests.laws import runs

    (stream,) = ran.result.streams
    return len(runs.rows_of(ran.store, "annotate", stream.outline.annotate_key, "row", Clip))


def price(verb: str, requests: float) -> float:
    """US dollars."""
    if verb in FREE:
        return 0.0
    return requests * (WRITES if verb in DEAR else READS) / 1000


def by_run(folder: pathlib.Path, counts: list[int], counted: Counted) -> None:
    asked: list[Asked] = []
    crossed: list[Counter[str]] = []
    parts: list[dict[str, int]] = []
    clips: list[int] = []
    for count in counts:
        with Shuffled() as shuffled:
            ran = curated(folder / str(count), count, shuffled)
        asked.append(counted.take())
        crossed.append(shuffled.bytes)
        parts.append(ran.phases())
        clips.append(clips_of(ran))
        counted.take()
    more = counts[-1] - counts[0]
    each_clips = (clips[-1] - clips[0]) / more
    print(f"### Requests of two runs, {counts[0]} and {counts[-1]} recordings\n")
    print(
        f"A recording has {each_clips:.1f} clips; hear, annotate and each measure one part of it.\n"
    )
    print(on.head("folder", "verb", *(str(count) for count in counts), "for one recording more"))
    for key in sorted(asked[-1]):
        each = (asked[-1][key] - asked[0][key]) / more
        print(on.row(*key, *(one[key] for one in asked), f"{each:.2f}"))
    phases = ("hear", "annotate", "measure")
    per_part = {
        (phase, verb): (asked[-1][phase, verb] - asked[0][phase, verb])
        / (parts[-1][phase] - parts[0][phase])
        for phase in phases
        for verb in ("PUT", "GET", "HEAD", "LIST")
    }
    print("\n### Requests for a part more, by what they ask for\n")
    print(on.head("folder", "PUT", "GET", "HEAD", "LIST"))
    for phase in phases:
        cells = [f"{per_part[phase, verb]:.2f}" for verb in ("PUT", "GET", "HEAD", "LIST")]
        print(on.row(phase, *cells))
    print(
        "\nGETs of hear are reads of stored speech, "
        f"{per_part['hear', 'GET'] / each_clips:.2f} for each clip. A part of measure has all of "
        "its measures. What select writes and reads goes by blocks, at most 256 of a kind, and "
        "what compose does by shards."
    )
    each = {verb: sum(per_part[phase, verb] for phase in phases) for verb in ("PUT", "LIST")}
    money = sum(price(verb, number) for verb, number in each.items())
    print(f"Writes and lists of a million parts in these three phases: {1e6 * money:,.0f} USD")
    print("\n### Bytes across shuffles\n")
    print(on.head("phase", "parts more", "bytes more", "bytes a part", "bytes an hour"))
    whole = 0.0
    for phase in crossed[-1]:
        grown = parts[-1].get(phase, 0) - parts[0].get(phase, 0)
        size = crossed[-1][phase] - crossed[0][phase]
        if grown <= 0:
            print(on.row(phase, grown, size, "", ""))
            continue
        hourly = size / grown * 3600 / PART_SECONDS  # a part has ten minutes in a real run
        whole += hourly
        print(on.row(phase, grown, size, f"{size / grown:.0f}", f"{hourly:.0f}"))
    print(f"\n{whole:.0f} bytes an hour of audio in parts of 10 minutes, and no sample among them.")


def by_listing(count: int, counted: Counted) -> None:
    """A phase of so many commits: what it takes to know what is done."""
    from pipeline import commits
    from schemas.records import Segment
    from schemas.store import Store
    from schemas.tables import arrow_schema

    store = Store(f"s3://{BUCKET}/listed")
    key = "0" * 32
    for number in range(count):
        name = f"{number * 0x9E3779B97F4A7C15 % (1 << 128):032x}"
        content = commits.Content(done=(commits.Done(id=name * 2, seconds=600.0),))
        commits.write(store, "hear", key, name, content, arrow_schema(Segment), "run")
    written = counted.take()
    assert len(commits.ledger(store, "hear", key).done) == count
    first = counted.take()
    commits.compact(store, "hear", key)
    counted.take()
    assert len(commits.ledger(store, "hear", key).done) == count
    again = counted.take()
    print(f"\n### Knowing what is done, of {count} parts\n")
    print(on.head("what", "PUT", "LIST", "GET", "HEAD", "USD for a million parts"))
    for title, found in (
        ("to commit them", written),
        ("to read them, none compacted", first),
        ("to read them, compacted", again),
    ):
        verbs = Counter({v: 0 for v in ("PUT", "LIST", "GET", "HEAD")})
        for (_, verb), number in found.items():
            verbs[verb] += number
        paid = sum(price(verb, number) for verb, number in verbs.items())
        cells = [verbs[verb] for verb in ("PUT", "LIST", "GET", "HEAD")]
        print(on.row(title, *cells, f"{1e6 / count * paid:.2f}"))


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        serve(sys.argv[2])
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--recordings", type=int, nargs=2, default=[20, 60])
    parser.add_argument("--commits", type=int, default=2000, help="0: none (%(default)s)")
    asked = parser.parse_args()
    print(on.circumstances(), flush=True)
    with tempfile.TemporaryDirectory(prefix="speechloom-bench-") as name:
        folder = pathlib.Path(name)
        with bucket(folder) as counted:
            counted.take()
            by_run(folder, asked.recordings, counted)
            if asked.commits:
                by_listing(asked.commits, counted)


if __name__ == "__main__":
    main()
