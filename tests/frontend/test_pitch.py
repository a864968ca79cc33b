import sys

import numpy as np
import pytest

from isogloss.frontend.pitch import PitchTracker, mean_square, pitch, to_ballast
from isogloss.frontend.pitch_options import PitchOptions
from isogloss.types import IsoglossError

RAW = {"pitch_raw": {}, "pitch_raw_nosnip": {"snip_edges": False}}


@pytest.mark.parametrize("setting", RAW)
def test_agrees_with_kaldi(kaldi, setting):
    keys = [key for key in kaldi if key.startswith(setting + "/")]
    assert keys
    for key in keys:
        ours, reference = pitch(kaldi[f"audio/{key.split('/')[1]}"], 16000, **RAW[setting]), kaldi[key]
        assert ours.shape == reference.shape
        np.testing.assert_array_equal(ours[:, 1], reference[:, 1])  # every lag
        np.testing.assert_allclose(ours[:, 0], reference[:, 0], atol=5e-6)


def test_agrees_with_kaldi_at_8_khz(kaldi):
    ours, reference = pitch(kaldi["audio/cmn8"], 8000), kaldi["pitch_raw_8k/cmn8"]
    np.testing.assert_array_equal(ours[:, 1], reference[:, 1])
    np.testing.assert_allclose(ours[:, 0], reference[:, 0], atol=5e-6)


def nccf_by_the_definition(samples, options):
    """NCCF at searched lags, with and without ballast [2, T, K], by numpy's dot product."""
    signal = options.resampler().accept(samples.astype(np.float32), finished=True).astype(np.float64)
    ballast = to_ballast(mean_square(signal.sum(), signal @ signal, len(signal)), options)
    padded = np.concatenate([signal, np.zeros(options.span)])
    num_frames = options.num_frames(len(signal), finished=True)
    measured = range(options.first_lag, options.last_lag + 1)
    nccf = np.zeros((2, num_frames, len(measured)))
    for t in range(num_frames):
        frame = padded[t * options.shift :][: options.span]
        frame = frame - frame[: options.window].mean()
        for m, lag in enumerate(measured):
            v0, v = frame[: options.window], frame[lag : lag + options.window]
            norm = v0 @ v0 * (v @ v)
            nccf[:, t, m] = v0 @ v / np.sqrt([norm + ballast, norm])
    return nccf @ options.interpolation.T.astype(float)


def best_path(local, move):
    """The cheapest path [T], by trying every pair of lags."""
    forward, back = np.zeros(local.shape[1]), []
    for cost in local:
        total = move + forward
        back.append(total.argmin(axis=1))
        forward = total.min(axis=1) + cost
    path = [int(forward.argmin())]
    for chosen in back[:0:-1]:
        path.insert(0, int(chosen[path[0]]))
    return path


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"frame_length_ms": 30.0, "frame_shift_ms": 7.0, "min_f0": 70.0, "max_f0": 300.0, "delta_pitch": 0.02},
        {"soft_min_f0": 40.0, "penalty_factor": 1.0, "nccf_ballast": 100.0, "upsample_filter_width": 3},
        {"resample_frequency": 5000.0, "lowpass_cutoff": 1500.0, "lowpass_filter_width": 3},
        {"penalty_factor": 0.0},
    ],
)
def test_formulas(speechlike, changed):
    options = PitchOptions(16000, **changed)
    raw = pitch(speechlike[:16000], 16000, **changed)
    led, plain = nccf_by_the_definition(speechlike[:16000], options)
    assert len(raw) == len(led)
    path = np.abs(np.log(raw[:, 1:] * options.lags)).argmin(axis=1)
    np.testing.assert_allclose(raw[:, 1], 1 / options.lags[path], rtol=1e-6)
    np.testing.assert_allclose(raw[:, 0], plain[np.arange(len(path)), path], atol=1e-4)

    state = np.arange(len(options.lags))
    move = options.penalty_factor * np.log(1 + options.delta_pitch) ** 2 * np.subtract.outer(state, state) ** 2.0
    local = 1 - led * (1 - options.soft_min_f0 * options.lags.astype(float))

    def cost(path):
        return local[np.arange(len(path)), path].sum() + move[path[1:], path[:-1]].sum()

    # Costs, not paths: where φ is nearly 0, float32 cannot tell many paths apart.
    assert cost(path) == pytest.approx(cost(best_path(local, move)), abs=1e-4)
    assert cost(np.roll(path, 1)) > cost(path) + 0.01


@pytest.mark.parametrize("hz", [80.0, 133.0, 220.0, 377.0])
@pytest.mark.parametrize("rate", [8000, 16000, 22050])
def test_the_pitch_of_a_pure_tone(hz, rate):
    tone = 0.3 * np.sin(2 * np.pi * hz * np.arange(rate) / rate)
    raw = pitch(tone, rate)[5:-10]
    np.testing.assert_allclose(raw[:, 1], hz, rtol=0.006)  # lags are 0.5 % apart
    np.testing.assert_allclose(raw[:, 0], 1.0, atol=0.01)


def test_noise_has_a_low_nccf_and_a_tone_in_it_a_high_one():
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.1, 32000)
    tone = noise + 0.5 * np.sin(2 * np.pi * 150 * np.arange(32000) / 16000)
    assert np.median(pitch(tone, 16000)[:, 0]) > 0.9 > 0.7 > np.median(pitch(noise, 16000)[:, 0])


def test_a_shift_in_time_by_whole_frames_shifts_the_frames(speechlike):
    silence = np.zeros(160 * 20, dtype=np.int16)
    late = pitch(np.concatenate([silence, speechlike, silence]), 16000)
    later = pitch(np.concatenate([silence, silence, speechlike]), 16000)
    np.testing.assert_allclose(late[30:150, 1], later[50:170, 1], rtol=0.02)


@pytest.mark.parametrize("factor", [0.5, 0.125])
def test_amplitude_does_not_matter(speechlike, factor):
    """The ballast follows the signal's energy; powers of two keep even the rounding."""
    loud = speechlike / 32768
    np.testing.assert_array_equal(pitch(loud * factor, 16000), pitch(loud, 16000))


def test_int16_and_float_agree_exactly(speechlike):
    np.testing.assert_array_equal(pitch(speechlike / 32768, 16000), pitch(speechlike, 16000))
    np.testing.assert_array_equal(pitch((speechlike / 32768).astype(np.float32), 16000), pitch(speechlike, 16000))


def test_a_file_longer_than_a_block_is_one_file(speechlike, monkeypatch):
    long = np.tile(speechlike, 6)
    whole = pitch(long, 16000)
    monkeypatch.setattr(sys.modules[PitchTracker.__module__], "BLOCK_SECONDS", 0.3)
    np.testing.assert_array_equal(pitch(long, 16000), whole)


@pytest.mark.parametrize("size", [0, 1, 159, 300])
def test_less_than_one_frame_gives_no_frames(size):
    assert pitch(np.zeros(size, dtype=np.int16), 16000).shape == (0, 2)


def test_digital_silence_is_finite_and_unvoiced():
    raw = pitch(np.zeros(16000, dtype=np.int16), 16000)
    assert raw.shape == (98, 2)
    assert (raw[:, 0] == 0.0).all()
    assert ((raw[:, 1] >= 50.0) & (raw[:, 1] <= 400.5)).all()


def test_a_short_file_whose_last_samples_hold_the_energy_gets_one_ballast():
    """The resampler holds back the last 0.5 ms, and with it nearly all energy: every frame takes the later ballast."""
    rng = np.random.default_rng(4)
    samples = np.concatenate([rng.normal(0, 30, 8000), rng.normal(0, 12000, 6)]).clip(-32768, 32767).astype(np.int16)
    corrected = pitch(samples, 16000)
    left = pitch(samples, 16000, recompute_frame=1)
    assert (corrected[:, 1] != left[:, 1]).any()
    plain = pitch(samples, 16000, nccf_ballast=0.0)
    assert (corrected[:, 1] == left[:, 1]).mean() < (left[:, 1] == plain[:, 1]).mean()  # the early one is next to none


@pytest.mark.parametrize(
    "changed",
    [
        {"preemphasis_coefficient": 0.5},
        {"nccf_ballast_online": True},
        {"nccf_ballast": 1e5},
        {"soft_min_f0": 60.0},
        {"penalty_factor": 2.0},
        {"delta_pitch": 0.01},
        {"lowpass_filter_width": 2},
        {"upsample_filter_width": 7},
        {"max_f0": 200.0},
        {"min_f0": 130.0},
    ],
)
def test_every_option_is_honoured(speechlike, changed):
    assert not np.array_equal(pitch(speechlike, 16000, **changed), pitch(speechlike, 16000))


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"min_fo": 60.0}, "did you mean 'min_f0'"),
        ({"max_f0": 40.0}, "0 < min_f0 < max_f0"),
        ({"max_f0": 3000.0}, "lower max_f0"),
        ({"lowpass_cutoff": 3000.0}, "cutoff"),
        ({"frame_length_ms": 0.025}, "in ms"),
        ({"delta_pitch": 1e-5}, "0.005 is usual"),
    ],
)
def test_bad_options_say_what_to_do(options, named):
    with pytest.raises(IsoglossError, match=named):
        pitch(np.zeros(16000, dtype=np.int16), 16000, **options)
