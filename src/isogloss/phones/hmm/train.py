"""Viterbi EM of the recogniser's stages: monophones, triphones, LDA + MLLT, speaker-adapted (SAT) twice.

Each stage starts from the alignment of the one before, grows a tree (all but the first), and then repeats: realign at
certain iterations, re-estimate, split Gaussians until the stage has its number. The defaults in `StageOptions` are those of
Kaldi's THCHS-30 recipe (`steps/train_mono.sh`, `train_deltas.sh`, `train_lda_mllt.sh`, `train_sat.sh`, `train_quick.sh`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from isogloss.phones.hmm import gmm as gmms
from isogloss.phones.hmm.align import PackedGraphs, align
from isogloss.phones.hmm.gmm import PackedGmm
from isogloss.phones.hmm.speech import TrainingSpeech
from isogloss.phones.hmm.topology import TransitionModel
from isogloss.phones.hmm.tree import ContextTree
from isogloss.phones.hmm.utterance_graph import build
from isogloss.types import IGNORE_PDF, IsoglossError

FIRST_MIN_COUNT = 3.0  # frames of a Gaussian in the flat start


@dataclass(frozen=True)
class EmOptions:
    """The schedule of one stage."""

    num_gaussians: int
    iterations: int = 35
    grow_until: int = 25  # iteration up to which Gaussians are added
    realign: tuple[int, ...] = (10, 20, 30)
    transforms: tuple[int, ...] = ()  # iterations that re-estimate MLLT or fMLLR
    power: float = 0.25
    boost_silence: float = 1.0
    smoothing: float = 0.0  # frames; of variances, see gmm.estimate


@dataclass(eq=False)
class Em:
    """What a stage trains, and what it trains on. `frames` are the stage's own features, `transition_ids` its alignment."""

    speech: TrainingSpeech
    silence_phone: int
    tree: ContextTree
    model: TransitionModel
    gmm: PackedGmm
    frames: np.ndarray  # [N, D]
    transition_ids: np.ndarray  # [N]; 0: not aligned
    graphs: PackedGraphs
    logliks: list[float] = field(default_factory=list)  # per frame, by iteration
    num_failed: int = 0  # utterances without an alignment, last time
    num_retried: int = 0

    @property
    def silence_pdfs(self) -> np.ndarray:
        states = self.model.states
        return np.unique(states[states[:, 0] == self.silence_phone, 2])

    @property
    def pdf_ids(self) -> np.ndarray:
        """[N] of the alignment, −1 where there is none."""
        return self.model.pdf_of[self.transition_ids]

    @property
    def spoken_pdf_ids(self) -> np.ndarray:
        """[N] the same with IGNORE_PDF for silence: what transforms are estimated on (Kaldi's weight-silence-post 0)."""
        phones = self.model.phone_of[self.transition_ids]
        return np.where((phones > 0) & (phones != self.silence_phone), self.pdf_ids, IGNORE_PDF)

    def realign(self, boost_silence: float = 1.0, beam: float | None = None) -> None:
        gmm = self.gmm if boost_silence == 1.0 else self.gmm.boosted(self.silence_pdfs, boost_silence)
        made = align(
            gmm, self.frames, self.speech.frame_start, self.graphs, self.model, **({"beam": beam} if beam else {})
        )
        self.transition_ids = made.transition_ids
        self.num_failed, self.num_retried = len(made.failed), made.retried
        if self.num_failed == len(self.speech.utterances):
            raise IsoglossError(
                f"none of {self.num_failed} utterances could be aligned with its transcript; do texts and audio belong together?"
            )

    def step(
        self,
        num_gaussians: int,
        power: float,
        seed: int,
        smoothing: float = 0.0,
        min_count: float = gmms.MIN_GAUSSIAN_COUNT,
    ) -> None:
        """One E and one M step on the alignment as it is; transition probabilities too; then split up to `num_gaussians`."""
        self.step_on(self.pdf_ids, num_gaussians, power, seed, min_count, smoothing)
        occupied = np.bincount(self.transition_ids, minlength=self.model.num_transition_ids + 1).astype(float)
        occupied[0] = 0.0
        self.model = self.model.reestimated(occupied)

    def step_on(
        self,
        pdf_ids: np.ndarray,
        num_gaussians: int,
        power: float,
        seed: int,
        min_count: float,
        smoothing: float = 0.0,
    ) -> None:
        """The mixtures alone, on pdf-ids [N] that need not come of an alignment."""
        sums = gmms.accumulate(self.gmm, self.frames, pdf_ids)
        self.logliks.append(sums.loglik / max(sums.num_frames, 1.0))
        self.gmm = gmms.estimate(self.gmm, sums, min_count=min_count, smoothing=smoothing)
        counts = np.bincount(pdf_ids[pdf_ids >= 0], minlength=self.gmm.num_pdfs)
        if num_gaussians > self.gmm.num_gaussians:
            self.gmm = gmms.split(self.gmm, counts, num_gaussians, power=power, seed=seed)

    def run(self, options: EmOptions, before_step: Callable[[int], None] | None = None, first: int = 1) -> None:
        """Iterations `first` … iterations − 1. `before_step(iteration)` is where transforms are re-estimated."""
        num_gaussians = start = self.gmm.num_gaussians if first > 1 else max(self.gmm.num_gaussians, self.gmm.num_pdfs)
        grow = max(0, options.num_gaussians - start) // max(options.grow_until, 1)
        for iteration in range(first, options.iterations):
            if iteration in options.realign:
                self.realign(options.boost_silence)
            if before_step is not None and iteration in options.transforms:
                before_step(iteration)
            self.step(num_gaussians, options.power, iteration, options.smoothing)
            if iteration <= options.grow_until:
                num_gaussians += grow


def compile_graphs(
    speech: TrainingSpeech, model: TransitionModel, tree: ContextTree, silence_phone: int
) -> PackedGraphs:
    """The HMM of every transcript. Equal transcripts share the work, not the result."""
    made = {}
    for words in speech.words:
        key = tuple(tuple(word) for word in words)
        if key not in made:
            made[key] = build(words, model, tree, silence_phone)
    return PackedGraphs.of([made[tuple(tuple(word) for word in words)] for words in speech.words])


def equal_alignment(
    speech: TrainingSpeech, model: TransitionModel, tree: ContextTree, silence_phone: int
) -> np.ndarray:
    """[N] pdf-ids of the flat start: each utterance cut in equal parts, one for every state of silence, words, silence.

    An utterance with fewer frames than states is left out (−1).
    """
    pdf_ids = np.full(len(speech.frames), -1, dtype=np.int32)
    for words, first, stop in zip(speech.words, speech.frame_start[:-1], speech.frame_start[1:], strict=True):
        phones = [silence_phone, *(phone for word in words for phone in word[0]), silence_phone]
        states = [tree.pdf((phone,), state.pdf_class) for phone in phones for state in model.topologies[phone]]
        if stop - first >= len(states):
            pdf_ids[first:stop] = np.array(states)[np.arange(stop - first) * len(states) // (stop - first)]
    if (pdf_ids < 0).all():
        raise IsoglossError(
            "every utterance is shorter than the states of its phones (3 frames each, 5 for the pauses at both ends); "
            "are the audio and its transcripts in the same order, and the audio not cut too short?"
        )
    return pdf_ids


def convert_alignment(
    transition_ids: np.ndarray,
    frame_start: np.ndarray,
    old: TransitionModel,
    new: TransitionModel,
    tree: ContextTree,
) -> np.ndarray:
    """The same phones and HMM states under another tree's transition-ids (Kaldi's convert-ali)."""
    converted = np.zeros_like(transition_ids)
    known: dict[tuple[tuple[int, ...], int], int] = {}
    for first, stop in zip(frame_start[:-1].tolist(), frame_start[1:].tolist(), strict=True):
        if stop == first or transition_ids[first] == 0:
            continue
        segments = old.phone_segments(transition_ids[first:stop])
        phones = [0, *(phone for phone, _, _ in segments), 0]
        for i, (phone, begin, end) in enumerate(segments):
            window = tuple(phones[i : i + 3]) if tree.context_width == 3 else (phone,)
            span = transition_ids[first + begin : first + end]
            for tid in np.unique(span).tolist():
                key = (window, tid)
                if key not in known:
                    state = int(old.hmm_state_of[tid])
                    pdf = tree.pdf(window, old.topologies[phone][state].pdf_class)
                    offset = tid - int(old.first_id[old.state_of[tid]])
                    known[key] = int(new.first_id[new.transition_state(phone, state, pdf)]) + offset
                converted[first + begin : first + end][span == tid] = known[key]
    return converted


def flat_gmm(frames: np.ndarray, num_pdfs: int) -> PackedGmm:
    """One Gaussian per pdf, all with the mean and variance of the data."""
    mean, variance = frames.mean(0), np.maximum(frames.var(0), gmms.VARIANCE_FLOOR)
    return PackedGmm(
        np.arange(num_pdfs + 1, dtype=np.int32),
        np.zeros(num_pdfs, dtype=np.float32),
        np.tile(mean, (num_pdfs, 1)).astype(np.float32),
        np.tile(1 / variance, (num_pdfs, 1)).astype(np.float32),
    )


def single_gaussians(stats_rows: Sequence[tuple[float, np.ndarray, np.ndarray]], flat: PackedGmm) -> PackedGmm:
    """One Gaussian per leaf of a tree from its (count, Σx, Σx²); a leaf without frames takes that of `flat`."""
    means, variances = [], []
    for count, first, second in stats_rows:
        if count > 0:
            mean = first / count
            means.append(mean)
            variances.append(np.maximum(second / count - mean**2, 0.01))
        else:
            means.append(flat.means[0])
            variances.append(1 / flat.inv_vars[0])
    size = len(means)
    return PackedGmm(
        np.arange(size + 1, dtype=np.int32),
        np.zeros(size, dtype=np.float32),
        np.array(means, dtype=np.float32),
        (1 / np.array(variances)).astype(np.float32),
    )
