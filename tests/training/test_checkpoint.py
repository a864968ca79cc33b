"""A checkpoint that cannot be trusted is never used: the one before is."""

import io
import pickle
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
