"""The output layer as a back end scores as the network does, whichever loss trained it, sub-centres included."""

from dataclasses import asdict

import numpy as np
import pytest
import torch

from isogloss.backends import load_backend
from isogloss.config import FrontEndConfig, MarginConfig, TrainConfig
from isogloss.losses import PhonemeAwareMargin, ScheduledMargin
from isogloss.stages.backend import _head
from isogloss.systems import TABLE_1, System
from isogloss.training import trained

SYSTEMS = {
    "softmax": TABLE_1["1"],
    "a": System("a", "A-Softmax", "a", multitask=False, m=2.0),
    "am": System("am", "AM", "am", multitask=False, m=0.2),
    "aam": System("aam", "AAM", "aam", multitask=False, m=0.2),
}
LANGUAGES = ["zh", "ja", "ko"]


@pytest.mark.parametrize("num_subcentres", [1, 3])
@pytest.mark.parametrize("name", SYSTEMS)
def test_the_head_as_a_back_end_is_the_head(name, num_subcentres, tmp_path):
    config, front_end = TrainConfig(width=8, num_subcentres=num_subcentres), FrontEndConfig()
    network, loss = trained.build(SYSTEMS[name], config, front_end.dim, len(LANGUAGES), None)
    info = trained.ModelInfo(
        system=asdict(SYSTEMS[name]), languages=LANGUAGES, num_pdfs=None, front_end=front_end, train=config
    )
    trained.save(tmp_path, network, loss.head, info)
    embeddings = 3 * np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    with torch.no_grad():
        expected = loss.head.logits(torch.from_numpy(embeddings)).log_softmax(1).numpy()

    head = _head(trained.load(tmp_path))
    packed = load_backend(head.state())  # as a model file has it

    assert packed.languages == LANGUAGES
    assert packed.loglik(embeddings) == pytest.approx(expected, abs=2e-5)


def test_a_head_without_sub_centres_is_read_from_files_older_than_them():
    weight = np.random.default_rng(0).normal(size=(3, 4))
    state = {"kind": np.array("head"), "languages": np.array(LANGUAGES), "weight": weight, "bias": np.zeros(3),
             "scale": np.array(30.0), "cosine": np.array(True)}  # fmt: skip
    embeddings = np.random.default_rng(1).normal(size=(5, 4))
    unit = [row / np.linalg.norm(row) for row in weight]
    for row, found in zip(embeddings, load_backend(state).loglik(embeddings), strict=True):
        logits = np.array([30 * w @ row / np.linalg.norm(row) for w in unit])
        assert found == pytest.approx(logits - np.log(np.exp(logits).sum()))


def test_a_ramp_in_the_config_is_a_scheduled_margin():
    config = TrainConfig(width=8, margin=MarginConfig(ramp="cosine", ramp_steps=50, ramp_start=7))
    _, loss = trained.build(TABLE_1["5"], config, 4, 3, 5)
    assert isinstance(loss.margin, ScheduledMargin) and isinstance(loss.margin.margin, PhonemeAwareMargin)
    assert (loss.margin.ramp, loss.margin.steps, loss.margin.start) == ("cosine", 50, 7)
    _, plain = trained.build(TABLE_1["5"], TrainConfig(width=8), 4, 3, 5)
    assert isinstance(plain.margin, PhonemeAwareMargin)
