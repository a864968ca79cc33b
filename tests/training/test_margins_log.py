"""What the log says of β·p against the samples themselves."""

import json

import numpy as np
import pytest
import torch

from isogloss.training.margins_log import NUM_BATCHES, MarginsLog

B, C, BETA = 8, 3, 10.0


def batches(count, seed=0):
    """(step, p, languages) of every batch; language 2 is not spoken before step 4."""
    generator = np.random.default_rng(seed)
    for step in range(1, count + 1):
        p = generator.gamma(2.0, 0.001, B).astype(np.float32)
        yield step, p, generator.integers(0, 2 if step < 4 else C, B)


def feed(log, all_batches):
    for step, p, languages in all_batches:
        log.add(step, torch.from_numpy(p), BETA * torch.from_numpy(p), torch.from_numpy(languages))
    return log


def test_a_line_is_about_the_batches_since_the_last():
    log, all_batches = MarginsLog(seed=0), list(batches(5))
    feed(log, all_batches[:2])
    log.interval()
    feed(log, all_batches[2:])
    line = json.loads(json.dumps(log.interval()))

    p = np.array([p for _, p, _ in all_batches[2:]], dtype=np.float64)
    assert line["p_mean"] == pytest.approx(p[-1].mean())
    assert line["beta_p_mean"] == pytest.approx(BETA * p[-1].mean())
    assert line["beta_p_max"] == pytest.approx(BETA * p[-1].max())
    for name, q in (("beta_p_q05", 0.05), ("beta_p_median", 0.5), ("beta_p_q95", 0.95)):
        position = q * (B - 1)  # between the sorted samples, of each batch
        below, share = int(position), position % 1
        ordered = BETA * np.sort(p, axis=1)
        expected = (1 - share) * ordered[:, below] + share * ordered[:, below + 1]
        assert line[name] == pytest.approx(expected.mean())
    for language in range(C):
        own = [x for _, batch, spoken in all_batches[2:] for x, y in zip(batch, spoken, strict=True) if y == language]
        assert line["p_by_language"][language] == pytest.approx(sum(own) / len(own))
        assert line["beta_p_by_language"][language] == pytest.approx(BETA * sum(own) / len(own))
    assert sum(line["beta_p_histogram"]["counts"]) == 3 * B


def test_a_language_that_was_not_spoken_has_no_mean():
    log = feed(MarginsLog(seed=0), batches(4))
    log.interval()
    log.add(5, torch.tensor([0.1]), torch.tensor([1.0]), torch.tensor([1]))
    assert log.interval()["beta_p_by_language"] == [None, pytest.approx(1.0), None]
    assert log.interval() == {}  # nothing since


def test_a_constant_margin_has_nothing_to_log():
    log = MarginsLog(seed=0)
    log.add(1, None, None, torch.tensor([0, 1]))
    assert log.interval() == {} and log.summary() is None


@pytest.mark.parametrize("values", [[0.0, 3e-6, 0.02, 0.5], [0.5, 12.0, 40.0], [-2.0, -0.5], [-1.0, 0.2]])
def test_the_histogram_encloses_every_sample(values):
    log = MarginsLog(seed=0)
    log.add(1, torch.tensor(values), torch.tensor(values), torch.zeros(len(values), dtype=torch.int64))
    histogram = log.interval()["beta_p_histogram"]
    assert histogram["edges"] == sorted(histogram["edges"]) and sum(histogram["counts"]) == len(values)
    assert histogram["edges"][0] <= min(values) + 1e-9 and np.isfinite(histogram["edges"]).all()
    expected = np.histogram(values, [*histogram["edges"][:-1], max(values) + 1])[0]
    assert histogram["counts"] == expected.tolist()


def test_the_summary_is_of_the_whole_run():
    all_batches = list(batches(20))
    log = MarginsLog(seed=0)
    for one in all_batches:
        feed(log, [one])
        log.interval()
    summary = log.summary(system="5")
    every = BETA * np.concatenate([p for _, p, _ in all_batches]).astype(np.float64)
    assert summary["system"] == "5" and sum(summary["histogram"]["counts"]) == 20 * B
    assert summary["mean"] == pytest.approx(every.mean()) and summary["max"] == pytest.approx(every.max())
    assert len(summary["batches"]) == NUM_BATCHES
    for batch in summary["batches"]:
        assert batch["beta_p"] == pytest.approx((BETA * all_batches[batch["step"] - 1][1]).tolist(), abs=1e-7)


def test_the_three_batches_are_drawn_evenly_from_the_run():
    drawn = np.zeros(30)
    for seed in range(400):
        log = MarginsLog(seed)
        for step in range(30):
            log.add(step, torch.ones(1), torch.ones(1), torch.zeros(1, dtype=torch.int64))
        drawn[[batch["step"] for batch in log.summary()["batches"]]] += 1
    assert drawn.sum() == 400 * NUM_BATCHES
    assert drawn.min() > 40 - 4 * 6 and drawn.max() < 40 + 4 * 6  # 40 each, σ = 6


@pytest.mark.parametrize("kept", [1, 3, 70])
def test_a_resumed_log_goes_on_as_if_nothing_had_been(kept):
    all_batches = list(batches(90))
    whole = feed(MarginsLog(seed=3), all_batches)
    first = feed(MarginsLog(seed=3), all_batches[:kept])
    resumed = MarginsLog(seed=3)
    resumed.load_state_dict(first.state_dict())
    feed(resumed, all_batches[kept:])
    assert resumed.interval() == whole.interval()
    assert resumed.summary() == whole.summary()


def test_the_state_is_a_copy():
    log = feed(MarginsLog(seed=0), batches(3))
    state = log.state_dict()
    before = {name: value.clone() for name, value in state.items() if isinstance(value, torch.Tensor)}
    feed(log, batches(3, seed=1))
    log.interval()
    assert all(torch.equal(before[name], state[name]) for name in before) and before.keys() >= {"counts", "by_language"}


def test_values_of_half_precision_and_of_a_changed_tensor_are_those_of_the_step():
    log, p = MarginsLog(seed=0), torch.full((4,), 0.5, dtype=torch.bfloat16)
    log.add(1, p, 2 * p, torch.zeros(4, dtype=torch.int64))
    p.zero_()
    assert log.interval()["beta_p_mean"] == 1.0
