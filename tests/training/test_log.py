"""log.jsonl line by line, cut where a run resumes; the same numbers in TensorBoard's files."""

import json
import sys

import numpy as np
import pytest

from isogloss.training.log import TrainingLog
from isogloss.types import IsoglossError


def steps(folder):
    return [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_line_is_readable_at_once(tmp_path):
    log = TrainingLog(tmp_path)
    line = {"step": 1, "loss": 0.5, "loss_phone": None, "p_by_language": [0.1, None], "note": "text"}
    log.write(line)
    assert json.loads((tmp_path / "log.jsonl").read_text()) == line
    log.write({"step": 2, "loss": 0.25})
    assert steps(tmp_path) == [1, 2]
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]  # no TensorBoard unless asked


@pytest.mark.parametrize(("resumed_at", "kept"), [(0, []), (4, [1, 2, 4]), (5, [1, 2, 4]), (100, [1, 2, 4, 6, 8])])
def test_what_comes_after_the_checkpoint_is_dropped(tmp_path, resumed_at, kept):
    log = TrainingLog(tmp_path)
    log.cut(0)  # nothing there yet
    for step in (1, 2, 4, 6, 8):
        log.write({"step": step})
    log = TrainingLog(tmp_path)
    log.cut(resumed_at)
    assert steps(tmp_path) == kept
    log.write({"step": 200})
    assert steps(tmp_path) == [*kept, 200]


@pytest.mark.parametrize("torn", ['{"step": 4, "lo', '{"step": 4', "{"])
def test_half_a_line_of_a_killed_run_is_dropped(tmp_path, torn):
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"step": 2}\n' + torn)
    log = TrainingLog(tmp_path)
    log.cut(4)
    log.write({"step": 6})
    assert steps(tmp_path) == [1, 2, 6]


def test_a_whole_line_without_its_end_is_kept(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n{"step": 2}')
    log = TrainingLog(tmp_path)
    log.cut(2)
    log.write({"step": 3})
    assert steps(tmp_path) == [1, 2, 3]


def test_without_tensorboard_the_error_names_it_at_once(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(IsoglossError, match="pip install tensorboard"):
        TrainingLog(tmp_path, tensorboard=True)
    TrainingLog(tmp_path).write({"step": 1})


def events(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder / "tensorboard")).Reload()


def test_tensorboard_has_the_same_numbers(tmp_path):
    pytest.importorskip("tensorboard")
    log = TrainingLog(tmp_path, tensorboard=True, languages=["cs", "sw"])
    histogram = {"edges": [0.0, 0.1, 0.3], "counts": [4, 1]}
    log.cut(0)
    log.write({"step": 1, "loss": 0.5, "loss_phone": None, "beta_p_by_language": [0.1, None], "note": "text"})
    log.write({"step": 2, "loss": 0.25, "beta_p_by_language": [0.2, 0.3, 0.4], "beta_p_histogram": histogram})
    log.close()

    seen = events(tmp_path)
    found = {tag: [(e.step, e.value) for e in seen.Scalars(tag)] for tag in seen.Tags()["scalars"]}
    assert found == {
        "loss": [(1, 0.5), (2, 0.25)],
        "beta_p_by_language/cs": [(1, pytest.approx(0.1)), (2, pytest.approx(0.2))],
        "beta_p_by_language/sw": [(2, pytest.approx(0.3))],
        "beta_p_by_language/2": [(2, pytest.approx(0.4))],  # a language without a name
    }
    (event,) = seen.Histograms("beta_p_histogram")
    value = event.histogram_value
    assert (event.step, value.min, value.max, value.num) == (2, 0.0, 0.3, 5.0)
    assert value.sum == pytest.approx(4 * 0.05 + 0.2) and value.sum_squares == pytest.approx(4 * 0.05**2 + 0.2**2)
    counts = dict(zip(value.bucket_limit, value.bucket, strict=True))
    assert counts[0.1] == 4 and counts[0.3] == 1
    assert sum(value.bucket) == 5


def test_tensorboard_forgets_the_steps_that_are_taken_again(tmp_path):
    pytest.importorskip("tensorboard")
    log = TrainingLog(tmp_path, tensorboard=True)
    for step in (2, 4, 6):
        log.write({"step": step, "loss": float(step)})
    resumed = TrainingLog(tmp_path, tensorboard=True)  # the first was killed: never closed
    resumed.cut(4)
    resumed.write({"step": 6, "loss": 60.0})
    log.close()
    resumed.close()
    assert [(e.step, e.value) for e in events(tmp_path).Scalars("loss")] == [(2, 2.0), (4, 4.0), (6, 60.0)]
    assert np.array_equal(steps(tmp_path), [2, 4, 6])
