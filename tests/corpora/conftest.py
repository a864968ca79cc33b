import numpy as np
import pytest
import soundfile


@pytest.fixture
def tone():
    """`tone(path, seconds, hz)` writes a sine (no two alike unless asked) and returns the path."""

    def write(path, seconds=0.5, hz=None, rate=16000, channels=1):
        hz = hz or 100 + abs(hash(path.name)) % 3000
        samples = 0.1 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate)) / rate)
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, np.stack([samples] * channels, axis=1), rate)
        return path

    return write
