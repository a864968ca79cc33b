"""Which symbols of other tools' phone times are no phone: left out, their frames stay without a label."""

from __future__ import annotations

from collections.abc import Collection

from isogloss.phones.segments import Segment

SILENCES = frozenset({"", "sil", "SIL", "sp", "SP", "pau", "<eps>", "_"})
"""Silence in Kaldi recipes, the Montreal Forced Aligner (an empty mark), Festival and espeak. Noise (spn) is kept."""


def without_silence(segments: list[Segment], silences: Collection[str] = SILENCES) -> list[Segment]:
    return [segment for segment in segments if segment[0] not in silences]
