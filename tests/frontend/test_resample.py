import numpy as np
import pytest

from isogloss.frontend.resample import Resampler, resample, windowed_sinc
from isogloss.types import IsoglossError


def tone(hz, rate, seconds=0.5):
    return np.sin(2 * np.pi * hz * np.arange(int(rate * seconds)) / rate).astype(np.float32)


@pytest.mark.parametrize(("rate_in", "rate_out"), [(8000, 16000), (16000, 8000), (44100, 16000), (11025, 8000)])
def test_a_tone_below_both_nyquist_frequencies_stays_the_same_tone(rate_in, rate_out):
    resampled = resample(tone(600, rate_in), rate_in, rate_out)
    expected = tone(600, rate_out)
    assert resampled.shape == (-(-int(rate_in * 0.5) * rate_out // rate_in),)
    inner = slice(200, -200)
    np.testing.assert_allclose(resampled[: len(expected)][inner], expected[: len(resampled)][inner], atol=0.02)


def test_a_tone_above_the_new_nyquist_frequency_vanishes():
    resampled = resample(tone(7000, 16000), 16000, 8000)
    assert np.abs(resampled[100:-100]).max() < 0.01


@pytest.mark.parametrize("rate_in", [16000, 8000, 44100])
def test_outputs_are_the_sum_of_the_formula(rate_in):
    samples = np.random.default_rng(1).normal(0, 1000, rate_in // 10).astype(np.float32)
    outputs = Resampler(rate_in, 4000, 1000.0, 1).accept(samples, finished=True)
    for k in (0, 1, 57, len(outputs) - 1):
        time = np.arange(len(samples)) / rate_in - k / 4000
        expected = np.sum(samples * windowed_sinc(time.astype(np.float32), 1000.0, 1)) / rate_in
        assert outputs[k] == pytest.approx(expected, rel=1e-4, abs=0.01)


@pytest.mark.parametrize(("rate_in", "rate_out"), [(16000, 4000), (8000, 16000), (44100, 4000)])
def test_pieces_give_what_the_whole_gives(rate_in, rate_out):
    rng = np.random.default_rng(2)
    samples = rng.normal(0, 1000, 3000).astype(np.float32)
    whole = Resampler(rate_in, rate_out, 1000.0, 2).accept(samples, finished=True)
    resampler = Resampler(rate_in, rate_out, 1000.0, 2)
    cuts = np.sort(rng.integers(0, 3000, 200))
    pieces = [resampler.accept(piece) for piece in np.split(samples, cuts)]
    pieces.append(resampler.accept(samples[:0], finished=True))
    np.testing.assert_array_equal(np.concatenate(pieces), whole)


def test_an_output_waits_for_its_whole_filter_unless_finished():
    resampler = Resampler(16000, 4000, 1000.0, 1)  # reach: 0.5 ms = 8 inputs
    assert resampler.count_outputs(8, finished=False) == 0
    assert resampler.count_outputs(9, finished=False) == 1
    assert resampler.count_outputs(9, finished=True) == 3  # at inputs 0, 4, 8


def test_empty():
    assert resample(np.zeros(0, dtype=np.int16), 8000, 16000).shape == (0,)


@pytest.mark.parametrize("options", [(16000.5, 4000, 1000.0, 1), (16000, 4000, 2500.0, 1), (16000, 4000, 1000.0, 0)])
def test_bad_options(options):
    with pytest.raises(IsoglossError, match="expected"):
        Resampler(*options)
