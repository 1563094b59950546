"""Topic and domain: the default and its training, a fastText model, an endpoint."""

import http.server
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydantic
import pytest

from schemas.ids import digest_of
from schemas.records import Clip, Task, task_id
from transforms.engines import topic_smoke, topic_training
from transforms.engines.models import ModelError
from transforms.engines.topics import API_KEY, Endpoint
from transforms.engines.topics import Topic as Answer
from transforms.measure.domain import Domain
from transforms.measure.topic import Topic
from transforms.step import Scope

RECORDING = digest_of("recording")


def clip(text: str, number: int = 0) -> Clip:
    return Clip(
        id=digest_of("clip", number),
        task=digest_of("task"),
        recording=RECORDING,
        channel=0,
        index=number,
        start=float(number),
        end=number + 1.0,
        rate=16_000,
        speaker="s",
        text=text,
    )


def scores(step: Any, *texts: str) -> list[tuple[Any, ...]]:
    clips = [clip(text, number) for number, text in enumerate(texts)]
    task = Task(id=task_id(RECORDING, None, None, None, None), recording=RECORDING)
    return [s.values for s in step(clips, step.load(), Scope(root=task, seed=0))]


def test_the_default_is_what_its_training_makes() -> None:
    assert topic_smoke.FILE.read_text(encoding="utf-8") == topic_training.text()


def test_the_default_labels_held_out_sentences_and_says_that_it_is_smoke() -> None:
    found = scores(
        Topic(),
        "The goalkeeper of the football team saved a penalty in the stadium.",
        "Knead the dough, then bake the bread in a hot oven.",
        "well you know",
        "",
    )
    assert [values[0] for values in found] == ["sports", "food", None, None]
    assert found[0][2] == "smoke" and 0.5 < found[0][1] <= 1
    assert found[2] == (None, None, None)


def test_domains_are_told_by_how_things_are_said() -> None:
    ad, talk = scores(
        Domain(), "Order now and get a free discount code!", "Yeah I mean, you know, whatever."
    )
    assert (ad[0], talk[0]) == ("advertising", "conversation")


def test_labels_that_are_not_sure_enough_are_left_out() -> None:
    mixed = "football recipe"
    (loose,) = scores(Topic(), mixed)
    (strict,) = scores(Topic(min_probability=0.99), mixed)
    assert loose[0] in ("sports", "food") and loose[1] < 0.99
    assert strict == (None, None, None)


TRAINING = """
import fasttext, sys
model = fasttext.train_supervised(sys.argv[1], epoch=30, lr=0.3, dim=8, thread=1, verbose=0)
model.save_model(sys.argv[2])
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model trained in a process of its own: fastText 0.9.3 now and then says that it met a NaN,
    by what its memory held before."""
    folder = tmp_path_factory.mktemp("fasttext")
    lines = ["__label__sea the boat sails on waves"] * 30 + ["__label__land a cow eats grass"] * 30
    (folder / "train.txt").write_text("\n".join(lines) + "\n")
    command = [sys.executable, "-c", TRAINING, str(folder / "train.txt"), str(folder / "model.bin")]
    said = ""
    for _ in range(8):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            return folder / "model.bin"
        said = done.stderr
    raise AssertionError(said)


def test_a_local_fasttext_model(model: Path) -> None:
    step = Topic(engine=f"fasttext/{model}")
    found = scores(step, "the boat\nsails", "a cow eats", "\ud800 boat waves", "")
    assert [values[0] for values in found] == ["sea", "land", "sea", None]
    assert found[0][2] == "normal" and found[0][1] > 0.5
    assert len(step.fingerprint()["file"]) == 64


def test_a_file_that_is_no_model_is_told(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        Topic(engine=f"fasttext/{tmp_path}/none.bin").fingerprint()
    (tmp_path / "text.bin").write_text("not a model")
    with pytest.raises(ModelError, match="is no fastText model"):
        Topic(engine=f"fasttext/{tmp_path}/text.bin").load()


@pytest.mark.parametrize(
    "wrong",
    [
        {"engine": "bert"},
        {"engine": "fasttext/"},
        {"engine": "endpoint"},
        {"engine": "endpoint", "url": "ftp://x", "model": "m", "labels": ("a", "b")},
        {"url": "http://x"},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError):
        Topic(**wrong)


class Server(http.server.BaseHTTPRequestHandler):
    """Answers by the words of the question; fails once where it is told to."""

    failures = 0
    seen: list[dict[str, Any]] = []  # noqa: RUF012 (shared on purpose)

    def do_POST(self) -> None:
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        Server.seen.append(question | {"key": self.headers.get("Authorization")})
        if Server.failures:
            Server.failures -= 1
            self.send_error(503)
            return
        text = question["messages"][1]["content"]
        said = "Sports." if "ball" in text else "something else"
        body = json.dumps({"choices": [{"message": {"content": said}}]}).encode()
        self.send_response(401 if "forbidden" in text else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@pytest.fixture
def address() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    Server.seen.clear()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def test_an_endpoint_chooses_from_the_labels(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(API_KEY, "secret")
    Server.failures = 1
    engine = Endpoint(address, "small", ["sports", "food"], wait=0.0)
    found = engine.classify(["the ball", "what", " "])
    assert found == [Answer("sports", None), Answer(None, None), Answer(None, None)]
    assert len(Server.seen) == 3  # one was asked twice, the empty one never
    assert Server.seen[0]["temperature"] == 0 and Server.seen[0]["key"] == "Bearer secret"
    assert "sports, food" in Server.seen[0]["messages"][0]["content"]


def test_an_endpoint_that_refuses_or_is_not_there_is_told(address: str) -> None:
    with pytest.raises(ModelError, match="status 401"):
        Endpoint(address, "small", ["a", "b"], wait=0.0).classify(["forbidden"])
    assert len(Server.seen) == 1
    with pytest.raises(ModelError, match="does not answer"):
        Endpoint("http://127.0.0.1:9/v1", "small", ["a", "b"], wait=0.0).classify(["x"])


def test_the_address_is_no_part_of_the_key() -> None:
    asked = {"engine": "endpoint", "model": "small", "labels": ("a", "b")}
    one, other = (Topic(url=f"http://{host}/v1", **asked) for host in ("here", "there"))
    assert one.fingerprint() == other.fingerprint()
