import numpy as np

from isogloss.frontend.codec import telephone

RATE = 16000


def spectrum(samples):
    return np.abs(np.fft.rfft(samples * np.hanning(len(samples))))


def test_what_lies_above_4_khz_is_gone_and_a_tone_in_the_band_is_not():
    time = np.arange(RATE) / RATE
    for hertz, passes in ((1000, True), (5000, False)):
        tone = (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)
        there, back = spectrum(tone)[hertz], spectrum(telephone(tone, RATE))[hertz]
        assert (back > 0.5 * there) if passes else (back < 0.01 * there)


def test_length_and_time_are_kept():
    generator = np.random.default_rng(0)
    for length in (0, 1, 159, 16000, 16001):
        assert telephone(generator.normal(size=length).astype(np.float32) * 0.1, RATE).shape == (length,)
    envelope = np.repeat([0.0, 1.0, 0.0, 1.0], RATE // 4)
    speech = (0.2 * envelope * np.sin(2 * np.pi * 500 * np.arange(RATE) / RATE)).astype(np.float32)
    loud = np.abs(telephone(speech, RATE)).reshape(100, -1).max(1) > 0.1
    assert (loud == (envelope.reshape(100, -1).max(1) > 0)).mean() > 0.95


def test_it_distorts_as_a_codec_does_and_always_alike():
    speech = (np.random.default_rng(1).normal(size=RATE) * 0.1).astype(np.float32)
    first = telephone(speech, RATE)
    np.testing.assert_array_equal(first, telephone(speech, RATE))
    assert np.isfinite(first).all() and np.abs(first).max() <= 1.5
