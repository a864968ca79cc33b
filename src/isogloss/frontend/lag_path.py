"""The cheapest path through lag and time: dynamic programming with a quadratic cost of moving.

    local cost      l_t(i) = 1 − φ_t(i)·(1 − soft_min_f0·lag_i)
    forward cost    c_t(i) = min_j [c_{t−1}(j) + q·(i − j)²] + l_t(i),    less its minimum over i
    path            from the cheapest last state back along the minimising j

The minimum over j is a lower envelope of parabolas with the same curvature, found in O(K) per frame instead of K²:
parabolas are taken from left to right; a new one displaces those it undercuts before their own interval begins.

Minimising j never decrease with i, so paths do not cross: what the lowest and the highest state's paths share, all
share. Such frames are settled, whatever follows, and need not be kept; memory stays small on files of any length
(except in digital silence, where every lag is as good as any other until sound returns).

Source: Ghahremani et al., ICASSP 2014, eq. 5 to 8; envelope: Felzenszwalb and Huttenlocher, "Distance transforms of
sampled functions", Theory of Computing 8, 2012.
"""

from __future__ import annotations

import numpy as np

from isogloss.compiled import compiled
from isogloss.frontend.pitch_options import PitchOptions

TILE_FRAMES = 64  # frames interpolated at once


class LagPath:
    """Best lag of every frame, given the NCCF of frames as they come."""

    def __init__(self, options: PitchOptions) -> None:
        self.options = options
        self._slope = np.float32(options.soft_min_f0) * options.lags
        self._forward = np.zeros(options.lags.shape[0], dtype=np.float32)
        self._back: list[np.ndarray] = []  # blocks [n, K]: state before, of each state; frames not yet returned
        self._plain: list[np.ndarray] = []  # blocks [n, M]: NCCF without ballast of the same frames

    @property
    def num_pending(self) -> int:
        """Frames accepted and not yet returned."""
        return sum(block.shape[0] for block in self._back)

    def extend(self, led: np.ndarray, plain: np.ndarray) -> None:
        """Add frames: NCCF with and without ballast, float32 [n, M] each."""
        if led.shape[0] == 0:
            return
        back = np.empty((led.shape[0], self._forward.shape[0]), dtype=np.int16)
        phi = _interpolate(led, *self.options.interpolation_taps)
        _extend(phi, self._slope, self.options.transition_cost, self._forward, back)
        self._back.append(back)
        self._plain.append(plain)

    def settled(self, max_pending: int | None = None) -> np.ndarray:
        """Frames [n, 2] (NCCF, Hz) that nothing to come can change.

        Those older than `max_pending` frames are returned as well, on the path that is cheapest so far.
        """
        low, high = 0, self._forward.shape[0] - 1
        kept = 0  # frames after the one where all paths meet; all of them if they do not
        for back in reversed(self._back):
            met, low, high = _narrow(back, low, high)
            kept += back.shape[0] - met
            if low == high:
                break
        if max_pending is not None and kept > max_pending:
            kept, low = max_pending, self._state_before(int(self._forward.argmin()), max_pending)
        return self._take(self.num_pending - kept, low)

    def finish(self) -> np.ndarray:
        """The remaining frames [n, 2], along the cheapest path."""
        return self._take(self.num_pending, int(self._forward.argmin()))

    def _state_before(self, state: int, num_frames: int) -> int:
        """The state `num_frames` frames before the last one, on the path that ends in `state`."""
        for back in reversed(self._back):
            for row in back[::-1]:
                if num_frames == 0:
                    return state
                state, num_frames = int(row[state]), num_frames - 1
        return state

    def _take(self, num_frames: int, state: int) -> np.ndarray:
        """Remove the first `num_frames` pending frames; the path through the last of them is in `state`."""
        if num_frames == 0:
            return np.zeros((0, 2), dtype=np.float32)
        back, plain = np.concatenate(self._back), np.concatenate(self._plain)
        self._back, self._plain = [back[num_frames:].copy()], [plain[num_frames:].copy()]
        states = np.empty(num_frames, dtype=np.int64)
        _trace(back, state, states)
        voicing = np.einsum("tm,tm->t", plain[:num_frames], self.options.interpolation[states], dtype=np.float64)
        return np.stack([voicing, 1.0 / self.options.lags[states]], axis=1).astype(np.float32)


@compiled(nogil=True)
def _interpolate(led: np.ndarray, taps: np.ndarray, first_tap: np.ndarray) -> np.ndarray:
    """NCCF at measured lags [n, M] → at searched lags [n, K], float32. Frames lie side by side in vector registers."""
    num_frames, num_lags = led.shape
    num_states, num_taps = taps.shape
    phi = np.empty((num_frames, num_states), dtype=np.float32)
    measured = np.zeros((num_lags, TILE_FRAMES), dtype=np.float32)
    searched = np.empty((num_states, TILE_FRAMES), dtype=np.float32)
    for first in range(0, num_frames, TILE_FRAMES):
        size = min(TILE_FRAMES, num_frames - first)
        measured[:, :size] = led[first : first + size].T
        for i in range(num_states):
            out = searched[i]
            out[:] = 0.0
            for k in range(num_taps):
                weight = taps[i, k]
                values = measured[first_tap[i] + k]
                for t in range(TILE_FRAMES):
                    out[t] += weight * values[t]
        phi[first : first + size] = searched[:, :size].T
    return phi


@compiled(nogil=True, error_model="numpy")
def _extend(
    phi: np.ndarray, slope: np.ndarray, transition_cost: np.float32, forward: np.ndarray, back: np.ndarray
) -> None:
    """Frames phi [n, K] onto `forward` [K], in place; back [n, K] is filled. Costs are float32, as in the definition."""
    num_frames = phi.shape[0]
    num_states = forward.shape[0]
    cost = np.empty(num_states, dtype=np.float32)
    # Parabola j is height[j] + (i − j)² in units of the transition cost; owner[k] has i from begin[k] to begin[k + 1].
    unit = 1.0 / max(np.float64(transition_cost), 1e-30)  # transition cost 0: the lowest parabola owns every i
    height = np.empty(num_states)  # plus j²: what the crossing of two parabolas needs
    half_inverse = 0.5 / np.arange(num_states)
    owner = np.empty(num_states, dtype=np.int64)
    begin = np.empty(num_states + 1)
    for t in range(num_frames):
        for j in range(num_states):
            height[j] = forward[j] * unit + j * j
        top = 0
        owner[0] = 0
        begin[0] = -np.inf
        for j in range(1, num_states):
            crossing = (height[j] - height[owner[top]]) * half_inverse[j - owner[top]]
            while crossing <= begin[top]:
                top -= 1
                crossing = (height[j] - height[owner[top]]) * half_inverse[j - owner[top]]
            top += 1
            owner[top] = j
            begin[top] = crossing
        begin[top + 1] = np.inf
        k = 0
        for i in range(num_states):
            while begin[k + 1] < i:
                k += 1
            j = owner[k]
            back[t, i] = j
            cost[i] = np.float32((i - j) * (i - j)) * transition_cost + forward[j]
        for i in range(num_states):
            cost[i] += (np.float32(1.0) - phi[t, i]) + slope[i] * phi[t, i]
        lowest = _lowest(cost)
        for i in range(num_states):
            forward[i] = cost[i] - lowest


@compiled(nogil=True, fastmath={"reassoc", "nsz", "nnan"})
def _lowest(cost: np.ndarray) -> np.float32:
    """min, in any order: the only step that may be re-ordered, and so vectorised, without changing a digit."""
    lowest = np.float32(np.inf)
    for i in range(cost.shape[0]):
        lowest = min(lowest, cost[i])
    return lowest


@compiled(nogil=True)
def _narrow(back: np.ndarray, low: int, high: int) -> tuple[int, int, int]:
    """Follow the lowest and highest surviving state through a block, backwards, until they meet.

    Returns how many of the block's first frames are settled and the two states at the last of those (0: at the frame
    before the block).
    """
    for t in range(back.shape[0] - 1, -1, -1):
        if low == high:
            return t + 1, low, high
        low, high = int(back[t, low]), int(back[t, high])
    return 0, low, high


@compiled(nogil=True)
def _trace(back: np.ndarray, state: int, states: np.ndarray) -> None:
    """The path that ends in `state` at frame len(states) − 1, written to `states`."""
    for t in range(states.shape[0] - 1, -1, -1):
        states[t] = state
        state = int(back[t, state])
