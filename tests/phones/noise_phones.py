"""Made-up speech with a pdf for every frame: noises that a classifier can tell apart."""

import numpy as np

from isogloss.frontend.augment import FRAME_SHIFT
from isogloss.phones.neural import AlignedSpeech, num_frames


def sound(pdf, num_samples, rng):
    """pdf 0: near silence; 1, 2: noise below, above 1.5 kHz."""
    if pdf == 0:
        return 1e-3 * rng.standard_normal(num_samples)
    spectrum = np.fft.rfft(rng.standard_normal(num_samples))
    hertz = np.fft.rfftfreq(num_samples, 1 / 16000)
    spectrum[(hertz > 1500) if pdf == 1 else (hertz <= 1500)] = 0
    return 0.2 * np.fft.irfft(spectrum, num_samples)


def speech(seed, num_segments=8):
    rng = np.random.default_rng(seed)
    pdfs, lengths = rng.integers(1, 3, num_segments), rng.integers(8, 20, num_segments)
    pdfs[0] = pdfs[-1] = 0
    samples = np.concatenate([sound(p, n * FRAME_SHIFT, rng) for p, n in zip(pdfs, lengths, strict=True)])
    labels = np.repeat(pdfs, lengths)[: num_frames(len(samples))]
    return AlignedSpeech(samples.astype(np.float32), labels, f"speaker{seed % 2}")
