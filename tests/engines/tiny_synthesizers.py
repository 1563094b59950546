"""Small models with the inputs and outputs of the published ones, and a small speech server.

They hum: the pitch follows from what they are given, the length from the number of phonemes and the
speed. So all that stands around a network is tested; how the real ones sound is not.
"""

import json
import struct
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

PHONEMES = (
    "_^$ abcdefhijklmnoprstuvwz.,!?"
    "\u0259\u02c8\u02cc\u02d0\u0279\u00f0\u025b\u026a\u028a\u0254\u00e6\u0251"
    "\u014b\u03b8\u0283\u0292\u025c\u025a\u0261\u028c\u0250\u1d7b"
)


def _constant(name: str, value: Any, kind: int) -> Any:
    array = np.asarray(value)
    tensor = helper.make_tensor(name, kind, array.shape, array.flatten().tolist())
    return helper.make_node("Constant", [], [name], value=tensor)


def _hum(
    path: Path, inputs: list[Any], output: str, shape: list[Any], nodes: list[Any], per: int
) -> None:
    """`count` (how many), `slow` (how much slower) and `pitch` become a tone of `per` samples."""
    whole = [
        _constant("per", float(per), TensorProto.FLOAT),
        helper.make_node("Mul", ["count", "per"], ["samples_1"]),
        helper.make_node("Mul", ["samples_1", "slow"], ["samples_2"]),
        helper.make_node("ReduceSum", ["samples_2"], ["samples_3"], keepdims=0),
        helper.make_node("Floor", ["samples_3"], ["samples"]),
        _constant("zero", 0.0, TensorProto.FLOAT),
        _constant("one", 1.0, TensorProto.FLOAT),
        helper.make_node("Range", ["zero", "samples", "one"], ["time"]),
        helper.make_node("Mul", ["time", "pitch"], ["phase"]),
        helper.make_node("Sin", ["phase"], ["tone"]),
        _constant("level", 0.3, TensorProto.FLOAT),
        helper.make_node("Mul", ["tone", "level"], ["wave"]),
        _constant("shape", shape, TensorProto.INT64),
        helper.make_node("Reshape", ["wave", "shape"], [output]),
    ]
    answer = helper.make_tensor_value_info(output, TensorProto.FLOAT, [None] * len(shape))
    graph = helper.make_graph([*nodes, *whole], "hum", inputs, [answer])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def piper(folder: Path, speakers: int = 1) -> Path:
    """A voice of Piper: FILE.onnx and FILE.onnx.json."""
    path = folder / "en_US-hum-low.onnx"
    inputs = [
        helper.make_tensor_value_info("input", TensorProto.INT64, [1, None]),
        helper.make_tensor_value_info("input_lengths", TensorProto.INT64, [1]),
        helper.make_tensor_value_info("scales", TensorProto.FLOAT, [3]),
    ]
    nodes = [
        helper.make_node("Cast", ["input_lengths"], ["count"], to=TensorProto.FLOAT),
        _constant("one_at", [1], TensorProto.INT64),
        helper.make_node("Gather", ["scales", "one_at"], ["slow"]),
        helper.make_node("Cast", ["input"], ["ids"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["ids"], ["mean"], keepdims=0),
        _constant("tune", 0.002, TensorProto.FLOAT),
        helper.make_node("Mul", ["mean", "tune"], ["tuned"]),
        _constant("low", 0.05, TensorProto.FLOAT),
    ]
    if speakers > 1:
        inputs.append(helper.make_tensor_value_info("sid", TensorProto.INT64, [1]))
        nodes += [
            helper.make_node("Cast", ["sid"], ["who"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["who"], ["whom"], keepdims=0),
            helper.make_node("Mul", ["whom", "low"], ["higher"]),
            helper.make_node("Add", ["tuned", "higher"], ["tuned_2"]),
            helper.make_node("Add", ["tuned_2", "low"], ["pitch"]),
        ]
    else:
        nodes.append(helper.make_node("Add", ["tuned", "low"], ["pitch"]))
    _hum(path, inputs, "output", [1, 1, 1, -1], nodes, per=300)
    config = {
        "audio": {"sample_rate": 16000},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
        "phoneme_type": "espeak",
        "phoneme_id_map": {sign: [number] for number, sign in enumerate(PHONEMES)},
        "num_speakers": speakers,
        "speaker_id_map": {f"p{n}": n for n in range(speakers)} if speakers > 1 else {},
        "language": {"code": "en_US"},
    }
    path.with_name(path.name + ".json").write_text(json.dumps(config), encoding="utf-8")
    return path


def kokoro(folder: Path, tokens: str = "tokens", speed: int = TensorProto.FLOAT) -> Path:
    """A folder with Kokoro's files, the network taking `tokens` or `input_ids`."""
    inputs = [
        helper.make_tensor_value_info(tokens, TensorProto.INT64, [1, None]),
        helper.make_tensor_value_info("style", TensorProto.FLOAT, [1, 256]),
        helper.make_tensor_value_info("speed", speed, [1]),
    ]
    nodes = [
        helper.make_node("Shape", [tokens], ["sizes"]),
        _constant("one_at", [1], TensorProto.INT64),
        helper.make_node("Gather", ["sizes", "one_at"], ["length"]),
        helper.make_node("Cast", ["length"], ["count"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["speed"], ["speed_f"], to=TensorProto.FLOAT),
        helper.make_node("Reciprocal", ["speed_f"], ["slow"]),
        helper.make_node("ReduceMean", ["style"], ["pitch"], keepdims=0),
    ]
    _hum(folder / "kokoro.onnx", inputs, "audio", [-1], nodes, per=1200)
    vocabulary = {sign: number for number, sign in enumerate(PHONEMES) if sign not in "_^$"}
    (folder / "config.json").write_text(json.dumps({"vocab": vocabulary}), encoding="utf-8")
    voices = {
        name: np.full((510, 1, 256), 0.02 + 0.02 * number, np.float32)
        for number, name in enumerate(("af_one", "am_two", "bf_three", "jf_four"))
    }
    with (folder / "voices-v1.0.bin").open("wb") as file:
        np.savez(file, **voices)
    return folder


MELO = '''
import numpy as np
import torch

class _Data:
    pass

class TTS:
    """What the adapter uses of MeloTTS: noise from torch's generator, under an envelope."""

    def __init__(self, language, device="auto", use_hf=True, config_path=None, ckpt_path=None):
        assert device == "cpu" and language == "EN"
        open(config_path).close()
        open(ckpt_path).close()

    def tts_to_file(self, text, speaker_id, output_path=None, speed=1.0, quiet=False):
        assert output_path is None and quiet
        count = int(len(text) * 0.06 * 44100 / speed)
        tone = 0.3 * np.sin(np.arange(count) * (0.02 + 0.01 * speaker_id))
        return (tone + 0.001 * torch.randn(count).numpy()).astype(np.float32)
'''


def melo(folder: Path) -> Path:
    """A folder of MeloTTS, and a package of its name in `folder/package`."""
    package = folder / "package" / "melo"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("", encoding="utf-8")
    (package / "api.py").write_text(MELO, encoding="utf-8")
    config = {"data": {"spk2id": {"EN-US": 0, "EN-BR": 1}, "sampling_rate": 44100}}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (folder / "checkpoint.pth").write_bytes(b"weights")
    return folder


def wav(samples: np.ndarray, rate: int, channels: int = 1, claimed: int | None = None) -> bytes:
    """A WAV file of int16 samples; `claimed`: the length that its header claims."""
    body = samples.astype("<i2").tobytes()
    size = len(body) if claimed is None else claimed
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * 2 * channels, 2 * channels, 16)
    head = b"fmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size)
    return b"RIFF" + struct.pack("<I", min(36 + size, 2**32 - 1)) + b"WAVE" + head + body


class SpeechServer:
    """POST /v1/audio/speech on loopback. `script`: answers to give first, (status, type, body)."""

    def __init__(self) -> None:
        self.asked: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.script: list[tuple[int, str, bytes]] = []
        self.sound: Callable[[dict[str, Any]], tuple[str, bytes]] = _tone
        server = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self._give(200, "application/json", b'{"data": [{"id": "hum-1"}]}')

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                server.asked.append(json.loads(body))
                server.keys.append(self.headers.get("Authorization"))
                if self.path != "/v1/audio/speech":
                    self._give(404, "application/json", b"{}")
                elif server.script:
                    self._give(*server.script.pop(0))
                else:
                    self._give(200, *server.sound(server.asked[-1]))

            def _give(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def _tone(question: dict[str, Any]) -> tuple[str, bytes]:
    count = int(len(question["input"]) * 0.07 * 24000 / question["speed"])
    samples = 9000 * np.sin(np.arange(count) * (0.02 if question["voice"] == "alloy" else 0.03))
    kind = question["response_format"]
    if kind == "pcm":
        return "application/octet-stream", samples.astype("<i2").tobytes()
    if kind == "flac":
        from transforms import flac

        return "audio/flac", flac.encode(samples.astype(np.int16), 24000)
    return "audio/wav", wav(samples, 24000)
