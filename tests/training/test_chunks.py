import numpy as np
import pytest

from isogloss.frontend.store import Store, StoreWriter
from isogloss.training.chunks import ChunkReader, chunk_table, epoch_batches, epoch_order, require_aligned
from isogloss.types import IGNORE_PDF, IsoglossError

LENGTHS = {"a": 250, "b": 100, "c": 99, "d": 1000}


@pytest.fixture
def stores(tmp_path):
    """Frames whose every value is the row's number, and labels that are the row's number modulo 7."""
    row = 0
    with (
        StoreWriter(tmp_path / "frames", np.float32, (2,)) as frames,
        StoreWriter(tmp_path / "labels", np.int16) as labels,
    ):
        for key, length in LENGTHS.items():
            numbers = np.arange(row, row + length)
            frames.add(key, np.stack([numbers, numbers], axis=1))
            labels.add(key, numbers % 7)
            row += length
    return Store(tmp_path / "frames"), Store(tmp_path / "labels")


def test_chunks_hop_by_ninety_and_end_with_the_utterance(stores):
    table = chunk_table(stores[0], list(LENGTHS), [0, 0, 1, 1], 100, 90)
    assert table.dropped == ["c"]
    of_a = table.starts[(table.starts < 250)]
    assert of_a.tolist() == [0, 90, 150]
    assert table.slack[:3].tolist() == [90, 60, 0]
    assert table.starts[3] == 250 and table.slack[3] == 0
    assert table.languages.tolist() == [0] * 4 + [1] * 11


def test_a_batch_is_what_the_store_holds_at_those_rows(stores):
    table = chunk_table(stores[0], ["a", "d"], [0, 1], 100, 90)
    reader = ChunkReader(*stores, chunk_frames=100)
    batch = reader.read(table, np.array([0, 4]), np.array([3, 5]))
    for i, start in enumerate([table.starts[0] + 3, table.starts[4] + 5]):
        np.testing.assert_array_equal(batch.features[i, :, 0].numpy(), np.arange(start, start + 100))
        np.testing.assert_array_equal(batch.pdf_ids[i].numpy(), np.arange(start, start + 100) % 7)
    assert batch.languages.tolist() == [0, 1]


def test_every_language_is_drawn_as_often_and_no_chunk_twice_before_all_are_drawn(stores):
    table = chunk_table(stores[0], ["a", "d"], [0, 1], 100, 90)
    order = epoch_order(table, 2, None, seed=1, epoch=0)
    languages = table.languages[order]
    assert (languages == 0).sum() == (languages == 1).sum() == round(1.5 * len(table) / 2)
    counts = np.bincount(order, minlength=len(table))
    assert counts.max() - counts[table.languages == 0].min() <= counts.max() and set(counts[table.languages == 1]) <= {
        0,
        1,
    }


def test_the_order_is_a_function_of_seed_and_epoch(stores):
    table = chunk_table(stores[0], ["a", "d"], [0, 1], 100, 90)

    def order(seed, epoch):
        return epoch_order(table, 2, 40, seed, epoch).tolist()

    assert order(1, 0) == order(1, 0) != order(1, 1)
    assert order(1, 0) != order(2, 0)


def test_an_epoch_begun_in_the_middle_goes_on_alike(stores):
    table = chunk_table(stores[0], ["a", "d"], [0, 1], 100, 90)
    reader = ChunkReader(*stores, chunk_frames=100)
    order = epoch_order(table, 2, 60, 1, 0)
    whole = [batch.features for batch in epoch_batches(reader, table, order, 8, 1, 0)]
    rest = [batch.features for batch in epoch_batches(reader, table, order, 8, 1, 0, first_step=3)]
    assert len(whole) == 7
    assert all((a == b).all() for a, b in zip(whole[3:], rest, strict=True))
    for features in whole:  # a shift never leaves the utterance
        assert ((features[:, -1, 0] - features[:, 0, 0]) == 99).all()
        assert (((features[:, :, 0] < 250) | (features[:, :, 0] >= 449)).all(1)).all()


def test_labels_of_another_length_or_range_are_refused(stores, tmp_path):
    frames, labels = stores
    require_aligned(frames, labels, list(LENGTHS), 7)
    with pytest.raises(IsoglossError, match="labels from 0 to 6, the inventory 6 pdfs"):
        require_aligned(frames, labels, list(LENGTHS), 6)
    with StoreWriter(tmp_path / "short", np.int16) as writer:
        for key, length in LENGTHS.items():
            writer.add(key, np.full(length - (key == "b"), IGNORE_PDF))
    short = Store(tmp_path / "short")
    with pytest.raises(IsoglossError, match="utterance b: 100 voiced frames but 99 labels"):
        require_aligned(frames, short, list(LENGTHS), 7)
    with pytest.raises(IsoglossError, match="1448 labels for 1449 frames"):
        ChunkReader(frames, short, 100)


def test_no_long_enough_utterance_is_an_error(stores):
    with pytest.raises(IsoglossError, match="none of 1 utterances has 100 voiced frames"):
        chunk_table(stores[0], ["c"], [0], 100, 90)
