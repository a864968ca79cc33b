import re

import pytest
import torch
import torch.nn.functional as F

from isogloss.losses import phone_frames
from isogloss.losses.phone_frames import read_phone_frames
from isogloss.types import IsoglossError


@pytest.fixture(params=[1, 60, 2**18], ids=["a row at a time", "ragged chunks", "at once"])
def chunks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(phone_frames.CHUNK_ELEMENTS, "cpu", request.param)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_one_pass_equals_cross_entropy_and_softmax_apart(chunks: None, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    ours = (5 * torch.randn(3, 7, 11)).to(dtype).requires_grad_()
    theirs = ours.detach().clone().requires_grad_()
    labels = torch.randint(0, 11, (3, 7))

    frames = read_phone_frames(ours, labels)
    loss = (frames.log_sum_exp - frames.label_logit).mean()
    posterior = (frames.max_logit - frames.log_sum_exp).exp()
    (loss + posterior.square().sum()).backward()

    wide = theirs.double() if dtype == torch.float64 else theirs.float()
    their_loss = F.cross_entropy(wide.flatten(0, 1), labels.flatten())
    their_posterior = wide.softmax(dim=2).amax(dim=2)
    (their_loss + their_posterior.square().sum()).backward()

    torch.testing.assert_close(loss, their_loss)
    torch.testing.assert_close(posterior, their_posterior)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_gradients_of_all_three_readings() -> None:
    torch.manual_seed(0)
    z = torch.randn(2, 3, 5, dtype=torch.float64, requires_grad=True)
    labels = torch.randint(0, 5, (2, 3))

    def readings(logits: torch.Tensor) -> tuple[torch.Tensor, ...]:
        frames = read_phone_frames(logits, labels)
        return frames.log_sum_exp, frames.max_logit, frames.label_logit

    assert torch.autograd.gradcheck(readings, (z,))


def test_logits_that_overflow_exp_are_exact() -> None:
    frames = read_phone_frames(torch.tensor([[[1000.0, 1000.0], [-1000.0, -2000.0]]]))
    torch.testing.assert_close(frames.log_sum_exp, torch.tensor([[1000.0 + 0.6931472, -1000.0]]))


def test_a_tie_for_the_maximum_shares_its_gradient() -> None:
    z = torch.tensor([[[2.0, 2.0, 1.0]]], requires_grad=True)
    read_phone_frames(z).max_logit.sum().backward()
    assert z.grad.tolist() == [[[0.5, 0.5, 0.0]]]


def test_logits_need_not_be_contiguous() -> None:
    z = torch.randn(2, 5, 3).transpose(1, 2)
    torch.testing.assert_close(read_phone_frames(z).log_sum_exp, z.logsumexp(dim=2))


@pytest.mark.parametrize("shape", [(4,), (4, 7), (2, 4, 7, 1), (0, 4, 7), (2, 0, 7), (2, 4, 0)])
def test_logits_of_another_shape_are_errors(shape: tuple[int, ...]) -> None:
    with pytest.raises(IsoglossError, match=re.escape(f"phoneme logits of shape {list(shape)}")):
        read_phone_frames(torch.zeros(shape))


def test_logits_and_labels_of_another_type_are_errors() -> None:
    with pytest.raises(IsoglossError, match="type torch.int64; expected floats"):
        read_phone_frames(torch.zeros(2, 4, 7, dtype=torch.int64))
    with pytest.raises(IsoglossError, match="pdf labels of type torch.float32"):
        read_phone_frames(torch.zeros(2, 4, 7), torch.zeros(2, 4))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int16, torch.uint8], ids=str)
def test_labels_may_be_of_any_integer_type(dtype: torch.dtype) -> None:
    z, labels = torch.randn(2, 4, 7), torch.arange(8).view(2, 4) % 7
    assert torch.equal(read_phone_frames(z, labels.to(dtype)).label_logit, read_phone_frames(z, labels).label_logit)


def test_masks_that_cannot_be_are_errors() -> None:
    z, mask = torch.zeros(2, 4, 7), torch.ones(2, 4, dtype=torch.bool)
    for wrong in (mask[:, :3], mask[:1], mask[0], mask[:, :, None], mask.long(), mask.float()):
        with pytest.raises(IsoglossError, match="expected bool, one per frame"):
            read_phone_frames(z, mask=wrong)
    mask[1] = False
    with pytest.raises(IsoglossError, match="a mask that leaves segment 1 no frame"):
        read_phone_frames(z, mask=mask)
