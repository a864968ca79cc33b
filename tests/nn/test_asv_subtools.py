"""The toolkit's module, rebuilt in bench/asv_subtools_baseline.py, and the network imported from it are one function."""

import pytest
import torch
from asv_subtools_module import baseline

from isogloss.nn import EMBEDDING_KINDS
from isogloss.nn.asv_subtools import from_asv_subtools
from isogloss.types import IsoglossError

D, C, K, WIDTH, NODES, B, T = 5, 3, 7, 32, 94, 2, 40  # 94 = round(1500 · 32/512)


def theirs(num_phones: int | None = None) -> torch.nn.Module:
    """Random weights, biases and statistics; masked taps hold numbers too, as the toolkit's initialisation leaves them."""
    torch.manual_seed(0)
    module = baseline().MultiTaskXvector(D, C, num_phones, WIDTH, NODES)
    for name, value in module.state_dict().items():
        if name.endswith(("bias", "running_mean")):
            value.normal_(std=0.3)
        elif name.endswith("running_var"):
            value.uniform_(0.2, 2)
    return module.eval()


@pytest.mark.parametrize("num_phones", [None, K])
def test_embeddings_and_logits_are_the_toolkits(num_phones: int | None) -> None:
    module = theirs(num_phones)
    assert module.tdnn2.affine.weight[:, :, 1].abs().min() > 0  # masked, and not zero
    imported = from_asv_subtools(module.state_dict())
    x = torch.randn(B, T, D)
    for kind in EMBEDDING_KINDS:
        ours, reference = imported.network.embed(x, kind=kind), module.extract_embedding(x.transpose(1, 2), kind)
        torch.testing.assert_close(ours, reference, rtol=1e-5, atol=1e-5)
    head = module.loss if num_phones is None else module.loss_spk
    torch.testing.assert_close(imported.head_weight, head.affine.weight.squeeze(2))
    torch.testing.assert_close(imported.head_bias, head.affine.bias)
    logits = imported.network(x).phone_logits
    if num_phones is None:
        assert logits is None
    else:
        reference = module.loss_phone.affine(module.phonetic(module.frames(x.transpose(1, 2)))).transpose(1, 2)
        torch.testing.assert_close(logits, reference, rtol=1e-5, atol=1e-5)


def test_the_papers_network_has_the_toolkits_number_of_parameters() -> None:
    module = baseline().MultiTaskXvector(23, 10, 1507)
    stored = sum(parameter.numel() for parameter in module.parameters())
    assert (
        stored == 11_014_089
        and sum(p.numel() for p in baseline().MultiTaskXvector(23, 10, None).parameters()) == 9_453_030
    )
    ours = from_asv_subtools(module.state_dict())
    used = sum(parameter.numel() for parameter in ours.network.parameters())
    assert used + ours.head_weight.numel() + ours.head_bias.numel() == 7_868_361


def test_masked_taps_and_batch_counters_change_nothing() -> None:
    module = theirs()
    state = module.state_dict()
    polluted = {name: value.clone() for name, value in state.items() if not name.endswith("num_batches_tracked")}
    for name in ("tdnn2", "tdnn3", "ex_tdnn4"):
        span = polluted[f"{name}.affine.weight"].shape[2]
        for tap in range(span):
            if tap not in (0, span // 2, span - 1):
                polluted[f"{name}.affine.weight"][:, :, tap] = 1e6
    x = torch.randn(B, T, D)
    ours, reference = from_asv_subtools(polluted).network.embed(x), from_asv_subtools(state).network.embed(x)
    torch.testing.assert_close(ours, reference, rtol=0, atol=0)


def test_without_the_extra_layers_it_is_the_x_vector() -> None:
    module = theirs(K)
    for name in [name for name, _ in module.named_children() if name.startswith("ex_")]:
        setattr(module, name, torch.nn.Identity())
    imported = from_asv_subtools(module.state_dict())
    assert imported.encoder == "xvector"
    x = torch.randn(B, T, D)
    reference = module.extract_embedding(x.transpose(1, 2))
    torch.testing.assert_close(imported.network.embed(x), reference, rtol=1e-5, atol=1e-5)


def test_scale_and_shift_of_batch_normalisation_go_into_its_statistics() -> None:
    module = theirs()
    for name in [name for name, layer in module.named_modules() if isinstance(layer, torch.nn.BatchNorm1d)]:
        old = module.get_submodule(name)
        new = torch.nn.BatchNorm1d(old.num_features)
        new.load_state_dict(old.state_dict(), strict=False)
        torch.nn.init.uniform_(new.weight, 0.2, 3)
        torch.nn.init.normal_(new.bias, std=0.5)
        module.get_submodule(name.rpartition(".")[0]).batchnorm = new.eval()
    x = torch.randn(B, T, D)
    ours, reference = (
        from_asv_subtools(module.state_dict()).network.embed(x, kind="near"),
        module.extract_embedding(x.transpose(1, 2), "near"),
    )
    torch.testing.assert_close(ours, reference, rtol=1e-4, atol=1e-4)
    module.tdnn3.batchnorm.weight.data[0] = -1
    with pytest.raises(IsoglossError, match="tdnn3.batchnorm.weight is not positive in 1 of 32"):
        from_asv_subtools(module.state_dict())


def test_a_margin_head_has_no_bias_and_its_unused_twin_is_left_out() -> None:
    state = theirs(K).state_dict()
    weight = state.pop("loss_spk.affine.weight")
    del state["loss_spk.affine.bias"]
    state |= {"loss_spk.weight": weight, "loss.weight": torch.zeros_like(weight)}
    imported = from_asv_subtools(state)
    assert imported.head_bias is None
    torch.testing.assert_close(imported.head_weight, weight.squeeze(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tdnn4.affine.weight": None}, "no tdnn4.affine.weight in the checkpoint"),
        ({"tdnn3.affine.weight": torch.zeros(WIDTH, WIDTH, 5)}, r"of shape \[32, 32, 5\]; expected \[32, 32, 7\]"),
        ({"tdnn5.affine.weight": torch.zeros(60, WIDTH, 1)}, r"tdnn5.affine.weight of shape \[60, 32, 1\]"),
        ({"ex_tdnn2.batchnorm.running_var": torch.zeros(3)}, r"batchnorm.running_var of shape \[3\]; expected \[32\]"),
        ({"se1.fc_1.weight": torch.zeros(1)}, "se1.fc_1.weight belongs to no layer"),
        ({"loss.affine.weight": None}, "no language output layer"),
    ],
)  # fmt: skip
def test_what_is_not_ours_is_named(change: dict[str, torch.Tensor | None], message: str) -> None:
    state = theirs().state_dict() | change
    with pytest.raises(IsoglossError, match=message):
        from_asv_subtools({name: value for name, value in state.items() if value is not None})
