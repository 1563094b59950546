"""Which directories are pyannote pipelines: missing, gated, partial, broken and hostile ones are
refused with what to do, before pyannote.audio is imported and without asking the network."""

import json
import os
import pickle
import socket
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from transforms.annotate.diarize import Diarize
from transforms.engines import diarizer, pyannote_files
from transforms.engines.models import ModelError
from transforms.engines.pyannote_files import COMMUNITY, check_pickles, digest, directory, place_of

pytestmark = pytest.mark.skipif(
    find_spec("lightning") is None, reason="pyannote.audio is an extra that is not installed"
)

CONFIG = """\
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    clustering: VBxClustering
    segmentation: $model/segmentation
    embedding: $model/embedding
    plda: $model/plda
"""


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    """A directory that looks like a pipeline; its models hold nothing."""
    import torch

    root = tmp_path / "pipeline"
    for part in ("segmentation", "embedding", "plda"):
        (root / part).mkdir(parents=True)
    for part in ("segmentation", "embedding"):
        torch.save({"state_dict": {"a": torch.zeros(2)}}, root / part / "pytorch_model.bin")
    for name in ("plda.npz", "xvec_transform.npz"):
        (root / "plda" / name).write_bytes(b"numbers")
    (root / "config.yaml").write_text(CONFIG)
    return root


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args, **kwargs):
        raise AssertionError(f"a connection was attempted: {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


# --- names -----------------------------------------------------------------------------------


def test_places_in_engine_names(tmp_path, monkeypatch):
    assert place_of("pyannote") == COMMUNITY
    assert place_of(f"pyannote/{COMMUNITY}") == COMMUNITY
    assert place_of("pyannote/someone/model@3a1") == "someone/model@3a1"
    assert place_of("pyannote//data/models/mine") == "/data/models/mine"
    assert place_of("pyannote/./mine") == "./mine"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine").mkdir()
    assert place_of("pyannote/mine") == "mine"


@pytest.mark.parametrize("name", ["pyannote/", "pyannote/nothing-here", "pyannote/a b/c"])
def test_names_that_can_mean_nothing(name):
    with pytest.raises(ValueError, match="names no pipeline"):
        Diarize(engine=name)


def test_misspelt_family_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'pyannote'"):
        diarizer.engine("pyanote")


# --- what is there ---------------------------------------------------------------------------


def test_a_whole_directory_is_taken(pipeline):
    assert directory(str(pipeline)) == pipeline
    check_pickles(pipeline, str(pipeline))


def test_missing_directory_says_what_to_accept_and_download(tmp_path):
    with pytest.raises(ModelError) as raised:
        directory(str(tmp_path / "gone"))
    for said in ("gone", f"https://hf.co/{COMMUNITY}", "HF_TOKEN", f"hf download {COMMUNITY}"):
        assert said in str(raised.value)
    assert "--local-dir" in str(raised.value)


_ABSENT = """
import json, socket, sys
def refuse(*args, **kwargs):
    raise AssertionError("a connection was attempted")
socket.socket.connect = socket.getaddrinfo = refuse
from transforms.annotate.diarize import Diarize
from transforms.engines.models import ModelError
try:
    getattr(Diarize(engine="pyannote/someone/gated-model@v2"), sys.argv[1])()
except ModelError as error:
    print(json.dumps([str(error), "torch" in sys.modules, "pyannote.audio" in sys.modules]))
"""


@pytest.mark.parametrize("offline", ["0", "1"])
@pytest.mark.parametrize("call", ["fingerprint", "load"])
def test_a_model_that_is_not_in_the_cache_is_never_fetched(tmp_path, offline, call):
    done = subprocess.run(
        [sys.executable, "-c", _ABSENT, call],
        env={
            **os.environ,
            "HF_HOME": str(tmp_path),
            "HF_HUB_OFFLINE": offline,
            "HF_TOKEN": "hf_secretsecretsecret",
        },
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    message, torch, library = json.loads(done.stdout)
    for said in (
        "someone/gated-model at revision v2 is not on this machine",
        str(tmp_path),
        "https://hf.co/someone/gated-model",
        "hf download someone/gated-model --revision v2",
    ):
        assert said in message
    assert "secret" not in message + done.stderr
    assert (torch, library) == (False, False)


def test_a_copy_in_the_cache_is_taken_at_its_revision(pipeline, tmp_path, monkeypatch):
    from huggingface_hub import constants

    commit = "c" * 40
    cache = tmp_path / "hub" / "models--someone--model"
    (cache / "refs").mkdir(parents=True)
    (cache / "refs" / "main").write_text(commit)
    (cache / "snapshots").mkdir()
    pipeline.rename(cache / "snapshots" / commit)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    found = directory("someone/model")
    assert found == cache / "snapshots" / commit == directory(f"someone/model@{commit}")
    with pytest.raises(ModelError, match="at revision v9 is not on this machine"):
        directory("someone/model@v9")


def test_missing_package_says_what_to_install(pipeline, monkeypatch):
    def absent(name):
        raise pyannote_files.importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(pyannote_files.importlib.metadata, "version", absent)
    with pytest.raises(ModelError, match=r"pip install 'speechloom\[pyannote\]'"):
        Diarize(engine=f"pyannote/{pipeline}").fingerprint()
    with pytest.raises(ModelError, match=r"pip install 'speechloom\[pyannote\]'"):
        Diarize(engine=f"pyannote/{pipeline}").load()


@pytest.mark.parametrize(
    "file",
    [
        "config.yaml",
        "segmentation/pytorch_model.bin",
        "embedding/pytorch_model.bin",
        "plda/plda.npz",
        "plda/xvec_transform.npz",
    ],
)
def test_a_part_that_is_missing_is_named(pipeline, file):
    (pipeline / file).unlink()
    with pytest.raises(ModelError, match=f"{file}.*hf download"):
        directory(str(pipeline))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (CONFIG, "", "is not a configuration"),
        (CONFIG, "a: [", "cannot be read"),
        (CONFIG, "- a", "is not a configuration"),
        (CONFIG, "pipeline: 3", "has no pipeline"),
        ("SpeakerDiarization", "VoiceActivityDetection", "only .*SpeakerDiarization is run"),
        ("pyannote.audio.pipelines.SpeakerDiarization", "subprocess.Popen", "subprocess.Popen"),
        ("VBxClustering", "OracleClustering", "must be told the number of speakers"),
        ("VBxClustering", "KMeansClustering", "must be told the number of speakers"),
        ("    plda: $model/plda\n", "", "plda: None, so it would come from the hub"),
        ("$model/embedding", "pyannote/wespeaker", "would come from the hub"),
        ("$model/embedding", "{checkpoint: other/model}", "would come from the hub"),
        ("$model/segmentation", "$model/../../other", "outside of it"),
        ("pipeline:\n", "preprocessors: {audio: {name: os.system}}\npipeline:\n", "preprocessors"),
    ],
)
def test_configurations_that_are_refused(pipeline, old, new, said):
    assert old in CONFIG
    (pipeline / "config.yaml").write_text(CONFIG.replace(old, new))
    with pytest.raises(ModelError, match=said):
        directory(str(pipeline))


def test_a_configuration_that_is_no_text(pipeline):
    (pipeline / "config.yaml").write_bytes(b"\xff\xfe\x00pipeline")
    with pytest.raises(ModelError, match=r"config\.yaml cannot be read"):
        directory(str(pipeline))


class Hostile:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("part", ["segmentation", "embedding"])
def test_a_checkpoint_that_runs_a_program_is_not_loaded(pipeline, part, tmp_path):
    import torch

    torch.save({"state_dict": Hostile(tmp_path / "pwned")}, pipeline / part / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"could run a program.*(posix|nt)\.mkdir"):
        check_pickles(pipeline, str(pipeline))
    assert not (tmp_path / "pwned").exists()


def test_checkpoints_in_other_formats_are_not_loaded(pipeline, tmp_path):
    import torch

    file = pipeline / "segmentation" / "pytorch_model.bin"
    whole = file.read_bytes()
    for broken in (
        b"",
        whole[: len(whole) // 2],
        b"version https://git-lfs.github.com/spec/v1\n",
        pickle.dumps(Hostile(tmp_path / "pwned")),
        pickle.dumps(Hostile(tmp_path / "pwned")) + whole,
    ):
        file.write_bytes(broken)
        with pytest.raises(ModelError, match="no checkpoint that can be read"):
            check_pickles(pipeline, str(pipeline))
    torch.save({"a": Hostile(tmp_path / "pwned")}, file, _use_new_zipfile_serialization=False)
    with pytest.raises(ModelError, match="no checkpoint that can be read"):
        check_pickles(pipeline, str(pipeline))
    assert not (tmp_path / "pwned").exists()


# --- what it is ------------------------------------------------------------------------------


def test_the_digest_is_of_all_files_and_of_nothing_else(pipeline, tmp_path):
    first = digest(pipeline)
    assert len(first) == 64
    (pipeline / ".cache").mkdir()
    (pipeline / ".cache" / "download.lock").write_text("x")
    moved = pipeline.rename(tmp_path / "elsewhere")
    assert digest(moved) == first
    for file, change in [
        (moved / "config.yaml", CONFIG + "#"),
        (moved / "plda" / "plda.npz", "other numbers"),
        (moved / "README.md", "new"),
    ]:
        file.write_text(change)
        second = digest(moved)
        assert second != first
        first = second


def test_the_key_holds_model_device_and_versions(pipeline):
    found = Diarize(engine=f"pyannote/{pipeline}", device="cpu").fingerprint()
    assert found["model"] == digest(pipeline) and found["device"] == "cpu"
    assert {"pyannote.audio", "torch", "numpy"} <= set(found)
    assert json.loads(json.dumps(found)) == found


def test_a_gpu_that_is_not_there_is_told(pipeline):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(ModelError, match="torch finds no GPU"):
        Diarize(engine=f"pyannote/{pipeline}", device="cuda").fingerprint()
    assert Diarize(engine=f"pyannote/{pipeline}").fingerprint()["device"] == "cpu"
