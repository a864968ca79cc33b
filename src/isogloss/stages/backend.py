"""Enrolment embeddings → backend/: every configured back end, fitted and saved without pickle."""

from __future__ import annotations

import logging
import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from isogloss.backends import Backend, Head, load_backend, make_backend, unit_length
from isogloss.config import BackendConfig
from isogloss.losses import ASoftmax, CosineHead
from isogloss.stages.crossfit import FILE as CROSSFIT
from isogloss.stages.extract import COPIES, Embeddings
from isogloss.stages.ledger import done, is_done, replacing, stamp
from isogloss.stages.validation import calibrate_on_validation, calibration_of
from isogloss.training import trained
from isogloss.types import IsoglossError

logger = logging.getLogger(__name__)
EMBEDDING_OF = defaultdict(lambda: "far", head="near")  # which embedding a back end takes


def backend(embeddings: Path, model: Path, out: Path, config: BackendConfig, unseen: Path | None = None) -> Path:
    """Fit on embeddings/enrol.npz, on enrol.copies.npz if there is one and on `crossfit`'s unseen ones if given; returns `out` with
    <name>.npz and, calibrated on the validation utterances, <name>.calibration/ each. `head` is the network's own output layer,
    which needs no enrolment.
    """
    work = stamp("backend", config, embeddings, model, *([unseen] if unseen else []))
    if is_done(out, work):
        return out
    far, languages = _spoken(embeddings / "enrol.npz")
    copies, how = 0, None
    if (made_of_them := embeddings / f"{COPIES}.npz").exists():
        more, their_languages = _spoken(made_of_them)
        far, languages, copies = np.concatenate([far, more]), languages + their_languages, len(more)
    if unseen:
        with np.load(unseen / CROSSFIT, allow_pickle=False) as arrays:
            far = np.concatenate([far, arrays["far"]])
            languages += arrays["languages"].tolist()
            how = "cross-fitted: embedded by the network, which has seen them, and by fold models, which have not"
    calibrated = []
    # All are made before any is fitted: a misspelt name is met at once.
    unfitted = {name: make_backend(name, config.lda_dim) for name in config.names if name != "head"}
    for name in config.names:
        fitted: Backend
        if name == "head":
            fitted = _head(trained.load(model))
        else:
            fitted = unfitted[name].fit(far, languages)
        with replacing(out / f"{name}.npz") as part:
            state: dict[str, Any] = dict(fitted.state())
            np.savez(part, **state)
        if calibrate_on_validation(
            fitted, EMBEDDING_OF[name], embeddings, languages, config.reject, calibration_of(out, name)
        ):
            calibrated.append(name)
        else:
            shutil.rmtree(calibration_of(out, name), ignore_errors=True)  # of an earlier run
    if uncalibrated := sorted(set(config.names) - set(calibrated)):
        logger.warning(
            "%s: too few validation utterances to calibrate %s; its scores say who is likelier, not how sure to be",
            out,
            ", ".join(uncalibrated),
        )
    return done(
        out,
        work,
        enrolled=len(languages),
        copies=copies,
        languages=sorted(set(languages)),
        calibrated=calibrated,
        enrolment=how,
    )


def read_backend(path: Path) -> Backend:
    if not path.exists():
        raise IsoglossError(f"{path} is not there; run `isogloss backend` first")
    with np.load(path, allow_pickle=False) as arrays:
        return load_backend(dict(arrays))


def _spoken(path: Path) -> tuple[np.ndarray, list[str]]:
    """The paper's embeddings [U, E] float64 of those that have one, and their languages."""
    found = Embeddings.load(path)
    languages = [language for language, spoken in zip(found.languages, found.spoken, strict=True) if spoken]
    return found.far[found.spoken].astype(np.float64), languages


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
