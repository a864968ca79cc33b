"""Label statistics and V-measure against loops over frames."""

from __future__ import annotations

import math
import time
from collections import Counter
from itertools import groupby

import numpy as np
import pytest

from isogloss.phones.diagnostics import (
    agreement,
    label_statistics,
    labels_to_segments,
    phone_statistics,
    v_measure,
)
from isogloss.phones.segments import Inventory, segments_to_labels
from isogloss.types import IGNORE_PDF, IsoglossError

PHONES = ["sil", "a", "a", "b", "b", "b", "c", "unused"]


@pytest.fixture
def labels() -> list[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    found = []
    for u in range(20):
        ids = np.repeat(
            rng.choice([0, 1, 2, 3, 4, 5, 6, IGNORE_PDF], 30, p=[0.3, 0.2, 0.1, 0.1, 0.1, 0.1, 0.05, 0.05]), 3
        )
        found.append((f"u{u}", ids[rng.random(len(ids)) < 0.8].astype(np.int16)))
    return found


def _runs(labels: list[tuple[str, np.ndarray]], name: dict[int, object]) -> list[object]:
    return [label for _, ids in labels for label, _ in groupby(name[i] for i in ids.tolist()) if label is not None]


def test_statistics_are_those_of_a_loop_over_frames(labels: list[tuple[str, np.ndarray]]) -> None:
    found = label_statistics(iter(labels), len(PHONES), PHONES)
    frames = [i for _, ids in labels for i in ids.tolist() if i != IGNORE_PDF]
    counts = Counter(frames)
    shares = [n / len(frames) for n in counts.values()]
    entropy = -sum(p * math.log2(p) for p in shares)
    covered, needed = 0, 0
    for _, n in counts.most_common():
        if covered >= 0.9 * len(frames):
            break
        covered, needed = covered + n, needed + 1
    pdf_name: dict[int, object] = {i: i for i in range(len(PHONES))} | {IGNORE_PDF: None}
    phone_name: dict[int, object] = dict(enumerate(PHONES)) | {IGNORE_PDF: None}
    phones = Counter(phone_name[i] for i in frames)
    assert found == {
        "utterances": 20,
        "frames": len(frames),
        "ignored_frames": sum(len(ids) for _, ids in labels) - len(frames),
        "model_pdfs": 8,
        "distinct_pdfs": 7,
        "entropy_bits": pytest.approx(entropy, abs=1e-12),
        "perplexity": pytest.approx(2**entropy),
        "max_share": max(shares),
        "pdfs_for_90pct": needed,
        "mean_run_frames": len(frames) / len(_runs(labels, pdf_name)),
        "silence_share": phones["sil"] / len(frames),
        "distinct_phones": 4,
        "mean_phone_run_frames": len(frames) / len(_runs(labels, phone_name)),
        "top_phones": {phone: n / len(frames) for phone, n in phones.most_common()},
    }
    assert found["ignored_frames"] > 0
    assert list(found["top_phones"]) == [phone for phone, _ in phones.most_common()]
    assert label_statistics(labels, 8) == {k: v for k, v in found.items() if k in label_statistics(labels, 8)}
    assert "top_phones" not in label_statistics(labels, 8)


def test_phones_per_frame_may_be_given_themselves(labels: list[tuple[str, np.ndarray]]) -> None:
    number = np.array([0, 1, 1, 2, 2, 2, 3])
    phones = [(u, np.where(ids == IGNORE_PDF, IGNORE_PDF, number[np.maximum(ids, 0)])) for u, ids in labels]
    found = phone_statistics(phones, ["sil", "a", "b", "c"])
    whole = label_statistics(labels, len(PHONES), PHONES)
    assert found == {k: whole[k] for k in found}
    assert phone_statistics(phones, ["sil", "a", "b", "c"], ("a", "b"))["silence_share"] == pytest.approx(
        whole["top_phones"]["a"] + whole["top_phones"]["b"]
    )


def test_runs_end_with_the_utterance_and_at_a_gap() -> None:
    ids = np.array([3, 3, IGNORE_PDF, 3, 3], dtype=np.int16)
    assert label_statistics([("a", ids), ("b", ids[3:])], 4)["mean_run_frames"] == 6 / 3


def test_ninety_per_cent_exactly() -> None:
    ids = np.repeat(np.arange(10), 10)
    assert label_statistics([("u", ids)], 10)["pdfs_for_90pct"] == 9
    assert label_statistics([("u", np.zeros(7, dtype=np.uint16))], 10)["pdfs_for_90pct"] == 1
    assert label_statistics([("u", np.zeros(7, dtype=np.uint16))], 10)["entropy_bits"] == 0


def test_wrong_labels_are_named() -> None:
    with pytest.raises(IsoglossError, match="utterance late: label 4 at frame 1, expected 0 … 3"):
        label_statistics([("fine", np.array([0])), ("late", np.array([3, 4]))], 4)
    with pytest.raises(IsoglossError, match=r"utterance soft: labels of shape \(2,\) and type float64"):
        label_statistics([("soft", np.array([0.0, 1.0]))], 4)
    with pytest.raises(IsoglossError, match="none of 2 frames of 1 utterances"):
        label_statistics([("u", np.full(2, IGNORE_PDF))], 4)
    with pytest.raises(IsoglossError, match="3 phones for 4 pdfs"):
        label_statistics([], 4, ["a", "b", "c"])


def _conditional_entropy(a: list[int], b: list[int]) -> float:
    pairs, of_b = Counter(zip(a, b, strict=True)), Counter(b)
    return -sum(n / len(a) * math.log(n / of_b[y]) for (_, y), n in pairs.items())


def test_v_measure_is_that_of_the_entropies() -> None:
    rng = np.random.default_rng(2)
    a = rng.integers(0, 9, 2000)
    b = np.where(rng.random(2000) < 0.5, 100 + a // 2, rng.integers(100, 107, 2000))
    found = v_measure(a, b)
    x, y = a.tolist(), b.tolist()
    homogeneity = 1 - _conditional_entropy(x, y) / _conditional_entropy(x, [0] * 2000)
    completeness = 1 - _conditional_entropy(y, x) / _conditional_entropy(y, [0] * 2000)
    assert found.homogeneity == pytest.approx(homogeneity, abs=1e-12)
    assert found.completeness == pytest.approx(completeness, abs=1e-12)
    assert found.v_measure == pytest.approx(2 / (1 / homogeneity + 1 / completeness), abs=1e-12)


def test_v_measure_equals_scikit_learn() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    a, b = rng.integers(0, 40, 5000), rng.integers(0, 3, 5000)
    for x, y in ((a, b), (b, a), (a, a // 7), (a, a)):
        found = v_measure(x, y)
        assert (found.homogeneity, found.completeness, found.v_measure) == pytest.approx(
            metrics.homogeneity_completeness_v_measure(x, y), abs=1e-10
        )


def test_v_measure_at_its_ends() -> None:
    a = np.array([0, 0, 1, 1, 2])
    assert v_measure(a, 5 - a).v_measure == pytest.approx(1)
    assert v_measure(a, np.zeros(5, dtype=int)).v_measure == 0
    assert v_measure(a, np.arange(5)).homogeneity == pytest.approx(1)
    assert v_measure(np.zeros(5, dtype=int), np.ones(5, dtype=int)).v_measure == 1


def test_unlabelled_frames_do_not_count() -> None:
    a = np.array([0, 1, 1, IGNORE_PDF, 2, 2])
    b = np.array([0, 1, 2, 3, IGNORE_PDF, 2], dtype=np.int16)
    kept = [0, 1, 2, 5]
    assert agreement(a, b) == 0.75
    assert v_measure(a, b) == v_measure(a[kept], b[kept])
    with pytest.raises(IsoglossError, match=r"shapes \(6,\) and \(5,\)"):
        agreement(a, b[1:])
    with pytest.raises(IsoglossError, match="none of 1 frames"):
        v_measure(a[3:4], b[3:4])


def test_millions_of_frames_in_a_second() -> None:
    rng = np.random.default_rng(4)
    a, b = rng.integers(0, 1500, (2, 2_000_000)).astype(np.int16)
    begun = time.process_time()
    assert v_measure(a, b).v_measure < 0.2
    assert time.process_time() - begun < 5  # about one on an idle core


def test_segments_of_labels_make_the_labels_again() -> None:
    rng = np.random.default_rng(5)
    labels = np.repeat(rng.choice([0, 1, 2, IGNORE_PDF], 50), rng.integers(1, 9, 50))
    segments = labels_to_segments(labels, ["a", "b", "c"])
    assert all(end > start for _, start, end in segments)
    assert segments_to_labels(segments, len(labels), Inventory(["a", "b", "c"])).tolist() == labels.tolist()
    assert labels_to_segments(labels[:0], []) == []
