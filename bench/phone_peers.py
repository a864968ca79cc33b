"""What bench/phones.py measures against: Kaldi's code by way of kaldifst and kaldi-decoder, and NumPy in float32 or float64."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from isogloss.phones.hmm.align import ACOUSTIC_SCALE
from isogloss.phones.hmm.fst_arrays import FstArrays
from isogloss.phones.hmm.gmm import PackedGmm, group_frames
from isogloss.phones.hmm.ngram import END, START, PhoneLM
from isogloss.phones.hmm.topology import TransitionModel, scaled_log_probs
from isogloss.phones.hmm.utterance_graph import SILENCE_PROBABILITY, UtteranceGraph

try:
    import kaldi_decoder
    import kaldifst

    HAVE_KALDI = True
except ImportError:  # extra `dev`; the tables say so
    HAVE_KALDI = False

Decode = Callable[[], tuple[list[int], float]]


def openfst_grammar(lm: PhoneLM) -> kaldifst.StdVectorFst:
    """G: a state per history, back-off arcs with a symbol of their own."""
    fst, backoff = kaldifst.StdVectorFst(), max(lm.vocabulary) + 1
    states = {history: fst.add_state() for history in lm.log_probs}
    for history, state in states.items():
        for phone, log_prob in lm.log_probs[history].items():
            if phone == END:
                fst.set_final(state, -log_prob)
            else:
                fst.add_arc(state, kaldifst.StdArc(phone, phone, -log_prob, states[lm.state((*history, phone))]))
        if history:
            fst.add_arc(state, kaldifst.StdArc(backoff, 0, -lm.log_backoffs[history], states[history[1:]]))
    fst.start = states[lm.state((START,))]
    kaldifst.arcsort(fst, "ilabel")
    return fst


def openfst_lexicon(lm: PhoneLM, silence: int) -> kaldifst.StdVectorFst:
    """L of words of one phone, as Kaldi's make_lexicon_fst.py has it: an optional pause, marked, before and after each."""
    fst, backoff, arc = kaldifst.StdVectorFst(), max(lm.vocabulary) + 1, kaldifst.StdArc
    start, between, pause, marked = (fst.add_state() for _ in range(4))
    none, some = -np.log(1 - SILENCE_PROBABILITY), -np.log(SILENCE_PROBABILITY)
    fst.start = start
    fst.add_arc(start, arc(0, 0, none, between))
    fst.add_arc(start, arc(silence, 0, some, marked))
    fst.add_arc(pause, arc(silence, 0, 0.0, marked))
    fst.add_arc(marked, arc(backoff + 1, 0, 0.0, between))
    fst.add_arc(between, arc(backoff, backoff, 0.0, between))
    for phone in lm.vocabulary:
        fst.add_arc(between, arc(phone, phone, none, between))
        fst.add_arc(between, arc(phone, phone, some, pause))
    fst.set_final(between, 0.0)
    kaldifst.arcsort(fst, "olabel")
    return fst


def compose(lexicon: kaldifst.StdVectorFst, grammar: kaldifst.StdVectorFst, backoff: int) -> kaldifst.StdVectorFst:
    """C∘min(det(L∘G)), as Kaldi's mkgraph.sh."""
    words = kaldifst.StdVectorFst(kaldifst.compose(lexicon, grammar))
    kaldifst.determinize_star(words, use_log=True)
    kaldifst.minimize_encoded(words)
    kaldifst.arcsort(words, "ilabel")
    composed, _ = kaldifst.compose_context([backoff, backoff + 1], 3, 1, words)
    return composed


def as_arrays(fst: kaldifst.StdVectorFst, path: Path) -> FstArrays:
    kaldifst.StdConstFst(fst).write(str(path))
    return FstArrays.read(path)


class FasterDecoder:
    """kaldi-decoder's, on a graph of ours."""

    def __init__(self, graph: FstArrays, model: TransitionModel, path: Path) -> None:
        graph.write(path)
        self._fst = kaldifst.StdConstFst(kaldifst.StdConstFst.read(str(path)))
        self._columns = model.pdf_of[1:]

    def ready(self, loglik: np.ndarray, scale: float, beam: float, max_active: int) -> Decode:
        """What decodes loglik [T, P]: (transition-ids, cost). It wants a column for every transition-id, made here."""
        matrix = kaldi_decoder.DecodableCtc(np.ascontiguousarray(loglik[:, self._columns] * np.float32(scale)))
        decoder = kaldi_decoder.FasterDecoder(
            self._fst, kaldi_decoder.FasterDecoderOptions(beam=beam, max_active=max_active)
        )

        def decode() -> tuple[list[int], float]:
            decoder.decode(matrix)
            _, path = decoder.get_best_path()
            _, ids, _, weight = kaldifst.get_linear_symbol_sequence(path)
            return ids, weight.value1 + weight.value2

        return decode


class NumpyGmm:
    """The same mixtures by matrix products over [x, x²]."""

    def __init__(self, gmm: PackedGmm, dtype: type) -> None:
        means, inv_vars = gmm.means.astype(np.float64), gmm.inv_vars.astype(np.float64)
        exponent = (means**2 * inv_vars - np.log(inv_vars / (2 * np.pi))).sum(1)
        self.weights: np.ndarray = np.concatenate([means * inv_vars, -0.5 * inv_vars], axis=1).T.astype(
            dtype, order="C"
        )
        self.constants = (gmm.log_weights - 0.5 * exponent).astype(dtype)
        self.offsets, self.dtype = gmm.offsets, dtype

    def powers(self, frames: np.ndarray) -> np.ndarray:
        x: np.ndarray = frames.astype(self.dtype)
        return np.concatenate([x, x * x], axis=1)

    def products(self, frames: np.ndarray) -> np.ndarray:
        """[T, G] the part of the log-likelihoods that is a matrix product."""
        return self.powers(frames) @ self.weights

    def loglik(self, frames: np.ndarray) -> np.ndarray:
        """[T, P]"""
        scores = self.products(frames) + self.constants
        top = np.maximum.reduceat(scores, self.offsets[:-1], axis=1)
        np.exp(scores - np.repeat(top, np.diff(self.offsets), axis=1), out=scores)
        return top + np.log(np.add.reduceat(scores, self.offsets[:-1], axis=1))

    def sums(self, frames: np.ndarray, pdf_ids: np.ndarray) -> dict[str, np.ndarray]:
        """Σ γ [G], Σ γ x and Σ γ x² [G, D], Σ log p, pdf by pdf."""
        order, starts = group_frames(pdf_ids, len(self.offsets) - 1)
        powers, dim = self.powers(frames), frames.shape[1]
        counts, sums, total = np.zeros(len(self.constants)), np.zeros(self.weights.T.shape), 0.0
        for pdf in np.flatnonzero(np.diff(starts)):
            x, of = powers[order[starts[pdf] : starts[pdf + 1]]], slice(self.offsets[pdf], self.offsets[pdf + 1])
            scores = x @ self.weights[:, of] + self.constants[of]
            loglik = np.logaddexp.reduce(scores, axis=1, keepdims=True)
            gamma = np.exp(scores - loglik)
            counts[of], sums[of], total = gamma.sum(0), gamma.T @ x, total + float(loglik.sum())
        return {"Σ γ": counts, "Σ γ x": sums[:, :dim], "Σ γ x²": sums[:, dim:], "Σ log p": np.array([total])}

    def align(self, graph: UtteranceGraph, model: TransitionModel, frames: np.ndarray) -> tuple[float, np.ndarray]:
        """Viterbi without a beam: (score, transition-ids [T])."""
        logp = scaled_log_probs(model)
        acoustic = ACOUSTIC_SCALE * self.loglik(frames)[:, graph.pdfs]
        links, final = graph.arc_link + logp[graph.arc_tid], graph.final_link + logp[graph.final_tid]
        to = np.repeat(np.arange(len(graph.pdfs)), np.diff(graph.arc_start))
        score = [graph.entry_link + acoustic[0]]
        for emitted in acoustic[1:]:
            arrived = np.full(len(graph.pdfs), -np.inf)
            np.maximum.at(arrived, to, score[-1][graph.arc_from] + links)
            score.append(arrived + emitted)
        state = int(np.argmax(score[-1] + final))
        ids = [graph.final_tid[state]]
        for before in score[-2::-1]:
            span = slice(graph.arc_start[state], graph.arc_start[state + 1])
            arc = span.start + int(np.argmax(before[graph.arc_from[span]] + links[span]))
            ids.append(graph.arc_tid[arc])
            state = int(graph.arc_from[arc])
        return float((score[-1] + final).max()), np.array(ids[::-1])
