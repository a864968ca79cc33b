"""Enrolment on what the network has not seen: fold models → crossfit/unseen.npz.

Embeddings of clips that a network was trained on lie closer together than those of any clip it will meet. So fold models,
each trained without one part of the training utterances, embed that part. Two networks' spaces differ by more than noise; the
fold model's is turned, scaled and shifted onto the network's so that pieces of validation speech, which neither was trained on,
fall on each other as well as they can. Back ends enrol on the network's own embeddings and on these.

Source: P. Schönemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 31(1), 1966. That the map is
made of speech that neither network has seen, and that seen and unseen are enrolled together, is ours: docs/log.md.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.progress import track

from isogloss.config import EvaluateConfig
from isogloss.frontend.store import Store
from isogloss.stages.extract import Embeddings, extract
from isogloss.stages.features import open_frames
from isogloss.stages.jobs import Report
from isogloss.stages.ledger import done, is_done, replacing, stamp
from isogloss.stages.prepare import part_name, read_split
from isogloss.stages.train import train
from isogloss.systems import System
from isogloss.training import trained
from isogloss.types import IsoglossError

FILE = "unseen.npz"
PIECE_FRAMES, PIECE_HOP = 300, 100  # of validation speech, 3 s, that the map is made of


def crossfit(
    prepared: Path,
    frames: Path,
    pdf_ids: Path | None,
    model: Path,
    out: Path,
    split: str,
    num_parts: int,
    report: Report | None = None,
) -> Path | None:
    """Train `num_parts` fold models like `model` and map what they have not seen into its space; returns `out`.

    None, and nothing done, where `split` enrols on other utterances than it trains on: they are unseen as it is.

    Leaves out/part<n>of<N>/{model,embeddings} and out/unseen.npz: utterances [U], languages [U], far [U, E], and `fit` [N],
    the share of the validation pieces' variance that each map explains. A killed run goes on where it was.
    """
    chosen = read_split(prepared, split)
    if not chosen.enrols_on_training:
        return None
    if num_parts < 2:
        raise IsoglossError(f"{num_parts} fold model; expected 2 or more, each trains on the parts of the others")
    work = stamp("crossfit", {"num_parts": num_parts}, model, split=split)
    if is_done(out, work):
        return out
    info = trained.load(model).info
    store = open_frames(frames).frames
    pieces = _pieces(store, chosen.valid)
    utterances: list[str] = []
    languages: list[str] = []
    far, fit = [], []
    goal = _embed(model, store, pieces)
    for number in range(num_parts):
        name = part_name(split, number + 1, num_parts)
        folder = out / f"part{number + 1}of{num_parts}"
        told = _moved(report, number, num_parts) if report else None
        train(prepared, frames, pdf_ids, folder / "model", System(**info.system), info.train, name, told)
        extract(prepared, frames, folder / "model", folder / "embeddings", EvaluateConfig(), name)
        unseen = Embeddings.load(folder / "embeddings" / "enrol.npz")
        turned = Similarity(_embed(folder / "model", store, pieces), goal)
        fit.append(turned.explained)
        far.append(turned(unseen.far[unseen.spoken].astype(np.float64)))
        utterances += [u for u, spoken in zip(unseen.utterances, unseen.spoken, strict=True) if spoken]
        languages += [x for x, spoken in zip(unseen.languages, unseen.spoken, strict=True) if spoken]
    with replacing(out / FILE) as part:
        np.savez(part, utterances=utterances, languages=languages, far=np.concatenate(far), fit=fit)
    return done(out, work, unseen=len(utterances), pieces=len(pieces), fit=[round(x, 3) for x in fit])


class Similarity:
    """The rotation, scale and shift that take `source` [N, E] nearest to `goal` [N, E], row by row.

    `explained` is the share of the goal's variance that is left to no error: 1 for spaces that differ by such a map alone.
    """

    def __init__(self, source: np.ndarray, goal: np.ndarray) -> None:
        self.source_mean, self.goal_mean = source.mean(axis=0), goal.mean(axis=0)
        x, y = source - self.source_mean, goal - self.goal_mean
        left, singular, right = np.linalg.svd(x.T @ y)
        self.matrix = (left @ right) * (singular.sum() / max(np.square(x).sum(), np.finfo(np.float64).tiny))
        spread = max(np.square(y).sum(), np.finfo(np.float64).tiny)
        self.explained = float(1 - np.square(x @ self.matrix - y).sum() / spread)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """[U, E] → [U, E]."""
        mapped: np.ndarray = (x - self.source_mean) @ self.matrix + self.goal_mean
        return mapped


def _pieces(store: Store, utterances: list[str]) -> list[tuple[str, int]]:
    """(utterance, first frame) of overlapping pieces; at least one of each utterance with a voiced frame."""
    pieces = []
    for name in utterances:
        num_frames = store.span(name)[1]
        if num_frames:
            pieces += [(name, start) for start in range(0, max(1, num_frames - PIECE_FRAMES + PIECE_HOP), PIECE_HOP)]
    if not pieces:
        raise IsoglossError(
            "no validation utterance with a voiced frame, by which to map fold models' embeddings: add recordings, so that "
            "some can be held out, or set backend.fold_models=0"
        )
    return pieces


def _embed(model: Path, store: Store, pieces: list[tuple[str, int]]) -> np.ndarray:
    """[N, E] float64."""
    network = trained.load(model)
    rows = [
        trained.embed(network, store[name][start : start + PIECE_FRAMES])[0]
        for name, start in track(pieces, "embed validation pieces", transient=True)
    ]
    return np.stack(rows).astype(np.float64)


def _moved(report: Report, number: int, num_parts: int) -> Report:
    """Of `num_parts` trainings in a row this is the one after `number` others."""
    return lambda step, total: report(number * total + step, num_parts * total)
