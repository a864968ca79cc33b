import numpy as np
import pytest

from isogloss.frontend.cmvn import cmvn, cmvn_stats, sliding_cmn
from isogloss.frontend.mfcc import mfcc
from isogloss.frontend.pitch import pitch
from isogloss.frontend.process_pitch import process_pitch
from isogloss.frontend.vad import vad
from isogloss.types import IsoglossError

SLIDING = {
    "cmvn_sliding_c300": {},
    "cmvn_sliding_c300_vars": {"normalise_variance": True},
    "cmvn_sliding_l300": {"centre": False},
}


@pytest.fixture
def frames():
    return np.random.default_rng(11).normal(3, 2, (250, 4)).astype(np.float32)


@pytest.mark.parametrize("setting", SLIDING)
def test_agrees_with_kaldi(kaldi, setting):
    keys = [key for key in kaldi if key.startswith(setting + "/")]
    assert keys
    for key in keys:
        ours = sliding_cmn(kaldi[f"mfccpitch23/{key.split('/')[1]}"], **SLIDING[setting])
        np.testing.assert_allclose(ours, kaldi[key], atol=1e-5)


@pytest.mark.parametrize("recording", ["en16", "utt1s16", "short0p3s16", "dcoffset16"])
def test_the_network_input_agrees_with_kaldi(kaldi, recording):
    samples = kaldi[f"audio/{recording}"]
    cepstra, tones = mfcc(samples, 16000), process_pitch(pitch(samples, 16000))
    num_frames = min(len(cepstra), len(tones))
    pasted = np.hstack([cepstra[:num_frames], tones[:num_frames]])
    ours = sliding_cmn(pasted)[vad(pasted[:, 0])]
    reference = kaldi[f"final_cmn_vad50/{recording}"]
    assert ours.shape == reference.shape
    np.testing.assert_allclose(ours, reference, atol=2e-3)


@pytest.mark.parametrize("window", [1, 2, 31, 100, 249, 250, 1000])
@pytest.mark.parametrize("variance", [False, True])
def test_centred_window_by_the_definition(frames, window, variance):
    ours = sliding_cmn(frames, window=window, normalise_variance=variance)
    for t in range(250):
        first = min(max(t - window // 2, 0), max(250 - window, 0))
        around = frames[first : first + window].astype(float)
        expected = frames[t] - around.mean(axis=0)
        if variance:
            expected = expected / np.sqrt(around.var(axis=0)) if len(around) > 1 else 0.0 * expected
        np.testing.assert_allclose(ours[t], expected, atol=1e-4)


@pytest.mark.parametrize(("window", "min_window"), [(300, 100), (50, 100), (50, 1), (10, 400)])
def test_left_window_by_the_definition(frames, window, min_window):
    ours = sliding_cmn(frames, window=window, centre=False, min_window=min_window)
    for t in range(250):
        around = frames[max(t - window, 0) : max(t + 1, min_window)].astype(float)
        if min_window > 250 and t > window:  # the window would end after the last frame: it is moved back
            continue
        np.testing.assert_allclose(ours[t], frames[t] - around.mean(axis=0), atol=1e-4)


def test_a_constant_added_to_every_frame_is_removed(frames):
    np.testing.assert_allclose(sliding_cmn(frames + 100), sliding_cmn(frames), atol=1e-4)


def test_an_utterance_shorter_than_the_window_has_mean_zero(frames):
    np.testing.assert_allclose(sliding_cmn(frames).mean(axis=0), 0.0, atol=1e-5)


def test_constant_frames_become_zero_even_divided_by_their_deviation():
    np.testing.assert_allclose(sliding_cmn(np.full((400, 2), -15.94), normalise_variance=True), 0.0, atol=1e-3)


def test_empty_and_single_frames():
    assert sliding_cmn(np.zeros((0, 23))).shape == (0, 23)
    assert cmvn(np.zeros((0, 23))).shape == (0, 23)
    np.testing.assert_array_equal(sliding_cmn(np.ones((1, 3)), normalise_variance=True), np.zeros((1, 3)))


def test_global_agrees_with_kaldi(kaldi):
    frames = kaldi["mfcc13_thchs30/utt1s16"]
    np.testing.assert_allclose(cmvn_stats(frames), kaldi["cmvn_stats_thchs30/utt1s16"], rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(cmvn(frames), kaldi["mfcc13_thchs30_cmvn/utt1s16"], atol=1e-4)


def test_global_gives_mean_zero_and_variance_one(frames):
    normalised = cmvn(frames, normalise_variance=True)
    np.testing.assert_allclose(normalised.mean(axis=0), 0.0, atol=1e-5)
    np.testing.assert_allclose(normalised.std(axis=0), 1.0, atol=1e-5)


def test_statistics_of_parts_add_up(frames):
    np.testing.assert_allclose(cmvn_stats(frames[:90]) + cmvn_stats(frames[90:]), cmvn_stats(frames), rtol=1e-12)
    joined = cmvn(frames[:90], cmvn_stats(frames))
    np.testing.assert_allclose(joined, frames[:90] - frames.mean(axis=0), atol=1e-5)


def test_bad_input(frames):
    with pytest.raises(IsoglossError, match="window 0"):
        sliding_cmn(frames, window=0)
    with pytest.raises(IsoglossError, match=r"\(2, 5\)"):
        cmvn(frames, np.zeros((2, 8)))
    with pytest.raises(IsoglossError, match="at least one frame"):
        cmvn(frames, np.zeros((2, 5)))
    frames[3, 1] = np.nan
    with pytest.raises(IsoglossError, match=r"\[3, 1\]"):
        sliding_cmn(frames)
