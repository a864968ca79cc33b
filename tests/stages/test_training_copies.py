"""Training copies: their keys, their speeds, what is drawn for them, and noise from a folder."""

import shutil

import numpy as np
import pytest
import soundfile

from isogloss.config import AugmentConfig, FeaturesConfig, FrontEndConfig, parse
from isogloss.frontend.perturb import perturb_speed
from isogloss.stages.features import speed_copies, speed_copy, speed_of, training_copies, training_keys
from isogloss.stages.noise_recordings import NoiseRecordings, noise_recordings, seen
from isogloss.types import IsoglossError

CONFIG = FeaturesConfig(speeds=(0.9, 1.0), augmented=3)
NOTHING = AugmentConfig(
    speed=(0.9, 1.1), room_probability=0, noise_probability=0, recording_probability=0, band_probability=0,
    codec_probability=0, gain_db=(0, 0),
)  # fmt: skip


@pytest.fixture(scope="module")
def clip():
    generator = np.random.default_rng(0)
    return (0.1 * generator.standard_normal(16000)).astype(np.float32)


def test_keys_are_known_before_the_audio_and_tell_the_speed(clip):
    keys = training_keys("xyz/a", CONFIG)
    copies = dict(training_copies("xyz/a", clip, CONFIG))
    assert list(copies) == keys and len(set(keys)) == 5
    assert keys[:2] == ["xyz/a#sp0.9", "xyz/a#sp1.0"] and [key.partition("@")[0] for key in keys[2:]] == [
        f"xyz/a#aug{number}" for number in (1, 2, 3)
    ]
    for key, samples in copies.items():
        assert 0.9 <= speed_of(key) <= 1.1
        assert len(samples) == int(len(clip) / speed_of(key) + 0.5)
    assert speed_of("xyz/a") == speed_of("xyz/a#telephone") == 1.0
    assert training_keys("xyz/a", CONFIG.model_copy(update={"augmented": 0})) == keys[:2]


def test_speeds_are_spread_over_their_range():
    speeds = [speed_of(key) for number in range(400) for key in training_keys(str(number), CONFIG)[2:]]
    hits, _ = np.histogram(np.log(speeds), np.linspace(np.log(0.9), np.log(1.1), 6))
    assert len(set(speeds)) > 150 and np.abs(hits / len(speeds) - 0.2).max() < 0.05


def test_a_copy_depends_on_seed_and_key_alone(clip):
    first = dict(training_copies("a", clip, CONFIG))
    list(training_copies("b", clip, CONFIG))
    again = dict(training_copies("a", clip, CONFIG.model_copy(update={"augmented": 9})))
    assert all(np.array_equal(again[key], samples) for key, samples in first.items())
    augmented = [samples for key, samples in first.items() if "#aug" in key]
    assert not any(
        np.array_equal(one[:9000], other[:9000]) for one in augmented for other in augmented if one is not other
    )
    assert set(training_keys("a", CONFIG.model_copy(update={"seed": 1}))) & set(first) == {"a#sp0.9", "a#sp1.0"}


def test_a_copy_to_which_nothing_happens_is_the_clip_at_its_speed(clip):
    config = CONFIG.model_copy(update={"augment": NOTHING})
    for key, samples in list(training_copies("a", clip, config))[2:]:
        np.testing.assert_allclose(samples, perturb_speed(clip, speed_of(key)), atol=1e-7)


def test_speed_copies_come_first_and_lend_their_labels(clip):
    copies = list(training_copies("a", clip, CONFIG))
    for (key, samples), (expected_key, expected) in zip(copies, speed_copies("a", clip, CONFIG), strict=False):
        assert key == expected_key == speed_copy(key, CONFIG)
        np.testing.assert_array_equal(samples, expected)
    assert speed_copy("a#aug1@0.941", CONFIG) == "a#sp0.9" and speed_copy("a#aug1@0.955", CONFIG) == "a#sp1.0"
    assert speed_copy("a#aug1@1.100", CONFIG) == "a#sp1.0"


def test_recorded_noise_is_heard_at_its_level(clip, tmp_path):
    tone = 0.3 * np.sin(2 * np.pi * 3000 * np.arange(44100) / 44100)
    (tmp_path / "musan" / "noise").mkdir(parents=True)
    soundfile.write(tmp_path / "musan" / "noise" / "tone.wav", tone, 44100)
    (tmp_path / "musan" / "LICENSE").write_text("not audio")
    assert len(NoiseRecordings(tmp_path / "musan")) == 1
    config = FeaturesConfig(
        speeds=(1.0,),
        augmented=4,
        noise_recordings=tmp_path / "musan",
        augment=NOTHING.model_copy(update={"recording_probability": 1.0, "snr_db": (6.0, 6.0)}),
    )
    for key, samples in list(training_copies("a", clip, config))[1:]:
        clean = perturb_speed(clip, speed_of(key))
        noise = samples - clean
        spectrum = np.abs(np.fft.rfft(noise * np.hanning(len(noise))))
        assert np.fft.rfftfreq(len(noise), 1 / 16000)[spectrum.argmax()] == pytest.approx(3000, abs=2)
        assert 10 * np.log10(np.square(clean).mean() / np.square(noise).mean()) == pytest.approx(6, abs=0.7)


def test_a_folder_of_noise_counts_by_what_it_holds(tmp_path):
    (tmp_path / "here").mkdir()
    with pytest.raises(IsoglossError, match="no audio file below .*here.*noise_recordings"):
        noise_recordings(tmp_path / "here")
    soundfile.write(tmp_path / "here" / "a.wav", np.zeros(100), 16000)
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    before = seen(tmp_path / "here")
    assert before == seen(tmp_path / "there") == [("a.wav", 244)]
    soundfile.write(tmp_path / "here" / "b.flac", np.zeros(100), 16000)
    assert seen(tmp_path / "here") != before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"noise_recordings": "musan"}, "set features.augmented=1"),
        ({"augmented": 1, "front_end": {"sample_rate": 8000}}, "16000 Hz.*8000 Hz"),
        ({"speeds": []}, "speeds"),
        ({"augment": {"snr_db": [9, 1]}}, "lowest, highest"),
    ],
)
def test_options_that_cannot_be(values, message):
    with pytest.raises(IsoglossError, match=message):
        parse(FeaturesConfig, values)


def test_stores_made_before_there_were_augmented_copies_read_as_without():
    old = FeaturesConfig(front_end=FrontEndConfig()).model_dump(
        mode="json", exclude={"augmented", "augment", "noise_recordings"}
    )
    assert FeaturesConfig(**old).augmented == 0
