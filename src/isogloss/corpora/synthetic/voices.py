"""Who speaks: one random espeak-ng voice variant for each speaker, written as espeak's own variant file."""

from __future__ import annotations

import random
from dataclasses import dataclass

NUM_FORMANTS = 9  # espeak numbers them 0 to 8
KLATT_SHARE = 0.6  # of the speakers; the others use espeak's sum of sinusoids
KLATT_PULSES = (3, 4, 5, 6)  # 1 and 2 are quiet and spiky: peaks of 30 dB above the rms, which clip


@dataclass(frozen=True)
class Voice:
    """One speaker in one room: vocal tract, glottis, tempo, loudness and background."""

    name: str
    formant_scale: float  # 1: espeak's own vocal tract; higher is shorter
    klatt: int  # 0: no Klatt synthesis; else the number of its glottal pulse
    variant: str  # text of the variant file
    rate_wpm: int
    level_db: float  # rms, relative to full scale
    noise_db: float  # rms of the white background, relative to full scale


def draw_voice(name: str, rng: random.Random) -> Voice:
    """A random speaker. Pitch and tone are always written: left out, they would be those of the language's own voice
    file, or of the voice loaded before, and would tell the language."""
    scale = rng.uniform(0.86, 1.24)
    klatt = rng.choice(KLATT_PULSES) if rng.random() < KLATT_SHARE else 0
    # Short vocal tracts go with high voices, loosely.
    pitch_low_hz = max(60.0, 100.0 * scale**2.5 * rng.uniform(0.75, 1.35))
    pitch_high_hz = pitch_low_hz * rng.uniform(1.3, 1.7)
    lines = ["language variant", f"name {name}", f"pitch {pitch_low_hz:.0f} {pitch_high_hz:.0f}"]
    for formant in range(NUM_FORMANTS):
        frequency = 100 * scale * rng.uniform(0.96, 1.04)  # percent
        lines.append(f"formant {formant} {frequency:.0f} {rng.uniform(85, 115):.0f} {rng.uniform(85, 125):.0f}")
    tilt = rng.uniform(0.7, 1.3)  # of the spectrum: how loud the low end is against the high end
    lines.append(f"tone 600 {170 * tilt:.0f} 1200 {135:.0f} 2000 {110 / tilt:.0f} 3000 {110 / tilt:.0f}")
    lines += [f"flutter {rng.randint(1, 6)}", f"roughness {rng.randint(0, 3)}", f"voicing {rng.randint(85, 115)}"]
    lines.append(f"consonants {rng.randint(80, 120)} {rng.randint(80, 120)}")
    if klatt:
        lines.append(f"klatt {klatt}")
    return Voice(
        name=name,
        formant_scale=scale,
        klatt=klatt,
        variant="\n".join(lines) + "\n",
        rate_wpm=rng.randint(135, 205),
        level_db=rng.uniform(-32.0, -24.0),
        noise_db=rng.uniform(-78.0, -62.0),
    )
