import numpy as np
import pytest

from isogloss.frontend.lag_path import LagPath, _extend
from isogloss.frontend.pitch_options import PitchOptions


@pytest.mark.parametrize("cost", [0.0, 1e-6, 2.5e-6, 1e-3, 1.0])
def test_the_envelope_finds_the_minimum_over_every_predecessor(cost):
    rng = np.random.default_rng(5)
    num_frames, num_states = 40, 83
    phi = rng.uniform(-1, 1, (num_frames, num_states)).astype(np.float32)
    slope = rng.uniform(0, 0.2, num_states).astype(np.float32)
    forward = np.zeros(num_states, dtype=np.float32)
    back = np.empty((num_frames, num_states), dtype=np.int16)
    _extend(phi, slope, np.float32(cost), forward, back)

    expected = np.zeros(num_states)
    for t in range(num_frames):
        tried = np.array([[expected[j] + cost * (i - j) ** 2 for j in range(num_states)] for i in range(num_states)])
        chosen = tried[np.arange(num_states), back[t]]
        np.testing.assert_allclose(chosen, tried.min(axis=1), atol=2e-6)
        assert (np.diff(back[t]) >= 0).all()  # paths do not cross
        expected = tried.min(axis=1) + 1 - phi[t] * (1 - slope)
        expected -= expected.min()
    np.testing.assert_allclose(forward, expected, atol=1e-5)


def nccf_like(num_frames, options, seed=6):
    rng = np.random.default_rng(seed)
    num_lags = options.last_lag + 1 - options.first_lag
    return (rng.uniform(-0.2, 1, (num_frames, num_lags)).astype(np.float32) for _ in range(2))


def test_settled_frames_are_those_of_the_whole_path():
    options = PitchOptions(16000)
    led, plain = nccf_like(300, options)
    whole = LagPath(options)
    whole.extend(led, plain)
    expected = whole.finish()
    path, pieces = LagPath(options), []
    for first in range(0, 300, 7):
        path.extend(led[first : first + 7], plain[first : first + 7])
        pieces.append(path.settled())
    assert sum(map(len, pieces)) > 200  # most of them long before the end
    pieces.append(path.finish())
    np.testing.assert_array_equal(np.concatenate(pieces), expected)


def test_no_more_than_max_pending_frames_are_held_back():
    options = PitchOptions(16000)
    silence = np.zeros((1, options.last_lag + 1 - options.first_lag), dtype=np.float32)
    waiting, hurried, returned = LagPath(options), LagPath(options), 0
    for t in range(50):
        waiting.extend(silence, silence)
        hurried.extend(silence, silence)
        assert len(waiting.settled()) == 0  # every lag is as good as any other
        returned += len(hurried.settled(max_pending=10))
        assert returned == max(t + 1 - 10, 0)
    assert len(waiting.finish()) == 50
    assert len(hurried.finish()) == 10


def test_a_clear_lag_is_followed():
    options = PitchOptions(16000)
    measured = np.arange(options.first_lag, options.last_lag + 1)
    hz = np.linspace(150, 220, 60)
    phi = np.cos(2 * np.pi * measured * hz[:, None] / options.resample_frequency).astype(np.float32)
    path = LagPath(options)
    path.extend(phi, phi)
    np.testing.assert_allclose(path.finish()[:, 1], hz, rtol=0.02)
