import dataclasses
from typing import get_args

import numpy as np
import pytest

from isogloss.config import AugmentConfig, Codec, parse
from isogloss.frontend.augment import (
    CODECS,
    FRAME_LENGTH,
    FRAME_SHIFT,
    SAMPLE_RATE,
    Augmentation,
    active_power,
    apply,
    labels_at_speed,
    randomize,
)
from isogloss.types import IsoglossError


def bursts(num_samples=48000, every=8000, seed=0):
    """Short bursts of noise in silence, and where they begin."""
    rng = np.random.default_rng(seed)
    samples = np.zeros(num_samples, np.float32)
    starts = np.arange(every // 2, num_samples - 400, every)
    for start in starts:
        samples[start : start + 160] = 0.5 * rng.standard_normal(160).clip(-1.5, 1.5)
    return samples, starts


def onsets(samples, starts, reach=800):
    """Where, within `reach` of each start, the energy of a sliding 160 samples is highest."""
    energy = np.convolve(np.square(samples), np.ones(160), mode="full")[159:]
    return np.array([start - reach + np.argmax(energy[start - reach : start + reach]) for start in starts])


CHANGES = {
    "room": {"rt60_seconds": 0.6, "direct_to_reverberant_db": 0.0},
    "white": {"snr_db": 10.0},
    "brown": {"snr_db": 10.0, "noise_exponent": 2.0},
    "babble": {"babble": (0, 1), "babble_snr_db": 15.0},
    "recording": {"recording": 0, "recording_snr_db": 15.0},
    "narrow band": {"band_hz": (300.0, 3000.0)},
    "tilt": {"tilt_db_per_octave": 4.0},
    "gain": {"gain_db": -15.0},
    **{codec: {"codec": codec} for codec in CODECS},
}


@pytest.mark.parametrize("change", CHANGES)
def test_nothing_moves_a_click_by_more_than_half_a_frame(change):
    samples, starts = bursts()
    rng = np.random.default_rng(1)
    others = [0.1 * rng.standard_normal(9000).astype(np.float32) for _ in range(2)]
    changed = apply(samples, Augmentation(**CHANGES[change]), others, others)
    assert changed.shape == samples.shape and changed.dtype == np.float32
    assert not np.array_equal(changed, samples)
    assert np.abs(onsets(changed, starts) - starts).max() <= FRAME_SHIFT // 2


@pytest.mark.parametrize("speed", [0.8, 0.93, 1.0, 1.25])
def test_labels_follow_the_speed(speed):
    samples, starts = bursts()
    changed = apply(samples, Augmentation(speed=speed))
    centre = np.arange((len(samples) - FRAME_LENGTH) // FRAME_SHIFT + 1) * FRAME_SHIFT + FRAME_LENGTH // 2
    labels = (np.abs(centre[:, None] - starts - 80) <= 2.5 * FRAME_SHIFT).any(axis=1).astype(int)
    moved = labels_at_speed(labels, (len(changed) - FRAME_LENGTH) // FRAME_SHIFT + 1, speed)
    centre = np.arange(len(moved)) * FRAME_SHIFT + FRAME_LENGTH // 2
    for start in onsets(changed, np.rint(starts / speed).astype(int)):
        marked = centre[(moved == 1) & (np.abs(centre - start) < 2000)]
        assert marked.mean() == pytest.approx(start + 80 / speed, abs=FRAME_SHIFT)
    assert abs(len(moved) - len(labels) / speed) <= 3
    if speed == 1:
        assert np.array_equal(moved, labels)


def test_the_same_generator_gives_the_same_and_another_something_else():
    samples, _ = bursts()
    voices = [bursts(seed=3)[0]]

    def made(seed):
        return apply(samples, randomize(np.random.default_rng(seed), None, len(voices)), voices)

    assert np.array_equal(made(5), made(5))
    assert not np.array_equal(made(5)[:1000], made(6)[:1000])
    drawn = randomize(np.random.default_rng(5))
    assert np.array_equal(apply(samples, drawn), apply(samples, dataclasses.replace(drawn)))


@pytest.mark.parametrize("exponent", [0.0, 1.0, 2.0])
def test_noise_has_its_level_and_colour(exponent):
    rng = np.random.default_rng(0)
    samples = 0.05 * rng.standard_normal(20 * SAMPLE_RATE).astype(np.float32)
    noise = apply(samples, Augmentation(snr_db=6.0, noise_exponent=exponent)) - samples
    assert 10 * np.log10(active_power(samples) / np.square(noise).mean()) == pytest.approx(6.0, abs=0.3)
    power = np.abs(np.fft.rfft(noise)) ** 2
    hertz = np.fft.rfftfreq(len(noise), 1 / SAMPLE_RATE)
    low, high = (power[(hertz > f) & (hertz < 1.2 * f)].mean() for f in (500, 4000))
    assert np.log2(low / high) / 3 == pytest.approx(exponent, abs=0.15)


def test_the_room_decays_by_60_db_in_its_time():
    samples = np.zeros(2 * SAMPLE_RATE, np.float32)
    samples[0] = 0.5
    rt60 = 0.5
    heard = apply(samples, Augmentation(rt60_seconds=rt60, direct_to_reverberant_db=0.0))
    assert np.argmax(np.abs(heard)) == 0
    tail = np.square(heard[32:]).astype(float)
    assert tail.sum() == pytest.approx(heard[0] ** 2, rel=0.01)  # direct to reverberant: 0 dB
    early, late = (10 * np.log10(tail[int(t * SAMPLE_RATE) :][:800].mean()) for t in (0.05, 0.30))
    assert early - late == pytest.approx(60 * 0.25 / rt60, abs=2.5)


def test_the_band_is_cut_and_the_rest_kept():
    time = np.arange(SAMPLE_RATE) / SAMPLE_RATE
    for hertz, kept in ((1000, True), (60, False), (7000, False)):
        tone = (0.3 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)
        through = apply(tone, Augmentation(band_hz=(300.0, 3000.0)))
        ratio = np.square(through[2000:-2000]).mean() / np.square(tone[2000:-2000]).mean()
        assert (ratio > 0.95) if kept else (ratio < 0.01)


def test_silence_and_nothing_are_left_as_they_are():
    rng = np.random.default_rng(0)
    for length in (0, 100, 8000):
        silent = np.zeros(length, np.float32)
        changed = apply(silent, randomize(rng, AugmentConfig(speed=(1.0, 1.0)), 1), [silent])
        assert np.array_equal(changed, silent)
    loud = np.ones(16000, np.int16) * 32767
    assert np.abs(apply(loud, randomize(rng))).max() <= 1


def test_bad_options_are_named():
    for values, message in (
        ({"noise_probability": 2}, "noise_probability"),
        ({"snr_db": (30.0, 0.0)}, r"snr_db \(30.0, 0.0\): expected \(lowest, highest\)"),
        ({"speed": (0.0, 1.0)}, "above 0"),
        ({"codecs": ("amr",)}, "codecs.*opus-6k"),
        ({"snr": (0.0, 1.0)}, "did you mean 'snr_db'"),
    ):
        with pytest.raises(IsoglossError, match=message):
            parse(AugmentConfig, values)
    with pytest.raises(IsoglossError, match="'amr' is unknown"):
        apply(np.ones(800, np.float32) * 0.1, Augmentation(codec="amr"))
    with pytest.raises(IsoglossError, match="NaN"):
        apply(np.full(800, np.nan, np.float32), Augmentation())


def test_the_telephone_of_the_test_condition_is_not_trained_on():
    assert set(CODECS) == set(get_args(Codec))
    assert CODECS.keys() - set(AugmentConfig().codecs) == {"ulaw", "gsm"}
