"""The stages of the recogniser: what each begins with, and what it re-estimates besides its mixtures.

mono   cepstra with deltas, a flat start
tri1   a tree of triphones on the same features
tri2b  cepstra spliced ±3 → LDA to 40 dimensions → MLLT; a new tree
tri3b  the same with an fMLLR transform per speaker (SAT); a new tree
tri4b  adapted further from tri3b's mixtures ("quick")
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from isogloss.frontend.deltas import deltas, splice
from isogloss.phones.hmm import fmllr
from isogloss.phones.hmm.gmm import PackedGmm, accumulate, estimate, precision_sums
from isogloss.phones.hmm.lda_transform import LdaStats
from isogloss.phones.hmm.mllt import MlltStats
from isogloss.phones.hmm.speech import TrainingSpeech
from isogloss.phones.hmm.topology import Topology, TransitionModel
from isogloss.phones.hmm.train import (
    FIRST_MIN_COUNT,
    Em,
    EmOptions,
    compile_graphs,
    convert_alignment,
    equal_alignment,
    flat_gmm,
    single_gaussians,
)
from isogloss.phones.hmm.tree_building import (
    THRESHOLD,
    accumulate_tree_stats,
    build_tree,
    find_questions,
    monophone_tree,
    reachable_states,
)

SPLICE_FRAMES = 3  # on either side
LDA_DIM = 40  # or one less than classes, of a corpus of few phones


@dataclass(frozen=True, eq=False)
class Phonetics:
    """What is known of the phones before any training: numbers from 1, silence among them."""

    topologies: dict[int, Topology]
    groups: list[list[int]]  # phones that share a root of the tree; silence in none
    extra_questions: list[frozenset[int]]
    silence: int
    tree_threshold: float = THRESHOLD  # log-likelihood that a split must gain


@dataclass(frozen=True, eq=False)
class Stage:
    """A finished stage: its EM state, and how its features are made of normalised cepstra."""

    name: str
    em: Em
    matrix: np.ndarray | None = None  # [40, 7·D] LDA and MLLT in one; None: cepstra with deltas
    transforms: dict[str, np.ndarray] = field(default_factory=dict)  # speaker → fMLLR [40, 41], of SAT stages
    independent: PackedGmm | None = None  # the same Gaussians on unadapted features, for the first pass


def train_mono(speech: TrainingSpeech, phonetics: Phonetics, options: EmOptions) -> Stage:
    """Monophones from a flat start."""
    frames = speech.map_utterances(speech.frames, deltas)
    tree = monophone_tree([[phonetics.silence], *phonetics.groups], phonetics.topologies)
    model = TransitionModel.initial(phonetics.topologies, reachable_states(tree, phonetics.topologies))
    graphs = compile_graphs(speech, model, tree, phonetics.silence)
    gmm, unaligned = flat_gmm(frames, tree.num_pdfs), np.zeros(len(frames), dtype=np.int32)
    em = Em(speech, phonetics.silence, tree, model, gmm, frames, unaligned, graphs)
    flat = equal_alignment(speech, model, tree, phonetics.silence)
    em.step_on(flat, tree.num_pdfs, options.power, seed=0, min_count=FIRST_MIN_COUNT)
    em.run(options)
    em.realign(options.boost_silence)
    return Stage("mono", em)


def train_deltas(previous: Stage, phonetics: Phonetics, options: EmOptions, leaves: int) -> Stage:
    """Triphones on cepstra with deltas."""
    em = _grown(previous.em, previous.em.frames, phonetics, leaves)
    em.run(options)
    em.realign(options.boost_silence)
    return Stage("tri1", em)


def train_lda_mllt(previous: Stage, phonetics: Phonetics, options: EmOptions, leaves: int) -> Stage:
    """Triphones on spliced cepstra, projected by LDA with the previous stage's pdfs as classes, rotated by MLLT."""
    speech = previous.em.speech
    spliced = speech.map_utterances(speech.frames, lambda x: splice(x, SPLICE_FRAMES, SPLICE_FRAMES))
    stats = LdaStats(previous.em.gmm.num_pdfs, spliced.shape[1])
    stats.accumulate(spliced, previous.em.spoken_pdf_ids)
    dim = min(LDA_DIM, int((stats.counts > 0).sum()) - 1)
    matrix = stats.estimate(dim)

    def projected() -> np.ndarray:
        """One utterance at a time, as whoever opens the model: another shape of the product rounds otherwise."""
        return speech.map_utterances(spliced, lambda x: _project(x, matrix))

    em = _grown(previous.em, projected(), phonetics, leaves)

    def rotate(iteration: int) -> None:
        nonlocal matrix
        sums = precision_sums(em.gmm, em.frames, em.spoken_pdf_ids)
        of = MlltStats(dim)
        of.accumulate(em.frames, sums.precision)
        of.add_gaussians(sums.gaussian_counts, sums.gaussian_first, em.gmm.means, em.gmm.inv_vars)
        rotation, _ = of.update()
        matrix = rotation @ matrix
        em.gmm = em.gmm.transformed_means(rotation.astype(np.float32))
        em.frames = projected()

    em.run(options, rotate)
    em.realign(options.boost_silence)
    return Stage("tri2b", em, matrix)


def train_sat(previous: Stage, phonetics: Phonetics, options: EmOptions, leaves: int, name: str = "tri3b") -> Stage:
    """The same features, adapted to each speaker; the alignment and the transforms take turns."""
    base = previous.em.frames if not previous.transforms else unadapted(previous)
    transforms = dict(previous.transforms)
    if not transforms:
        transforms = _reestimated(previous.em, base, transforms)
    em = _grown(previous.em, _adapted(previous.em.speech, base, transforms), phonetics, leaves)

    def adapt(iteration: int) -> None:
        nonlocal transforms
        transforms = _reestimated(em, base, transforms)
        em.frames = _adapted(em.speech, base, transforms)

    em.run(options, adapt)
    em.realign(options.boost_silence)
    return Stage(name, em, previous.matrix, transforms, _independent(em, base))


def train_quick(previous: Stage, phonetics: Phonetics, options: EmOptions, leaves: int) -> Stage:
    """A larger tree whose pdfs begin as the mixtures of the previous stage's that cover most of their frames."""
    em = _grown(previous.em, previous.em.frames, phonetics, leaves)
    before, now = previous.em.pdf_ids, em.pdf_ids
    aligned = now >= 0
    shared = np.zeros((em.tree.num_pdfs, previous.em.gmm.num_pdfs))
    np.add.at(shared, (now[aligned], before[aligned]), 1.0)
    seen = shared.sum(1) > 0
    em.gmm = _picked(previous.em.gmm, em.gmm, np.where(seen, shared.argmax(1), -1))
    em.run(options)
    em.realign(options.boost_silence)
    base = unadapted(previous)
    return Stage("tri4b", em, previous.matrix, previous.transforms, _independent(em, base))


def unadapted(stage: Stage) -> np.ndarray:
    """[N, 40] the stage's features before fMLLR."""
    assert stage.matrix is not None
    matrix, speech = stage.matrix, stage.em.speech
    return speech.map_utterances(speech.frames, lambda x: _project(splice(x, SPLICE_FRAMES, SPLICE_FRAMES), matrix))


def _grown(previous: Em, frames: np.ndarray, phonetics: Phonetics, leaves: int) -> Em:
    """A new tree over `frames` from the previous stage's alignment, one Gaussian for each of its pdfs."""
    speech, silence, topologies = previous.speech, phonetics.silence, phonetics.topologies
    stats = accumulate_tree_stats(frames, speech.frame_start, previous.transition_ids, previous.model, [silence])
    found = find_questions(stats, [[silence], *phonetics.groups])
    questions = sorted({*found, *phonetics.extra_questions}, key=sorted)
    tree, rows = build_tree(
        stats, phonetics.groups, questions, topologies, [silence], max_leaves=leaves, threshold=phonetics.tree_threshold
    )
    sums = [(stats.counts[of].sum(), stats.first[of].sum(0), stats.second[of].sum(0)) for of in rows]
    model = TransitionModel.initial(topologies, reachable_states(tree, topologies))
    aligned = convert_alignment(previous.transition_ids, speech.frame_start, previous.model, model, tree)
    gmm, graphs = single_gaussians(sums, flat_gmm(frames, 1)), compile_graphs(speech, model, tree, silence)
    return Em(speech, silence, tree, model, gmm, frames, aligned, graphs)


def _project(frames: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(frames @ matrix.T.astype(np.float32), dtype=np.float32)


def _reestimated(em: Em, base: np.ndarray, transforms: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Each speaker's transform from `base` on, re-estimated on the frames as they are adapted now."""
    frames = _adapted(em.speech, base, transforms) if transforms else base
    sums = precision_sums(em.gmm, frames, em.spoken_pdf_ids)
    names = sorted(set(em.speech.speakers))
    result = {}
    for index, speaker in enumerate(names):
        mine = em.speech.speaker_of_frame == index
        stats = fmllr.FmllrStats(base.shape[1])
        stats.accumulate(frames[mine], sums.precision[mine], sums.target[mine], sums.weights[mine])
        made = stats.estimate().transform
        result[speaker] = fmllr.compose(transforms[speaker], made) if speaker in transforms else made
    return result


def _adapted(speech: TrainingSpeech, base: np.ndarray, transforms: dict[str, np.ndarray]) -> np.ndarray:
    frames = np.empty_like(base)
    for speaker, a, b in zip(speech.speakers, speech.frame_start[:-1], speech.frame_start[1:], strict=True):
        frames[a:b] = fmllr.apply(base[a:b], transforms[speaker])
    return frames


def _independent(em: Em, base: np.ndarray) -> PackedGmm:
    """The model of unadapted features: posteriors of the adapted frames, sums of the others (Kaldi's final.alimdl)."""
    return estimate(em.gmm, accumulate(em.gmm, em.frames, em.pdf_ids, sums_of=base), remove=False)


def _picked(source: PackedGmm, fallback: PackedGmm, which: np.ndarray) -> PackedGmm:
    """Mixture p is source's mixture which[p], or the fallback's where that is −1."""
    sizes, parts = [], []
    for pdf, old in enumerate(which.tolist()):
        gmm, index = (source, old) if old >= 0 else (fallback, pdf)
        span = slice(gmm.offsets[index], gmm.offsets[index + 1])
        sizes.append(span.stop - span.start)
        parts.append((gmm.log_weights[span], gmm.means[span], gmm.inv_vars[span]))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    weights, means, inv_vars = (np.concatenate(column) for column in zip(*parts, strict=True))
    return PackedGmm(offsets, weights, means, inv_vars)
