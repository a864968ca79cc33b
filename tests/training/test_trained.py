"""A model folder rebuilds the network that was trained, whatever it is made of; one from before there was a choice too."""

import json
from dataclasses import asdict
from typing import get_args

import numpy as np
import pytest
import torch

from isogloss.config import FrontEndConfig, TrainConfig
from isogloss.nn import ENCODERS, ETDNN, POOLINGS, StatisticsPooling
from isogloss.systems import TABLE_1
from isogloss.training import trained

FRONT_END = FrontEndConfig(num_ceps=4, pitch=False)


def saved(folder, encoder, pooling):
    config = TrainConfig(width=8, encoder=encoder, pooling=pooling)
    network, loss = trained.build(TABLE_1["5"], config, 4, 2, 7)
    network(torch.randn(4, 30, 4))  # batch statistics other than the initial ones
    info = trained.ModelInfo(
        system=asdict(TABLE_1["5"]), languages=["a", "b"], num_pdfs=7, front_end=FRONT_END, train=config
    )
    trained.save(folder, network, loss.head, info)
    return network.eval()


@pytest.mark.parametrize("encoder", ENCODERS)
@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_folder_says_what_the_network_is_made_of(tmp_path, encoder, pooling):
    network = saved(tmp_path, encoder, pooling)
    again = trained.load(tmp_path)
    assert type(again.network.encoder) is ENCODERS[encoder]
    assert type(again.network.language.pooling) is POOLINGS[pooling]
    frames = np.random.default_rng(0).normal(size=(50, 4)).astype(np.float32)
    far, near = trained.embed(again, frames)
    with torch.no_grad():
        features = torch.from_numpy(frames)[None]
        np.testing.assert_allclose(far, network.embed(features)[0], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(near, network(features).embedding[0], rtol=1e-5, atol=1e-5)


def test_a_folder_from_before_there_was_a_choice_holds_an_e_tdnn(tmp_path):
    network = saved(tmp_path, "etdnn", "statistics")
    about = json.loads((tmp_path / "model.json").read_text())
    for name in ("encoder", "pooling", "spec_augment"):
        del about["train"][name]
    (tmp_path / "model.json").write_text(json.dumps(about))
    again = trained.load(tmp_path).network
    assert type(again.encoder) is ETDNN and type(again.language.pooling) is StatisticsPooling
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in network.state_dict().items())


def test_every_encoder_and_pooling_can_be_configured():
    fields = TrainConfig.model_fields
    assert get_args(fields["encoder"].annotation) == tuple(ENCODERS)
    assert get_args(fields["pooling"].annotation) == tuple(POOLINGS)
