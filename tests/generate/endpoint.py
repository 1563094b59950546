"""A chat endpoint on loopback that does as a test says, and remembers what it was asked."""

import contextlib
import http.server
import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

Asked = dict[str, Any]  # the JSON of a question
Answers = Callable[[Asked, int], "Reply"]  # the question, and how many came before it


class Reply:
    """What the endpoint does with one question."""

    def __init__(
        self,
        body: bytes | str = b"",
        status: int = 200,
        headers: Mapping[str, str] | None = None,
        *,
        kind: str = "application/json",
        announced: int | None = None,  # Content-Length, where it lies; below 0: none is sent
        delay: float = 0.0,  # seconds before the answer
        trickle: float = 0.0,  # seconds between bytes
        drop: bool = False,  # hang up without an answer
    ) -> None:
        self.body = body.encode() if isinstance(body, str) else body
        self.status, self.kind, self.announced = status, kind, announced
        self.headers = dict(headers or {})
        self.delay, self.trickle, self.drop = delay, trickle, drop


def said(content: Any, finish: str = "stop", **more: Any) -> Reply:
    """A sound answer: `content` as text, or as JSON."""
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    message = {"role": "assistant", "content": text, **more}
    usage = {"prompt_tokens": 100, "completion_tokens": 10}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    return Reply(json.dumps({"choices": [choice], "usage": usage}))


class Mock:
    """The endpoint. `answers` may be changed at any time."""

    def __init__(
        self,
        answers: Answers,
        models: tuple[str, ...] = ("small",),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.answers, self.models = answers, models
        self.asked: list[Asked] = []
        self.keys: list[str | None] = []  # the Authorization header of each question
        self.most = 0  # questions at once
        self._now = 0
        self._lock = threading.Lock()
        self.models_reply: Reply | None = None
        mock = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version: ClassVar[str] = "HTTP/1.1"

            def do_GET(self) -> None:
                listed = {"data": [{"id": name} for name in mock.models]}
                self._send(mock.models_reply or Reply(json.dumps(listed)))

            def do_POST(self) -> None:
                question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with mock._lock:
                    before = len(mock.asked)
                    mock.asked.append({"path": self.path, **question})
                    mock.keys.append(self.headers.get("Authorization"))
                    mock._now += 1
                    mock.most = max(mock.most, mock._now)
                try:
                    reply = mock.answers(question, before)
                finally:
                    with mock._lock:  # before the answer is out, or the next may come too soon
                        mock._now -= 1
                self._send(reply)

            def _send(self, reply: Reply) -> None:
                time.sleep(reply.delay)
                self.close_connection = True
                if reply.drop:
                    return
                length = len(reply.body) if reply.announced is None else reply.announced
                self.send_response(reply.status)
                self.send_header("Content-Type", reply.kind)
                if length >= 0:
                    self.send_header("Content-Length", str(length))
                self.send_header("Connection", "close")
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                try:
                    self.end_headers()
                    if not reply.trickle:
                        self.wfile.write(reply.body)
                        return
                    for byte in reply.body:
                        self.wfile.write(bytes([byte]))
                        self.wfile.flush()
                        time.sleep(reply.trickle)
                except OSError:
                    return  # whoever asked has hung up

            def log_message(self, *_: Any) -> None:
                """Quiet."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.request_queue_size = 64
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        scheme = "http" if tls is None else "https"
        self.url = f"{scheme}://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def data_of(question: Asked) -> str:
    """The page's text in a question, without the marks around it."""
    lines = str(question["messages"][1]["content"]).split("\n")
    return "\n".join(lines[1:-1])


@contextlib.contextmanager
def mocks() -> Iterator[Callable[[Answers], Mock]]:
    """Starts endpoints; all are closed in the end."""
    with contextlib.ExitStack() as stack:
        yield lambda answers: stack.enter_context(contextlib.closing(Mock(answers)))
