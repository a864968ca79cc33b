import itertools
import math

import numpy as np
import pytest

from isogloss.frontend.mfcc import EPSILON, fbank, hz_to_mel, liftered_dct, mfcc
from isogloss.frontend.resample import resample
from isogloss.frontend.windows import window
from isogloss.types import IsoglossError

PLAIN = {"low_freq": 20.0, "high_freq": 0.0}  # Kaldi's plain defaults
SETTINGS = {
    "mfcc20": {},
    "mfcc23": {"num_ceps": 23},
    "mfcc20_nosnip": {"snip_edges": False},
    "mfcc20_hamming_c0": {"window_type": "hamming", "use_energy": False},
    "mfcc20_efloor1": {"energy_floor": 1.0},
    "mfcc13_thchs30": {"num_ceps": 13, "use_energy": False, **PLAIN},
    "fbank40_sre": {"num_mel_bins": 40, "low_freq": 40.0, "high_freq": -200.0, "use_energy": True},
    "fbank40_thchs30": {"num_mel_bins": 40},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_agrees_with_kaldi(kaldi, setting):
    function = fbank if setting.startswith("fbank") else mfcc
    keys = [key for key in kaldi if key.startswith(setting + "/")]
    assert keys
    for key in keys:
        recording = key.split("/")[1]
        ours = function(kaldi[f"audio/{recording}"], 16000, **SETTINGS[setting])
        assert ours.shape == kaldi[key].shape
        assert np.abs(ours - kaldi[key]).max() < 2e-3, key


def test_agrees_with_kaldi_on_audio_upsampled_as_kaldi_does(kaldi):
    upsampled = resample(kaldi["audio/cmn8"], 8000, 16000)
    reference = kaldi["mfcc20_8k_upsampled_to16k/cmn8"]
    assert np.abs(mfcc(upsampled, 16000) - reference).max() < 5e-3


def plain_mel(x, rate, *, num_mel_bins, low, high, window_type, preemphasis, remove_dc, use_power):
    """One frame's mel energies and its raw and windowed log energy, by the formulas, term by term."""
    length = len(x)
    mean = sum(x) / length if remove_dc else 0.0
    x = [value - mean for value in x]
    raw = math.log(max(sum(value * value for value in x), EPSILON))
    x = [value - preemphasis * x[max(i - 1, 0)] for i, value in enumerate(x)]
    x = [value * weight for value, weight in zip(x, window(window_type, length), strict=True)]
    windowed = math.log(max(sum(value * value for value in x), EPSILON))
    size = 1
    while size < length:
        size *= 2
    spectrum = [abs(np.dot(x, np.exp(-2j * np.pi * k * np.arange(length) / size))) for k in range(size // 2)]
    corners = [
        hz_to_mel(low) + b * (hz_to_mel(high) - hz_to_mel(low)) / (num_mel_bins + 1) for b in range(num_mel_bins + 2)
    ]
    energies = []
    for b in range(num_mel_bins):
        total = 0.0
        for k, magnitude in enumerate(spectrum):
            mel = hz_to_mel(k * rate / size)
            if corners[b] < mel < corners[b + 2]:
                rising = (mel - corners[b]) / (corners[b + 1] - corners[b])
                falling = (corners[b + 2] - mel) / (corners[b + 2] - corners[b + 1])
                total += min(rising, falling) * (magnitude**2 if use_power else magnitude)
        energies.append(total)
    return energies, raw, windowed


@pytest.mark.parametrize(
    ("rate", "length_ms", "shift_ms", "window_type", "preemphasis", "remove_dc", "use_power", "bins"),
    [
        (16000, 25.0, 10.0, "povey", 0.97, True, True, 23),
        (11025, 20.0, 7.0, "blackman", 0.0, False, True, 15),
        (8000, 30.0, 15.0, "rectangular", 0.9, True, False, 10),
        (44100, 25.0, 10.0, "sine", 0.97, True, True, 40),
    ],
)
def test_formulas(speechlike, rate, length_ms, shift_ms, window_type, preemphasis, remove_dc, use_power, bins):
    shared = {
        "num_mel_bins": bins,
        "low_freq": 60.0,
        "high_freq": -100.0,
        "frame_length_ms": length_ms,
        "frame_shift_ms": shift_ms,
        "window_type": window_type,
        "preemphasis": preemphasis,
        "remove_dc_offset": remove_dc,
    }
    samples = speechlike[3000:9000]
    bank = fbank(samples, rate, use_log=False, use_power=use_power, **shared)
    cepstra = mfcc(samples, rate, num_ceps=8, use_energy=True, raw_energy=False, cepstral_lifter=11.0, **shared)
    for t in (0, 3):
        start, length = t * int(rate * shift_ms / 1000), int(rate * length_ms / 1000)
        energies, _, windowed = plain_mel(
            samples[start : start + length].astype(float), rate, num_mel_bins=bins, low=60.0, high=rate / 2 - 100.0,
            window_type=window_type, preemphasis=preemphasis, remove_dc=remove_dc, use_power=use_power,
        )  # fmt: skip
        np.testing.assert_allclose(bank[t], energies, rtol=1e-4)
        if use_power:
            expected = [windowed]
            for j in range(1, 8):
                total = sum(math.log(e) * math.cos(math.pi * j * (b + 0.5) / bins) for b, e in enumerate(energies))
                expected.append((1 + 5.5 * math.sin(math.pi * j / 11)) * math.sqrt(2 / bins) * total)
            np.testing.assert_allclose(cepstra[t], expected, atol=2e-3)


@pytest.mark.parametrize(
    ("rate", "snip_edges", "window_type", "length_ms"),
    list(itertools.product([8000, 16000, 44100], [True, False], ["povey", "hanning", "blackman"], [20.0, 25.0])),
)
def test_agrees_with_kaldi_native_fbank(speechlike, rate, snip_edges, window_type, length_ms):
    knf = pytest.importorskip("kaldi_native_fbank")
    options = knf.MfccOptions()
    options.frame_opts.dither = 0.0
    options.frame_opts.samp_freq = rate
    options.frame_opts.snip_edges = snip_edges
    options.frame_opts.window_type = window_type
    options.frame_opts.frame_length_ms = length_ms
    options.mel_opts.low_freq, options.mel_opts.high_freq = 40.0, -200.0
    options.num_ceps = 20
    computer = knf.OnlineMfcc(options)
    computer.accept_waveform(rate, speechlike.astype(np.float32).tolist())
    computer.input_finished()
    theirs = np.array([computer.get_frame(t) for t in range(computer.num_frames_ready)])
    ours = mfcc(speechlike, rate, snip_edges=snip_edges, window_type=window_type, frame_length_ms=length_ms)
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 5e-3


def test_a_shift_in_time_by_whole_frames_shifts_the_frames(speechlike):
    np.testing.assert_array_equal(mfcc(speechlike[160 * 7 :], 16000), mfcc(speechlike, 16000)[7:])


def test_frames_inside_a_part_do_not_change_when_more_follows(speechlike):
    joined = mfcc(np.concatenate([speechlike, speechlike[::-1]]), 16000)
    alone = mfcc(speechlike, 16000)
    np.testing.assert_array_equal(joined[: len(alone)], alone)


def test_amplitude_moves_only_c0(speechlike):
    loud = mfcc(speechlike, 16000)
    quiet = mfcc(speechlike.astype(np.float32) / 32768 / 8, 16000)
    np.testing.assert_allclose(loud[:, 0] - quiet[:, 0], 2 * np.log(8), atol=1e-4)
    np.testing.assert_allclose(loud[:, 1:], quiet[:, 1:], atol=1e-3)
    c0 = mfcc(speechlike, 16000, use_energy=False)[:, 0] - mfcc(speechlike / 32768 / 8, 16000, use_energy=False)[:, 0]
    np.testing.assert_allclose(c0, np.sqrt(23) * 2 * np.log(8), atol=1e-3)


def test_int16_and_float_agree_exactly(speechlike):
    for scaled in (speechlike / 32768, (speechlike / 32768).astype(np.float32)):
        np.testing.assert_array_equal(mfcc(scaled, 16000), mfcc(speechlike, 16000))


def test_a_tone_peaks_in_the_band_around_it():
    tone = (8000 * np.sin(2 * np.pi * 1000 * np.arange(8000) / 16000)).astype(np.int16)
    bank = fbank(tone, 16000, num_mel_bins=30, low_freq=20.0, high_freq=0.0)
    centres = np.linspace(hz_to_mel(20), hz_to_mel(8000), 32)[1:-1]
    assert (bank.argmax(axis=1) == np.abs(centres - hz_to_mel(1000)).argmin()).all()


def test_digital_silence_is_the_logarithm_of_epsilon():
    cepstra = mfcc(np.zeros(1600, dtype=np.int16), 16000)
    assert cepstra[:, 0] == pytest.approx(-15.942385, abs=1e-5)
    np.testing.assert_allclose(cepstra[:, 1:], 0.0, atol=1e-4)


def test_dc_offset_is_removed(speechlike):
    offset = (speechlike // 4 + 9000).astype(np.int16)
    np.testing.assert_allclose(mfcc(offset, 16000), mfcc((speechlike // 4).astype(np.int16), 16000), atol=0.02)
    assert mfcc(offset, 16000, remove_dc_offset=False)[:, 0].min() > np.log(400 * 5000.0**2)


@pytest.mark.parametrize("size", [0, 1, 399])
def test_less_than_one_frame_gives_no_frames(size):
    assert mfcc(np.zeros(size, dtype=np.int16), 16000).shape == (0, 20)
    assert fbank(np.zeros(size, dtype=np.float32), 16000, use_energy=True).shape == (0, 24)


def test_one_frame_exactly():
    assert mfcc(np.zeros(400, dtype=np.int16), 16000).shape == (1, 20)


def test_dct_rows_are_orthonormal_without_lifter():
    rows = liftered_dct(23, 23, 0.0)
    np.testing.assert_allclose(rows @ rows.T, np.eye(23), atol=1e-12)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"num_ceps": 24}, "24 with 23 mel bins"),
        ({"num_ceps": 0}, "num_ceps 0"),
        ({"window_type": "kaiser"}, "kaiser"),
        ({"high_freq": 9000.0}, "sample rate"),
        ({"low_freq": 7900.0}, "7900"),
        ({"num_mel_bins": 200}, "fewer mel bins"),
        ({"frame_length_ms": 0.025}, "milliseconds"),
    ],
)
def test_bad_options_fail_even_without_samples(options, named):
    with pytest.raises(IsoglossError, match=named):
        mfcc(np.zeros(0, dtype=np.int16), 16000, **options)
