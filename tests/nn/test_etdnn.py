import pytest
import torch

from isogloss.nn import ETDNN
from isogloss.types import IsoglossError


def test_as_many_frames_out_as_in() -> None:
    encoder = ETDNN(feature_dim=4, width=8).eval()
    for num_frames in (1, 2, 30):
        assert encoder(torch.randn(2, num_frames, 4)).shape == (2, 8, num_frames)


def test_the_receptive_field_is_eleven_frames_to_each_side() -> None:
    torch.manual_seed(0)
    encoder = ETDNN(feature_dim=4, width=32).eval()
    x = torch.randn(1, 60, 4)
    nudged = x.clone()
    nudged[0, 30] += 10
    changed = (encoder(x) != encoder(nudged)).any(dim=1)[0].nonzero().squeeze(1)
    assert changed.tolist() == list(range(30 - 11, 30 + 11 + 1))


def test_features_of_another_front_end_are_an_error() -> None:
    with pytest.raises(IsoglossError, match=r"\[2, 5, 40\].*23"):
        ETDNN()(torch.zeros(2, 5, 40))
