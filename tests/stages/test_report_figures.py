"""Figures, durations, reliability, worst errors and thresholds of made-up scores, against plain loops."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from isogloss import metrics
from isogloss.backends.open_set import certainty, choose_threshold
from isogloss.config import EvaluateConfig
from isogloss.stages.evaluate import evaluate_seeds
from isogloss.stages.figures import DURATIONS, figures
from isogloss.stages.operating_point import operating_point
from isogloss.stages.over_seeds import difference, over_seeds
from isogloss.stages.scored_set import ScoredSet, joined
from isogloss.types import OUT_OF_SET, IsoglossError, Scores

LANGUAGES = ["aaa", "bbb", "ccc"]
CONFIG = EvaluateConfig(num_resamples=60)


def scored(seed, num=45, out_of_set=0, names=None):
    """Random posteriors that lean to the truth; utterances come three to a recording."""
    rng = np.random.default_rng(seed)
    utterances = names or [f"u{i}" for i in range(num)]
    true = [LANGUAGES[(i // 3) % 3] for i in range(num - out_of_set)] + [OUT_OF_SET] * out_of_set
    logits = rng.normal(size=(num, 3))
    for row, language in zip(logits, true, strict=True):
        if language != OUT_OF_SET:
            row[LANGUAGES.index(language)] += 1.0
    loglik = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return ScoredSet(
        Scores(utterances, LANGUAGES, loglik),
        dict(zip(utterances, true, strict=True)),
        {u: f"r{i // 3}" for i, u in enumerate(utterances)},
        utterances,
        np.random.default_rng(99).integers(1, 1400, num).astype(float),
        0,
    )


def test_one_seed_has_the_figures_of_the_metrics():
    one = scored(1)
    result, compared = figures({7: one}, CONFIG)
    expected = metrics.evaluate(one.scores, one.key, one.recordings, CONFIG.num_resamples, CONFIG.seed)
    for name in ("cavg_min", "accuracy", "cllr", "ece"):
        low, high = expected["intervals"][name]
        assert result[name] == {"value": expected[name], "low": pytest.approx(low), "high": pytest.approx(high)}
    assert result["cllr_min"] == {"value": expected["cllr_min"]}
    assert compared.by_seed["accuracy"] == [expected["accuracy"]]


def test_several_seeds_are_averaged_and_their_decisions_counted():
    sets = {1: scored(1), 2: scored(2)}
    result, _ = figures(sets, CONFIG)
    each = [float(metrics.accuracy(one.scores, one.key)) for one in sets.values()]
    assert result["accuracy"]["value"] == pytest.approx(sum(each) / 2) and result["accuracy"]["by_seed"] == each
    assert sum(map(sum, result["confusion"]["counts"])) == 90 and result["num_utterances"] == 45
    assert sum(one["num"] for one in result["per_language"].values()) == 45
    for index, language in enumerate(LANGUAGES):
        row = result["confusion"]["counts"][index]
        assert result["per_language"][language]["recall"] == pytest.approx(row[index] / sum(row))


def test_reliability_and_durations_against_a_loop():
    one = scored(3)
    result, _ = figures({1: one}, CONFIG)
    bins = {}
    durations = {bounds: [] for bounds in DURATIONS}
    for utterance, row, frames in zip(one.scores.utterances, one.scores.loglik, one.voiced_frames, strict=True):
        right = LANGUAGES[int(row.argmax())] == one.key[utterance]
        confidence = math.exp(row.max())
        bins.setdefault(min(math.ceil(confidence * 15) - 1, 14), []).append((confidence, right))
        for above, up_to in DURATIONS:
            if above < frames / 100 <= (up_to or math.inf):
                durations[above, up_to].append((one.key[utterance], right))
    reliability = result["reliability"]
    for index in range(15):
        inside = bins.get(index, [])
        assert reliability["num"][index] == len(inside)
        if inside:
            assert reliability["confidence"][index] == pytest.approx(np.mean([c for c, _ in inside]))
            assert reliability["accuracy"][index] == pytest.approx(np.mean([r for _, r in inside]))
        else:
            assert reliability["confidence"][index] is None
    gaps = [n * abs(c - a) for n, c, a in zip(*reliability.values(), strict=True) if n]
    assert result["ece"]["value"] == pytest.approx(sum(gaps) / 45)
    for part in result["durations"]:
        inside = durations[part["above_seconds"], part["up_to_seconds"]]
        assert part["num"] == len(inside)
        assert part["accuracy"]["value"] == pytest.approx(np.mean([right for _, right in inside]))
        for language, of in part["per_language"].items():
            assert of["num"] == sum(name == language for name, _ in inside)
    assert sum(part["num"] for part in result["durations"]) == 45


def test_the_worst_are_the_surest_and_wrong_over_seeds():
    sets = {1: scored(1), 2: scored(2)}
    worst = figures(sets, CONFIG)[0]["worst"]
    found = []
    for index, clip in enumerate(sets[1].clips):
        mean = (sets[1].scores.loglik[index] + sets[2].scores.loglik[index]) / 2
        mean = mean - np.logaddexp.reduce(mean)
        true, called = LANGUAGES.index(sets[1].key[clip]), int(mean.argmax())
        if called != true:
            found.append((-mean[called], clip, LANGUAGES[called], mean[called] - mean[true]))
    found = sorted(found)[:15]
    assert [error["clip"] for error in worst] == [clip for _, clip, _, _ in found]
    assert [error["called"] for error in worst] == [called for _, _, called, _ in found]
    assert [error["posterior"] for error in worst] == pytest.approx([math.exp(-minus) for minus, *_ in found])
    assert [error["log_odds"] for error in worst] == pytest.approx([odds for *_, odds in found])
    assert worst[0]["voiced_seconds"] == sets[1].voiced_frames[sets[1].clips.index(worst[0]["clip"])] / 100


def test_of_an_open_set_only_strangers_are_worst_and_certainty_has_no_end():
    one = scored(4, num=30, out_of_set=6)
    one.scores.loglik[-1] = [0.0, -800.0, -900.0]  # a posterior of exactly 1
    worst = figures({1: one}, CONFIG)[0]["worst"]
    assert len(worst) == 6 and {error["spoken"] for error in worst} == {OUT_OF_SET}
    assert worst[0]["clip"] == "u29" and worst[0]["log_odds"] == pytest.approx(800)
    p = math.exp(one.scores.loglik[int(worst[1]["clip"][1:])].max())
    assert worst[1]["log_odds"] == pytest.approx(math.log(p / (1 - p)))


def test_an_utterance_without_an_answer_is_wrong_but_in_no_bin():
    one = scored(5)
    one.scores.loglik[0] = -np.inf
    one = replace(one, voiced_frames=np.where(np.arange(45) == 0, 0.0, one.voiced_frames))
    with pytest.warns(UserWarning, match="no answer"):
        result, _ = figures({1: one}, CONFIG)
    assert result["num_without_answer"] == 1 and sum(result["reliability"]["num"]) == 44
    assert "u0" not in [error["clip"] for error in result["worst"]]
    assert sum(part["num"] for part in result["durations"]) == 45


def test_a_difference_is_that_of_the_paired_bootstrap():
    a, b = scored(1), scored(2)
    compared = [over_seeds([one], ["accuracy"], 200, seed=3) for one in (a, b)]
    expected = metrics.paired(a.scores, b.scores, a.key, a.recordings, metrics.accuracy, 200, seed=3)
    found = difference(*compared, "accuracy")
    assert found["p_value"] == expected.p_value
    assert (found["value"], found["low"], found["high"]) == pytest.approx(
        (expected.difference.value, expected.difference.low, expected.difference.high)
    )
    elsewhere = replace(b, recordings={u: "other" + r for u, r in b.recordings.items()})
    assert difference(compared[0], over_seeds([elsewhere], ["accuracy"], 20, seed=3), "accuracy") is None


def test_seeds_are_joined_under_names_of_their_own():
    sets = {1: scored(1), 22: scored(2)}
    both = joined(sets)
    assert both.scores.utterances[0] == "u0@1" and both.scores.utterances[45] == "u0@22"
    assert both.clips[45] == "u0" and both.recordings["u4@22"] == "r1" and both.key["u4@22"] == "bbb"
    assert (both.scores.loglik[45:] == sets[22].scores.loglik).all()


def write_scores(folder, parts):
    """parts: condition → ScoredSet, as `isogloss score` leaves them."""
    (folder / "head").mkdir(parents=True)
    tests = {}
    for condition, one in parts.items():
        metrics.write_scores(folder / "head" / f"{condition}.scores", one.scores, form="matrix")
        tests[condition] = {"key": one.key, "recordings": one.recordings, "no_speech": []}
    (folder / "tests.json").write_text(json.dumps(tests))
    return folder


def test_a_threshold_of_validation_speech_is_tried_on_the_test(tmp_path):
    parts = {"valid": scored(6, names=[f"v{i}" for i in range(45)]), "open": scored(7, num=40, out_of_set=10)}
    folder = write_scores(tmp_path / "scores", parts)
    point = operating_point([("fold0", folder)], "head")
    threshold = choose_threshold(certainty(parts["valid"].scores.loglik), rate="reject", at_most=0.05).threshold
    accepted = certainty(parts["open"].scores.loglik) >= threshold
    called = [LANGUAGES[i] for i in parts["open"].scores.loglik.argmax(axis=1)]
    right = np.array([parts["open"].key[u] == name for u, name in zip(parts["open"].clips, called, strict=True)])
    assert point["num_validation"] == 45 and point["at_most"] == 0.05
    assert point["known_rejected"] == pytest.approx((~accepted[:30]).mean())
    assert point["known_right"] == pytest.approx((accepted[:30] & right[:30]).mean())
    assert point["unknown_accepted"] == pytest.approx(accepted[30:].mean())
    few = write_scores(tmp_path / "few", parts | {"valid": scored(6, num=12)})
    assert operating_point([("fold0", few)], "head") is None  # twelve cannot state 5 %
    (folder / "head" / "valid.scores").unlink()
    assert operating_point([("fold0", folder)], "head") is None


def test_seeds_tested_on_other_utterances_have_no_mean(tmp_path):
    folders = {
        seed: {"fold0": write_scores(tmp_path / str(seed), {"full": scored(seed, names=[f"{seed}-{i}" for i in range(45)])})}
        for seed in (1, 2)
    }  # fmt: skip
    config = EvaluateConfig(num_resamples=0, conditions=("full",))
    with pytest.raises(IsoglossError, match="the seeds 1, 2 were not tested on the same utterances"):
        evaluate_seeds(folders, config)
    measured, _ = evaluate_seeds({1: folders[1]}, config)
    assert set(measured["head"]) == {"full"} and "low" not in measured["head"]["full"][0]["accuracy"]
