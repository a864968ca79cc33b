import errno

import pytest

from isogloss.config import TrainConfig
from isogloss.stages.ledger import done, is_done, made_from, replacing, stamp
from isogloss.types import IsoglossError


def test_work_is_done_only_for_the_options_and_inputs_it_was_made_from(tmp_path):
    source = done(tmp_path / "source", stamp("prepare", {}))
    work = stamp("train", TrainConfig(), source, split="fold0")
    assert not is_done(tmp_path / "model", work)
    done(tmp_path / "model", work)
    assert is_done(tmp_path / "model", work)
    assert not is_done(tmp_path / "model", stamp("train", TrainConfig(seed=1), source, split="fold0"))
    assert not is_done(tmp_path / "model", stamp("train", TrainConfig(), source, split="fold1"))
    done(source, stamp("prepare", {"seed": 2}))  # the input was made anew
    assert not is_done(tmp_path / "model", stamp("train", TrainConfig(), source, split="fold0"))


def test_an_unfinished_input_is_named(tmp_path):
    with pytest.raises(IsoglossError, match="holds no finished stage"):
        made_from(tmp_path)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("bad"), OSError(errno.ENOSPC, "full")])
def test_a_file_is_replaced_whole_or_not_at_all(tmp_path, error):
    path = tmp_path / "x.json"
    path.write_text("old")
    expected = IsoglossError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), replacing(path) as part:
        part.write_text("half")
        raise error
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]
    with replacing(path) as part:
        part.write_text("new")
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
