"""espeak-ng through ctypes: phone times against the sound itself, language switches, voices.

The library keeps one state for the process, so all tests here share one synthesiser and no other test file makes one.
"""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isogloss.types import IsoglossError

espeakng_loader = pytest.importorskip("espeakng_loader")

from isogloss.corpora.synthetic.plan import DIALECTS, LANGUAGES, UNKNOWN  # noqa: E402
from isogloss.corpora.synthetic.speak import SAMPLE_RATE, SILENCE, STOPS, Espeak, overlay, phones_from_events  # noqa: E402
from isogloss.corpora.synthetic.voices import draw_voice  # noqa: E402

FRAME = round(0.010 * SAMPLE_RATE)


def voice_with(klatt):
    """The first random voice with that glottal pulse."""
    voices = (draw_voice(f"klatt-{klatt}", random.Random(seed)) for seed in range(1000))
    return next(voice for voice in voices if voice.klatt == klatt)


VOICES = [voice_with(klatt) for klatt in (0, 3, 6)]


@pytest.fixture(scope="module")
def espeak(tmp_path_factory):
    return Espeak(overlay(tmp_path_factory.mktemp("e"), VOICES))


def high_share(samples, width):
    """For each stretch of `width` samples, mean |x[t] − x[t−1]| over mean |x|: high in a sibilant, low in a vowel."""
    blocks = samples[: len(samples) // width * width].reshape(-1, width).astype(float)
    return np.abs(np.diff(blocks, axis=1)).sum(1) / (np.abs(blocks).sum(1) + 1)


def step(values):
    """Where a sequence that jumps once does so: the split with the greatest variance between its two sides."""
    n = len(values)
    return max(range(2, n - 2), key=lambda i: i * (n - i) * (values[:i].mean() - values[i:].mean()) ** 2)


@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_sibilants_begin_and_end_where_the_sound_does(espeak, voice):
    """Independent of espeak's events: the jump in high frequencies, searched ± 50 ms around a point up to 30 ms off."""
    rng = np.random.default_rng(0)
    espeak.select("id", voice)
    speech = espeak.say("sasa sasi asa usus masa", 150)
    edges = [edge for symbol, start, end in speech.phones if symbol == "s" and start > 1000 for edge in (start, end)]
    assert len(edges) == 14
    for edge in edges:
        first = edge + rng.integers(-660, 660) - 1100
        width = 55  # samples, 2.5 ms
        found = first + width * step(high_share(speech.samples[first : first + 2200], width))
        assert abs(found - edge) <= FRAME


@pytest.mark.parametrize("language, text", [("ru", "двадцать четыре, кот и капитан"), ("id", "empat puluh tiga, kota")])
@pytest.mark.parametrize("voice", VOICES, ids=lambda voice: voice.name)
def test_every_silence_ends_where_a_phone_begins_or_inside_a_stop(espeak, voice, language, text):
    """Pauses and closures are exact zeros. A closure is the head of its stop: no other phone begins with one."""
    espeak.select(language, voice)
    speech = espeak.say(text, 150)
    edges = np.array([end for _, _, end in speech.phones])
    closures = 0
    silent = np.flatnonzero(np.diff(np.concatenate([[0], speech.samples == 0, [0]])))
    for start, end in silent.reshape(-1, 2):
        if end - start < FRAME:
            continue
        symbol = next(symbol for symbol, first, last in speech.phones if first <= start + FRAME // 2 < last)
        if symbol == SILENCE:
            assert np.abs(edges - end).min() <= FRAME // 4
        elif symbol[0] in STOPS:
            closures += 1
        else:
            raise AssertionError(f"{end - start} silent samples in {symbol}")
    assert closures >= 4


@pytest.mark.parametrize("language", LANGUAGES + DIALECTS + UNKNOWN)
def test_every_language_speaks_and_its_phones_cover_the_samples(espeak, language):
    espeak.select(language, VOICES[1])
    speech = espeak.say("3 45 7", 170)
    symbols, starts, ends = zip(*speech.phones, strict=True)
    assert starts[0] == 0 and ends[-1] == len(speech.samples) and starts[1:] == ends[:-1]
    assert all(end > start for start, end in zip(starts, ends, strict=True))
    assert len(set(symbols)) >= 4 and 0.5 < len(speech.samples) / SAMPLE_RATE < 8
    assert not set("".join(symbols)) & set("ˈˌ()")
    for symbol, start, end in speech.phones:
        assert symbol != SILENCE or not np.any(speech.samples[start:end])


@pytest.mark.parametrize("language, text", [("ja", "東京"), ("ru", "привет hello"), ("cmn", "length-kilometer 3")])
def test_text_read_as_another_language_is_refused(espeak, language, text):
    espeak.select(language, VOICES[0])
    assert espeak.say(text, 170) is None


def test_mandarin_is_not_read_as_english(espeak):
    espeak.select("cmn", VOICES[0])
    assert "tɕh" in {symbol for symbol, _, _ in espeak.say("七", 170).phones}


def test_voices_sound_different_and_keep_their_own_after_another(espeak):
    spoken = []
    for voice in (VOICES[1], VOICES[2], VOICES[1]):
        espeak.select("id", voice)
        spoken.append(espeak.say("satu dua tiga", 150))
    assert [p[0] for p in spoken[0].phones] == [p[0] for p in spoken[1].phones]
    assert len(spoken[0].samples) == len(spoken[2].samples) != len(spoken[1].samples)
    # the same but for espeak's noise source, which runs on
    same = np.corrcoef(spoken[0].samples, spoken[2].samples)[0, 1]
    assert same > 0.9


def test_an_unknown_voice_is_an_error(espeak):
    with pytest.raises(IsoglossError, match="no voice 'qqq"):
        espeak.select("qqq", VOICES[0])


def test_the_overlay_leaves_the_installed_data_alone(tmp_path):
    installed = Path(espeakng_loader.get_data_path()) / "voices" / "!v"
    before = sorted(path.name for path in installed.iterdir())
    data = overlay(tmp_path, VOICES)
    assert sorted(path.name for path in (data / "voices" / "!v").iterdir()) == sorted(voice.name for voice in VOICES)
    assert sorted(path.name for path in installed.iterdir()) == before


def test_events_become_phones():
    """k a(closure)t ·(a glide without a letter) pause; the closure goes to t, the glide to the phone before it."""
    samples = np.ones(3000, np.int16)
    samples[1400:2000] = 0  # closure of t, inside what espeak gives to a
    samples[2600:] = 0
    events = [("k", 0), ("", 1000), ("a", 1000), ("t", 2000), ("", 2300), ("", 2600), ("", 3000)]
    assert phones_from_events(events, samples) == [
        ("k", 0, 1000),
        ("a", 1000, 1400),
        ("t", 1400, 2600),
        (SILENCE, 2600, 3000),
    ]
    assert phones_from_events([("s", 2000), *events[4:]], samples)[1] == ("s", 2000, 2600)  # no stop: no closure
    glide = [("", 0), ("", 1000), ("e", 1300), ("", 2600)]  # after a pause, to the phone that follows
    samples[:1000], samples[1000:2600] = 0, 1
    assert phones_from_events(glide, samples) == [(SILENCE, 0, 1000), ("e", 1000, 2600), (SILENCE, 2600, 3000)]


def test_voices_are_random_within_bounds_and_say_their_pitch_and_tone():
    voices = [draw_voice("v", random.Random(seed)) for seed in range(400)]
    assert all(0.86 <= voice.formant_scale <= 1.24 for voice in voices)
    assert 0.5 < np.mean([voice.klatt > 0 for voice in voices]) < 0.7
    assert len({replace(voice, name="").variant for voice in voices}) == 400
    for voice in voices:
        words = [line.split()[0] for line in voice.variant.splitlines()]
        assert words.count("formant") == 9 and words.count("pitch") == words.count("tone") == 1
        assert ("klatt" in words) == (voice.klatt > 0)
    assert draw_voice("v", random.Random(7)) == draw_voice("v", random.Random(7))
