"""A Flink cluster of this machine's own: one JobManager, TaskManagers and pools of workers.

`python -m pipeline.runners.flink_local --flink FOLDER -- COMMAND` starts it, runs the command with
FLINK_MASTER set and the Beam options for it in SPEECHLOOM_FLINK, and tears it down; without a
command it stays until Ctrl-C. FOLDER holds the `lib/` of a Flink distribution, such as the one
inside the package apache-flink-libraries. All processes are started by `java -cp`, listen on this
machine only and end with this one, however it ends.

It is the cluster of docs/running.md in small: for trying a recipe on Flink, and for killing parts
of it in tests.
"""

import argparse
import contextlib
import dataclasses
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.runners import pool

START_SECONDS = 90.0
JOB_MANAGER = "org.apache.flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
TASK_MANAGER = "org.apache.flink.runtime.taskexecutor.TaskManagerRunner"
HEAP_MB = {JOB_MANAGER: 512, TASK_MANAGER: 700}

# What Flink 2 reaches into by reflection; its own scripts pass the same.
OPENED = [
    f"java.base/{name}"
    for name in (
        *("java.lang", "java.lang.reflect", "java.net", "java.io", "java.nio", "sun.nio.ch"),
        *("java.text", "java.time", "java.util", "java.util.concurrent"),
        *("java.util.concurrent.atomic", "java.util.concurrent.locks"),
    )
]


class FlinkError(RuntimeError):
    """The cluster does not start: says what and where its log is."""


@dataclasses.dataclass
class Cluster:
    """A running cluster. `task_managers` may be killed and replaced."""

    address: str  # of the REST interface, host:port
    pool: str
    folder: Path  # configuration and logs
    start_task_manager: Any
    job_manager: "subprocess.Popen[bytes]"
    task_managers: "list[subprocess.Popen[bytes]]"

    @property
    def options(self) -> tuple[str, ...]:
        """For `--beam`."""
        return (
            f"--flink_master={self.address}",
            "--environment_type=EXTERNAL",
            f"--environment_config={self.pool}",
            f"--parallelism={len(self.task_managers)}",
        )

    def ask(self, what: str) -> dict[str, Any]:
        """The REST interface's answer."""
        with urllib.request.urlopen(f"http://{self.address}/{what}", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def wait_for(self, count: int) -> None:
        """Until so many TaskManagers have registered, and their slots, which come after them.

        Raises `FlinkError`.
        """
        until = time.monotonic() + START_SECONDS
        seen = -1
        while time.monotonic() < until:
            for process in (self.job_manager, *self.task_managers):
                if process.poll() is not None:
                    raise FlinkError(f"a Java process ended: {self._said()}")
            with contextlib.suppress(urllib.error.URLError, OSError, ValueError):
                overview = self.ask("overview")
                seen = min(int(overview["taskmanagers"]), int(overview["slots-total"]))
                if seen >= count:
                    return
            time.sleep(0.2)
        raise FlinkError(
            f"{seen} of {count} TaskManagers after {START_SECONDS:.0f} s: {self._said()}"
        )

    def _said(self) -> str:
        """The last lines of the logs, which go with the folder."""
        found = []
        for path in sorted(self.folder.glob("*.log")):
            lines = path.read_text(errors="replace").splitlines()
            wrong = [line for line in lines if "Exception" in line or "Error" in line]
            found += [f"{path.name}: {line}" for line in (wrong or lines)[:3]]
        return " | ".join(found)[:2000]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configuration(rpc: int, rest: int, folder: Path) -> str:
    """What differs from Flink's defaults: addresses, memory, and no retries of its own.

    Retries are the driver's (`pipeline/runners/submit.py`): Flink would start every part of a job
    again for one that died, and attempts would be noted against all of them.
    """
    said = {
        "jobmanager.rpc.address": "localhost",
        "jobmanager.rpc.port": rpc,
        "jobmanager.bind-host": "localhost",
        "jobmanager.memory.process.size": "900m",
        "rest.address": "localhost",
        "rest.bind-address": "localhost",
        "rest.port": rest,
        "taskmanager.host": "localhost",
        "taskmanager.bind-host": "localhost",
        "taskmanager.numberOfTaskSlots": 1,
        "taskmanager.cpu.cores": 1,
        "taskmanager.memory.task.heap.size": "320m",
        "taskmanager.memory.task.off-heap.size": "32m",
        "taskmanager.memory.managed.size": "128m",
        "taskmanager.memory.network.min": "64m",
        "taskmanager.memory.network.max": "64m",
        "taskmanager.memory.framework.heap.size": "128m",
        "taskmanager.memory.framework.off-heap.size": "64m",
        "taskmanager.memory.jvm-metaspace.size": "160m",
        "taskmanager.memory.jvm-overhead.min": "128m",
        "taskmanager.memory.jvm-overhead.max": "128m",
        "restart-strategy.type": "disable",
        "heartbeat.timeout": 10000,
        "heartbeat.interval": 2000,
        "blob.server.port": 0,
        "io.tmp.dirs": str(folder / "tmp"),
        "web.submit.enable": "true",
        "classloader.resolve-order": "parent-first",
    }
    return "".join(f"{name}: {value}\n" for name, value in said.items())


LOGGING = """rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = CONSOLE
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %c{1} %m%n
"""


@contextlib.contextmanager
def cluster(
    flink: Path, task_managers: int = 2, extra_jars: Path | None = None
) -> Iterator[Cluster]:
    """A cluster for the time of a block. Raises `FlinkError`."""
    java = shutil.which("java")
    if java is None:
        raise FlinkError("no java on PATH: Flink 2.2 needs Java 11, 17 or 21")
    if not (flink / "lib").is_dir():
        raise FlinkError(f"{flink} has no lib/: name the folder of a Flink distribution")
    folder = Path(tempfile.mkdtemp(prefix="speechloom-flink-"))
    (folder / "tmp").mkdir()
    rpc, rest = _free_port(), _free_port()
    (folder / "config.yaml").write_text(_configuration(rpc, rest, folder), encoding="utf-8")
    (folder / "log4j.properties").write_text(LOGGING, encoding="utf-8")
    paths = [f"{flink / 'lib'}/*"]
    processes: list[subprocess.Popen[bytes]] = []
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        stack.callback(_end_all, processes)

        def start(entry: str, name: str, *more: str) -> "subprocess.Popen[bytes]":
            command = [java, f"-Xmx{HEAP_MB[entry]}m", "-XX:+UseSerialGC"]
            command += [f"--add-opens={module}=ALL-UNNAMED" for module in OPENED]
            command += [f"-Dlog4j.configurationFile={folder / 'log4j.properties'}"]
            command += ["-cp", ":".join(paths), entry, "--configDir", str(folder), *more]
            log = (folder / f"{name}.log").open("wb")
            stack.callback(log.close)
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder
            )
            processes.append(process)
            return process

        def start_task_manager() -> "subprocess.Popen[bytes]":
            name = f"taskmanager-{len(processes)}"
            resource = f"-D taskmanager.resource-id={name}".split()
            process = start(TASK_MANAGER, name, *resource)
            made.task_managers.append(process)
            return process

        address, _ = stack.enter_context(pool.local_pool())
        made = Cluster(
            address=f"localhost:{rest}",
            pool=address,
            folder=folder,
            start_task_manager=start_task_manager,
            job_manager=start(JOB_MANAGER, "jobmanager"),
            task_managers=[],
        )
        for _ in range(task_managers):
            start_task_manager()
        made.wait_for(task_managers)
        yield made


def _end_all(processes: "list[subprocess.Popen[bytes]]") -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.runners.flink_local")
    parser.add_argument("--flink", required=True, type=Path, help="folder that holds Flink's lib/")
    parser.add_argument("--task-managers", type=int, default=2)
    parser.add_argument("command", nargs="*", help="after --: run this, then tear down")
    chosen = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with cluster(chosen.flink, chosen.task_managers) as made:
            options = " ".join(made.options)
            print(f"flink: http://{made.address}, {chosen.task_managers} TaskManagers", flush=True)
            print(f'flink: --runner flink --beam "{options}"', flush=True)
            if not chosen.command:
                signal.pause()
            env = {**os.environ, "FLINK_MASTER": made.address, "SPEECHLOOM_FLINK": options}
            return subprocess.run(chosen.command, env=env, check=False).returncode
    except FlinkError as error:
        print(f"flink: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
