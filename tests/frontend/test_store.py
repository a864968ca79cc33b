import numpy as np
import pytest

from isogloss.frontend.store import Store, StoreWriter
from isogloss.types import IsoglossError


def rows_of(seed, count=7):
    return np.random.default_rng(seed).normal(size=(count, 3)).astype(np.float16)


def write(path, keys, meta=None):
    with StoreWriter(path, np.float16, (3,), meta) as writer:
        for seed, key in enumerate(keys):
            if key not in writer.finished:
                writer.add(key, rows_of(seed, count=seed + 1))
    return Store(path)


def test_reads_back_what_was_written(tmp_path):
    keys = ["b", "a#sp0.9", "ä–long name", "a"]
    store = write(tmp_path / "frames", keys, {"dim": 3})
    assert list(store) == sorted(keys, key=str.encode)
    assert store.meta == {"dim": 3} and len(store) == 4
    for seed, key in enumerate(keys):
        np.testing.assert_array_equal(store[key], rows_of(seed, count=seed + 1))
    assert "c" not in store and "a#sp" not in store
    with pytest.raises(IsoglossError, match="no utterance 'c'"):
        store["c"]


def test_an_utterance_may_have_no_rows_and_a_store_no_utterance(tmp_path):
    with StoreWriter(tmp_path / "one", np.int16) as writer:
        writer.add("silent", np.empty(0))
    assert len(Store(tmp_path / "one")["silent"]) == 0
    with StoreWriter(tmp_path / "none", np.int16):
        pass
    assert "silent" not in Store(tmp_path / "none")


@pytest.mark.parametrize("torn", ["journal", "data"])
def test_a_killed_writer_is_continued(tmp_path, torn):
    path = tmp_path / "frames"
    writer = StoreWriter(path, np.float16, (3,))
    writer.add("a", rows_of(0, 1))
    writer.add("b", rows_of(1, 2))
    del writer  # killed: no __exit__
    with pytest.raises(IsoglossError, match="was not finished"):
        Store(path)
    part = tmp_path / "frames.part"
    if torn == "journal":  # half a line
        with open(part / "journal.jsonl", "a") as file:
            file.write('["c", 3')
        with open(part / "data.bin", "ab") as file:
            file.write(b"\0" * 5)
    else:  # the machine stopped before the data reached the disk
        data = (part / "data.bin").read_bytes()
        (part / "data.bin").write_bytes(data[:-4])
    store = write(path, ["a", "b", "c"])
    for seed, key in enumerate("abc"):
        np.testing.assert_array_equal(store[key], rows_of(seed, count=seed + 1))
    assert not part.exists()


def test_another_config_does_not_continue_the_old_work(tmp_path):
    StoreWriter(tmp_path / "s", np.float16, (3,), {"config": 1}).add("a", rows_of(0))
    assert StoreWriter(tmp_path / "s", np.float16, (3,), {"config": 2}).finished == set()


def test_an_error_leaves_no_store(tmp_path):
    with pytest.raises(ZeroDivisionError), StoreWriter(tmp_path / "s", np.float16, (3,)) as writer:
        writer.add("a", rows_of(0))
        _ = 1 / 0
    assert not (tmp_path / "s").exists()


def test_bad_rows_and_cut_files_say_so(tmp_path):
    with StoreWriter(tmp_path / "s", np.float16, (3,)) as writer:
        writer.add("a", rows_of(0))
        with pytest.raises(IsoglossError, match="twice"):
            writer.add("a", rows_of(0))
        with pytest.raises(IsoglossError, match="expected"):
            writer.add("b", np.zeros((2, 4)))
    data = tmp_path / "s" / "data.bin"
    data.write_bytes(data.read_bytes()[:-1])
    with pytest.raises(IsoglossError, match="cut in copying"):
        Store(tmp_path / "s")
