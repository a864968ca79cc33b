"""Enrolment embeddings → backend/: every configured back end, fitted and saved without pickle."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.backends import Backend, Head, fit_temperature, load_backend, make_backend, unit_length
from isogloss.config import BackendConfig
from isogloss.losses import ASoftmax, CosineHead
from isogloss.stages.extract import Embeddings
from isogloss.stages.ledger import done, is_done, replacing, stamp
from isogloss.training import trained
from isogloss.types import IsoglossError

MIN_VALIDATION = 10  # utterances; fewer say nothing of how sure to be
EMBEDDING_OF = defaultdict(lambda: "far", head="near")  # which embedding a back end takes


def backend(embeddings: Path, model: Path, out: Path, config: BackendConfig) -> Path:
    """Fit on embeddings/enrol.npz; returns `out` with one <name>.npz each.

    `head` is the network's own output layer, which needs no enrolment, at the temperature that suits the validation
    utterances: on its training clips it would seem sure with reason.
    """
    work = stamp("backend", config, embeddings, model, head="temperature")
    if is_done(out, work):
        return out
    enrol = Embeddings.load(embeddings / "enrol.npz")
    languages = [language for language, spoken in zip(enrol.languages, enrol.spoken, strict=True) if spoken]
    temperature = 1.0
    # All are made before any is fitted: a misspelt name is met at once.
    unfitted = {name: make_backend(name, config.lda_dim) for name in config.names if name != "head"}
    for name in config.names:
        fitted: Backend
        if name == "head":
            fitted, temperature = _cooled(_head(trained.load(model)), embeddings / "valid.npz")
        else:
            fitted = unfitted[name].fit(enrol.far[enrol.spoken].astype(np.float64), languages)
        with replacing(out / f"{name}.npz") as part:
            state: dict[str, Any] = dict(fitted.state())
            np.savez(part, **state)
    return done(
        out, work, enrolled=len(languages), languages=sorted(set(languages)), head_temperature=round(temperature, 3)
    )


def read_backend(path: Path) -> Backend:
    if not path.exists():
        raise IsoglossError(f"{path} is not there; run `isogloss backend` first")
    with np.load(path, allow_pickle=False) as arrays:
        return load_backend(dict(arrays))


def _cooled(head: Head, valid_file: Path) -> tuple[Head, float]:
    """The head at the temperature fitted on the validation utterances; as it is where there are too few."""
    if not valid_file.exists():
        return head, 1.0
    valid = Embeddings.load(valid_file)
    known = valid.spoken & np.isin(valid.languages, head.languages)
    if known.sum() < MIN_VALIDATION:
        return head, 1.0
    truth = np.array([head.languages.index(name) for name, use in zip(valid.languages, known, strict=True) if use])
    temperature = fit_temperature(head.loglik(valid.near[known].astype(np.float64)), truth)
    return head.cooled(temperature), temperature


def _head(model: trained.Trained) -> Head:
    """The output layer of a trained network as a back end."""
    languages, head = model.info.languages, model.head
    if isinstance(head, CosineHead):
        weight, num_subcentres = head.weight.detach().double().numpy(), head.num_subcentres
        if isinstance(head, ASoftmax):  # its logits are ‖x‖·cos θ
            return Head(languages, unit_length(weight), num_subcentres=num_subcentres)
        return Head(languages, weight, scale=head.scale, cosine=True, num_subcentres=num_subcentres)
    weight, bias = (tensor.detach().double().numpy() for tensor in (head.affine.weight, head.affine.bias))
    return Head(languages, weight, bias)
