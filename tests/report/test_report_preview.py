import io
import random

import numpy as np
import soundfile

from pipeline.report import preview
from schemas.ids import digest_of

IDS = [digest_of(n) for n in range(500)]


def test_the_choice_is_the_same_in_any_order() -> None:
    chosen = preview.pick(17, "kept", IDS, 20)
    shuffled = IDS * 2
    random.Random(3).shuffle(shuffled)
    assert preview.pick(17, "kept", iter(shuffled), 20) == chosen
    assert len(set(chosen)) == 20
    assert preview.pick(18, "kept", IDS, 20) != chosen
    assert preview.pick(17, "dropped", IDS, 20) != chosen


def test_one_more_id_changes_at_most_one_card() -> None:
    before = set(preview.pick(17, "kept", IDS, 20))
    after = set(preview.pick(17, "kept", [*IDS, digest_of("new")], 20))
    assert len(before - after) <= 1


def test_fewer_than_wanted_and_none() -> None:
    assert sorted(preview.pick(1, "x", IDS[:3], 20)) == sorted(IDS[:3])
    assert preview.pick(1, "x", IDS, 0) == []


def test_previews_are_lossless_cut_and_repeatable() -> None:
    pcm = np.random.Generator(np.random.PCG64(1)).integers(-3000, 3000, 40000).astype(np.int16)
    data, seconds = preview.flac(pcm, 16000, seconds=2.0)
    back, rate = soundfile.read(io.BytesIO(data), dtype="int16")
    assert seconds == 2.0 and rate == 16000
    assert (back == pcm[:32000]).all()
    assert preview.flac(pcm, 16000, seconds=2.0)[0] == data
    assert preview.flac(pcm, 16000)[1] == 2.5
