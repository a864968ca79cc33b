"""Which clips hold the same stretch of audio, whatever their names, codecs, volumes and cuts.

Every 32-bit word of every fingerprint, and its variants with doubtful bits flipped, goes into one sorted list (the inverted
index); clips that share a word are laid over each other at that place, and are called the same where fewer bits of the
stretch around it differ than chance could explain. Unrelated audio differs in half of the bits, and at its most alike,
between 908 clips of real speech, in 36 % of 3 s; a telephone or MP3 changes 3 to 20 %, Opus at 8 kbit/s 18 to 36 %.

Source: Haitsma and Kalker (see frontend/audio_fingerprint.py), section 6. Their threshold is 35 %; here 25 %, for a
synthetic voice that says a phrase twice differs in as little as 26 % from itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from isogloss.compiled import compiled
from isogloss.frontend.audio_fingerprint import FRAMES_PER_SECOND, NUM_BITS, NUM_DOUBTFUL, AudioFingerprint

WINDOW_FRAMES = 256  # compared at most: 3 s, as in the paper
LONG_FRAMES, MAX_LONG = 128, 0.25  # share of differing bits of a stretch of at least 1.9 s
MIN_FRAMES, MAX_SHORT = 64, 0.15  # and of a shorter one, of at least 1.1 s
NUM_NEIGHBOURS = 8  # clips that share a word are compared with so many of the next: a jingle in all must not cost U²
INDEX_ENTRIES = 50_000_000  # held at once: 400 MB, twice while it is sorted


@dataclass(frozen=True)
class NearDuplicate:
    """Two clips that hold the same audio; the times are where the compared stretch begins in each."""

    first: str
    second: str
    first_seconds: float
    second_seconds: float
    length_seconds: float  # of the compared stretch; more may be the same
    differing: float  # share of its bits

    def __str__(self) -> str:
        return (
            f"same audio: {self.length_seconds:.1f} s at {self.first_seconds:.1f} s and {self.second_seconds:.1f} s, "
            f"{100 * self.differing:.0f} % of the fingerprint differs"
        )


def near_duplicates(
    fingerprints: Mapping[str, AudioFingerprint], index_entries: int = INDEX_ENTRIES
) -> list[NearDuplicate]:
    """Every pair of clips with a common stretch, at its most alike, in the order of `fingerprints`.

    Of many copies of one recording each is compared with NUM_NEIGHBOURS others at least, not with all. A stretch shorter
    than MIN_FRAMES, or than that fingerprint of its clip, is not judged.
    """
    names = list(fingerprints)
    lengths = np.array([len(fingerprints[name].bits) for name in names], dtype=np.int64)
    if not lengths.any():
        return []
    start = np.concatenate([[0], np.cumsum(lengths)])
    bits = np.concatenate([fingerprints[name].bits for name in names])
    doubtful = np.concatenate([fingerprints[name].doubtful for name in names])
    clip = np.repeat(np.arange(len(names)), lengths)  # [N] of each frame
    best: dict[tuple[int, int], NearDuplicate] = {}
    for one, other in _sharing_a_word(bits, doubtful, clip, index_entries):
        one, other = _once_per_offset(one, other, clip)
        before = np.minimum(one - start[clip[one]], other - start[clip[other]])
        after = np.minimum(start[clip[one] + 1] - one, start[clip[other] + 1] - other)
        length = np.minimum(before + after, WINDOW_FRAMES)
        first = np.maximum(np.minimum(before, length // 2), length - after)  # of the frames before the word, how many
        differing = _differing(bits, one - first, other - first, length)
        same = (length >= MIN_FRAMES) & (differing <= np.where(length >= LONG_FRAMES, MAX_LONG, MAX_SHORT))
        for i in np.flatnonzero(same):
            a, b = int(clip[one[i]]), int(clip[other[i]])
            if (a, b) not in best or differing[i] < best[a, b].differing:
                best[a, b] = NearDuplicate(
                    names[a],
                    names[b],
                    float(one[i] - first[i] - start[a]) / FRAMES_PER_SECOND,
                    float(other[i] - first[i] - start[b]) / FRAMES_PER_SECOND,
                    float(length[i]) / FRAMES_PER_SECOND,
                    float(differing[i]),
                )
    return [best[pair] for pair in sorted(best)]


def _sharing_a_word(
    bits: np.ndarray, doubtful: np.ndarray, clip: np.ndarray, index_entries: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(positions, positions) [M] of frames of two clips, the first named first, that agree but for doubtful bits."""
    telling = np.flatnonzero(bits)
    words, flips = bits[telling], doubtful[telling]
    num_parts = 1 + (len(telling) << NUM_DOUBTFUL) // index_entries
    for part in range(num_parts):
        entries = []
        flipped = np.zeros_like(words)
        for _ in range(1 << NUM_DOUBTFUL):
            variant = words ^ flipped
            chosen = variant % np.uint32(num_parts) == part
            entries.append(variant[chosen].astype(np.uint64) << np.uint64(32) | telling[chosen].astype(np.uint64))
            flipped = (flipped - flips) & flips  # the next subset of the bits that are set in `flips`
        index = np.sort(np.concatenate(entries))
        word, position = index >> np.uint64(32), (index & np.uint64(0xFFFFFFFF)).astype(np.int64)
        # a clip stands once under a word: neighbouring frames often have the same
        new = np.ones(len(word), dtype=bool)
        new[1:] = (word[1:] != word[:-1]) | (clip[position[1:]] != clip[position[:-1]])
        word, position = word[new], position[new]
        for step in range(1, NUM_NEIGHBOURS + 1):
            both = word[step:] == word[:-step]
            yield position[:-step][both], position[step:][both]


def _once_per_offset(one: np.ndarray, other: np.ndarray, clip: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the places at which the same two clips lie over each other in the same way, one for each WINDOW_FRAMES."""
    order = np.lexsort((one, other - one))
    one, other = one[order], other[order]
    where = np.stack([other - one, clip[one], clip[other], one // WINDOW_FRAMES])
    new = np.ones(len(one), dtype=bool)
    new[1:] = (where[:, 1:] != where[:, :-1]).any(axis=0)
    return one[new], other[new]


def _differing(bits: np.ndarray, one: np.ndarray, other: np.ndarray, length: np.ndarray) -> np.ndarray:
    """[M] share of bits that differ between `length` frames from `one` and from `other` on."""
    return _count(bits, one, other, length) / (NUM_BITS * np.maximum(length, 1))


@compiled(nogil=True)
def _count(bits: np.ndarray, one: np.ndarray, other: np.ndarray, length: np.ndarray) -> np.ndarray:
    counts = np.zeros(len(one), dtype=np.int64)
    for i in range(len(one)):
        for t in range(length[i]):
            left, right = np.int64(bits[one[i] + t]), np.int64(bits[other[i] + t])
            if left == 0 and right == 0:
                counts[i] += NUM_BITS // 2  # digital silence is like any other: no sign of sameness
                continue
            x = left ^ right
            x -= (x >> 1) & 0x55555555  # number of bits set in each two, four, eight, all
            x = (x & 0x33333333) + ((x >> 2) & 0x33333333)
            x = (x + (x >> 4)) & 0x0F0F0F0F
            counts[i] += ((x * 0x01010101) & 0xFFFFFFFF) >> 24
    return counts
