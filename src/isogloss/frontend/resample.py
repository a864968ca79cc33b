"""Resampling with a short Hann-windowed sinc, as inside the pitch tracker's definition.

    y(t) = Σ_n x_n h(n/r_in − t) / r_in,    r_in, r_out in Hz, outputs at t = k / r_out
    h(t) = 2c sinc(2c·t) · ½(1 + cos(2πc·t / Z))  for |t| < Z/(2c), else 0;   c = cutoff in Hz, Z = num_zeros

Z is the number of zeros of the sinc on each side. With g = gcd(r_in, r_out) the weights repeat every r_out/g outputs
(the phases), each r_in/g inputs further on. Samples outside the signal count as 0.

Quality resampling of audio belongs to soxr (`perturb`, `audio`). This one is for agreeing with Kaldi; in the pitch tracker,
with Z = 1, the filter is deliberately soft.
Source: Ghahremani et al., "A pitch extraction algorithm tuned for automatic speech recognition", ICASSP 2014, §3.
"""

from __future__ import annotations

import math

import numpy as np

from isogloss.compiled import compiled
from isogloss.frontend.checks import to_float32
from isogloss.types import IsoglossError


def resample(samples: np.ndarray, rate_in: int, rate_out: int, num_zeros: int = 6) -> np.ndarray:
    """A whole waveform at another rate, as Kaldi's front end does it (`--allow-upsample`): cutoff 0.99 of the lower Nyquist.

    samples [S] int16, or float32 / float64 in [-1, 1] → float32 [⌈S · rate_out / rate_in⌉] in about [-1, 1]. Rates in whole
    Hz. Raises IsoglossError.
    """
    cutoff_hz = float(np.float32(0.99 * 0.5 * min(rate_in, rate_out)))
    resampler = Resampler(rate_in, rate_out, cutoff_hz, num_zeros)
    return resampler.accept(to_float32(samples), finished=True)


class Resampler:
    """Resamples a signal that arrives in pieces; the pieces' boundaries do not change the result."""

    def __init__(self, rate_in: float, rate_out: float, cutoff_hz: float, num_zeros: int) -> None:
        if rate_in != int(rate_in) or rate_out != int(rate_out) or min(rate_in, rate_out) < 1:
            raise IsoglossError(f"resampling from {rate_in} to {rate_out} Hz: expected whole positive rates")
        if not 0.0 < cutoff_hz <= 0.5 * min(rate_in, rate_out) or num_zeros < 1:
            raise IsoglossError(
                f"low-pass cutoff {cutoff_hz} Hz, width {num_zeros} zeros, from {rate_in} to {rate_out} Hz: expected a cutoff "
                f"inside (0, {0.5 * min(rate_in, rate_out):g}] and a width of at least 1"
            )
        self.rate_in, self.rate_out = int(rate_in), int(rate_out)
        divisor = math.gcd(self.rate_in, self.rate_out)
        self.unit_in, self.unit_out = self.rate_in // divisor, self.rate_out // divisor
        self.half_width_seconds = num_zeros / (2.0 * cutoff_hz)

        time = np.arange(self.unit_out) / self.rate_out  # of each phase
        self.first_input = np.ceil((time - self.half_width_seconds) * self.rate_in).astype(np.int64)
        num_taps = int(2.0 * self.half_width_seconds * self.rate_in) + 2
        offset = (self.first_input[:, None] + np.arange(num_taps)) / self.rate_in - time[:, None]
        weights = windowed_sinc(offset.astype(np.float32), cutoff_hz, num_zeros)
        self.weights = weights / np.float32(self.rate_in)  # [phases, taps] float32

        self.num_inputs = 0
        self.num_outputs = 0
        self._kept = np.zeros(num_taps, dtype=np.float32)  # the inputs still needed; silence before the first
        self._kept_start = -num_taps

    def count_outputs(self, num_inputs: int, finished: bool) -> int:
        """Outputs that `num_inputs` inputs allow: those whose whole filter lies inside, all of them when finished."""
        tick_rate = math.lcm(self.rate_in, self.rate_out)
        ticks = num_inputs * (tick_rate // self.rate_in)
        if not finished:
            ticks -= math.floor(self.half_width_seconds * tick_rate)
        per_output = tick_rate // self.rate_out
        return max(0, -(-ticks // per_output))  # outputs k with k·per_output < ticks

    def accept(self, samples: np.ndarray, finished: bool = False) -> np.ndarray:
        """The outputs that `samples` [S] float32 make possible, float32. `finished` flushes the end."""
        self.num_inputs += samples.shape[0]
        known = np.concatenate((self._kept, samples))
        # Silence after the last input: the end of the signal when finished, else only under weights that are 0.
        stretch = np.concatenate((known, np.zeros(self.weights.shape[1], dtype=np.float32)))
        outputs = np.empty(self.count_outputs(self.num_inputs, finished) - self.num_outputs, dtype=np.float32)
        _filter(stretch, self._kept_start, self.num_outputs, self.unit_in, self.first_input, self.weights, outputs)
        self.num_outputs += outputs.shape[0]
        unit, phase = divmod(self.num_outputs, self.unit_out)
        dropped = min(max(int(unit * self.unit_in + self.first_input[phase]) - self._kept_start, 0), known.shape[0])
        self._kept, self._kept_start = known[dropped:], self._kept_start + dropped
        return outputs


@compiled(nogil=True, fastmath={"reassoc", "nsz"})
def _filter(
    stretch: np.ndarray,
    stretch_start: int,
    first_output: int,
    unit_in: int,
    first_input: np.ndarray,
    weights: np.ndarray,
    outputs: np.ndarray,
) -> None:
    num_phases, num_taps = weights.shape
    unit, phase = divmod(first_output, num_phases)
    for k in range(outputs.shape[0]):
        start = unit * unit_in + first_input[phase] - stretch_start
        total = 0.0
        for n in range(num_taps):
            total += np.float64(stretch[start + n] * weights[phase, n])  # a float32 product
        outputs[k] = total
        phase += 1
        if phase == num_phases:
            unit, phase = unit + 1, 0


def windowed_sinc(time: np.ndarray, cutoff_hz: float, num_zeros: int) -> np.ndarray:
    """h(t) of the heading; time in seconds, float32, any shape → float32.

    Time, window, sinc and their product are each rounded to float32, as in the definition: where a resampled signal has
    little energy (above the old Nyquist frequency, say), this rounding is most of what there is to agree on.
    """
    time = time.astype(np.float64)
    hann = 0.5 * (1.0 + np.cos(2.0 * np.pi * cutoff_hz / num_zeros * time))
    window = np.where(np.abs(time) < num_zeros / (2.0 * cutoff_hz), hann, 0.0).astype(np.float32)
    sinc = np.where(
        time == 0.0, 2.0 * cutoff_hz, np.sin(2.0 * np.pi * cutoff_hz * time) / (np.pi * (time + (time == 0.0)))
    )
    return sinc.astype(np.float32) * window
