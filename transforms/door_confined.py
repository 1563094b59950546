"""What every confined child does alike: tie itself to its parent, give up its rights, talk.

Used by the programs of child processes alone (`transforms.door_child`, `transforms.page_child`).
"""

import ctypes
import json
import math
import os
import resource
import signal
import socket
import sys
from typing import Any

from transforms.door_words import REQUEST, said

_PR_SET_PDEATHSIG = 1
_PARENT_GONE = 3


def tie_to(parent: int) -> None:
    """Die with the parent; without that promise, or with the parent gone already, do not run."""
    if ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL) != 0 or os.getppid() != parent:
        sys.exit(_PARENT_GONE)
    os.set_blocking(2, False)  # last words must never block


def confine(memory_mb: int) -> None:
    """Take away what reading does not need. Only what is open now and one file more stay open."""
    limits = {
        resource.RLIMIT_AS: memory_mb << 20,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: 0,
        resource.RLIMIT_NOFILE: 4,  # 0, 1, 2 and the file
    }
    for which, value in limits.items():
        resource.setrlimit(which, (value, value))


def say(message: dict[str, Any]) -> None:
    """One JSON frame to the parent."""
    write(said(message))


def write(data: bytes | memoryview) -> None:
    """All of some bytes to the parent."""
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


def next_question(questions: socket.socket) -> tuple[dict[str, Any], int] | None:
    """The next question and the descriptor of the file it is about; None: the parent is done."""
    head, descriptors, _, _ = socket.recv_fds(questions, REQUEST.size, 1)
    if not head:
        return None
    while len(head) < REQUEST.size:
        head += questions.recv(REQUEST.size - len(head))
    (size,) = REQUEST.unpack(head)
    body = b""
    while len(body) < size:
        more = questions.recv(size - len(body))
        if not more:
            return None
        body += more
    return json.loads(body), descriptors[0]


def cpu_seconds() -> float:
    """Processor time that this process has used."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def allow_cpu(seconds: float) -> None:
    """So much more processor time, then SIGXCPU; the hard limit stays open for the next file."""
    soft = math.ceil(cpu_seconds() + max(seconds, 0.0)) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft, resource.RLIM_INFINITY))
