"""MFCC and log mel filter-bank energies, after Kaldi's definition.

Per frame x_0 … x_{L−1} on the 16-bit sample scale:
    x ← x − mean(x)                                        (remove_dc_offset)
    E = log max(Σ x_i², ε)                                 (raw_energy; else after the window)
    x_i ← x_i − p·x_{i−1}, with x_{−1} = x_0               (preemphasis p)
    x_i ← w_i·x_i, padded with zeros to N = next power of 2
    P_k = |DFT_N(x)_k|², k = 0 … N/2 − 1                   (the Nyquist bin is not used)
    m_b = log max(Σ_k M_bk P_k, ε)
    c_j = l_j Σ_b D_jb m_b
with ε = 2^−23, mel(f) = 1127 ln(1 + f/700); M_b a triangle in mel, its corners spaced evenly between mel(low_freq) and
mel(high_freq), evaluated at the bins' centre frequencies; D the orthonormal DCT-II; l_j = 1 + Q/2 sin(πj/Q) the lifter.
With use_energy, c_0 = max(E, log energy_floor).

Up to the window values are float32, rounded at each step as in the definition: under a large DC offset the rounded mean
leaves a rest that shows in the lowest band. From the DFT on they are float64: a band 80 dB below the loudest would lose
its digits in float32.

Source: Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word recognition", IEEE Trans.
ASSP 28(4), 1980; conventions and option names Kaldi's.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import scipy.fft

from isogloss.compiled import compiled
from isogloss.frontend.checks import check_samples
from isogloss.frontend.windows import Framing, float32_pair_sum, window
from isogloss.types import IsoglossError

EPSILON = float(np.finfo(np.float32).eps)  # floor of every logarithm's argument
BLOCK_FRAMES = 128  # frames worked on at once: few enough for the second-level cache, enough to hide Python's own time


@dataclass(frozen=True)
class SpectralOptions:
    """Options that `mfcc` and `fbank` share, checked; hashable, so that tables are built once per setting."""

    sample_rate: float
    num_mel_bins: int
    low_freq: float
    high_freq: float
    frame_length_ms: float
    frame_shift_ms: float
    window_type: str
    preemphasis: float
    remove_dc_offset: bool
    raw_energy: bool
    snip_edges: bool

    def __post_init__(self) -> None:
        mel_filters(self)  # both judge what they are made of, so that bad options fail on any input, an empty one too
        _window_weights(self)

    @property
    def framing(self) -> Framing:
        return Framing.from_ms(self.sample_rate, self.frame_length_ms, self.frame_shift_ms, self.snip_edges)


def mfcc(
    samples: np.ndarray,
    sample_rate: float,
    *,
    num_ceps: int = 20,
    num_mel_bins: int = 23,
    low_freq: float = 40.0,
    high_freq: float = -200.0,
    frame_length_ms: float = 25.0,
    frame_shift_ms: float = 10.0,
    window_type: str = "povey",
    preemphasis: float = 0.97,
    remove_dc_offset: bool = True,
    cepstral_lifter: float = 22.0,
    use_energy: bool = True,
    raw_energy: bool = True,
    energy_floor: float = 0.0,
    snip_edges: bool = True,
) -> np.ndarray:
    """Mel-frequency cepstral coefficients; column 0 is the log energy with `use_energy`.

    samples: [S] int16, or float32 / float64 in [-1, 1]; sample_rate in Hz.
    low_freq, high_freq: Hz; high_freq ≤ 0 counts down from the Nyquist frequency.
    Returns float32 [T, num_ceps], T = 0 for less than one frame. Raises IsoglossError for samples that are not a finite
    waveform and options that cannot be.

    The defaults are those of language recognition recipes (20 cepstra, 40 … Nyquist − 200 Hz). Kaldi's plain defaults:
    num_ceps=13, low_freq=20, high_freq=0.
    """
    if not 1 <= num_ceps <= num_mel_bins:
        raise IsoglossError(f"num_ceps {num_ceps} with {num_mel_bins} mel bins: expected 1 … {num_mel_bins}")
    options = SpectralOptions(
        sample_rate, num_mel_bins, low_freq, high_freq, frame_length_ms, frame_shift_ms,
        window_type, preemphasis, remove_dc_offset, raw_energy, snip_edges,
    )  # fmt: skip
    checked, scale = check_samples(samples, sample_rate)
    cosines = liftered_dct(num_ceps, num_mel_bins, cepstral_lifter)  # [num_ceps, B]
    cepstra = np.empty((options.framing.num_frames(checked.shape[0]), num_ceps), dtype=np.float32)
    for first in range(0, cepstra.shape[0], BLOCK_FRAMES):
        block = cepstra[first : first + BLOCK_FRAMES]
        mel, energy = mel_energies(checked, scale, first, block.shape[0], options)
        block[:] = np.einsum("tb,jb->tj", np.log(np.maximum(mel, EPSILON)), cosines)
        if use_energy:
            block[:, 0] = floor_energy(energy, energy_floor)
    return cepstra


def fbank(
    samples: np.ndarray,
    sample_rate: float,
    *,
    num_mel_bins: int = 23,
    low_freq: float = 20.0,
    high_freq: float = 0.0,
    frame_length_ms: float = 25.0,
    frame_shift_ms: float = 10.0,
    window_type: str = "povey",
    preemphasis: float = 0.97,
    remove_dc_offset: bool = True,
    use_energy: bool = False,
    raw_energy: bool = True,
    energy_floor: float = 0.0,
    use_log: bool = True,
    use_power: bool = True,
    snip_edges: bool = True,
) -> np.ndarray:
    """Mel filter-bank energies, their logarithms with `use_log`; the defaults are Kaldi's.

    Samples and errors as in `mfcc`. `use_power=False` sums magnitudes |DFT| instead of powers. `use_energy` puts the
    log energy in front. Returns float32 [T, num_mel_bins (+ 1 with use_energy)].
    """
    options = SpectralOptions(
        sample_rate, num_mel_bins, low_freq, high_freq, frame_length_ms, frame_shift_ms,
        window_type, preemphasis, remove_dc_offset, raw_energy, snip_edges,
    )  # fmt: skip
    checked, scale = check_samples(samples, sample_rate)
    first_bin = int(use_energy)
    bank = np.empty((options.framing.num_frames(checked.shape[0]), first_bin + num_mel_bins), dtype=np.float32)
    for first in range(0, bank.shape[0], BLOCK_FRAMES):
        block = bank[first : first + BLOCK_FRAMES]
        mel, energy = mel_energies(checked, scale, first, block.shape[0], options, use_power)
        block[:, first_bin:] = np.log(np.maximum(mel, EPSILON)) if use_log else mel
        if use_energy:
            block[:, 0] = floor_energy(energy, energy_floor)
    return bank


def mel_energies(
    samples: np.ndarray,
    scale: float,
    first_frame: int,
    num_frames: int,
    options: SpectralOptions,
    use_power: bool = True,
) -> tuple[np.ndarray, np.ndarray]:
    """Σ_k M_bk P_k [num_frames, num_mel_bins] and log energies [num_frames] of consecutive frames, both float64."""
    framing, filters = options.framing, mel_filters(options)
    frames = np.empty((num_frames, 2 * filters.weights.shape[1]))
    energy = np.empty(num_frames)
    _window_frames(
        framing.cut(samples, first_frame, num_frames, scale), framing.shift, _window_weights(options),
        np.float32(options.preemphasis), options.remove_dc_offset, options.raw_energy, frames, energy,
    )  # fmt: skip
    spectra = scipy.fft.rfft(frames, overwrite_x=True)
    mel = np.empty((num_frames, options.num_mel_bins))
    _sum_bands(spectra, use_power, filters.weights, filters.first, filters.stop, mel)
    return mel, energy


@compiled(nogil=True)
def _window_frames(
    stretch: np.ndarray,
    shift: int,
    weights: np.ndarray,
    preemphasis: np.float32,
    remove_dc_offset: bool,
    raw_energy: bool,
    frames: np.ndarray,
    energy: np.ndarray,
) -> None:
    length = weights.shape[0]
    x = np.empty(length, dtype=np.float32)
    windowed = np.empty(length, dtype=np.float32)
    for t in range(frames.shape[0]):
        x[:] = stretch[t * shift : t * shift + length]
        if remove_dc_offset:
            mean = np.float32(float32_pair_sum(x)) / np.float32(length)
            for i in range(length):
                x[i] -= mean
        windowed[0] = (x[0] - preemphasis * x[0]) * weights[0]
        for i in range(1, length):
            windowed[i] = (x[i] - preemphasis * x[i - 1]) * weights[i]
        frames[t, :length] = windowed
        frames[t, length:] = 0.0
        energy[t] = np.log(max(_sum_squares(x if raw_energy else windowed), EPSILON))


@compiled(nogil=True, fastmath={"reassoc", "nsz"})
def _sum_squares(x: np.ndarray) -> float:
    total = 0.0
    for i in range(x.shape[0]):
        total += np.float64(x[i]) * np.float64(x[i])
    return total


@compiled(nogil=True, fastmath={"reassoc", "nsz", "contract"})
def _sum_bands(
    spectra: np.ndarray, use_power: bool, weights: np.ndarray, first: np.ndarray, stop: np.ndarray, mel: np.ndarray
) -> None:
    num_bands, num_bins = weights.shape
    power = np.empty(num_bins)
    for t in range(spectra.shape[0]):
        for k in range(num_bins):
            power[k] = spectra[t, k].real ** 2 + spectra[t, k].imag ** 2
        if not use_power:
            power[:] = np.sqrt(power)
        for b in range(num_bands):
            total = 0.0
            for k in range(first[b], stop[b]):
                total += weights[b, k] * power[k]
            mel[t, b] = total


def floor_energy(energy: np.ndarray, energy_floor: float) -> np.ndarray:
    """Log energies, none below log energy_floor; 0 is no floor."""
    return np.maximum(energy, np.log(energy_floor)) if energy_floor > 0.0 else energy


@lru_cache(maxsize=16)
def _window_weights(options: SpectralOptions) -> np.ndarray:
    return window(options.window_type, options.framing.length).astype(np.float32)


class MelFilters(NamedTuple):
    """M, and where each of its rows is not zero."""

    weights: np.ndarray  # [num_mel_bins, N/2] float64
    first: np.ndarray  # [num_mel_bins] first bin
    stop: np.ndarray  # [num_mel_bins] one past the last


@lru_cache(maxsize=16)
def mel_filters(options: SpectralOptions) -> MelFilters:
    """Triangles in mel. Raises IsoglossError for impossible bands or an empty filter."""
    nyquist = 0.5 * options.sample_rate
    high = options.high_freq if options.high_freq > 0.0 else nyquist + options.high_freq
    if options.num_mel_bins < 3 or not 0.0 <= options.low_freq < high <= nyquist:
        raise IsoglossError(
            f"{options.num_mel_bins} mel bins from {options.low_freq} to {high} Hz at {options.sample_rate} Hz: expected at "
            f"least 3 bins inside 0 … {nyquist} Hz; is the sample rate the audio's own?"
        )
    num_bins = (1 << (options.framing.length - 1).bit_length()) // 2  # N, the frame length rounded up to a power of two
    bin_mel = hz_to_mel(np.arange(num_bins) * options.sample_rate / (2 * num_bins))
    corners = np.linspace(hz_to_mel(options.low_freq), hz_to_mel(high), options.num_mel_bins + 2)[:, None]
    left, centre, right = corners[:-2], corners[1:-1], corners[2:]
    weights = np.maximum(np.minimum((bin_mel - left) / (centre - left), (right - bin_mel) / (right - centre)), 0.0)
    used = weights > 0.0
    empty = np.flatnonzero(~used.any(axis=1))
    if empty.size:
        raise IsoglossError(
            f"mel filter {empty[0]} of {options.num_mel_bins} holds no frequency bin ({num_bins} bins, {options.low_freq} … "
            f"{high} Hz): expected fewer mel bins or longer frames"
        )
    return MelFilters(weights, used.argmax(axis=1), num_bins - used[:, ::-1].argmax(axis=1))


def hz_to_mel(hz: np.ndarray | float) -> np.ndarray:
    """mel(f) = 1127 ln(1 + f/700)."""
    return 1127.0 * np.log1p(np.asarray(hz) / 700.0)


@lru_cache(maxsize=16)
def liftered_dct(num_ceps: int, num_bins: int, cepstral_lifter: float) -> np.ndarray:
    """l_j D_jb [num_ceps, num_bins] float64: orthonormal DCT-II rows, each times its lifter (0: no lifter)."""
    order = np.arange(num_ceps)[:, None]
    cosines = np.sqrt(2.0 / num_bins) * np.cos(np.pi / num_bins * order * (np.arange(num_bins) + 0.5))
    cosines[0] = np.sqrt(1.0 / num_bins)
    if cepstral_lifter != 0.0:
        cosines *= 1.0 + 0.5 * cepstral_lifter * np.sin(np.pi * order / cepstral_lifter)
    return cosines
