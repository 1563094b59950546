"""The speech endpoint: what is asked, what is read, and every way in which a server fails."""

from collections.abc import Iterator

import numpy as np
import pytest
import tiny_synthesizers as tiny

from transforms import flac
from transforms.engines import synthesizer
from transforms.engines.generator import EndpointSettings
from transforms.engines.models import ModelError
from transforms.engines.synth_wav import read_wav
from transforms.engines.synthesizer import Manner, Sound, SynthSettings, Unspoken

VOICES = {"alloy": "en-us", "nova": "en-gb"}


@pytest.fixture
def server() -> Iterator[tiny.SpeechServer]:
    found = tiny.SpeechServer()
    yield found
    found.close()


def settings_for(url: str, **more) -> SynthSettings:
    endpoint = EndpointSettings(
        base_url=url, tries=3, longest_wait=0.0, total_seconds=5.0, **more.pop("endpoint", {})
    )
    return SynthSettings(voices=VOICES, endpoint=endpoint, **more)


def say(settings: SynthSettings, text: str = "Hello there.", voice: str = "alloy"):
    engine = synthesizer.load("endpoint/hum-1", settings)
    with engine.begin(1) as reading:
        answer = reading.say(text, voice, Manner(speed=1.2))
    engine.close()
    return answer


@pytest.mark.parametrize("kind", ["wav", "flac", "pcm"])
def test_each_form_is_read(server, kind):
    answer = say(settings_for(server.url, format=kind))
    assert isinstance(answer, Sound)
    assert answer.rate == 24_000
    assert len(answer.pcm) == int(12 * 0.07 * 24000 / 1.2)
    assert server.asked == [
        {
            "model": "hum-1",
            "voice": "alloy",
            "input": "Hello there.",
            "response_format": kind,
            "speed": 1.2,
        }
    ]


def test_the_key_is_sent_and_never_told(server, monkeypatch):
    monkeypatch.setenv("SPEECH_KEY", "s3cret-key")
    server.script = [(401, "application/json", b'{"error": "no s3cret-key here"}')]
    with pytest.raises(ModelError) as caught:
        say(settings_for(server.url, endpoint={"key_env": "SPEECH_KEY"}))
    assert server.keys == ["Bearer s3cret-key"]
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_what_may_pass_is_tried_again(server, status):
    server.script = [(status, "text/plain", b"busy")] * 2
    assert isinstance(say(settings_for(server.url)), Sound)
    assert len(server.asked) == 3


def test_a_server_that_fails_on_ends_the_run_and_says_what_to_do(server):
    server.script = [(500, "text/plain", b"no")] * 3
    with pytest.raises(ModelError, match="run the same command again"):
        say(settings_for(server.url))


def test_a_server_that_is_down_is_told_at_plan_time():
    down = settings_for("http://127.0.0.1:9/v1")
    with pytest.raises(ModelError, match="does not answer"):
        synthesizer.fingerprint("endpoint/hum-1", down)


def test_a_model_that_the_server_lacks_is_told_at_plan_time(server):
    with pytest.raises(ModelError, match="hum-1"):
        synthesizer.fingerprint("endpoint/hum-2", settings_for(server.url))


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ((400, "application/json", b'{"error": "not that text"}'), "refused"),
        ((200, "application/json", b"{}"), "refused"),
        ((200, "audio/wav", b"RIFF....WAVEjunk"), "refused"),
        ((200, "audio/wav", b"<html></html>"), "refused"),
        ((200, "audio/wav", tiny.wav(np.zeros(24_000 * 9), 24_000)), "too_long"),
        ((200, "audio/wav", b"RIFF" + b"x" * 10_000_000), "too_long"),
    ],
)
def test_a_bad_answer_costs_its_text_alone(server, answer, reason):
    server.script = [answer] * 3
    settings = settings_for(server.url, max_seconds=8.0)
    found = say(settings)
    assert isinstance(found, Unspoken)
    assert found.reason == reason
    server.script = []
    assert isinstance(say(settings), Sound)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"fLaC and no more", "refused"),
        (b"#EXTM3U\nfile:///etc/hostname\n", "refused"),
        (flac.encode(np.zeros(24_000 * 9, np.int16), 24_000), "too_long"),
    ],
)
def test_a_compressed_answer_goes_through_the_one_door(server, body, reason):
    server.script = [(200, "audio/flac", body)]
    found = say(settings_for(server.url, max_seconds=8.0, format="flac"))
    assert isinstance(found, Unspoken)
    assert found.reason == reason


def test_voices_must_be_named(server):
    with pytest.raises(ModelError, match="no voices"):
        synthesizer.load("endpoint/hum-1", SynthSettings())


def test_a_stream_that_claims_no_true_length_is_read():
    samples = np.arange(-500, 500).astype(np.int16)
    for claimed in (0xFFFFFFFF, 10_000):
        pcm, rate = read_wav(tiny.wav(samples, 22_050, claimed=claimed), 1.0)
        assert rate == 22_050
        assert np.array_equal(pcm, samples)


def test_two_channels_are_mixed():
    samples = np.array([100, 300, -50, -150], np.int16)
    pcm, _ = read_wav(tiny.wav(samples, 16_000, channels=2), 1.0)
    assert pcm.tolist() == [200, -100]


@pytest.mark.parametrize(
    "data", [b"", b"RIFF", tiny.wav(np.zeros(4), 16_000)[:30], tiny.wav(np.zeros(4), 500_000)]
)
def test_what_is_no_wav_is_refused(data):
    with pytest.raises(ValueError, match="WAV"):
        read_wav(data, 1.0)
