"""The whole path from shards to batches: what is read, in which order, and that it can go on."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from schemas.records import Document
from tests.trainer.data.made_sets import ByteText, Energy, speech_documents, write_set
from tests.trainer.data.reading import (
    assert_same,
    assert_same_pack,
    expected_piece,
    fullness,
    opened,
    packs_of,
    pieces_in,
    positions,
    settings_of,
)
from trainer.data import DataError, DataState, StoredOnly, open_data
from trainer.pack import PADDING, check
from transforms.compose.policies import Asr, Deterministic, Policy, Stochastic, Tts


@pytest.mark.parametrize("bounds", [None, (2.0, 2.5)])
@pytest.mark.parametrize("policy", [Deterministic(start="alternate"), Stochastic(), Asr(), Tts()])
def test_every_position_of_an_epoch_is_read_once(
    talk_set: Path, talks: dict[str, Document], policy: Policy, bounds: tuple[float, float] | None
) -> None:
    """Each piece equals what its document says, and the pieces are all documents, in each epoch."""
    coarse = {"granularity": "coarse", "coarse_max_gap": 2.0, "coarse_max_chunk": 2.5}
    about = {"shards": talk_set, "policy": policy, "epochs": 2, **(coarse if bounds else {})}
    data = opened(settings_of(talk=about, packs=1, length=400))
    seen: dict[int, Counter[tuple[str, int]]] = {0: Counter(), 1: Counter()}
    for given in data.batches():
        (pack,) = given.batch.packs
        check(pack, data.vocabulary, 400)
        epoch = dict(given.state.sets)["talk"].epoch
        for name, chunks, ids in zip(pack.documents, pack.chunks, pieces_in(pack), strict=True):
            document = talks[name]
            assert ids == expected_piece(document, chunks, policy, epoch, data.vocabulary, bounds)
            seen[epoch].update((name, chunk) for chunk in range(*chunks))
    whole = {
        (name, chunk) for name, document in talks.items() for chunk in range(len(document.chunks))
    }
    for found in seen.values():
        assert set(found) == whole
        assert set(found.values()) == {1}


def test_withheld_is_the_other_side_of_each_chunk(
    talk_set: Path, talks: dict[str, Document]
) -> None:
    about = {"shards": talk_set, "epochs": 1}
    packs = packs_of(opened(settings_of(talk=about, packs=1)))
    text = sum(len(" " + c.text) for d in talks.values() for c in d.chunks)
    energy = Energy()
    spoken = sum(
        energy.grid.positions(round(c.end * 8000) - round(c.start * 8000), 8000)
        for d in talks.values()
        for c in d.chunks
    )
    found = positions(packs)
    assert sum(p.withheld for p in packs) + found["text"] + found["speech"] == text + spoken
    assert found["text"] > 100
    assert found["speech"] > 100
    seconds = sum(pack.seconds for pack in packs)
    assert 0 < seconds < sum(document.seconds for document in talks.values())


@pytest.mark.parametrize("policy", [Deterministic(start="alternate"), Stochastic()])
def test_every_token_of_a_pack_is_shown_or_withheld(
    talk_set: Path, talks: dict[str, Document], policy: Policy
) -> None:
    """Chunk by chunk over two epochs: one side stands in the pack, the other is counted. Bytes of
    text are exact; units of speech are those of the chunk alone."""
    about = {"shards": talk_set, "policy": policy, "epochs": 2}
    packs = packs_of(opened(settings_of(talk=about, packs=1)))
    energy, shown = Energy(), Counter[tuple[str, int]]()
    for pack in packs:
        both = 0
        for name, (first, last) in zip(pack.documents, pack.chunks, strict=True):
            for place in range(first, last):
                chunk = talks[name].chunks[place]
                samples = round(chunk.end * 8000) - round(chunk.start * 8000)
                both += len(" " + chunk.text) + energy.grid.positions(samples, 8000)
                shown[name, place] += 1
        found = positions([pack])
        assert pack.withheld == both - found["text"] - found["speech"] > 0
    assert set(shown.values()) == {2}
    assert len(shown) == sum(len(document.chunks) for document in talks.values())


def test_pieces_do_not_see_each_other(talk_set: Path) -> None:
    for pack in packs_of(opened(settings_of(talk=talk_set)), steps=5):
        for number in range(len(pack.documents)):
            inside = np.flatnonzero(pack.piece == number)
            assert np.array_equal(inside, np.arange(inside[0], inside[0] + len(inside)))
            assert np.array_equal(pack.place[inside], np.arange(len(inside)))


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(talk_set: Path, page_set: Path, workers: int) -> None:
    settings = settings_of(talk=talk_set, page=page_set, share={"page": 1.5})
    alone = opened(settings, codebooks=3).batches(steps=15)
    assert assert_same(alone, opened(settings, 3).batches(steps=15, workers=workers)) == 15


def test_workers_end_together(talk_set: Path) -> None:
    settings = settings_of(talk={"shards": talk_set, "epochs": 1}, packs=2)
    assert assert_same(opened(settings).batches(), opened(settings).batches(workers=2)) > 5


@pytest.mark.parametrize("ranks", [2, 4])
def test_ranks_share_the_same_global_batches(talk_set: Path, page_set: Path, ranks: int) -> None:
    settings = settings_of(talk=talk_set, page=page_set)
    whole = list(opened(settings).batches(steps=12))
    parts = [list(opened(settings, rank=r, ranks=ranks).batches(steps=12)) for r in range(ranks)]
    for step, given in enumerate(whole):
        together = [pack for part in parts for pack in part[step].batch.packs]
        for one, other in zip(given.batch.packs, together, strict=True):
            assert_same_pack(one, other)
        assert {part[step].state for part in parts} == {given.state}


def test_a_run_goes_on_from_any_batch(talk_set: Path, page_set: Path) -> None:
    """Through JSON, into another process' reader, over epochs and blocks: the next 50 batches."""
    settings = settings_of(
        talk={"shards": talk_set, "policy": "stochastic"}, page=page_set, block_packs=5, packs=3
    )
    whole = list(opened(settings).batches(steps=90))
    assert dict(whole[-1].state.sets)["talk"].epoch > 2
    for batch in [0, 1, 2, 3, 7, 12, 19, 26, 33, 39]:
        text = json.dumps(whole[batch].state.as_json())
        state = DataState.of_json(json.loads(text))
        assert state == whole[batch].state
        following = whole[batch + 1 : batch + 51]
        assert assert_same(following, opened(settings).batches(state, steps=50)) == 50


def test_a_run_goes_on_with_other_workers_and_ranks(talk_set: Path) -> None:
    settings = settings_of(talk=talk_set)
    whole = list(opened(settings).batches(steps=20))
    state = whole[8].state
    assert assert_same(whole[9:], opened(settings).batches(state, steps=11, workers=2)) == 11
    second = list(opened(settings, rank=1, ranks=2).batches(state, steps=11))
    for given, half in zip(whole[9:], second, strict=True):
        for one, other in zip(given.batch.packs[2:], half.batch.packs, strict=True):
            assert_same_pack(one, other)


def test_a_state_of_other_data_is_refused(talk_set: Path, page_set: Path) -> None:
    (given,) = opened(settings_of(talk=talk_set)).batches(steps=1)
    with pytest.raises(DataError, match="other data or settings"):
        next(opened(settings_of(talk=talk_set, length=300)).batches(given.state))
    with pytest.raises(DataError, match="the mixture has"):
        next(opened(settings_of(page=page_set)).batches(given.state))
    for broken in ({}, {"pack": 1, "sets": {"talk": {"epoch": 0}}}, {"pack": 0, "sets": []}):
        with pytest.raises(DataError, match="not the state"):
            DataState.of_json(broken)


def test_the_mixture_is_exact_to_one_pack(talk_set: Path, page_set: Path) -> None:
    settings = settings_of(talk=talk_set, page=page_set, share={"talk": 0.4, "page": 0.6})
    packs = packs_of(opened(settings), steps=30)
    assert [pack.number for pack in packs] == list(range(120))
    counts: Counter[str] = Counter()
    for pack in packs:
        counts[pack.set_name] += 1
        assert abs(counts["page"] - 0.6 * (pack.number + 1)) < 1
    assert counts == {"page": 72, "talk": 48}


def test_a_larger_set_fills_its_packs(tmp_path: Path) -> None:
    folder = write_set(tmp_path, speech_documents("talk", 400, seed=3), per_shard=100)
    settings = settings_of(talk={"shards": folder, "epochs": 1}, block_packs=256)
    assert fullness(packs_of(opened(settings))) >= 0.98


def test_order_is_another_permutation_in_each_epoch_and_seed(
    talk_set: Path, talks: dict[str, Document]
) -> None:
    def order(seed: int, epochs: int) -> list[str]:
        about = {"shards": talk_set, "epochs": epochs, "policy": "text_only"}
        data = opened(settings_of(talk=about, seed=seed, packs=1, length=2048, block_packs=1))
        return [
            n
            for p in packs_of(data)
            for n, c in zip(p.documents, p.chunks, strict=True)
            if not c[0]
        ]

    first, both, other = order(0, 1), order(0, 2), order(1, 1)
    assert sorted(first) == sorted(talks)
    assert sorted(both) == sorted([*talks, *talks])
    assert both[: len(first)] == first
    assert both[len(first) :] != first
    assert sorted(other) == sorted(first)
    assert other != first


def test_shuffling_stays_inside_windows_of_whole_shards(talk_set: Path) -> None:
    data = opened(settings_of(talk=talk_set, window_documents=16))
    order = data.readers["talk"].order
    windows = order.windows(0)
    assert [len(group) for group in windows] == [2, 2, 2, 2] or sum(map(len, windows)) == 8
    assert sorted(shard for group in windows for shard in group) == list(range(8))
    assert order.windows(1) != windows
    for number, group in enumerate(windows):
        found = order.window(0, number)
        assert {one.shard for one in found} == set(group)
        assert [one.shard for one in found] != sorted(one.shard for one in found)
    assert order.share(0, (len(windows), 0)) == 1.0


def test_the_order_does_not_depend_on_other_windows(talk_set: Path) -> None:
    """A place in the order is found without what stands before it."""
    settings = settings_of(talk=talk_set, window_documents=16)
    order = opened(settings).readers["talk"].order
    whole = [one for one, _ in order.after(3, (0, 0))]
    again = opened(settings).readers["talk"].order
    start = len(again.window(3, 0))
    assert [one for one, _ in again.after(3, (1, 0))] == whole[start:]


@pytest.mark.parametrize("policy", ["deterministic", {"word_spans": {"eta": 0.5}}])
def test_stored_tokens_are_those_of_the_audio(token_set: Path, policy: str) -> None:
    about = {"shards": token_set, "policy": policy}
    kept = settings_of(talk={**about, "tokens": "require"})
    tokenizer = Energy()
    read = packs_of(open_data(kept, ByteText(), tokenizer), steps=9)
    assert tokenizer.heard == 0
    encoded = packs_of(opened(settings_of(talk={**about, "tokens": "ignore"})), steps=9)
    for one, other in zip(read, encoded, strict=True):
        assert_same_pack(one, other)
    assert positions(read)["speech"] > 500


def test_sets_of_tokens_alone_are_read(tmp_path: Path) -> None:
    documents = speech_documents("talk", 12)
    folder = write_set(tmp_path / "t", documents, tokens=Energy(2), keep_audio=False)
    full = write_set(tmp_path / "f", documents, tokens=Energy(2))
    one = settings_of(talk={"shards": folder, "epochs": 1})
    other = settings_of(talk={"shards": full, "epochs": 1})
    reader = StoredOnly(Energy(2).entry())
    found = packs_of(open_data(one, ByteText(), reader))
    assert sum(pack.codes.sum() for pack in found) > 0
    assert {n for p in found for n in p.documents} <= {d.id for d in documents}
    assert sum(p.withheld for p in found) == sum(p.withheld for p in packs_of(opened(other, 2)))


def test_changing_one_chunk_leaves_the_others_codes(tmp_path: Path) -> None:
    """Tokens never cross chunk borders: A2's samples decide nothing of A1 and A3."""
    import io

    import soundfile

    from schemas.manifest import Manifest, manifest_files
    from schemas.shard_writer import ShardWriter
    from tests.trainer.data.made_sets import RATE, document_of, pcm_of

    document = document_of("talk", 1, [0.51, 0.52, 0.53])
    pcm = pcm_of(document)
    other = pcm.copy()
    other[round(0.51 * RATE) : round(1.03 * RATE)] //= 7
    ids = []
    for number, samples in enumerate((pcm, other)):
        folder = tmp_path / str(number)
        (folder / "train").mkdir(parents=True)
        sink = io.BytesIO()
        soundfile.write(sink, samples, RATE, format="FLAC")
        with ShardWriter(folder / "train/talk-a.tar", "train/talk-a.tar") as writer:
            writer.add(document, sink.getvalue())
        assert writer.entry is not None
        for name, data in manifest_files(Manifest(name="m", shards=(writer.entry,))).items():
            (folder / name).write_bytes(data)
        about = {"shards": folder, "policy": "speech_only", "epochs": 1}
        (pack,) = packs_of(opened(settings_of(talk=about, packs=1)))
        ids.append(pack.ids[2:-1])
    first, second = (round(s * 40 + 0.5) for s in (0.51, 1.03))
    differ = np.flatnonzero(ids[0] != ids[1])
    assert len(differ) > 5
    assert first <= differ.min()
    assert differ.max() <= second + 1


def test_weights_say_how_often_a_document_is_shown(
    talk_set: Path, talks: dict[str, Document], tmp_path: Path
) -> None:
    names = sorted(talks)
    weights = {name: place % 4 / 2 * 1.5 for place, name in enumerate(names)}  # 0 .75 1.5 2.25
    path = tmp_path / "weights.json"
    path.write_text(json.dumps(weights))
    about = {"shards": talk_set, "epochs": 40, "policy": "text_only", "weights": str(path)}
    packs = packs_of(opened(settings_of(talk=about, packs=1, length=2048)))
    shown = Counter(
        n for p in packs for n, c in zip(p.documents, p.chunks, strict=True) if c[0] == 0
    )
    for name, weight in weights.items():
        assert 40 * int(weight) <= shown[name] <= 40 * -int(-weight // 1)
    assert sum(shown.values()) / 40 == pytest.approx(sum(weights.values()), rel=0.03)


def test_weights_in_parquet_and_weights_that_are_missing(talk_set: Path, tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "weights.parquet"
    pq.write_table(pa.table({"id": ["0" * 32], "weight": [1.0]}), path)
    about = {"shards": talk_set, "weights": str(path)}
    with pytest.raises(DataError, match="has no weight"):
        packs_of(opened(settings_of(talk=about)), steps=1)
    packs = packs_of(opened(settings_of(talk={**about, "unweighted": 1.0})), steps=1)
    assert len(packs) == 4
    path.write_bytes(b"PAR1")
    with pytest.raises(DataError, match="weights"):
        opened(settings_of(talk=about))


def test_a_cap_keeps_the_same_documents_and_repeats_them(talk_set: Path) -> None:
    def names(**cap: float) -> set[str]:
        about = {"shards": talk_set, "epochs": 2, **cap}
        data = opened(settings_of(talk=about, packs=1))
        found = {n for p in packs_of(data) for n in p.documents}
        assert data.about()["talk"]["documents"] == len(found)
        return found

    few, more = names(max_documents=7), names(max_documents=19)
    assert len(few) == 7
    assert len(more) == 19
    assert few < more
    assert 5 < len(names(max_seconds=40.0)) < 60


def test_passes_over_unique_content_are_told(talk_set: Path, page_set: Path) -> None:
    settings = settings_of(talk=talk_set, page={"shards": page_set, "epochs": 1})
    data = opened(settings)
    assert data.passes(data.start()) == {"talk": 0.0, "page": 0.0}
    last = {"talk": 0.0, "page": 0.0}
    for given in data.batches():
        found = data.passes(given.state)
        assert all(found[name] >= last[name] for name in found)
        last = found
    assert 0.8 < last["page"] <= 1.0
    assert last["talk"] > 0
    three = opened(settings_of(page={"shards": page_set, "epochs": 3}, packs=1))
    states = [given.state for given in three.batches()]
    assert three.passes(states[-1])["page"] == pytest.approx(3.0)
    begun = [dict(state.sets)["page"].epoch for state in states]
    for epoch, state in zip(begun, states, strict=True):
        assert epoch < three.passes(state)["page"] <= epoch + 1


def test_when_a_set_is_done_the_data_end_or_the_others_go_on(
    talk_set: Path, page_set: Path
) -> None:
    pages = {"shards": page_set, "epochs": 1}
    ended = packs_of(opened(settings_of(talk=talk_set, page=pages, packs=1)))
    assert abs(2 * sum(p.set_name == "page" for p in ended) - len(ended)) <= 2
    on = settings_of(talk=talk_set, page=pages, packs=1, when_done="others")
    longer = packs_of(opened(on), steps=len(ended) + 30)
    for one, other in zip(ended, longer, strict=False):
        assert_same_pack(one, other)
    assert {p.set_name for p in longer[len(ended) :]} == {"talk"}
    assert len(longer) == len(ended) + 30
    whole = list(opened(on).batches(steps=len(ended) + 30))
    for at in (len(ended) - 1, len(ended) + 5):
        state = DataState.of_json(whole[at].state.as_json())
        rest = opened(on).batches(state, steps=len(whole) - at - 1)
        assert assert_same(whole[at + 1 :], rest) == len(whole) - at - 1


def test_a_last_batch_that_is_not_full_is_left_out_or_kept(page_set: Path) -> None:
    pages = {"shards": page_set, "epochs": 1}
    one = packs_of(opened(settings_of(page=pages, packs=1)))
    packs = next(n for n in range(2, 9) if len(one) % n)
    dropped = packs_of(opened(settings_of(page=pages, packs=packs)))
    kept = packs_of(opened(settings_of(page=pages, packs=packs, last="keep")))
    assert len(dropped) == len(one) // packs * packs
    assert len(kept) == len(one)


def test_views_and_policies_of_the_manifest_are_the_default(tmp_path: Path) -> None:
    documents = speech_documents("talk", 10, speakers=1)
    views = {
        "talk": {
            "granularity": "coarse",
            "coarse_max_gap": 2.0,
            "coarse_max_chunk": 2.5,
            "policy": {"kind": "asr"},
        }
    }
    folder = write_set(tmp_path, documents, views=views)
    asked = {"granularity": "coarse", "coarse_max_gap": 2.0, "coarse_max_chunk": 2.5}
    default = settings_of(talk={"shards": folder, "policy": None})
    explicit = settings_of(talk={"shards": folder, "policy": "asr", **asked})
    for one, other in zip(
        packs_of(opened(default), steps=4), packs_of(opened(explicit), steps=4), strict=True
    ):
        assert_same_pack(one, other)
        assert one.withheld == 0


def test_materialised_documents_are_read_as_stored(tmp_path: Path) -> None:
    import dataclasses

    from tests.trainer.data.made_sets import document_of

    made = document_of("talk", 1, [0.5, 0.5, 0.5])
    first, second, third = made.chunks
    text = dataclasses.replace(
        second, start=first.end, end=first.end, modality="text", words=(), times="none"
    )
    fixed = dataclasses.replace(
        made,
        chunks=(
            dataclasses.replace(first, modality="speech"),
            text,
            dataclasses.replace(
                third, start=first.end, end=2 * first.end, modality="speech", words=()
            ),
        ),
    )
    folder = write_set(tmp_path, [fixed], views={"talk": {"policy": {"kind": "deterministic"}}})
    (pack,) = packs_of(
        opened(settings_of(talk={"shards": folder, "policy": None, "epochs": 1}, packs=1))
    )
    assert positions([pack]) == {"text": len(" " + second.text), "speech": 40, "marker": 5}
    assert pack.withheld == 0
    with pytest.raises(DataError, match="fixed when it was written"):
        packs_of(opened(settings_of(talk={"shards": folder, "policy": "stochastic"})), steps=1)


def test_padding_is_at_the_end_and_says_nothing(page_set: Path) -> None:
    packs = packs_of(opened(settings_of(page={"shards": page_set, "epochs": 1}, packs=1)))
    padded = [pack for pack in packs if (pack.modality == PADDING).any()]
    assert padded
    for pack in padded:
        empty = pack.modality == PADDING
        assert not pack.ids[empty].any()
        assert (pack.piece[empty] == -1).all()


def test_workers_run_on_one_thread(talk_set: Path) -> None:
    class Nosy(Energy):
        def encode(self, pcm, rate):  # type: ignore[no-untyped-def]
            import threadpoolctl
            import torch

            assert torch.get_num_threads() == 1
            assert all(pool["num_threads"] == 1 for pool in threadpoolctl.threadpool_info())
            return super().encode(pcm, rate)

    data = open_data(settings_of(talk=talk_set), ByteText(), Nosy())
    assert len(list(data.batches(steps=3, workers=1))) == 3
