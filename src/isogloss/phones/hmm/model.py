"""A trained recogniser as one folder: phones, topologies, tree, mixtures, feature transform and phone n-gram.

model.json   phones, topologies, decision tree, options, and how it was made
arrays.npz   transition-states and probabilities; mixtures; the LDA + MLLT matrix
phones.arpa  the phone n-gram of the training transcripts
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from isogloss.frontend.deltas import deltas, splice
from isogloss.phones.hmm.fmllr import apply
from isogloss.phones.hmm.gmm import PackedGmm
from isogloss.phones.hmm.ngram import PhoneLM
from isogloss.phones.hmm.speech import NUM_CEPS, TrainingSpeech
from isogloss.phones.hmm.stages import SPLICE_FRAMES, Phonetics, Stage
from isogloss.phones.hmm.topology import EPSILON, HmmState, Topology, TransitionModel
from isogloss.phones.hmm.train import Em, compile_graphs
from isogloss.phones.hmm.tree import ContextTree
from isogloss.types import IsoglossError

FORMAT = 1
MODEL, ARRAYS, GRAMMAR = "model.json", "arrays.npz", "phones.arpa"


@dataclass(frozen=True, eq=False)
class PhoneModel:
    """One stage of the recogniser, ready to align, decode and label."""

    stage: str
    phones: list[str]  # by number; 0 is epsilon
    silence: int
    transition_model: TransitionModel
    tree: ContextTree
    gmm: PackedGmm
    independent: PackedGmm | None  # of a speaker-adapted stage: the same Gaussians on unadapted features
    matrix: np.ndarray | None  # [D, 7·C] LDA + MLLT on spliced cepstra; None: cepstra with deltas
    lm: PhoneLM
    with_pitch: bool = False
    normalise_variance: bool = False
    about: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        stage: Stage,
        phones: Sequence[str],
        lm: PhoneLM,
        *,
        with_pitch: bool,
        normalise_variance: bool,
        **about: Any,
    ) -> PhoneModel:
        """What a finished stage leaves; `phones` without epsilon, in the order of their numbers."""
        em = stage.em
        return cls(
            stage.name, [EPSILON, *phones], em.silence_phone, em.model, em.tree, em.gmm, stage.independent,
            stage.matrix, lm, with_pitch, normalise_variance, about,
        )  # fmt: skip

    @property
    def num_pdfs(self) -> int:
        return self.gmm.num_pdfs

    @property
    def adapts(self) -> bool:
        """True if it was trained on speaker-adapted features and can adapt to a new speaker."""
        return self.independent is not None

    def frames(self, cepstra: np.ndarray, transform: np.ndarray | None = None) -> np.ndarray:
        """Normalised cepstra [T, C] → the model's features [T, D], adapted by an fMLLR `transform` [D, D + 1]."""
        expected = NUM_CEPS + (3 if self.with_pitch else 0)
        if cepstra.ndim != 2 or cepstra.shape[1] != expected:
            raise IsoglossError(
                f"cepstra of shape {cepstra.shape} for a model of {expected} columns; was it trained "
                f"{'with' if self.with_pitch else 'without'} pitch?"
            )
        if self.matrix is None:
            return deltas(cepstra)
        projected = splice(cepstra, SPLICE_FRAMES, SPLICE_FRAMES) @ self.matrix.T.astype(np.float32)
        return projected if transform is None else apply(projected, transform)

    def pdf_names(self) -> list[str]:
        """`zh:0`, or `a1|a2:1` of a pdf that several phones share."""
        owners: list[dict[str, None]] = [{} for _ in range(self.num_pdfs)]
        for phone, state, pdf in self.transition_model.states.tolist():
            owners[pdf].setdefault(f"{self.phones[phone]}:{state}")
        return ["|".join(names) or f"pdf{pdf}" for pdf, names in enumerate(owners)]

    def reopened(
        self,
        speech: TrainingSpeech,
        phonetics: Phonetics,
        transition_ids: np.ndarray,
        transforms: dict[str, np.ndarray],
    ) -> Stage:
        """A finished stage from its saved model, its alignment [N] and its speakers' transforms."""
        of_utterance = dict(zip(speech.frame_start.tolist(), speech.speakers, strict=False))
        frames = np.concatenate(
            [
                self.frames(speech.frames[first:stop], transforms.get(of_utterance[first]))
                for first, stop in zip(speech.frame_start[:-1].tolist(), speech.frame_start[1:].tolist(), strict=True)
            ]
        )
        graphs = compile_graphs(speech, self.transition_model, self.tree, phonetics.silence)
        em = Em(speech, phonetics.silence, self.tree, self.transition_model, self.gmm, frames, transition_ids, graphs)
        return Stage(self.stage, em, self.matrix, transforms, self.independent)

    def save(self, folder: Path) -> Path:
        """Write the three files into `folder`, which appears, or is replaced, when they are whole; returns it."""
        folder = Path(folder)
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        model = self.transition_model
        arrays: dict[str, Any] = {"states": model.states, "log_probs": model.log_probs}
        for name, gmm in (("gmm", self.gmm), ("independent", self.independent)):
            if gmm is not None:
                arrays |= {f"{name}.{key}": getattr(gmm, key) for key in _GMM_ARRAYS}
        if self.matrix is not None:
            arrays["matrix"] = self.matrix
        np.savez(part / ARRAYS, **arrays)
        self.lm.save(part / GRAMMAR, self.phones)
        distinct: dict[Topology, list[int]] = {}
        for phone, topology in sorted(model.topologies.items()):
            distinct.setdefault(topology, []).append(phone)
        values = {
            "format": FORMAT,
            "stage": self.stage,
            "num_pdfs": self.num_pdfs,
            "num_gaussians": self.gmm.num_gaussians,
            "with_pitch": self.with_pitch,
            "normalise_variance": self.normalise_variance,
            "phones": self.phones,
            "silence": self.silence,
            "topologies": [
                {"phones": phones, "states": [[state.pdf_class, list(state.transitions)] for state in topology]}
                for topology, phones in distinct.items()
            ],
            "tree": self.tree.to_json(),
            "about": self.about,
        }
        (part / MODEL).write_text(json.dumps(values, ensure_ascii=False) + "\n", encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(part, folder)
        return folder

    @classmethod
    def load(cls, folder: Path) -> PhoneModel:
        """Raises IsoglossError for a folder that holds none, or not all of one."""
        path = Path(folder) / MODEL
        if not path.exists():
            raise IsoglossError(
                f"{folder} holds no phone model (no {MODEL}); expected the folder of one stage, such as OUT/tri4b, that "
                "`isogloss phones train` made"
            )
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values.get("format") != FORMAT:
                raise IsoglossError(
                    f"{path} has format {values.get('format')}; this version reads {FORMAT}: train it again"
                )
            with np.load(Path(folder) / ARRAYS, allow_pickle=False) as stored:
                return cls._of(values, dict(stored), PhoneLM.load(Path(folder) / GRAMMAR, values["phones"]))
        except (OSError, EOFError, ValueError, KeyError, BadZipFile) as error:
            raise IsoglossError(
                f"{folder} is no whole phone model ({type(error).__name__}: {error}); was it copied in part? "
                "Copy it again, or train it again"
            ) from error

    @classmethod
    def _of(cls, values: dict[str, Any], arrays: dict[str, np.ndarray], lm: PhoneLM) -> PhoneModel:
        """From the contents of model.json, arrays.npz and phones.arpa."""
        topologies = {
            phone: tuple(
                HmmState(pdf_class, tuple((int(to), float(p)) for to, p in transitions))
                for pdf_class, transitions in entry["states"]
            )
            for entry in values["topologies"]
            for phone in entry["phones"]
        }
        return cls(
            stage=values["stage"],
            phones=values["phones"],
            silence=values["silence"],
            transition_model=TransitionModel(topologies, arrays["states"], arrays["log_probs"]),
            tree=ContextTree.from_json(values["tree"]),
            gmm=PackedGmm(*(arrays[f"gmm.{key}"] for key in _GMM_ARRAYS)),
            independent=PackedGmm(*(arrays[f"independent.{key}"] for key in _GMM_ARRAYS))
            if f"independent.{_GMM_ARRAYS[0]}" in arrays
            else None,
            matrix=arrays.get("matrix"),
            lm=lm,
            with_pitch=values["with_pitch"],
            normalise_variance=values["normalise_variance"],
            about=values["about"],
        )


_GMM_ARRAYS = ("offsets", "log_weights", "means", "inv_vars")
