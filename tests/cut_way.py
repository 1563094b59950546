"""A way to a server on this machine that can be cut: before a request or before its answer."""

import contextlib
import socket
import threading
import time


class Cut:
    """A way to a server that can be cut for a while."""

    def __init__(self, port: int):
        self._port = port
        self._open = threading.Event()
        self._open.set()
        self._sockets: set[socket.socket] = set()
        self._answers_to_lose = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                ours, _ = self._listening.accept()
                if not self._open.is_set():
                    ours.close()
                    continue
                theirs = socket.create_connection(("127.0.0.1", self._port))
                for one, other, answers in ((ours, theirs, False), (theirs, ours, True)):
                    self._sockets.add(one)
                    passing = (one, other, answers)
                    threading.Thread(target=self._pass, args=passing, daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(1 << 16):
                if answers and self._answers_to_lose:
                    self._answers_to_lose -= 1
                    break
                other.sendall(data)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            self._sockets.discard(end)

    def cut(self, seconds: float) -> None:
        self._open.clear()
        for one in list(self._sockets):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
        time.sleep(seconds)
        self._open.set()

    def lose_answers(self, count: int) -> None:
        """Let the next requests through, and cut the connection before what they are told."""
        self._answers_to_lose = count

    def close(self) -> None:
        self._listening.close()
