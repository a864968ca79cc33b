"""A telephone line in memory: 8 kHz, G.711 µ-law, then GSM 06.10 full rate, both by libsndfile."""

from __future__ import annotations

import io

import numpy as np
import soundfile
import soxr

TELEPHONE_RATE = 8000  # Hz


def telephone(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """`samples` [S] float in [−1, 1] as they come out of a telephone: [S] float32 at the same rate.

    Used for the cross-channel condition and never in training, so that the channel is unseen.
    """
    narrow = soxr.resample(samples, sample_rate, TELEPHONE_RATE)
    for codec in ("ULAW", "GSM610"):
        narrow = _through(narrow, codec)
    wide = soxr.resample(narrow, TELEPHONE_RATE, sample_rate).astype(np.float32)
    return _to_length(wide, len(samples))


def _through(samples: np.ndarray, codec: str) -> np.ndarray:
    if len(samples) == 0:
        return samples
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(samples, -1, 1), TELEPHONE_RATE, format="WAV", subtype=codec)
    buffer.seek(0)
    decoded, _ = soundfile.read(buffer, dtype="float32")
    return _to_length(decoded, len(samples))


def _to_length(samples: np.ndarray, length: int) -> np.ndarray:
    """GSM codes whole blocks of 160 samples: cut or zero-pad to the length that went in."""
    return np.pad(samples[:length], (0, max(0, length - len(samples))))
