"""Models named by hub ids: fetched once before work starts, or refused with what to do.

Against a hub on loopback (`made_hub`); huggingface_hub itself is real.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline import hub_models
from pipeline.curate import Options
from pipeline.forecast import forecast
from pipeline.recipe import Recipe, load_recipe
from tests.pipeline.made_hub import COMMIT, GOOD, Hub, serving
from transforms.engines import pyannote_files, whisper_files
from transforms.engines.models import ModelError

TOY = Path("tests/assets/whisper-toy")
CONFIG = """\
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params: {segmentation: $model/segmentation, embedding: $model/embedding, plda: $model/plda}
"""
WHISPER = "transcribe.engines=[given, faster-whisper/people/toy]"
PYANNOTE = "diarize.engine=pyannote/people/voices"


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with serving() as hub:
        yield hub


@pytest.fixture
def hub(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The hub as huggingface_hub's own, an empty cache, and no token."""
    from huggingface_hub import constants

    voices = tmp_path / "voices"
    for name, data in (
        ("config.yaml", CONFIG.encode()),
        ("segmentation/pytorch_model.bin", b"1"),
        ("embedding/pytorch_model.bin", b"2"),
        ("plda/plda.npz", b"3"),
        ("plda/xvec_transform.npz", b"4"),
    ):
        (voices / name).parent.mkdir(parents=True, exist_ok=True)
        (voices / name).write_bytes(data)
    server.models.clear()
    server.gated.clear()
    server.asked.clear()
    server.fails = 0
    server.add("people/toy", TOY)
    server.add("people/voices", voices, gated=True)
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return server


def recipe(*changes: str) -> Recipe:
    return load_recipe("recipes/offline.yaml", ["offline=false", *changes])


def prepare(made: Recipe) -> list[tuple[str, Any]]:
    told: list[tuple[str, Any]] = []
    hub_models.prepare(made, lambda kind, value: told.append((kind, value)))
    return told


def refusal(made: Recipe) -> str:
    with pytest.raises(ModelError) as raised:
        hub_models.prepare(made, lambda *_: None)
    assert GOOD not in str(raised.value) and "hf_broken" not in str(raised.value)
    return str(raised.value)


def test_what_is_missing_is_fetched_once_and_then_taken_from_the_cache(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", GOOD)
    made = recipe(WHISPER, PYANNOTE)
    assert prepare(made) == [
        ("fetch", {"model": "people/voices"}),
        ("fetch", {"model": "people/toy"}),
    ]
    folder = whisper_files.locate("people/toy")
    assert folder.name == COMMIT
    assert whisper_files.digest(folder) == whisper_files.digest(TOY)
    assert pyannote_files.directory("people/voices").name == COMMIT
    taken = {path for path, _ in hub.asked}
    assert "GET /people/toy/resolve/" + COMMIT + "/model.bin" in taken
    assert not any("clips" in path or "README" in path for path in taken)  # no part of the model
    assert {token for path, token in hub.asked if "voices" in path} == {GOOD}
    hub.asked.clear()
    assert prepare(made) == [] and hub.asked == []  # not even a look at what the hub has now


def test_a_recipe_without_hub_ids_asks_nothing(hub: Hub) -> None:
    assert prepare(recipe(f"transcribe.engines=[faster-whisper/{TOY}]")) == []
    assert prepare(load_recipe("recipes/offline.yaml")) == []
    assert hub.asked == []


def test_one_model_of_two_steps_is_fetched_once(hub: Hub) -> None:
    assert len(prepare(recipe("transcribe.engines=[faster-whisper/people/toy]"))) == 1


def test_a_gated_model_without_a_token_says_what_to_accept_and_which_variable(hub: Hub) -> None:
    said = refusal(recipe(PYANNOTE))
    for part in (
        "pyannote/people/voices",
        "people/voices is gated, and there is no token",
        "conditions must be accepted at https://hf.co/people/voices",
        "https://hf.co/settings/tokens",
        "set HF_TOKEN",
    ):
        assert part in said


def test_a_gated_model_with_the_token_of_a_stranger(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_astrangerstoken")
    said = refusal(recipe(PYANNOTE))
    assert "is gated, and the account of this token has no access" in said
    assert "accepted at https://hf.co/people/voices" in said and "astranger" not in said


def test_a_token_that_is_none_is_told(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_brokentoken")
    for change in (PYANNOTE, WHISPER):
        said = refusal(recipe(change))
        assert "(401): the token in HF_TOKEN (or stored by `hf auth login`) is not accepted" in said


def test_a_stored_token_is_sent_where_the_environment_has_none(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(GOOD)
    assert len(prepare(recipe(PYANNOTE))) == 1


@pytest.mark.parametrize(
    ("engine", "said"),
    [
        ("pyannote/people/nothing", "has no model people/nothing, or does not show it to you"),
        ("pyannote/people/voices@v9", "people/voices has no revision v9"),
    ],
)
def test_names_that_the_hub_does_not_know(hub: Hub, engine: str, said: str) -> None:
    assert said in refusal(recipe(f"diarize.engine={engine}"))


def test_a_hub_that_fails_or_is_not_there(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    hub.fails = 418
    assert "cannot be fetched" in refusal(recipe(WHISPER))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    said = refusal(recipe(WHISPER))
    assert "people/toy is not on this machine and cannot be fetched" in said
    assert "`hf download people/toy`" in said


def test_offline_by_recipe_or_environment_asks_nothing(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    said = refusal(recipe(WHISPER, "offline=true"))
    assert "people/toy is not on this machine" in said and "`hf download people/toy`" in said
    assert "the recipe says offline: true" in said
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for change in (WHISPER, PYANNOTE):
        said = refusal(recipe(change))
        assert "HF_HUB_OFFLINE is set" in said and "hf download people/" in said
    assert hub.asked == []


def test_a_download_that_broke_off_is_completed(hub: Hub, tmp_path: Path) -> None:
    prepare(recipe(WHISPER))
    folder = whisper_files.locate("people/toy")
    (folder / "model.bin").unlink()
    assert prepare(recipe(WHISPER)) == [("fetch", {"model": "people/toy"})]
    assert whisper_files.digest(whisper_files.locate("people/toy")) == whisper_files.digest(TOY)


def test_a_model_that_the_hub_has_without_a_tokenizer_is_refused(hub: Hub) -> None:
    del hub.models["people/toy"]["tokenizer.json"]
    prepare(recipe(WHISPER))
    with pytest.raises(ModelError, match=r"lacks tokenizer\.json"):
        whisper_files.locate("people/toy")


def test_plan_says_what_would_be_fetched_and_asks_nothing(hub: Hub, tmp_path: Path) -> None:
    options = Options(data="samples/clips", out=str(tmp_path / "out"))
    plan = forecast(recipe(WHISPER, PYANNOTE), options)
    assert plan.missing == ()
    fetched = {(model.step, model.fetched) for model in plan.models if model.fetched}
    assert fetched == {("diarize", "people/voices"), ("transcribe", "people/toy")}
    assert [phase.phase for phase in plan.streams[0].phases] == ["gather"]
    refused = forecast(recipe(WHISPER, "offline=true"), options)
    assert [model.step for model in refused.missing] == ["transcribe"]
    assert hub.asked == [] and not (tmp_path / "out").exists()


@pytest.mark.slow  # two runs by the command line
def test_a_run_fetches_its_model_and_tells_no_token(hub: Hub, tmp_path: Path) -> None:
    hub.gated.add("people/toy")
    data = tmp_path / "data"
    data.mkdir()
    (data / "a.flac").write_bytes((TOY / "clips" / "single_slt.flac").read_bytes())
    out = tmp_path / "out"
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path / "home"),
    }

    def curate(*more: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = [
            *(sys.executable, "-m", "pipeline", "curate", "--data", str(data), "--out", str(out)),
            *("--workers", "1", "--set", "offline=false", "--set", WHISPER),
            *("--set", "diarize.engine=one", *more),
        ]
        environ = {**environment, **variables}
        return subprocess.run(command, capture_output=True, text=True, env=environ, timeout=100)

    refused = curate()
    assert (
        refused.returncode == 2 and "people/toy is gated, and there is no token" in refused.stderr
    )
    assert not list(out.glob("hear*")) and not list(out.glob("gather*"))
    done = curate(HF_TOKEN=GOOD)
    assert done.returncode == 0, done.stderr
    assert "models    fetching people/toy from the hub, once" in done.stdout + done.stderr
    hub.asked.clear()
    offline = curate("--offline")
    assert offline.returncode == 0 and "annotate  done before" in offline.stdout + offline.stderr
    assert hub.asked == []
    said = done.stdout + done.stderr
    files = [path.read_bytes() for path in out.rglob("*") if path.is_file()]
    assert files and not any(GOOD.encode() in data for data in files) and GOOD not in said
