"""The identifier against its own formula, the rules of allow-list and priors, and everything it must refuse."""

import io
import json
import math

import numpy as np
import pytest
import soundfile

import isogloss.runtime.identifier as identifier_module
from isogloss.backends import Head
from isogloss.backends.calibration import HALF_FRAMES, Calibration
from isogloss.frontend.frontend import FrontEnd
from isogloss.runtime import load
from isogloss.runtime.table import json_line
from isogloss.types import IsoglossError

LANGUAGES = ["cmn", "eng", "kaz"]  # of the tiny model


def noise(seconds=1.0, seed=0, sample_rate=16000):
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * sample_rate)).astype(np.float32)


def wav(samples, sample_rate=16000):
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, sample_rate, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def expected_loglik(tiny, samples):
    frames = FrontEnd(tiny.front_end)(samples, 16000).astype(np.float64)
    rms = [math.sqrt(sum(value * value for value in column) / len(column)) for column in frames.T]
    return np.array(rms) @ tiny.weight @ tiny.classes


def softmax(values):
    weights = [math.exp(value - max(values)) for value in values]
    return [weight / sum(weights) for weight in weights]


def test_the_answer_is_the_formula(identifier, tiny):
    samples = noise()
    answer = identifier(samples, 16000)
    expected = dict(zip(LANGUAGES, softmax(expected_loglik(tiny, samples)), strict=True))
    assert answer.probabilities == pytest.approx(expected, rel=1e-4)
    assert answer.status == "ok"
    assert answer.language == max(expected, key=expected.get)
    assert answer.probability == answer.probabilities[answer.language]
    assert list(answer.probabilities.values()) == sorted(answer.probabilities.values(), reverse=True)
    assert sum(answer.probabilities.values()) == pytest.approx(1)
    assert answer.duration_seconds == 1.0
    assert answer.speech_seconds == pytest.approx(0.98)  # 98 whole 25-ms windows every 10 ms fit in one second
    assert json.loads(json.dumps(answer.to_dict())) == answer.to_dict()


def test_calibrated_log_likelihoods_meet_the_priors(write_tiny, tiny):
    """A back end whose scores are posteriors with the shares of its enrolment: Bayes' rule backwards, then forwards."""
    samples, shares = noise(), np.array([0.7, 0.2, 0.1])
    frames = len(FrontEnd(tiny.front_end)(samples, 16000))
    biased = Head(LANGUAGES, tiny.classes.T, np.log(shares))
    calibration = Calibration(LANGUAGES, [0.5, 2.0], np.array([0.3, 0.0, -0.3]), score_prior=shares)
    path = write_tiny(backend_state=biased.state(), calibration_state=calibration.state())
    prior = {"cmn": 0.1, "eng": 0.6, "kaz": 0.3}
    answer = load(path)(samples, 16000, priors=prior)
    scale = 0.5 + (2.0 - 0.5) * frames / (frames + HALF_FRAMES)
    loglik = scale * expected_loglik(tiny, samples) + [0.3, 0.0, -0.3] + np.log(list(prior.values()))
    assert answer.probabilities == pytest.approx(dict(zip(LANGUAGES, softmax(loglik), strict=True)), rel=1e-3)


def operating_point(threshold):
    return {
        "threshold": threshold,
        "rate": "reject",
        "at_most": 0.05,
        "num_known": 99,
        "num_unknown": 0,
        "known_rejected": 0.04,
        "unknown_accepted": None,
    }


def test_speech_below_the_threshold_is_unknown_whatever_is_asked(write_tiny, identifier):
    plain = identifier(noise(), 16000)
    score = sum(p * math.log(3 * p) for p in plain.probabilities.values())  # D(posterior ‖ flat)
    accepted = load(write_tiny(open_set=operating_point(score - 1e-6)))(noise(), 16000)
    assert accepted == plain
    picky = load(write_tiny(open_set=operating_point(score + 1e-6)))
    answer = picky(noise(), 16000)
    assert (answer.status, answer.language, answer.probability) == ("unknown", None, None)
    assert answer.probabilities == plain.probabilities
    assert picky(noise(), 16000, allow=["eng"], priors={"eng": 0.9}).status == "unknown"
    assert picky(np.zeros(16000, np.float32), 16000).status == "no_speech"
    assert "unknown" in json_line("noise.wav", answer)


def test_a_calibration_of_other_languages_is_refused(write_tiny):
    path = write_tiny(calibration_state=Calibration(["cmn", "eng"]).state())
    with pytest.raises(IsoglossError, match="the calibration is for cmn, eng"):
        load(path)
    path = write_tiny(calibration_state={"kind": np.array("fusion")})
    with pytest.raises(IsoglossError, match="expected a calibration, found 'fusion'"):
        load(path)


def test_path_bytes_and_array_give_one_answer(identifier, tmp_path):
    path = tmp_path / "noise.wav"
    path.write_bytes(wav(noise()))
    answer = identifier(path)
    assert identifier(str(path)) == answer
    assert identifier(path.read_bytes()) == answer
    assert identifier(noise(), 16000) == answer
    assert identifier(np.stack([noise(), noise()], axis=1), 16000) == answer


def test_other_rates_are_resampled(identifier):
    answer = identifier(noise(sample_rate=48000), 48000)
    assert answer.duration_seconds == 1.0
    assert answer == identifier(wav(noise(sample_rate=48000), 48000))


def test_speech_is_found_behind_silence(identifier):
    answer = identifier(np.concatenate([np.zeros(30 * 16000, np.float32), noise(2)]), 16000)
    assert answer.status == "ok"
    assert answer.duration_seconds == 32.0
    assert answer.speech_seconds == pytest.approx(2, abs=0.05)


def test_no_speech_and_too_short_name_no_language(identifier):
    priors = {"cmn": 0.5, "eng": 0.2, "kaz": 0.3}
    for samples, status in [
        (np.zeros(16000, np.float32), "no_speech"),
        (np.zeros(1, np.float32), "no_speech"),
        (noise(0.2), "too_short"),
    ]:
        answer = identifier(samples, 16000, priors=priors)
        assert (answer.status, answer.language, answer.probability) == (status, None, None)
        assert answer.probabilities == pytest.approx(priors)
        assert list(answer.probabilities) == ["cmn", "kaz", "eng"]


@pytest.mark.parametrize(("num_frames", "status"), [(29, "too_short"), (30, "ok")])
def test_too_short_begins_below_min_speech_frames(identifier, num_frames, status):
    samples = noise()[: 400 + 160 * (num_frames - 1)]
    answer = identifier(samples, 16000)
    assert answer.speech_seconds == pytest.approx(num_frames / 100)
    assert answer.status == status


def test_allow_renormalises_over_the_allowed(identifier):
    full = identifier(noise(), 16000).probabilities
    allowed = identifier(noise(), 16000, allow=["eng", "kaz"]).probabilities
    total = full["eng"] + full["kaz"]
    assert allowed == pytest.approx({"eng": full["eng"] / total, "kaz": full["kaz"] / total})
    assert identifier(noise(), 16000, allow=["kaz"]).probability == 1.0


def test_priors_follow_bayes_and_unnamed_languages_share_the_rest(identifier):
    flat = identifier(noise(), 16000).probabilities
    answer = identifier(noise(), 16000, priors={"kaz": 0.8})
    prior = {"kaz": 0.8, "cmn": 0.1, "eng": 0.1}
    evidence = sum(flat[name] * prior[name] for name in LANGUAGES)
    assert answer.probabilities == pytest.approx({name: flat[name] * prior[name] / evidence for name in LANGUAGES})
    assert "cmn" not in identifier(noise(), 16000, priors={"cmn": 0}).probabilities


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"allow": ["engl"]}, "allow: the model has no language 'engl'; the nearest it has is 'eng'"),
        ({"priors": {"kas": 0.5}}, "priors: the model has no language 'kas'; the nearest it has is 'kaz'"),
        ({"allow": "eng"}, "allow='eng' is one text; expected a list"),
        ({"allow": []}, "no language is left"),
        ({"allow": ["eng"], "priors": {"eng": 0}}, "no language is left"),
        ({"priors": {"eng": 2.0}}, "sum to at most 1"),
        ({"priors": {"eng": -0.1}}, "sum to at most 1"),
        ({"priors": {"eng": float("nan")}}, "sum to at most 1"),
        ({"priors": {"eng": 0.7, "cmn": 0.7}}, "sum to at most 1"),
    ],
)
def test_a_wrong_allow_list_or_prior_is_explained(identifier, options, message):
    with pytest.raises(IsoglossError, match=message):
        identifier(noise(), 16000, **options)
    with pytest.raises(IsoglossError, match=message):
        identifier.identify_many([], **options)  # at once, not at the first file


def test_an_array_needs_its_rate_and_a_file_has_one(identifier):
    with pytest.raises(IsoglossError, match="array without sample_rate"):
        identifier(noise())
    with pytest.raises(IsoglossError, match="whose header states its own"):
        identifier(wav(noise()), 16000)


def test_many_files_equal_one_by_one_and_outlive_the_bad_ones(identifier, tmp_path, monkeypatch):
    paths = []
    for seed, seconds in enumerate([1.0, 0.5, 2.0]):
        paths.append(tmp_path / f"{seed}.wav")
        paths[-1].write_bytes(wav(noise(seconds, seed)))
    one_by_one = [identifier(path) for path in paths]
    text, absent = tmp_path / "text.wav", tmp_path / "absent.wav"
    text.write_text("hello, not audio\n" * 10)
    results = list(identifier.identify_many([paths[0], text, paths[1], absent, paths[2]], allow=LANGUAGES))
    assert [path for path, _ in results] == [paths[0], text, paths[1], absent, paths[2]]
    assert [result for _, result in results if not isinstance(result, IsoglossError)] == one_by_one
    assert "text.wav: text" in str(results[1][1])
    assert "absent.wav: no such file" in str(results[3][1])

    def strange(*_):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(identifier.front_end, "frames", strange)
    [(_, error)] = identifier.identify_many([paths[0]])
    assert isinstance(error, IsoglossError) and "0.wav: ZeroDivisionError: a bug" in str(error)


def test_files_are_answered_as_they_are_asked_for(identifier, tmp_path):
    def endless():
        while True:
            yield tmp_path / "absent.wav"

    assert isinstance(next(iter(identifier.identify_many(endless())))[1], IsoglossError)


def test_long_audio_is_embedded_in_equal_pieces_averaged_by_length(identifier, tiny, monkeypatch):
    frames = np.random.default_rng(3).normal(0, 1, (25, tiny.front_end.dim)).astype(np.float32)
    frames[:9] *= 3
    whole = np.sqrt(np.mean(frames**2, axis=0)) @ tiny.weight
    np.testing.assert_allclose(identifier.embed(frames), whole, rtol=1e-5)
    monkeypatch.setattr(identifier_module, "MAX_FRAMES", 10)
    expected = np.zeros(tiny.embedding_dim)
    for begin, end in [(0, 9), (9, 17), (17, 25)]:
        expected += (end - begin) / 25 * (np.sqrt(np.mean(frames[begin:end] ** 2, axis=0)) @ tiny.weight)
    np.testing.assert_allclose(identifier.embed(frames), expected, rtol=1e-5)
    assert not np.allclose(expected, whole, rtol=1e-3)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"network": b"not a graph"}, "onnxruntime .* cannot open the network"),
        ({"network": {"num_frames": 100}}, "takes exactly 100 frames; export it with a dynamic T axis"),
        ({"network": {"dim": 23}}, r"takes \[\[1, 'T', 23\]\]; expected one input \[1, T, 20\]"),
        ({"network": {"embedding_dim": 5}}, "the manifest promises an embedding of 4"),
        ({"languages": ["cmn", "eng"]}, "pack the network and the back end of the same run"),
        ({"languages": ["eng", "cmn", "kaz"]}, "pack the network and the back end of the same run"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(write_tiny, tiny, changed, message):
    if isinstance(changed.get("network"), dict):
        changed = {"network": tiny.network(**changed["network"])}
    path = write_tiny(**changed)
    with pytest.raises(IsoglossError, match=message):
        load(path)


def test_a_network_that_gives_nan_says_so(write_tiny, tiny):
    broken = load(write_tiny(network=tiny.network(gain=np.nan)))
    with pytest.raises(IsoglossError, match="the network gives NaN"):
        broken(noise(), 16000)


def test_the_number_of_threads_does_not_change_the_answer(write_tiny):
    path = write_tiny()
    assert load(path, threads=2)(noise(), 16000) == load(path)(noise(), 16000)
