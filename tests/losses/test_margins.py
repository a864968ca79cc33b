import math
import warnings

import pytest
import torch
from torch import Tensor

from isogloss.losses import PRESETS, ConstantMargin, PhonemeAwareMargin, ScheduledMargin
from isogloss.types import IsoglossError

B, T, K = 6, 8, 11
POSTERIOR = ["mean_max_posterior", "sum_max_posterior"]
LOGIT = ["mean_max_logit", "max_logit"]


def logits(seed: int = 0, sharpness: float = 2.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    confidence = torch.linspace(0.1, sharpness, B)[:, None, None]  # segment i is surer than segment i − 1
    return confidence * torch.randn(B, T, K, generator=generator, dtype=torch.float64)


def statistic_in_a_loop(z: Tensor, name: str) -> list[float]:
    values = []
    for i in range(B):
        best_posterior, best_logit = [], []
        for t in range(T):
            row = [float(v) for v in z[i, t]]
            best_posterior.append(max(math.exp(v) for v in row) / sum(math.exp(v) for v in row))
            best_logit.append(max(row))
        values.append(
            {
                "mean_max_posterior": sum(best_posterior) / T,  # eq. 13
                "sum_max_posterior": sum(best_posterior),
                "mean_max_logit": sum(best_logit) / T,
                "max_logit": max(best_logit),
            }[name]
        )
    return values


@pytest.mark.parametrize(
    ("statistic", "normalise"),
    [
        (statistic, normalise)
        for statistic in POSTERIOR + LOGIT
        for normalise in ("none", "batch_softmax", "batch_sum", "divide_by_frames")
        if not (statistic in LOGIT and normalise == "batch_sum")  # refused, see below
    ],
)
def test_p_is_eq_13_and_its_variants_and_the_margin_is_eq_12(statistic: str, normalise: str) -> None:
    z = logits()
    s = statistic_in_a_loop(z, statistic)
    expected = {
        "none": s,
        "batch_softmax": [math.exp(v) / sum(math.exp(u) for u in s) for v in s],
        "batch_sum": [v / sum(s) for v in s],
        "divide_by_frames": [v / T for v in s],
    }[normalise]

    margin = PhonemeAwareMargin(0.2, 0.5, statistic, normalise)(z)

    assert margin.p.tolist() == pytest.approx(expected)
    assert margin.beta_p.tolist() == pytest.approx([0.5 * p for p in expected])
    assert margin.total.tolist() == pytest.approx([0.2 + 0.5 * p for p in expected])


@pytest.mark.parametrize("statistic", POSTERIOR + LOGIT)
@pytest.mark.parametrize("normalise", ["none", "batch_softmax", "divide_by_frames"])
def test_p_of_padded_segments_is_that_of_each_alone(statistic: str, normalise: str) -> None:
    """Every segment's own frames in a plain loop; what fills up the batch is surer than any of them."""
    z, lengths, s = logits(), [8, 1, 5, 3, 8, 2], []
    for i, length in enumerate(lengths):
        column = 0 if "posterior" in statistic else 1
        best = [(float(row.softmax(0).max()), float(row.max()))[column] for row in z[i, :length]]
        value = max(best) if statistic == "max_logit" else sum(best)
        s.append(value / length if statistic.startswith("mean") else value)
    expected = {
        "none": s,
        "batch_softmax": [math.exp(v) / sum(math.exp(u) for u in s) for v in s],
        "divide_by_frames": [v / length for v, length in zip(s, lengths, strict=True)],
    }[normalise]
    mask = torch.arange(T) < torch.tensor(lengths)[:, None]
    padded = torch.where(mask[:, :, None], z, 50 * torch.eye(K, dtype=z.dtype)[0]).requires_grad_()

    margin = PhonemeAwareMargin(0.2, 0.5, statistic, normalise, detach=False)(padded, mask)

    assert margin.p.tolist() == pytest.approx(expected)
    margin.total.square().sum().backward()
    assert not padded.grad[~mask].any() and torch.isfinite(padded.grad).all()


def test_a_mask_of_all_frames_changes_nothing_and_every_margin_takes_one() -> None:
    z, mask = logits(), torch.ones(B, T, dtype=torch.bool)
    aware = PhonemeAwareMargin(0.2, 10.0, normalise="batch_sum")
    assert torch.equal(aware(z, mask).total, aware(z).total)
    mask[:, 4:] = False
    ramped = ScheduledMargin(aware, steps=1)
    ramped(z, mask)
    torch.testing.assert_close(ramped(z, mask).total, aware(z[:, :4]).total)
    assert float(ConstantMargin(0.2)(z, mask).total) == pytest.approx(0.2)


@pytest.mark.parametrize("normalise", ["batch_sum", "batch_softmax"])
@pytest.mark.parametrize("statistic", POSTERIOR)
def test_normalised_over_the_batch_p_sums_to_one(normalise: str, statistic: str) -> None:
    margin = PhonemeAwareMargin(0.2, 10.0, statistic, normalise)(logits())
    assert float(margin.p.sum()) == pytest.approx(1)
    assert bool((margin.p.diff() > 0).all())  # a surer segment gets a larger margin


@pytest.mark.parametrize("normalise", ["none", "batch_softmax", "batch_sum", "divide_by_frames"])
@pytest.mark.parametrize("batch", [1, 2, B])
def test_target_mean_holds_for_every_batch_size(normalise: str, batch: int) -> None:
    margin = PhonemeAwareMargin(0.2, 10.0, normalise=normalise, target_mean=0.002)(logits()[:batch])
    assert float(margin.p.mean()) == pytest.approx(0.002)
    assert float(margin.total.mean()) == pytest.approx(0.22)  # the controls of Table 1, rows 4 and 7


def test_presets_are_what_they_say() -> None:
    z, eq_13 = logits(), torch.tensor(statistic_in_a_loop(logits(), "mean_max_posterior"), dtype=torch.float64)
    with pytest.warns(UserWarning, match="past π"):
        literal = PhonemeAwareMargin(0.2, 10.0, **PRESETS["literal"])
    torch.testing.assert_close(literal(z).p, eq_13)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scaled = PhonemeAwareMargin(0.2, 10.0, **PRESETS["literal_scaled"])
        paper = PhonemeAwareMargin(0.2, 10.0, **PRESETS["paper"])
    torch.testing.assert_close(scaled(z).p, eq_13 * 0.002 / eq_13.mean())
    assert float(paper(z).p.sum()) == pytest.approx(1)
    assert float(paper(z.repeat(86, 1, 1)[:512]).p.mean()) == pytest.approx(
        1 / 512
    )  # Table 1's 0.002 at its batch size


def test_running_mean_follows_training_batches_and_is_saved() -> None:
    margin = PhonemeAwareMargin(0.2, 0.1, normalise="running_mean")
    batches = [logits(seed) for seed in range(3)]
    means = [sum(statistic_in_a_loop(z, "mean_max_posterior")) / B for z in batches]
    running = means[0]
    for n, z in enumerate(batches):
        if n:
            running += 0.1 * (means[n] - running)
        expected = [s / running for s in statistic_in_a_loop(z, "mean_max_posterior")]
        assert margin(z).p.tolist() == pytest.approx(expected, rel=1e-5)

    resumed = PhonemeAwareMargin(0.2, 0.1, normalise="running_mean", target_mean=0.002).eval()
    resumed.load_state_dict(margin.state_dict())
    expected = [0.002 * s / running for s in statistic_in_a_loop(batches[0], "mean_max_posterior")]
    for _ in range(2):  # evaluation leaves the state alone
        assert resumed(batches[0]).p.tolist() == pytest.approx(expected, rel=1e-5)


def test_evaluation_before_any_training_uses_the_batch_itself() -> None:
    margin = PhonemeAwareMargin(0.2, 0.1, normalise="running_mean").eval()
    assert float(margin(logits()).p.mean()) == pytest.approx(1)


def test_beta_warms_up_over_training_calls_and_resumes() -> None:
    margin, z = PhonemeAwareMargin(0.2, 1.0, warmup_steps=4), logits()
    p = margin.eval()(z).p
    margin.train()
    for fraction in (0.0, 0.25, 0.5):
        torch.testing.assert_close(margin(z).beta_p, fraction * p)
    resumed = PhonemeAwareMargin(0.2, 1.0, warmup_steps=4)
    resumed.load_state_dict(margin.state_dict())
    for fraction in (0.75, 1.0, 1.0):
        torch.testing.assert_close(resumed(z).beta_p, fraction * p)


def test_max_margin_caps_the_total_and_not_the_logged_p() -> None:
    margin = PhonemeAwareMargin(0.2, 10.0, max_margin=1.0)(logits())
    assert float(margin.total.max()) == 1.0
    torch.testing.assert_close(margin.beta_p, 10 * margin.p)


def test_no_gradient_through_p_when_detached_and_the_right_one_when_not() -> None:
    z = logits().requires_grad_()
    assert not PhonemeAwareMargin(0.2, 0.1)(z).total.requires_grad
    for normalise in ("none", "batch_softmax", "batch_sum"):
        margin = PhonemeAwareMargin(0.2, 0.1, normalise=normalise, detach=False)
        assert torch.autograd.gradcheck(lambda y, margin=margin: margin(y).total, (z,))


def test_half_precision_logits_are_read_in_float32() -> None:
    z = logits().to(torch.bfloat16)
    margin = PhonemeAwareMargin(0.2, 0.1)
    torch.testing.assert_close(margin(z).total, margin(z.float()).total, rtol=0, atol=0)
    assert margin(z).total.dtype == torch.float32


def test_a_constant_margin_needs_no_logits() -> None:
    for given in (None, logits()):
        margin = ConstantMargin(0.22)(given)
        assert float(margin.total) == pytest.approx(0.22) and margin.p is None and margin.beta_p is None
    assert ConstantMargin(2)().total.is_floating_point()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"statistic": "mean_posterior"}, "mean_max_posterior"),
        ({"normalise": "batch"}, "batch_softmax"),
        ({"statistic": "max_logit", "normalise": "batch_sum"}, "may be negative"),
        ({"statistic": "max_logit", "normalise": "running_mean"}, "may be negative"),
        ({"statistic": "mean_max_logit", "target_mean": 0.002}, "may be negative"),
        ({"warmup_steps": -1}, "warmup_steps -1"),
        ({"target_mean": -0.002}, "target_mean -0.002"),
        ({"target_mean": 0.0}, "target_mean 0.0"),
        ({"target_mean": math.nan}, "target_mean nan; expected a finite number"),
        ({"max_margin": math.nan}, "max_margin nan; expected a finite number"),
    ],
)
def test_options_that_cannot_work_are_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(IsoglossError, match=message):
        PhonemeAwareMargin(0.2, 0.1, **options)


def test_margins_that_are_no_numbers_are_errors() -> None:
    for m, beta in ((math.nan, 10.0), (math.inf, 10.0), (0.2, math.nan)):
        with pytest.raises(IsoglossError, match="expected a finite number"):
            PhonemeAwareMargin(m, beta)
    with pytest.raises(IsoglossError, match="m nan; expected a finite number"):
        ConstantMargin(math.nan)


def test_logits_that_are_none_are_errors() -> None:
    with pytest.raises(IsoglossError, match="without phoneme logits"):
        PhonemeAwareMargin(0.2, 0.1)(None)
