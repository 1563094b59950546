"""Orders of codes: what they make of frames, and that stored and fresh tokens agree under each."""

import dataclasses
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.data.made_sets import Energy, speech_documents, write_set
from tests.trainer.data.reading import ByteText, assert_same_pack, packs_of, settings_of
from trainer.data import Data, open_data
from trainer.encoding import SpeechTokenizer
from trainer.orders import ORDERS, Order, Ordered, ordered
from trainer.pack import SPEECH, Pack, Vocabulary, check
from trainer.tokens import vocabulary
from transforms.compose.policies import Deterministic, Policy, WordSpans

BOOKS = 3
DOCUMENTS = speech_documents("talk", 24, seed=4)


@dataclasses.dataclass(frozen=True)
class Made:
    """A tokenizer of any shape."""

    codebooks: int
    levels: int
    name: str = "made"
    digest: str = "0" * 64
    frames_per_second: float = 12.5

    def encode(self, pcm: Any, rate: int) -> Any:
        raise NotImplementedError


def frames_of(books: int, levels: int, count: int) -> Any:
    chance = np.random.default_rng(books * 1000 + count)
    kind = np.uint8 if levels <= 256 else np.uint16
    return chance.integers(0, levels, (count, books)).astype(kind)


@given(
    books=st.integers(2, 9),
    levels=st.sampled_from((2, 16, 256, 2048)),
    count=st.integers(0, 30),
    order=st.sampled_from(ORDERS[1:]),
)
@settings(max_examples=60)
def test_every_code_that_is_kept_stands_where_its_order_says(
    books: int, levels: int, count: int, order: Order
) -> None:
    speech = ordered(Made(books, levels), order)
    assert isinstance(speech, Ordered)
    codes = frames_of(books, levels, count)
    laid = speech.lay(codes)
    assert laid.shape == (speech.laid(count), speech.codebooks)
    assert laid.dtype.kind == "u"
    assert not len(laid) or int(laid.max()) < speech.levels
    if order == "first":
        assert np.array_equal(laid[:, 0], codes[:, 0])
    elif order == "flatten":
        again = [[laid[f * books + c, 0] - c * levels for c in range(books)] for f in range(count)]
        assert np.array_equal(np.array(again).reshape(count, books), codes)
    elif count:
        again = [[laid[f + c, c] for c in range(books)] for f in range(count)]
        assert np.array_equal(np.array(again), codes)
        real = laid != speech.pad
        assert int(real.sum()) == count * books  # and nothing besides
        assert real.any(axis=1).all()
        # each code of a frame comes after those of the lower codebooks
        assert [int(np.argmax(real[:, c])) for c in range(books)] == list(range(books))


def test_parallel_and_one_codebook_change_nothing() -> None:
    many, one = Made(4, 16), Made(1, 500)
    assert ordered(many) is many
    assert all(ordered(one, order) is one for order in ORDERS)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ("parallel", Vocabulary(text=256, codebooks=80, levels=16)),
        ("first", Vocabulary(text=256, codebooks=1, levels=16)),
        ("delay", Vocabulary(text=256, codebooks=80, levels=17, pad=16)),
        ("flatten", Vocabulary(text=256, codebooks=1, levels=1280)),
    ],
)
def test_the_vocabulary_of_an_order(order: Order, wanted: Vocabulary) -> None:
    assert vocabulary(256, ordered(Made(80, 16), order)) == wanted


def test_rates_are_of_positions() -> None:
    rates = {order: ordered(Made(8, 2048), order).frames_per_second for order in ORDERS}  # type: ignore[arg-type]
    assert rates == {"parallel": 12.5, "first": 12.5, "delay": 12.5, "flatten": 100.0}


@pytest.mark.parametrize(
    ("speech", "order", "said"),
    [
        (Made(2, 16), "Delay", "'Delay' is no order of codes; there are parallel, first"),
        (Made(2, 1 << 16), "delay", "needs one more, and packs hold up to 65536"),
        (Ordered(Made(2, 16), "first"), "delay", "already seen through order first"),
    ],
)
def test_orders_that_cannot_be_are_refused(speech: Any, order: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ordered(speech, order)


@pytest.fixture(scope="module")
def stored_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("ordered"), DOCUMENTS, tokens=Energy(BOOKS))


def opened(folder: Path, order: Order, tokens: str, policy: Policy) -> tuple[Data, Energy]:
    source = Energy(BOOKS)
    held: dict[str, Any] = {"shards": folder, "tokens": tokens, "policy": policy, "epochs": 1}
    run = settings_of(talk=held, length=512, packs=1, last="keep")
    return open_data(run, ByteText(), ordered(source, order)), source


POLICIES = (Deterministic(), WordSpans())


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.kind)
@pytest.mark.parametrize("order", ORDERS)
def test_stored_tokens_and_fresh_ones_are_read_alike(
    stored_set: Path, order: Order, policy: Policy
) -> None:
    stored, source = opened(stored_set, order, "require", policy)
    fresh, other = opened(stored_set, order, "ignore", policy)
    one, two = packs_of(stored), packs_of(fresh)
    assert (source.heard, other.heard > 0) == (0, True)
    assert len(one) == len(two) > 3
    for a, b in zip(one, two, strict=True):
        check(a, stored.vocabulary, 512)
        assert_same_pack(a, b)  # planned positions are those that were filled, or filling raises
    assert sum(int((pack.modality == SPEECH).sum()) for pack in one) > 500


def speech_runs(pack: Pack) -> list[slice]:
    """Where speech stands in a pack, run by run."""
    edges = np.flatnonzero(np.diff(np.r_[0, pack.modality == SPEECH, 0]))
    return [slice(a, b) for a, b in edges.reshape(-1, 2)]


@pytest.mark.parametrize("order", ORDERS[1:])
def test_an_order_shows_the_frames_that_parallel_shows(stored_set: Path, order: Order) -> None:
    """The same chunks, laid otherwise: what each document says is compared chunk by chunk."""
    plain = heard(opened(stored_set, "parallel", "require", Deterministic())[0])
    other = opened(stored_set, order, "require", Deterministic())[0]
    speech = ordered(Energy(BOOKS), order)
    assert isinstance(speech, Ordered)
    found = heard(other)
    shared = sorted(set(plain) & set(found))
    assert len(shared) > 20
    first = other.vocabulary.speech_first
    for key in shared:
        laid = speech.lay(plain[key].astype(np.uint8))
        assert np.array_equal(found[key] - (first if speech.codebooks == 1 else 0), laid), key


def heard(data: Data) -> dict[tuple[str, int], Any]:
    """Codes of each chunk that is heard, by document and chunk: audio stands in even places."""
    found = {}
    for pack in packs_of(data):
        for number, (document, (first, last)) in enumerate(
            zip(pack.documents, pack.chunks, strict=True)
        ):
            own = pack.piece == number
            runs = [run for run in speech_runs(pack) if own[run.start]]
            source = pack.ids[:, None] if data.vocabulary.codebooks == 1 else pack.codes
            spoken = range(first, last, 2)
            assert len(runs) == len(spoken)
            for chunk, run in zip(spoken, runs, strict=True):
                found[document, chunk] = source[run]
    return found


def test_the_digest_of_stored_tokens_is_still_compared(stored_set: Path) -> None:
    other = Energy(BOOKS)
    other.digest = "f" * 64
    run = settings_of(talk={"shards": stored_set, "tokens": "require"})
    with pytest.raises(Exception, match="Use the one they were made with"):
        open_data(run, ByteText(), ordered(other, "delay"))


def test_a_tokenizer_of_an_order_is_one() -> None:
    speech = ordered(Energy(BOOKS), "delay")
    assert isinstance(speech, SpeechTokenizer)
    assert pickle.loads(pickle.dumps(ordered(Made(2, 16), "delay"))).laid(10) == 11
    assert (speech.name, speech.digest) == ("energy", Energy(BOOKS).digest)
