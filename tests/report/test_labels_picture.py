"""The picture of an utterance: what is drawn stands at its time and frequency, and the file is whole."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from isogloss.report import labels_picture as module
from isogloss.report.labels_picture import hz_to_mel, labels_picture, log_mel, phone_class
from isogloss.report.style import Panel, light
from isogloss.types import IsoglossError

RATE = 16000
ARPABET = [("SH", 0.0, 0.2), ("IY", 0.2, 0.45), ("N", 0.5, 0.53), ("T", 0.53, 0.54), ("SIL", 0.6, 1.0)]
PINYIN = [("sil", 0.0, 0.2), ("zh", 0.2, 0.3), ("ang4", 0.3, 0.9)]


def _noise(seconds: float) -> np.ndarray:
    return 0.1 * np.random.default_rng(1).standard_normal(int(seconds * RATE)).astype(np.float32)


def _panels(monkeypatch: pytest.MonkeyPatch, samples: np.ndarray, segments: dict) -> list[Panel]:
    drawn: list[Panel] = []
    monkeypatch.setattr(module, "png", lambda panels, out, columns: drawn.extend(panels))
    labels_picture(samples, RATE, segments, Path("unused.png"), "u1")
    return drawn


def test_the_file_is_a_png_1600_wide_and_nothing_beside(tmp_path: Path) -> None:
    out = tmp_path / "u1.png"
    labels_picture(_noise(4.0), RATE, {"one": ARPABET, "two": PINYIN}, out, "u1")
    content = out.read_bytes()
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", content[16:24])
    assert width == 1600
    assert 600 < height < 1200  # two rows
    assert list(tmp_path.iterdir()) == [out]


def test_segments_stand_at_their_times_in_their_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    (panel,) = _panels(monkeypatch, _noise(1.0), {"one": ARPABET, "two": PINYIN})
    figure = Figure(figsize=(panel.width, panel.height))
    panel.draw(figure)
    spectrogram, one, two = figure.axes
    assert spectrogram.get_xlim() == one.get_xlim() == (0.0, 1.5)
    assert one.get_xlabel() == "" and two.get_xlabel() == "seconds"
    for ax, name, segments in ((one, "one", ARPABET), (two, "two", PINYIN)):
        assert [text.get_text() for text in ax.get_yticklabels()] == [name]
        edges = [patch for patch in ax.patches if patch.get_linewidth() > 0]
        found = [(patch.get_x(), patch.get_x() + patch.get_width()) for patch in edges]
        assert found == [pytest.approx((start, end)) for _, start, end in segments]
    names = [text.get_text() for text in one.texts]
    assert names == ["SH", "IY", "N", "SIL"]  # 10 ms are too narrow for a name
    assert light("series-1") == "#1f5fa8"
    vowel = [patch for patch in two.patches if patch.get_linewidth() > 0][2]
    assert vowel.get_edgecolor()[:3] == pytest.approx((0x1F / 255, 0x5F / 255, 0xA8 / 255))


def test_long_audio_goes_on_in_rows_and_segments_are_cut_there(monkeypatch: pytest.MonkeyPatch) -> None:
    panels = _panels(monkeypatch, _noise(6.0), {"one": [("AA", 1.0, 5.0)]})
    assert len(panels) == 2
    spans = []
    for panel in panels:
        figure = Figure(figsize=(panel.width, panel.height))
        panel.draw(figure)
        assert np.ptp(figure.axes[0].get_xlim()) == pytest.approx(3.0)
        (box,) = (patch for patch in figure.axes[1].patches if patch.get_linewidth() > 0)
        spans.append((box.get_x(), box.get_x() + box.get_width()))
    assert spans == [pytest.approx((1.0, 3.0)), pytest.approx((3.0, 5.0))]


def test_names_are_not_wider_than_their_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    symbols = ["AA", "ang4", "M", "uang5", "iy"]
    starts = np.cumsum([0, *np.linspace(0.02, 0.15, 20)])
    segments = [(symbols[i % 5], starts[i], starts[i + 1]) for i in range(20)]
    (panel,) = _panels(monkeypatch, _noise(float(starts[-1])), {"source": segments})
    figure = Figure(figsize=(panel.width, panel.height), layout="constrained", dpi=160)
    panel.draw(figure)
    figure.draw_without_rendering()
    ax = figure.axes[1]
    boxes = [patch for patch in ax.patches if patch.get_linewidth() > 0]
    assert len(ax.texts) >= 14
    for text in ax.texts:
        drawn = text.get_window_extent()
        around = [box.get_window_extent() for box in boxes if box.get_window_extent().contains(*_centre(text))]
        assert drawn.width <= around[0].width + 2
        assert drawn.height <= ax.get_window_extent().height + 2


def _centre(text: Text) -> tuple[float, float]:
    box = text.get_window_extent()
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2


@pytest.mark.parametrize("rate", [8000, 16000])
@pytest.mark.parametrize("hz", [150.0, 1000.0, 3000.0])
def test_a_tone_is_brightest_at_its_own_frequency(rate: int, hz: float) -> None:
    decibel, column_seconds = log_mel(np.sin(2 * np.pi * hz * np.arange(rate) / rate), rate)
    assert decibel.shape == (80, 201)
    assert column_seconds == 0.005
    step = float(hz_to_mel(rate / 2)) / 81
    brightest = step * (1 + decibel[:, 20:-20].argmax(axis=0))
    assert np.abs(brightest - float(hz_to_mel(hz))).max() <= 1.5 * step


def test_a_click_is_brightest_at_its_own_time() -> None:
    samples = np.zeros(RATE)
    samples[RATE // 2] = 1.0
    decibel, column_seconds = log_mel(samples, RATE)
    loud = np.flatnonzero(decibel.mean(axis=0) > decibel.mean(axis=0).max() - 1)
    assert loud.mean() * column_seconds == pytest.approx(0.5, abs=0.005)
    assert np.isfinite(decibel).all()


@pytest.mark.parametrize(
    "symbols, expected",
    [
        ("AA IY0 ER1 aa i4 uang5 er5 v3 van2 ˈaː ə ɪ", "vowel"),
        ("M NG L R W Y m l r ŋ", "nasal, liquid, glide"),
        ("S HH ZH DH V v sh x h ʃ", "fricative"),
        ("P JH CH zh j q c b ʔ", "stop, affricate"),
        ("sil SIL <sil> +NOISE+ spn", "silence, other"),
    ],
)
def test_phone_classes(symbols: str, expected: str) -> None:
    assert {symbol: phone_class(symbol) for symbol in symbols.split()} == dict.fromkeys(symbols.split(), expected)


def test_bad_input_is_named(tmp_path: Path) -> None:
    out = tmp_path / "u1.png"
    with pytest.raises(IsoglossError, match=r"u1: 0.00 s of audio; expected 0.05 to 120 s"):
        labels_picture(np.zeros(0), RATE, {}, out, "u1")
    with pytest.raises(IsoglossError, match=r"1 segments of one end before they start, first \('T', 0.5, 0.4\)"):
        labels_picture(_noise(1.0), RATE, {"one": [*ARPABET, ("T", 0.5, 0.4)]}, out, "u1")
    assert not out.exists()
    labels_picture(np.zeros(RATE), RATE, {}, out, "silence without labels")
    assert out.exists()
