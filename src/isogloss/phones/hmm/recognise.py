"""Recognising and aligning with a trained model: the speaker-independent pass, and the passes adapted to the speaker.

First pass: unadapted features under the speaker-independent mixtures. From its path fMLLR is estimated per speaker, with
posteriors of the first model and statistics for the second (Kaldi's `gmm-est-fmllr-gpost`); the adapted features are decoded
under the adapted mixtures, the transform is re-estimated, and they are decoded once more (Kaldi's `decode_fmllr.sh`, but
with best paths where it has lattice posteriors).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np

from isogloss.phones.hmm import fmllr
from isogloss.phones.hmm.align import BEAM, RETRY_BEAM, PackedGraphs, align
from isogloss.phones.hmm.decode import Decoded, Decoder
from isogloss.phones.hmm.gmm import PackedGmm, precision_sums
from isogloss.phones.hmm.model import PhoneModel
from isogloss.phones.hmm.utterance_graph import Words, build
from isogloss.types import IGNORE_PDF, IsoglossError


@dataclass(frozen=True, eq=False)
class Adapted:
    """A speaker's transform [D, D + 1], and one line on why there is none if it could not be estimated."""

    transform: np.ndarray | None
    problem: str = ""


@dataclass(eq=False)
class Recogniser:
    """A model and the decoder of its phone graph."""

    model: PhoneModel
    decoder: Decoder
    problems: list[str] = field(default_factory=list)  # speakers that could not be adapted to, and why

    def first_pass(self, cepstra: np.ndarray) -> Decoded:
        """Normalised cepstra [T, C] → the speaker-independent best path."""
        return self.decoder.decode(self.independent.loglik(self.model.frames(cepstra)))

    @property
    def independent(self) -> PackedGmm:
        return self.model.independent or self.model.gmm

    def speaker(self, utterances: Sequence[np.ndarray], adapt: bool) -> list[Decoded]:
        """Best paths of all utterances of one speaker, adapted to it where the model can and `adapt` asks for it."""
        transform = self.transform(utterances) if adapt and self.model.adapts else None
        if transform is None:
            return [self.first_pass(cepstra) for cepstra in utterances]
        return [self.decoder.decode(self.model.gmm.loglik(self.model.frames(x, transform))) for x in utterances]

    def transform(self, utterances: Sequence[np.ndarray]) -> np.ndarray | None:
        """A speaker's fMLLR transform [D, D + 1]; None, with a line in `problems`, if it could not be estimated."""
        plain = [self.model.frames(cepstra) for cepstra in utterances]

        def paths(gmm: PackedGmm, frames: Iterable[np.ndarray]) -> list[np.ndarray]:
            return [self.decoder.decode(gmm.loglik(x)).transition_ids for x in frames]

        made = adapt_speaker(
            self.model,
            plain,
            paths(self.independent, plain),
            lambda transform: paths(self.model.gmm, (fmllr.apply(x, transform) for x in plain)),
        )
        if made.problem:
            self.problems.append(made.problem)
        return made.transform


def adapt_speaker(
    model: PhoneModel,
    plain: Sequence[np.ndarray],
    paths: Sequence[np.ndarray],
    again: Callable[[np.ndarray], list[np.ndarray]],
) -> Adapted:
    """fMLLR of one speaker, twice: `plain` features [T, D] and `paths` [T] of transition-ids of its utterances.

    `again(transform)` gives the paths of the adapted features, on which it is estimated once more.
    """
    frames = np.concatenate(plain)
    made = _estimate(model, frames, np.concatenate(paths), None)
    if made.problem:
        return Adapted(None, made.problem)
    paths = again(made.transform)
    second = _estimate(model, frames, np.concatenate(paths), made.transform)
    return Adapted(made.transform if second.problem else fmllr.compose(made.transform, second.transform))


def _estimate(
    model: PhoneModel, plain: np.ndarray, path: np.ndarray, transform: np.ndarray | None
) -> fmllr.FmllrEstimate:
    """From unadapted frames with the first model's posteriors, or from adapted ones with the second model's own."""
    of = model.transition_model
    spoken = of.phone_of[path] != model.silence
    pdf_ids = np.where((path > 0) & spoken, of.pdf_of[path], IGNORE_PDF)
    frames = plain if transform is None else fmllr.apply(plain, transform)
    sums = precision_sums(model.gmm, frames, pdf_ids, model.independent if transform is None else None)
    stats = fmllr.FmllrStats(frames.shape[1])
    stats.accumulate(frames, sums.precision, sums.target, sums.weights)
    return stats.estimate()


def align_speaker(
    model: PhoneModel, utterances: Sequence[np.ndarray], transcripts: Sequence[Words], adapt: bool
) -> list[np.ndarray | None]:
    """Transition-ids [T] of each utterance of one speaker, given its words; None where it could not be aligned.

    An utterance fits its transcript badly if no path survives a beam of 40.
    """
    plain = [model.frames(cepstra) for cepstra in utterances]
    starts = np.cumsum([0, *(len(x) for x in plain)])
    graphs = PackedGraphs.of([build(words, model.transition_model, model.tree, model.silence) for words in transcripts])

    def run(gmm: PackedGmm, frames: Sequence[np.ndarray]) -> tuple[list[np.ndarray], np.ndarray]:
        made = align(
            gmm, np.concatenate(frames), starts, graphs, model.transition_model, beam=BEAM, retry_beam=RETRY_BEAM
        )
        return [made.transition_ids[a:b] for a, b in pairwise(starts)], made.scores

    def adapted(transform: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        return run(model.gmm, [fmllr.apply(x, transform) for x in plain])

    paths, scores = run(model.independent or model.gmm, plain)
    if adapt and model.adapts:
        transform = adapt_speaker(model, plain, paths, lambda transform: adapted(transform)[0]).transform
        if transform is not None:
            paths, scores = adapted(transform)
    return [path if np.isfinite(score) else None for path, score in zip(paths, scores, strict=True)]


def group_by_speaker(speakers: Sequence[str]) -> dict[str, list[int]]:
    """Speaker → positions of its utterances, in order."""
    groups: dict[str, list[int]] = {}
    for position, speaker in enumerate(speakers):
        groups.setdefault(speaker, []).append(position)
    if not groups:
        raise IsoglossError("no utterances")
    return groups
