"""The order of documents: a permutation in every epoch, window by window, for any sizes."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.shard import ShardError
from trainer.data import DataError, DataSettings, Lost, SetSettings
from trainer.order import Drawn, Order, read_weights


@dataclasses.dataclass(frozen=True)
class Entry:
    sha256: str
    bytes: int
    documents: int
    seconds: float = 1.0


class Shelf:
    """Shards of given sizes, as the order sees them."""

    name = "shelf"

    def __init__(self, sizes: list[int], broken: frozenset[int] = frozenset()) -> None:
        self.entries = [
            Entry(f"{place:064x}", 100 * size, size) for place, size in enumerate(sizes)
        ]
        self.documents = sum(sizes)
        self.settings = SetSettings(shards="shelf")
        self._broken = broken

    def count(self, shard: int) -> int:
        return self.entries[shard].documents

    def keys(self, shard: int) -> list[tuple[int, str]]:
        if shard in self._broken:
            raise ShardError("bad_index", "broken")
        return [(n, f"{shard}-{n}") for n in range(self.count(shard))]


def order_of(shelf: Shelf, **values: object) -> Order:
    plain = {"sets": {"shelf": shelf.settings}, **values}
    return Order(shelf, DataSettings.model_validate(plain))  # type: ignore[arg-type]


SIZES = st.lists(st.integers(1, 9), min_size=1, max_size=12)


@given(SIZES, st.integers(0, 5), st.integers(0, 3), st.integers(1, 30), st.integers(100, 3000))
def test_every_epoch_is_a_permutation(
    sizes: list[int], seed: int, epoch: int, documents: int, size: int
) -> None:
    shelf = Shelf(sizes)
    order = order_of(shelf, seed=seed, window_documents=documents, window_bytes=size)
    found = [one for one, _ in order.after(epoch, (0, 0))]
    everything = {Drawn(shard, row, 0) for shard, n in enumerate(sizes) for row in range(n)}
    assert set(found) == everything
    assert len(found) == len(everything)
    for group in order.windows(epoch):
        assert len(group) == 1 or sum(sizes[shard] for shard in group) <= documents
        assert len(group) == 1 or sum(100 * sizes[shard] for shard in group) <= size


@given(SIZES, st.integers(0, 5), st.data())
def test_a_place_leads_on_from_where_it_was_taken(
    sizes: list[int], seed: int, data: st.DataObject
) -> None:
    shelf = Shelf(sizes)
    settings = {"seed": seed, "window_documents": 12}
    whole = list(order_of(shelf, **settings).after(1, (0, 0)))
    at = data.draw(st.integers(0, len(whole) - 1))
    rest = list(order_of(shelf, **settings).after(1, whole[at][1]))
    assert rest == whole[at + 1 :]
    shares = [order_of(shelf, **settings).share(1, place) for _, place in whole]
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_a_shard_without_an_index_is_lost_once_or_an_error() -> None:
    shelf = Shelf([3, 4, 5], broken=frozenset([1]))
    found = [one for one, _ in order_of(shelf, on_bad_shard="skip").after(0, (0, 0))]
    lost = [one for one in found if isinstance(one, Lost)]
    assert [(one.code, one.documents) for one in lost] == [("bad_index", 4)]
    assert len(found) == 9
    with pytest.raises(ShardError, match="broken"):
        list(order_of(shelf).after(0, (0, 0)))


@pytest.mark.parametrize("text", ["", "[]", '{"a": -1}', '{"a": "1"}', '{"a": true}', '{"a": NaN}'])
def test_weights_that_make_no_sense_are_refused(tmp_path, text: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "weights.json"
    path.write_text(text)
    with pytest.raises(DataError, match="weights"):
        read_weights(str(path))
