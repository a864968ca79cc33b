"""A checkpoint that cannot be trusted is never used: the one before is."""

import io
import pickle
import random
import zipfile

import pytest
import torch

from isogloss.training import checkpoint


def state(step):
    return {"fingerprint": "mine", "step": step, "weights": torch.full((1000,), float(step))}


@pytest.fixture
def folder(tmp_path):
    for step in (2, 4, 6):
        checkpoint.save(tmp_path, step, state(step), keep=2)
    return tmp_path


def flipped(content):
    """One bit of a weight changed, as a bad disk does: still a good zip file to torch."""
    place = content.index(torch.full((1000,), 6.0).numpy().tobytes()[:64]) + 4
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


def flipped_name(content):
    """The highest bit of a letter of a member's name in the zip's list of contents: no longer UTF-8."""
    place = content.rindex(b"data.pkl")
    return content[:place] + bytes([content[place] ^ 0x80]) + content[place + 1 :]


def other_zip(content):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("a.txt", "not a checkpoint")
    return packed.getvalue()


def other_state(content):
    packed = io.BytesIO()
    torch.save(torch.zeros(3), packed)
    return packed.getvalue()


DAMAGES = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:100],
    "cut at the end": lambda content: content[:-1],
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"step 6\n",
    "pickle": lambda content: pickle.dumps({"fingerprint": "mine", "step": 6}),
    "bit": flipped,
    "bit of a name": flipped_name,
    "other zip": other_zip,
    "other state": other_state,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_corrupt_one_is_skipped_with_a_word(folder, caplog, damage):
    newest = checkpoint.newest(folder)
    assert newest.name == "step-000000006.pt"
    newest.write_bytes(damage(newest.read_bytes()))
    found = checkpoint.latest(folder, "mine")
    assert found["step"] == 4 and (found["weights"] == 4).all()
    assert f"skipped checkpoint {newest}, which cannot be read" in caplog.text


def test_no_flipped_bit_stops_a_run_or_gets_into_it(tmp_path):
    for step in (4, 6):
        small = {"fingerprint": "mine", "step": step, "weights": torch.full((8,), float(step))}
        newest = checkpoint.save(tmp_path, step, small, keep=2)
    content, generator, skipped = newest.read_bytes(), random.Random(0), 0
    for place in generator.sample(range(len(content)), 250):
        bit = 1 << generator.randrange(8)
        newest.write_bytes(content[:place] + bytes([content[place] ^ bit]) + content[place + 1 :])
        found = checkpoint.latest(tmp_path, "mine")  # a bit that means nothing, as of a date, may change
        assert found["step"] in (4, 6) and found["weights"].tolist() == [found["step"]] * 8, place
        skipped += found["step"] == 4
    assert 0 < skipped < 250


@pytest.mark.parametrize("keep", [1, 2])
def test_what_could_not_be_read_takes_no_places_of_those_written_after_it(tmp_path, caplog, keep):
    for step in (2, 4, 6, 8):
        checkpoint.save(tmp_path, step, state(step), keep=4)
    for step in (6, 8):
        path = tmp_path / f"step-00000000{step}.pt"
        path.write_bytes(path.read_bytes()[:500])
    assert checkpoint.latest(tmp_path, "mine")["step"] == 4
    caplog.clear()
    path = checkpoint.save(tmp_path, 5, state(5), keep=keep)
    assert checkpoint.newest(tmp_path) == path
    assert checkpoint.latest(tmp_path, "mine")["step"] == 5 and not caplog.text
    assert [other.name for other in sorted(tmp_path.iterdir())] == [f"step-00000000{n}.pt" for n in (4, 5)[-keep:]]


def test_the_last_ones_are_kept_and_read(folder, caplog):
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000004.pt", "step-000000006.pt"]
    assert checkpoint.latest(folder, "mine")["step"] == 6 and not caplog.text
    assert checkpoint.latest(folder, "another") is None and "of a run with other data or options" in caplog.text


def test_what_a_killed_writer_left_is_no_checkpoint(folder):
    whole = (folder / "step-000000006.pt").read_bytes()
    (folder / "step-000000008.part").write_bytes(whole[:1000])
    assert checkpoint.latest(folder, "mine")["step"] == 6
    checkpoint.save(folder, 8, state(8), keep=2)
    assert sorted(path.name for path in folder.iterdir()) == ["step-000000006.pt", "step-000000008.pt"]


def test_no_folder_is_no_checkpoint(tmp_path):
    assert checkpoint.latest(tmp_path / "none", "mine") is None and checkpoint.newest(tmp_path / "none") is None
