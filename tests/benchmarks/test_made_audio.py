"""Recordings made for measuring are what they say, and the same each time."""

import hashlib
import pathlib

import soundfile

from benchmarks import made_audio


def test_samples_stand_in_where_there_is_no_corpus(tmp_path: pathlib.Path) -> None:
    voices = made_audio.voices(tmp_path)
    assert len(voices) >= 2
    assert all(len(spoken) > made_audio.RATE for spoken in voices.values() for spoken in spoken)


def test_a_third_each_of_clips_podcasts_and_one_long_file(tmp_path: pathlib.Path) -> None:
    made = made_audio.mixed(tmp_path, made_audio.voices(tmp_path), 0.6)
    kinds = [one.path.name.split("-")[0] for one in made]
    assert kinds.count("long") == 1 and kinds.count("podcast") == 1 and kinds.count("clip") > 1
    for one in made:
        assert abs(soundfile.info(one.path).duration - one.seconds) < 0.1
        assert one.text.split()
    third = sum(one.seconds for one in made if one.path.name.startswith("clip"))
    assert 12 <= third < 12 + 20


def test_no_two_stretches_are_equal_and_two_makings_are(tmp_path: pathlib.Path) -> None:
    source = made_audio.voices(tmp_path)
    digests = [
        [
            hashlib.sha256(one.path.read_bytes()).hexdigest()
            for one in made_audio.clips(tmp_path / name, source, 60)
        ]
        for name in ("first", "second")
    ]
    assert digests[0] == digests[1]
    assert len(set(digests[0])) == len(digests[0]) > 6


def test_a_text_fits_into_a_table_however_long_the_recording() -> None:
    assert len(made_audio.words(10 * 3600, 1)) <= made_audio.MOST_CHARACTERS
    assert len(made_audio.words(20, 1).split()) == 50
    assert len(made_audio.words(0.1, 1).split()) == 1
