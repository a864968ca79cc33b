"""Phone times as CTM (NIST's time-marked conversation file; Kaldi's `ali-to-phones --ctm-output`).

A line is `utterance channel start duration symbol [confidence]`, times in seconds of the utterance; `;;` begins a comment.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from pathlib import Path

from isogloss.phones.segments import Segment
from isogloss.phones.silence import SILENCES, without_silence
from isogloss.types import IsoglossError


def read_ctm(path: str | Path, silences: Collection[str] = SILENCES) -> dict[str, list[Segment]]:
    """Utterance → its segments (symbol, start, end in seconds) in time order, `silences` left out. Raises IsoglossError."""
    path = Path(path)
    if not path.is_file():
        raise IsoglossError(f"{path} is not a file; expected a CTM: utterance channel start duration symbol")
    segments: dict[str, list[Segment]] = {}
    channels: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise IsoglossError(
            f"{path} is not UTF-8 text; expected a CTM: utterance channel start duration symbol"
        ) from None
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith(";;"):
            continue
        fields = line.split()
        try:
            utterance, channel, start, duration, symbol = *fields[:2], float(fields[2]), float(fields[3]), fields[4]
        except (ValueError, IndexError):
            start = duration = math.nan
        if not (start >= 0 and 0 <= duration < math.inf):
            raise IsoglossError(
                f"{path} line {number}: {line[:80]!r}; expected: utterance channel start duration symbol, "
                "times in seconds and not below 0"
            )
        if channels.setdefault(utterance, channel) != channel:
            raise IsoglossError(
                f"{path} line {number}: utterance {utterance} has channels {channels[utterance]} and {channel}; "
                "expected one: give each channel an utterance name of its own"
            )
        segments.setdefault(utterance, []).append((symbol, start, start + duration))
    if not segments:
        raise IsoglossError(f"{path} has no segment; did the command that wrote it fail?")
    return {
        utterance: without_silence(sorted(found, key=lambda segment: segment[1]), silences)
        for utterance, found in segments.items()
    }
