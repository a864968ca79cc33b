"""What a step's chunks become: the masks' places and widths, pure functions of the step, nothing where nothing is asked."""

import numpy as np
import pytest
import torch

from isogloss.config import SpecAugmentConfig
from isogloss.training.spec_augment import make, random_runs, spec_augment

ALL = SpecAugmentConfig(time_masks=2, time_width=10, column_masks=1, column_width=4)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_nothing_is_made_where_nothing_is_asked():
    assert make(SpecAugmentConfig()) is None
    assert make(SpecAugmentConfig(time_width=50, column_width=5)) is None


def test_a_step_sees_the_same_again_and_another_something_else():
    features, augment = torch.randn(6, 40, 23), make(ALL)
    before = features.clone()
    first = augment(features, 1, 2, 3)
    torch.manual_seed(99)  # the global generator plays no part
    assert torch.equal(first, augment(features, 1, 2, 3)) and torch.equal(features, before)
    for other in ((0, 2, 3), (1, 3, 2), (1, 2, 4), (2**32 + 1, 2, 3)):
        assert not torch.equal(first, augment(features, *other))


def test_masked_values_are_zero_and_all_others_stay():
    config = SpecAugmentConfig(time_masks=2, time_width=10, column_masks=1, column_width=4)
    features = torch.rand(500, 40, 23) + 1
    changed = spec_augment(features, generator(), config)
    zero = changed == 0
    assert torch.equal(changed[~zero], features[~zero])
    frames, columns = zero.all(dim=2), zero.all(dim=1)
    assert torch.equal(zero, frames.unsqueeze(2) | columns.unsqueeze(1))
    assert 0 < frames.sum(1).max() <= 20 and 0 < columns.sum(1).max() <= 4
    assert frames[:, :].any(0).all() and columns.any(0).all()  # everywhere, in some chunk


@pytest.mark.parametrize(("width", "length"), [(10, 40), (4, 23), (50, 8)])
def test_runs_have_every_width_and_fit(width, length):
    runs = random_runs(20_000, 1, width, length, generator()).numpy()
    ends = np.diff(np.pad(runs.astype(int), ((0, 0), (1, 1))), axis=1)
    assert ((ends == 1).sum(1) <= 1).all()  # one run each
    widths = np.bincount(runs.sum(1), minlength=min(width, length) + 1) / len(runs)
    assert len(widths) == min(width, length) + 1
    np.testing.assert_allclose(widths, 1 / len(widths), atol=0.015)
    narrow = runs[runs.sum(1) == 1]
    places = narrow.sum(0) / len(narrow)
    np.testing.assert_allclose(places, 1 / length, atol=4 * np.sqrt(1 / length / len(narrow)))
