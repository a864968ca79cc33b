"""What the sides of a split share that they should not: recordings, speakers, and the same audio under two names.

splits.py keeps declared recordings and speakers apart; this looks at what was made, so that it also sees prescribed
splits, splits edited by hand, and what nobody declared: two recording ids of one file, one file in two codecs.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import combinations
from typing import TYPE_CHECKING, Any

from isogloss.corpora.near_duplicates import near_duplicates
from isogloss.corpora.splits import Split
from isogloss.frontend.audio_fingerprint import AudioFingerprint

if TYPE_CHECKING:
    from lhotse import CutSet

MAX_EXAMPLES = 10
MIN_OVERLAP_SECONDS = 1e-3  # segment times are rounded
PAIRS = [
    (a, b)
    for a, b in combinations(("train", "valid", "enrol", "test", "out_of_set"), 2)
    if b != "enrol"  # to enrol training clips is a choice that the scores' enrolment condition shows, not a leak
]
Duplicates = dict[tuple[str, str], str]
"""Two utterances, sorted → why they hold the same audio."""


@dataclass
class Sharing:
    """What two uses share in any split."""

    recordings: set[str] = field(default_factory=set)
    speakers: set[str] = field(default_factory=set)
    duplicates: set[tuple[str, str]] = field(default_factory=set)
    examples: list[tuple[str, str, str]] = field(default_factory=list)  # utterance of either side, why

    def __bool__(self) -> bool:
        return bool(self.examples)

    def to_dict(self) -> dict[str, Any]:
        """Counts, and examples: duplicates before recordings before speakers."""
        return {
            "recordings": len(self.recordings),
            "speakers": len(self.speakers),
            "duplicates": len(self.duplicates),
            "examples": [list(example) for example in self.examples[:MAX_EXAMPLES]],
        }


def duplicates(cuts: CutSet, digests: Mapping[str, str], fingerprints: Mapping[str, AudioFingerprint]) -> Duplicates:
    """All pairs of clips with common audio: overlapping spans of one file, equal samples (digest), near duplicates."""
    found: Duplicates = {}
    for near in near_duplicates(fingerprints):
        found[_pair(near.first, near.second)] = str(near)
    by_digest: dict[str, list[str]] = defaultdict(list)
    for name, digest in digests.items():
        by_digest[digest].append(name)
    for alike in by_digest.values():
        found |= {_pair(a, b): "same samples" for a, b in combinations(alike, 2)}
    return found | _overlaps(cuts)


def shared(cuts: CutSet, splits: Mapping[str, Split], same_audio: Duplicates) -> dict[str, Sharing]:
    """`<a>-<b>` of PAIRS → what they share, all splits taken together; a clip that has both uses is its own duplicate."""
    speaker = {cut.id: f"speaker {s.speaker}" for cut in cuts if (s := cut.supervisions[0]).speaker}
    recording = {cut.id: f"recording {cut.supervisions[0].custom['recording']}" for cut in cuts}
    file = {cut.id: f"file {_file(cut)}" for cut in cuts}
    twins: dict[str, list[str]] = defaultdict(list)
    for a, b in same_audio:
        twins[a].append(b)
        twins[b].append(a)
    result = {}
    for left_use, right_use in PAIRS:
        sharing = Sharing()
        examples: list[dict[Any, tuple[str, str, str]]] = [{}, {}, {}]
        for split in splits.values():
            left, right = getattr(split, left_use), getattr(split, right_use)
            in_left = set(left)
            for name in right:
                if name in in_left:
                    examples[0][name, name] = (name, name, "same utterance")
                for twin in twins[name]:
                    if twin in in_left:
                        pair = _pair(name, twin)
                        examples[0].setdefault(pair, (twin, name, same_audio[pair]))
            recordings = _common(left, right, recording)
            counted = {file[name] for pair in recordings.values() for name in pair}
            one_file = {of: pair for of, pair in _common(left, right, file).items() if of not in counted}
            for kind, common in zip((1, 1, 2), (recordings, one_file, _common(left, right, speaker)), strict=True):
                for of, pair in common.items():
                    examples[kind].setdefault(of, (*pair, of))
        sharing.duplicates, sharing.recordings, sharing.speakers = map(set, examples)
        sharing.examples = [example for of_kind in examples for example in of_kind.values()]
        result[f"{left_use}-{right_use}"] = sharing
    return result


def _pair(one: str, other: str) -> tuple[str, str]:
    return (one, other) if one <= other else (other, one)


def _file(cut: Any) -> str:
    return str(cut.recording.sources[0].source)


def _overlaps(cuts: CutSet) -> Duplicates:
    spans: dict[str, list[tuple[float, float, str]]] = defaultdict(list)
    for cut in cuts:
        spans[_file(cut)].append((cut.start, cut.start + cut.duration, cut.id))
    found: Duplicates = {}
    for of_file in spans.values():
        of_file.sort()
        for index, (_, end, name) in enumerate(of_file):
            for other_start, other_end, other in of_file[index + 1 :]:
                overlap = min(end, other_end) - other_start
                if other_start >= end:
                    break
                if overlap > MIN_OVERLAP_SECONDS:
                    found[_pair(name, other)] = f"same {overlap:.2f} s of one file"
    return found


def _common(left: Iterable[str], right: Iterable[str], of: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """What an utterance of either side is `of` → the first such utterance of each."""
    first: dict[str, str] = {}
    for name in left:
        if name in of:
            first.setdefault(of[name], name)
    common: dict[str, tuple[str, str]] = {}
    for name in right:
        if of.get(name) in first:
            common.setdefault(of[name], (first[of[name]], name))
    return common
