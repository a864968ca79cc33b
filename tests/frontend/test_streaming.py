import numpy as np
import pytest

from isogloss.frontend.cmvn import sliding_cmn
from isogloss.frontend.deltas import deltas, splice
from isogloss.frontend.mfcc import mfcc
from isogloss.frontend.pitch import pitch
from isogloss.frontend.process_pitch import process_pitch
from isogloss.frontend.streaming import (
    StreamingCMN,
    StreamingMFCC,
    StreamingPitch,
    streaming_deltas,
    streaming_process_pitch,
    streaming_splice,
    streaming_vad,
)
from isogloss.frontend.vad import vad
from isogloss.types import IsoglossError


def in_pieces(stream, values, largest, seed=14):
    """Everything the stream returns for pieces of random length, 0 included."""
    rng = np.random.default_rng(seed)
    returned, first = [], 0
    while first < len(values):
        size = int(rng.integers(0, largest))
        returned.append(stream.accept(values[first : first + size]))
        first += size
    returned.append(stream.finish())
    return np.concatenate(returned)


@pytest.mark.parametrize("largest", [50, 700, 20000])
@pytest.mark.parametrize(
    "options", [{}, {"frame_length_ms": 5.0, "frame_shift_ms": 17.0, "num_mel_bins": 5, "num_ceps": 5}]
)
def test_mfcc_is_that_of_the_whole_file(speechlike, largest, options):
    streamed = in_pieces(StreamingMFCC(16000, **options), speechlike, largest)
    np.testing.assert_array_equal(streamed, mfcc(speechlike, 16000, **options))


def test_mfcc_returns_a_frame_with_its_last_sample():
    stream = StreamingMFCC(16000)
    assert len(stream.accept(np.zeros(399, dtype=np.int16))) == 0
    assert len(stream.accept(np.zeros(1, dtype=np.float32))) == 1
    assert len(stream.accept(np.zeros(160, dtype=np.float64))) == 1


@pytest.mark.parametrize("largest", [300, 20000])
@pytest.mark.parametrize("options", [{}, {"snip_edges": False}, {"preemphasis_coefficient": 0.5}])
def test_pitch_is_that_of_the_whole_file_with_the_online_ballast(speechlike, largest, options):
    streamed = in_pieces(StreamingPitch(16000, **options), speechlike, largest)
    np.testing.assert_array_equal(streamed, pitch(speechlike, 16000, nccf_ballast_online=True, **options))


def test_pitch_in_a_hurry_returns_as_many_frames_and_mostly_the_same(speechlike):
    streamed = in_pieces(StreamingPitch(16000, max_pending=20), speechlike, 1600)
    whole = pitch(speechlike, 16000, nccf_ballast_online=True)
    assert streamed.shape == whole.shape
    assert (streamed[:, 1] == whole[:, 1]).mean() > 0.5


@pytest.mark.parametrize("largest", [3, 40, 500])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"centre": False},
        {"centre": False, "window": 30},
        {"window": 5000},
        {"window": 31, "normalise_variance": True},
    ],
)
def test_cmn_is_that_of_the_whole_file(largest, options):
    frames = np.random.default_rng(15).normal(5, 2, (700, 3)).astype(np.float32)
    np.testing.assert_array_equal(
        in_pieces(StreamingCMN(3, **options), frames, largest), sliding_cmn(frames, **options)
    )


@pytest.mark.parametrize("largest", [3, 200])
def test_what_looks_a_few_frames_around_is_that_of_the_whole_file(speechlike, largest):
    frames = mfcc(speechlike, 16000)
    raw = pitch(speechlike, 16000)
    fixed = {"frames_context": 3, "proportion_threshold": 0.4, "energy_threshold": 15.0}
    whole = vad(frames[:, 0], energy_mean_scale=0.0, **fixed)
    assert 0 < whole.sum() < len(whole)
    np.testing.assert_array_equal(in_pieces(streaming_vad(**fixed), frames[:, 0], largest), whole)
    np.testing.assert_allclose(in_pieces(streaming_process_pitch(), raw, largest), process_pitch(raw), atol=1e-5)
    np.testing.assert_array_equal(in_pieces(streaming_deltas(2, 3), frames, largest), deltas(frames, 2, 3))
    np.testing.assert_array_equal(in_pieces(streaming_splice(4, 1), frames, largest), splice(frames, 4, 1))


def test_memory_does_not_grow_with_the_stream(speechlike):
    mfcc_stream, cmn, tail = StreamingMFCC(16000), StreamingCMN(20, window=100), streaming_splice(2, 2)
    for _ in range(20):
        frames = mfcc_stream.accept(speechlike)
        cmn.accept(frames)
        tail.accept(frames)
    assert len(mfcc_stream._kept) < 400
    assert len(cmn._kept) < 400
    assert len(tail._kept) <= 4


def test_what_cannot_be_streamed_is_refused():
    with pytest.raises(IsoglossError, match="snip_edges"):
        StreamingMFCC(16000, snip_edges=False)
    with pytest.raises(IsoglossError, match="energy_mean_scale"):
        streaming_vad(energy_mean_scale=0.5)
    with pytest.raises(IsoglossError, match="delay"):
        streaming_process_pitch(delay=2)
    with pytest.raises(IsoglossError, match="max_pending"):
        StreamingPitch(16000, max_pending=-1)
    with pytest.raises(IsoglossError, match="2 columns: expected 3"):
        StreamingCMN(3).accept(np.zeros((4, 2)))
