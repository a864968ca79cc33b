import math

import pytest
import torch

from isogloss.losses import AAMSoftmax, AMSoftmax, ConstantMargin, MultitaskLoss, PhonemeAwareMargin, Softmax
from isogloss.types import IGNORE_PDF, Batch, Encoded, IsoglossError

B, T, E, K, C = 4, 6, 5, 7, 3


def sample() -> tuple[Encoded, Batch]:
    generator = torch.Generator().manual_seed(0)
    encoded = Encoded(
        torch.randn(B, E, generator=generator).requires_grad_(),
        (2 * torch.randn(B, T, K, generator=generator)).requires_grad_(),
    )
    pdf_ids = torch.randint(0, K, (B, T), generator=generator)
    pdf_ids[0, :3] = IGNORE_PDF
    pdf_ids[2] = IGNORE_PDF
    return encoded, Batch(torch.zeros(B, T, 2), torch.tensor([0, 2, 1, 1]), pdf_ids)


def test_total_is_eq_9_to_11_over_the_labelled_frames() -> None:
    encoded, batch = sample()
    head = AMSoftmax(E, C)
    parts = MultitaskLoss(head, ConstantMargin(0.2), alpha=0.3)(encoded, batch)

    losses, correct = [], 0
    for i in range(B):
        for t in range(T):
            label = int(batch.pdf_ids[i, t])
            if label != IGNORE_PDF:
                row = encoded.phone_logits[i, t].tolist()
                losses.append(math.log(sum(math.exp(v) for v in row)) - row[label])
                correct += row.index(max(row)) == label
    phone = sum(losses) / len(losses)
    language = head(encoded.embedding, batch.languages, 0.2).item()

    assert parts.phone.item() == pytest.approx(phone, rel=1e-5)
    assert parts.phone_accuracy.item() == pytest.approx(correct / len(losses))
    assert parts.language.item() == pytest.approx(language)
    assert parts.total.item() == pytest.approx(language + 0.3 * phone, rel=1e-5)
    assert parts.margin.tolist() == pytest.approx([0.2] * B) and parts.p is None


def test_the_margin_is_that_of_this_batchs_own_logits() -> None:
    encoded, batch = sample()
    head, margin = AAMSoftmax(E, C), PhonemeAwareMargin(0.2, 10.0, normalise="batch_sum")
    parts = MultitaskLoss(head, margin)(encoded, batch)
    own = margin(encoded.phone_logits)
    torch.testing.assert_close(parts.margin, own.total)
    torch.testing.assert_close(parts.p, own.p)
    torch.testing.assert_close(parts.beta_p, own.beta_p)
    torch.testing.assert_close(parts.language, head(encoded.embedding, batch.languages, own.total).detach())


@pytest.mark.parametrize("head", [AMSoftmax(E, C), AAMSoftmax(E, C)])
def test_beta_zero_is_the_constant_margin(head: torch.nn.Module) -> None:
    encoded, batch = sample()
    aware = MultitaskLoss(head, PhonemeAwareMargin(0.2, 0.0, normalise="batch_sum"))(encoded, batch)
    constant = MultitaskLoss(head, ConstantMargin(0.2))(encoded, batch)
    torch.testing.assert_close(aware.total, constant.total, rtol=0, atol=0)


@pytest.mark.parametrize("detach", [True, False])
def test_the_language_loss_reaches_the_phoneme_branch_only_if_p_is_not_detached(detach: bool) -> None:
    encoded, batch = sample()
    margin = PhonemeAwareMargin(0.2, 0.5, detach=detach)
    MultitaskLoss(AMSoftmax(E, C), margin, alpha=0.0)(encoded, batch).total.backward()
    assert bool((encoded.phone_logits.grad != 0).any()) != detach


def test_unlabelled_frames_get_no_gradient_and_labelled_ones_do() -> None:
    encoded, batch = sample()
    MultitaskLoss(AMSoftmax(E, C), PhonemeAwareMargin(0.2, 1.0))(encoded, batch).total.backward()
    assert bool((encoded.phone_logits.grad != 0).any(dim=2).eq(batch.pdf_ids != IGNORE_PDF).all())


def test_a_batch_without_labels_adds_nothing() -> None:
    encoded, batch = sample()
    parts = MultitaskLoss(AMSoftmax(E, C), ConstantMargin(0.2))(
        encoded, Batch(batch.features, batch.languages, torch.full((B, T), IGNORE_PDF))
    )
    parts.total.backward()
    assert float(parts.phone) == 0 and torch.isfinite(encoded.embedding.grad).all()
    assert not encoded.phone_logits.grad.any()


def test_in_evaluation_the_margin_is_off_but_reported() -> None:
    encoded, batch = sample()
    head = AAMSoftmax(E, C)
    parts = MultitaskLoss(head, PhonemeAwareMargin(0.2, 1.0)).eval()(encoded, batch)
    expected = torch.nn.functional.cross_entropy(head.logits(encoded.embedding), batch.languages)
    torch.testing.assert_close(parts.language, expected.detach())
    assert float(parts.margin.min()) > 0.2


def test_single_task_is_the_language_loss_alone() -> None:
    encoded, batch = sample()
    encoded, batch = Encoded(encoded.embedding), Batch(batch.features, batch.languages)
    head = Softmax(E, C)
    parts = MultitaskLoss(head, ConstantMargin(0.0))(encoded, batch)
    torch.testing.assert_close(parts.total, head(encoded.embedding, batch.languages))
    assert parts.phone is None and parts.phone_accuracy is None and parts.margin.shape == (B,)
    with pytest.raises(IsoglossError, match="single-task"):
        MultitaskLoss(AMSoftmax(E, C), PhonemeAwareMargin(0.2, 1.0))(encoded, batch)


@pytest.mark.parametrize("label", [K, -1, 40000])
def test_a_label_outside_the_phoneme_branch_is_an_error_and_not_class_0(label: int) -> None:
    encoded, batch = sample()
    batch.pdf_ids[1, 2] = label
    with pytest.raises(IsoglossError, match=f"pdf label {label}; expected 0 to 6"):
        MultitaskLoss(AMSoftmax(E, C), ConstantMargin(0.2))(encoded, batch)


def test_missing_and_misaligned_labels_are_errors() -> None:
    encoded, batch = sample()
    loss = MultitaskLoss(AMSoftmax(E, C), ConstantMargin(0.2))
    with pytest.raises(IsoglossError, match="no pdf labels"):
        loss(encoded, Batch(batch.features, batch.languages))
    with pytest.raises(IsoglossError, match="frame shift"):
        loss(encoded, Batch(batch.features, batch.languages, batch.pdf_ids[:, :-1]))


def test_labels_of_other_integer_types_mean_the_same_and_others_are_errors() -> None:
    encoded, batch = sample()
    loss = MultitaskLoss(AMSoftmax(E, C), PhonemeAwareMargin(0.2, 1.0))
    same = Batch(batch.features, batch.languages.to(torch.int32), batch.pdf_ids.to(torch.int16))
    assert torch.equal(loss(encoded, same).total, loss(encoded, batch).total)
    with pytest.raises(IsoglossError, match="pdf labels of type torch.float32"):
        loss(encoded, Batch(batch.features, batch.languages, batch.pdf_ids.float()))
    with pytest.raises(IsoglossError, match=r"phoneme logits of shape \[4, 7\]"):
        loss(Encoded(encoded.embedding, encoded.phone_logits[:, 0]), batch)


def test_unlabelled_frames_count_in_p() -> None:
    encoded, batch = sample()
    parts = MultitaskLoss(AMSoftmax(E, C), PhonemeAwareMargin(0.2, 1.0))(encoded, batch)
    assert (batch.pdf_ids == IGNORE_PDF).any()
    torch.testing.assert_close(parts.p, encoded.phone_logits.detach().softmax(dim=2).amax(dim=2).mean(dim=1))


def test_state_resumes() -> None:
    encoded, batch = sample()

    def make() -> MultitaskLoss:
        return MultitaskLoss(AMSoftmax(E, C), PhonemeAwareMargin(0.2, 1.0, normalise="running_mean", warmup_steps=5))

    loss, resumed = make(), make()
    for _ in range(3):
        loss(encoded, batch)
    resumed.load_state_dict(loss.state_dict())
    torch.testing.assert_close(resumed(encoded, batch).total, loss(encoded, batch).total, rtol=0, atol=0)
