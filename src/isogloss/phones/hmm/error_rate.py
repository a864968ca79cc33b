"""Phone error rate: the fewest substitutions, insertions and deletions that turn what was said into what was recognised."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from isogloss.types import IsoglossError


@dataclass(frozen=True)
class PhoneErrors:
    """Sums over utterances; two of them add."""

    substitutions: int = 0
    insertions: int = 0
    deletions: int = 0
    num_reference: int = 0  # phones

    @classmethod
    def of(cls, reference: Sequence[int], hypothesis: Sequence[int], silence: Iterable[int] = ()) -> PhoneErrors:
        """Of one utterance; phones in `silence` are left out of both sides."""
        left_out = set(silence)
        said = [phone for phone in reference if phone not in left_out]
        return cls(*edit_counts(said, [phone for phone in hypothesis if phone not in left_out]), len(said))

    def __add__(self, other: PhoneErrors) -> PhoneErrors:
        return PhoneErrors(
            self.substitutions + other.substitutions,
            self.insertions + other.insertions,
            self.deletions + other.deletions,
            self.num_reference + other.num_reference,
        )

    @property
    def errors(self) -> int:
        return self.substitutions + self.insertions + self.deletions

    @property
    def rate(self) -> float:
        """Errors as a fraction of the reference phones; may exceed 1. Raises IsoglossError if there are none."""
        if not self.num_reference:
            raise IsoglossError("no reference phones to count errors against; are the held-out transcripts empty?")
        return self.errors / self.num_reference


def edit_counts(reference: Sequence[int], hypothesis: Sequence[int]) -> tuple[int, int, int]:
    """(substitutions, insertions, deletions): the fewest errors, and of equal ones the most substitutions."""
    said, recognised = np.asarray(reference, dtype=np.int64), np.asarray(hypothesis, dtype=np.int64)
    # a substitution is cheaper than an insertion or a deletion by so little that it never outweighs an error
    error = len(said) + len(recognised) + 1
    along = error * np.arange(len(recognised) + 1)
    row = along
    for phone in said:
        best = row + error  # deleted
        best[1:] = np.minimum(best[1:], row[:-1] + (error - 1) * (recognised != phone))
        row = np.minimum.accumulate(best - along) + along  # insertions
    errors = -(-int(row[-1]) // error)
    substitutions = errors * error - int(row[-1])
    surplus = len(recognised) - len(said)  # insertions less deletions
    return substitutions, (errors - substitutions + surplus) // 2, (errors - substitutions - surplus) // 2
