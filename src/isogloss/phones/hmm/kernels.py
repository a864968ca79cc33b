"""Compiled inner loops of the trainer: mixture likelihoods and posteriors, EM sums, the Viterbi search of an utterance.

Frames are worked on in blocks, transposed, so that the innermost loops run over frames and are vectorised whatever the
dimension and the number of Gaussians. A Gaussian's log-likelihood is c + Σ_d x_d (l_d + h_d x_d) with `terms` [G, 2, D] =
(l, h), D padded with zeros to a multiple of four. Of a mixture only those Gaussians count that come within e^−16 of the
best somewhere in the block.

All stand in one file because numba's cache on disk sees a change of the file a kernel is in, not of those it calls. Every
sum belongs to one thread and has one order: results do not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from isogloss.compiled import compiled

Array = np.ndarray
BLOCK = 64  # frames; more are a little faster for EM sums, fewer for a search that wants a pdf in a few frames only
UTTERANCES = 16  # that share their work space
MIN_POSTERIOR = np.float32(1e-6)  # smaller ones are left out of the sums
EXACT_ORDER = {"reassoc", "contract", "arcp", "nsz"}  # what lets a sum be vectorised; NaN and inf keep their meaning
DEAD = -1e30  # score of a state that no path has reached
NEGLIGIBLE = np.float32(-16.0)  # log of a share that float32 does not see beside 1
# exp(z) = 2^k exp(r): Cephes' expf, which a compiler can vectorise as it cannot the library's
LOG2_E, LN2_HIGH, LN2_LOW = np.float32(1.44269504), np.float32(0.693359375), np.float32(-2.12194440e-4)
E6, E5, E4, E3, E2 = (
    np.float32(c) for c in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1)
)
HALF, ONE = np.float32(0.5), np.float32(1.0)


@compiled(fastmath=EXACT_ORDER, nogil=True)
def _mixture(
    x: Array, width: int, begin: int, end: int, constants: Array, terms: Array, scores: Array, bits: Array,
    powers: Array, top: Array, total: Array, alive: Array,
) -> None:  # fmt: skip
    """Gaussians begin … end − 1 on a block of `width` frames: x [D / 4, 4 · BLOCK], four dimensions to a row.

    Log-likelihood: top + log(total). scores[k] = exp(score − top) of Gaussian begin + k where alive[k]; where not, it is
    negligible in every frame. `powers` is a view of `bits`.
    """
    for b in range(width):
        top[b] = -np.inf
        total[b] = 0.0
    for g in range(begin, end):
        k = g - begin
        for b in range(width):
            scores[k, b] = constants[g]
        for row in range(x.shape[0]):
            four, d = x[row], 4 * row
            l0, l1, l2, l3 = terms[g, 0, d], terms[g, 0, d + 1], terms[g, 0, d + 2], terms[g, 0, d + 3]
            h0, h1, h2, h3 = terms[g, 1, d], terms[g, 1, d + 1], terms[g, 1, d + 2], terms[g, 1, d + 3]
            for b in range(width):
                x0, x1, x2, x3 = four[b], four[BLOCK + b], four[2 * BLOCK + b], four[3 * BLOCK + b]
                scores[k, b] += (x0 * (l0 + h0 * x0) + x1 * (l1 + h1 * x1)) + (
                    x2 * (l2 + h2 * x2) + x3 * (l3 + h3 * x3)
                )
        for b in range(width):
            top[b] = max(top[b], scores[k, b])
    for k in range(end - begin):
        count = 0
        for b in range(width):
            scores[k, b] -= top[b]
            count += scores[k, b] > NEGLIGIBLE
        alive[k] = count > 0
        if alive[k]:
            for b in range(width):
                z = max(scores[k, b], np.float32(-80.0))
                power = np.floor(z * LOG2_E + HALF)
                r = (z - power * LN2_HIGH) - power * LN2_LOW
                bits[b] = (np.int32(power) + np.int32(127)) << np.int32(23)
                scores[k, b] = (((((E6 * r + E5) * r + E4) * r + E3) * r + E2) * r + HALF) * r * r + r + ONE
            for b in range(width):
                scores[k, b] *= powers[b]
                total[b] += scores[k, b]


@compiled(nogil=True)
def _transpose(frames: Array, order: Array, first: int, stop: int, x: Array) -> None:
    for i in range(first, stop):
        for d in range(frames.shape[1]):
            x[d // 4, d % 4 * BLOCK + i - first] = frames[order[i], d]


@compiled(fastmath=EXACT_ORDER, nogil=True)
def loglik(frames: Array, offsets: Array, constants: Array, terms: Array, out: Array) -> None:
    """out [T, P] of the frames [T, D]."""
    size = 0
    for p in range(len(offsets) - 1):
        size = max(size, offsets[p + 1] - offsets[p])
    x = np.zeros((terms.shape[2] // 4, 4 * BLOCK), dtype=np.float32)
    scores = np.empty((size, BLOCK), dtype=np.float32)
    alive = np.empty(size, dtype=np.bool_)
    bits = np.empty(BLOCK, dtype=np.int32)
    powers = bits.view(np.float32)
    top, total = np.empty((2, BLOCK), dtype=np.float32)
    for start in range(0, len(frames), BLOCK):
        width = min(BLOCK, len(frames) - start)
        for b in range(width):
            for d in range(frames.shape[1]):
                x[d // 4, d % 4 * BLOCK + b] = frames[start + b, d]
        for p in range(len(offsets) - 1):
            _mixture(x, width, offsets[p], offsets[p + 1], constants, terms, scores, bits, powers, top, total, alive)
            for b in range(width):
                out[start + b, p] = top[b] + np.log(total[b])


@compiled(fastmath=EXACT_ORDER, nogil=True, parallel=True)
def em_sums(
    frames: Array, summed: Array, order: Array, starts: Array, offsets: Array, constants: Array, terms: Array,
    counts: Array, first: Array, second: Array, log_likelihood: Array,
) -> None:  # fmt: skip
    """Adds Σ γ, Σ γ x, Σ γ x² of `summed` with the posteriors of `frames`; frames of pdf p: order[starts[p] : starts[p + 1]]."""
    for p in prange(len(offsets) - 1):
        begin, end = offsets[p], offsets[p + 1]
        x = np.zeros((terms.shape[2] // 4, 4 * BLOCK), dtype=np.float32)
        scores = np.empty((end - begin, BLOCK), dtype=np.float32)
        alive = np.empty(end - begin, dtype=np.bool_)
        bits = np.empty(BLOCK, dtype=np.int32)
        powers = bits.view(np.float32)
        top, total = np.empty((2, BLOCK), dtype=np.float32)
        for start in range(starts[p], starts[p + 1], BLOCK):
            width = min(BLOCK, starts[p + 1] - start)
            _transpose(frames, order, start, start + width, x)
            _mixture(x, width, begin, end, constants, terms, scores, bits, powers, top, total, alive)
            for b in range(width):
                log_likelihood[p] += top[b] + np.log(total[b])
            for k in range(end - begin):
                if alive[k]:
                    for b in range(width):
                        if scores[k, b] > MIN_POSTERIOR * total[b]:
                            t, g, gamma = order[start + b], begin + k, scores[k, b] / total[b]
                            counts[g] += gamma
                            for d in range(summed.shape[1]):
                                value = gamma * summed[t, d]
                                first[g, d] += value
                                second[g, d] += value * summed[t, d]


@compiled(fastmath=EXACT_ORDER, nogil=True, parallel=True)
def precision_sums(
    frames: Array, shown: Array, order: Array, starts: Array, offsets: Array, constants: Array, terms: Array,
    linear: Array, inv_vars: Array, a: Array, b: Array, counts: Array, first: Array,
) -> None:  # fmt: skip
    """Adds to a, b [T, D] the Σ γ/σ², Σ γ μ/σ² of each frame, to counts and first Σ γ and Σ γ x; posteriors of `shown`."""
    for p in prange(len(offsets) - 1):
        begin, end = offsets[p], offsets[p + 1]
        x = np.zeros((terms.shape[2] // 4, 4 * BLOCK), dtype=np.float32)
        scores = np.empty((end - begin, BLOCK), dtype=np.float32)
        alive = np.empty(end - begin, dtype=np.bool_)
        bits = np.empty(BLOCK, dtype=np.int32)
        powers = bits.view(np.float32)
        top, total = np.empty((2, BLOCK), dtype=np.float32)
        for start in range(starts[p], starts[p + 1], BLOCK):
            width = min(BLOCK, starts[p + 1] - start)
            _transpose(shown, order, start, start + width, x)
            _mixture(x, width, begin, end, constants, terms, scores, bits, powers, top, total, alive)
            for k in range(end - begin):
                if alive[k]:
                    for i in range(width):
                        if scores[k, i] > MIN_POSTERIOR * total[i]:
                            t, g, gamma = order[start + i], begin + k, scores[k, i] / total[i]
                            counts[g] += gamma
                            for d in range(frames.shape[1]):
                                first[g, d] += gamma * frames[t, d]
                                a[t, d] += gamma * inv_vars[g, d]
                                b[t, d] += gamma * linear[g, d]


@compiled(fastmath=EXACT_ORDER, nogil=True, parallel=True)
def align_all(
    frames: Array, frame_start: Array, state_start: Array, arc_base: Array, pdfs: Array, entry: Array, final: Array,
    final_tid: Array, arc_start: Array, arc_from: Array, arc_logp: Array, arc_tid: Array, offsets: Array, constants: Array,
    terms: Array, beam: float, retry_beam: float, scale: float, transition_ids: Array, scores: Array, retried: Array,
) -> None:  # fmt: skip
    """Every utterance's best path into transition_ids [N], its score into scores [U]; retried [U]: it took the wider beam."""
    size = 0
    for p in range(len(offsets) - 1):
        size = max(size, offsets[p + 1] - offsets[p])
    num_utterances = len(frame_start) - 1
    for part in prange((num_utterances + UTTERANCES - 1) // UTTERANCES):
        work = np.empty((size, BLOCK), dtype=np.float32)
        alive = np.empty(size, dtype=np.bool_)
        slot_of = np.full(len(offsets) - 1, -1, dtype=np.int32)
        for u in range(part * UTTERANCES, min((part + 1) * UTTERANCES, num_utterances)):
            states = slice(state_start[u], state_start[u + 1])
            arcs = slice(arc_base[u], arc_base[u + 1])
            span = slice(frame_start[u], frame_start[u + 1])
            starts = arc_start[state_start[u] + u : state_start[u + 1] + u + 1]
            for attempt in range(2):
                scores[u] = _viterbi(
                    frames[span], pdfs[states], entry[states], final[states], final_tid[states], starts, arc_from[arcs],
                    arc_logp[arcs], arc_tid[arcs], offsets, constants, terms, beam if attempt == 0 else retry_beam, scale,
                    work, alive, slot_of, transition_ids[span],
                )  # fmt: skip
                if scores[u] > -np.inf:
                    break
                retried[u] = True


@compiled(fastmath=EXACT_ORDER, nogil=True)
def _viterbi(
    frames: Array, pdfs: Array, entry: Array, final: Array, final_tid: Array, arc_start: Array, arc_from: Array,
    arc_logp: Array, arc_tid: Array, offsets: Array, constants: Array, terms: Array, beam: float, scale: float,
    work: Array, alive: Array, slot_of: Array, out: Array,
) -> float:  # fmt: skip
    num_frames, num_states = frames.shape[0], len(pdfs)
    if num_frames == 0:
        return -np.inf
    num_blocks = (num_frames + BLOCK - 1) // BLOCK
    x = np.zeros((num_blocks, terms.shape[2] // 4, 4 * BLOCK), dtype=np.float32)
    for t in range(num_frames):
        for d in range(frames.shape[1]):
            x[t // BLOCK, d // 4, d % 4 * BLOCK + t % BLOCK] = frames[t, d]
    # likelihoods of the utterance's own pdfs, in blocks of frames, as they are asked for
    slots = np.empty(num_states, dtype=np.int32)
    num_slots = 0
    for s in range(num_states):
        if slot_of[pdfs[s]] < 0:
            slot_of[pdfs[s]] = num_slots
            num_slots += 1
        slots[s] = slot_of[pdfs[s]]
    for s in range(num_states):
        slot_of[pdfs[s]] = -1
    acoustic = np.empty((num_slots, num_frames), dtype=np.float32)
    known = np.zeros((num_slots, num_blocks), dtype=np.bool_)
    bits = np.empty(BLOCK, dtype=np.int32)
    powers = bits.view(np.float32)
    top, total = np.empty((2, BLOCK), dtype=np.float32)
    score = np.full(num_states, DEAD)
    arrived = np.empty(num_states)
    back = np.empty((num_frames, num_states), dtype=np.int32)  # arc by which a state was reached
    for t in range(num_frames):
        if t == 0:
            for s in range(num_states):
                arrived[s] = max(entry[s], DEAD)
        else:
            for s in range(num_states):
                arrived[s] = DEAD
                for a in range(arc_start[s], arc_start[s + 1]):
                    if score[arc_from[a]] > DEAD:
                        value = score[arc_from[a]] + arc_logp[a]
                        if value > arrived[s]:
                            arrived[s] = value
                            back[t, s] = a
        block = t // BLOCK
        best = DEAD
        for s in range(num_states):
            score[s] = DEAD
            if arrived[s] > DEAD:
                slot = slots[s]
                if not known[slot, block]:
                    known[slot, block] = True
                    start = block * BLOCK
                    width = min(BLOCK, num_frames - start)
                    begin, end = offsets[pdfs[s]], offsets[pdfs[s] + 1]
                    _mixture(x[block], width, begin, end, constants, terms, work, bits, powers, top, total, alive)
                    for b in range(width):
                        acoustic[slot, start + b] = top[b] + np.log(total[b])
                score[s] = arrived[s] + scale * acoustic[slot, t]
                best = max(best, score[s])
        for s in range(num_states):
            if score[s] < best - beam:
                score[s] = DEAD
    best_end, last = DEAD, -1
    for s in range(num_states):
        if score[s] > DEAD and final[s] > DEAD and score[s] + final[s] > best_end:
            best_end, last = score[s] + final[s], s
    if last < 0:
        return -np.inf
    tid = final_tid[last]
    for t in range(num_frames - 1, -1, -1):
        out[t] = tid
        if t > 0:
            arc = back[t, last]
            tid = arc_tid[arc]
            last = arc_from[arc]
    return best_end
