import functools
import random

import pytest

from isogloss.phones.hmm.error_rate import PhoneErrors, edit_counts
from isogloss.types import IsoglossError


def naive(reference, hypothesis):
    @functools.cache
    def best(i, j):
        """(errors, −substitutions, …) of the first i against the first j."""
        if i == 0 and j == 0:
            return (0, 0, 0, 0)
        options = []
        if i and j:
            wrong = reference[i - 1] != hypothesis[j - 1]
            e, s, n, d = best(i - 1, j - 1)
            options.append((e + wrong, s - wrong, n, d))
        if j:
            e, s, n, d = best(i, j - 1)
            options.append((e + 1, s, n + 1, d))
        if i:
            e, s, n, d = best(i - 1, j)
            options.append((e + 1, s, n, d + 1))
        return min(options)

    _, substitutions, insertions, deletions = best(len(reference), len(hypothesis))
    return -substitutions, insertions, deletions


def test_counts_equal_a_naive_recursion():
    rng = random.Random(3)
    for _ in range(300):
        reference = tuple(rng.choices((1, 2, 3), k=rng.randint(0, 8)))
        hypothesis = tuple(rng.choices((1, 2, 3), k=rng.randint(0, 8)))
        assert edit_counts(reference, hypothesis) == naive(reference, hypothesis), (reference, hypothesis)


def test_known_cases():
    assert edit_counts([1, 2, 3], [1, 2, 3]) == (0, 0, 0)
    assert edit_counts([1, 2, 3], [1, 4, 3]) == (1, 0, 0)
    assert edit_counts([1, 2], [1, 5, 2]) == (0, 1, 0)
    assert edit_counts([1, 2, 3], []) == (0, 0, 3)
    assert edit_counts([], [7]) == (0, 1, 0)


def test_errors_add_and_leave_silence_out():
    total = PhoneErrors.of([1, 2, 3], [1, 2, 1, 4], silence=[1]) + PhoneErrors.of([2], [])
    assert total == PhoneErrors(substitutions=1, insertions=0, deletions=1, num_reference=3)
    assert total.errors == 2
    assert total.rate == pytest.approx(2 / 3)


def test_no_reference_phones_is_told():
    with pytest.raises(IsoglossError, match="no reference phones"):
        _ = PhoneErrors.of([1], [2], silence=[1]).rate
