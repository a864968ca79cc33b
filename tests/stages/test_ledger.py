import errno
import json

import numpy as np
import pytest

from isogloss.config import TrainConfig
from isogloss.stages.ledger import done, is_done, json_text, made_from, replacing, stamp, write_json
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


def test_json_has_no_word_for_nan(tmp_path):
    value = {"ece": float("nan"), "of": [np.float64("inf"), 1.5, {"low": -np.inf}], "pair": (1, True, None, "NaN")}
    write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text()
    assert text == json_text(value) + "\n"
    assert json.loads(text, parse_constant=pytest.fail) == {
        "ece": None,
        "of": [None, 1.5, {"low": None}],
        "pair": [1, True, None, "NaN"],
    }


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
