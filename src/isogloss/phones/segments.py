"""Phone segments (symbol, start, end in seconds) to one label per frame.

Frame t covers 25 ms from 10·t ms on; it takes the phone that its centre, 10·t + 12.5 ms, falls in. A segment is cut in
`states` equal parts, as a left-to-right HMM would, and each part is a pdf of its own: pdf = states·phone + state.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from isogloss.types import IGNORE_PDF, IsoglossError

FRAME_SHIFT_SECONDS = 0.010
FRAME_CENTRE_SECONDS = 0.0125

Segment = tuple[str, float, float]


@dataclass(frozen=True)
class Inventory:
    """The pdfs of a label source: `phones` × `states`."""

    phones: list[str]
    states: int = 1

    @property
    def num_pdfs(self) -> int:
        return len(self.phones) * self.states

    def pdf_names(self) -> list[str]:
        return [f"{phone}:{state}" for phone in self.phones for state in range(self.states)]


def segments_to_labels(
    segments: list[Segment], num_frames: int, inventory: Inventory, speed: float = 1.0
) -> np.ndarray:
    """[num_frames] int16 pdf-ids; IGNORE_PDF where no segment lies. `speed` > 1: the audio was made that much faster."""
    number = {phone: index for index, phone in enumerate(inventory.phones)}
    centres = (np.arange(num_frames) * FRAME_SHIFT_SECONDS + FRAME_CENTRE_SECONDS) * speed
    labels = np.full(num_frames, IGNORE_PDF, dtype=np.int16)
    for symbol, start, end in segments:
        if symbol not in number:
            raise IsoglossError(
                f"phone {symbol!r} is not in the inventory of {len(number)}; was it made from another corpus?"
            )
        inside = slice(*np.searchsorted(centres, [start, end]))
        within = (centres[inside] - start) / (end - start)  # 0 … 1
        state = np.minimum((within * inventory.states).astype(int), inventory.states - 1)
        labels[inside] = number[symbol] * inventory.states + state
    return labels
