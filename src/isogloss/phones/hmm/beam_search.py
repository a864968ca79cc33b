"""Viterbi beam search through a decoding graph, and the best path of its lattice under another acoustic scale.

Forward, as Kaldi's FasterDecoder: tokens outside the beam or beyond the `max_active` best are dropped frame by frame, but
never so many that fewer than 20 live on.
Backward, over the tokens that were kept: what each still costs to the end, hence which arcs lie on a path within
`lattice_beam` of the best (Kaldi's pruned lattice, never stored), and the best way on through those arcs alone.

One search for both, because kaldi-decoder's lattice decoder has no `max_active`: on speech unlike the model's training
data, where most states stay within the beam, it falls below real time.
"""

from __future__ import annotations

import numpy as np

from isogloss.compiled import compiled

MIN_ACTIVE = 20  # tokens that live on however far behind the best
BEAM_DELTA = 0.5  # what the arcs out of the tokens may lag beyond the worst of these, where their number decides
ROUNDING = 1e-6  # two sums of the same costs in another order may differ by as much


@compiled(nogil=True)
def search(  # type: ignore[no-untyped-def]
    loglik, start, final, first, first_emitting, to, weight, pdf, rank, beam, max_active, scale, best_path_scale, lattice_beam
):  # fmt: skip
    """loglik [T, K] → (arcs of the path [≥ T], whether it ends in a final state, tokens kept); no arcs if no path is alive.

    State s has arcs first[s] … first[s + 1] − 1, epsilons up to first_emitting[s]; `rank` [S]: the longest chain of epsilons
    from there. Arc a emits pdf[a] and leads to to[a] at cost weight[a].
    """
    num_frames, num_states = loglik.shape[0], final.shape[0]
    max_rank = rank.max()
    here, there = np.full((2, num_states), np.inf)  # cost of the token in a state; inf: none
    states, next_states = np.empty((2, num_states), dtype=np.int32)
    kept_state = np.empty(1024, dtype=np.int32)
    kept_cost = np.empty(1024)
    frame_start = np.zeros(num_frames + 2, dtype=np.int64)
    emission = np.empty(loglik.shape[1])
    here[start] = 0.0
    states[0] = start
    num = 1
    for t in range(num_frames + 1):
        for r in range(max_rank, 0, -1):  # an epsilon leads to a lower rank, so that each token is expanded once
            for i in range(num):
                s = states[i]
                if rank[s] == r:
                    for a in range(first[s], first_emitting[s]):
                        d, cost = to[a], here[s] + weight[a]
                        if cost < here[d]:
                            if here[d] == np.inf:
                                states[num] = d
                                num += 1
                            here[d] = cost
        cutoff, lag, best = np.inf, np.inf, 0  # nothing is dropped at the end
        if t < num_frames:
            costs = here[states[:num]]
            best = costs.argmin()
            within = costs[best] + beam
            if num > max_active:
                cutoff = np.partition(costs, max_active - 1)[max_active - 1]
            if cutoff >= within:  # their number is no limit: the beam decides, if it leaves enough of them
                cutoff = np.partition(costs, MIN_ACTIVE)[MIN_ACTIVE] if num > MIN_ACTIVE else np.inf
                cutoff = max(cutoff, within)
            lag = beam if cutoff == within else cutoff - costs[best] + BEAM_DELTA
        begin = frame_start[t]
        while begin + num > kept_state.shape[0]:
            kept_state = np.concatenate((kept_state, np.empty_like(kept_state)))
            kept_cost = np.concatenate((kept_cost, np.empty_like(kept_cost)))
        end = kept_best = begin
        for i in range(num):
            s = states[i]
            if here[s] <= cutoff:
                if i == best:
                    kept_best = end
                kept_state[end], kept_cost[end] = s, here[s]
                end += 1
            here[s] = np.inf
        frame_start[t + 1] = end
        if t == num_frames:
            break
        for p in range(emission.shape[0]):
            emission[p] = -scale * loglik[t, p]
        num = 0
        limit = np.inf
        # the best token's best successor narrows the beam for all
        for a in range(first_emitting[kept_state[kept_best]], first[kept_state[kept_best] + 1]):
            limit = min(limit, kept_cost[kept_best] + weight[a] + emission[pdf[a]] + lag)
        for k in range(begin, end):
            s = kept_state[k]
            for a in range(first_emitting[s], first[s + 1]):
                cost = kept_cost[k] + weight[a] + emission[pdf[a]]
                if cost <= limit:
                    d = to[a]
                    if cost < there[d]:
                        if there[d] == np.inf:
                            next_states[num] = d
                            num += 1
                        there[d] = cost
                        limit = min(limit, cost + lag)
        here, there = there, here
        states, next_states = next_states, states
        if num == 0:
            return np.zeros(0, dtype=np.int32), False, end
    reached = False
    for k in range(frame_start[num_frames], frame_start[num_frames + 1]):
        reached |= final[kept_state[k]] < np.inf
    best_total = np.inf
    for k in range(frame_start[num_frames], frame_start[num_frames + 1]):
        best_total = min(best_total, kept_cost[k] + (final[kept_state[k]] if reached else 0.0))
    worst_total = best_total + lattice_beam + ROUNDING
    # cost to the end, at the search's scale and at that of the best path
    rest_here, rest_there, best_here, best_there = np.full((4, num_states), np.inf)
    way_on = np.full(kept_state.shape[0], -1, dtype=np.int32)  # arc that the best path takes from a token; −1: it ends
    for t in range(num_frames, -1, -1):
        begin, end = frame_start[t], frame_start[t + 1]
        for r in range(max_rank + 1):
            for k in range(begin, end):
                s = kept_state[k]
                if rank[s] != r:
                    continue
                rest = onward = np.inf
                if t == num_frames:
                    rest = final[s] if reached else 0.0
                    if kept_cost[k] + rest <= worst_total:
                        onward = rest
                for a in range(first[s], first[s + 1] if t < num_frames else first_emitting[s]):
                    d = to[a]
                    if a < first_emitting[s]:
                        after, then, acoustic = rest_here[d], best_here[d], 0.0
                    else:
                        after, then, acoustic = rest_there[d], best_there[d], -loglik[t, pdf[a]]
                    if after == np.inf:
                        continue
                    after += weight[a] + scale * acoustic
                    rest = min(rest, after)
                    if kept_cost[k] + after <= worst_total:
                        then += weight[a] + best_path_scale * acoustic
                        if then < onward:
                            onward = then
                            way_on[k] = a
                rest_here[s], best_here[s] = rest, onward
        if t < num_frames:
            for k in range(end, frame_start[t + 2]):
                rest_there[kept_state[k]] = best_there[kept_state[k]] = np.inf
        rest_here, rest_there = rest_there, rest_here
        best_here, best_there = best_there, best_here
    path = np.empty(num_frames * (max_rank + 1) + max_rank, dtype=np.int32)
    length, t, s = 0, 0, start
    while True:
        k = frame_start[t]
        while kept_state[k] != s:
            k += 1
        a = way_on[k]
        if a < 0:
            return path[:length], reached, frame_start[num_frames + 1]
        path[length] = a
        length += 1
        t += a >= first_emitting[s]
        s = to[a]
