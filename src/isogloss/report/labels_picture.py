"""A picture of an utterance: its log-mel spectrogram and under it, on the same time axis, the phones of each label source.

A long utterance goes on in further rows of equal length, so that phones of a few frames stay wide enough to be read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from isogloss.report.style import Panel, light, png
from isogloss.types import IsoglossError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

Segment = tuple[str, float, float]
"""(symbol, start, end), seconds."""

WIDTH = 10.0  # inches; 1600 pixels
MIN_ROW_SECONDS, MAX_ROW_SECONDS = 1.5, 3.5
MAX_SECONDS = 120.0  # 35 rows
SPECTROGRAM_HEIGHT, STRIP_HEIGHT, MARGIN_HEIGHT = 1.5, 0.3, 0.45  # inches
FONT_SIZE = 7.0  # points, of the phones
AXES_WIDTH = 0.9 * WIDTH  # inches, about: the names of the sources take the rest

CLASS_COLOURS = {  # phone class: colour of report.style
    "vowel": "series-1",
    "nasal, liquid, glide": "series-3",
    "fricative": "series-4",
    "stop, affricate": "series-2",
    "silence, other": "muted",
}
_CONSONANTS = {  # ARPAbet has capitals; lower case: Pinyin and IPA (where they differ, as in j, Pinyin's)
    "nasal, liquid, glide": "M N NG L R W Y m n ng l r w y ɲ ŋ ɹ ɾ ʎ ɫ ɥ ʁ ɻ",
    "fricative": "F V S SH TH DH Z ZH HH f v s sh x h z ʃ ʒ θ ð ç ɕ ʂ ɣ β χ",
    "stop, affricate": "P B T D K G CH JH p b t d k g c ch j q zh ʔ ɡ tʃ dʒ ts dz tɕ ʈ ɖ",
}
_CLASS_OF = {symbol: name for name, symbols in _CONSONANTS.items() for symbol in symbols.split()}
_VOWEL_LETTERS = "aeiouvüəɪʊɛɔæɑɒʌɐɜɨʉøœɯɤ"  # v: Pinyin's ü, with a tone or more letters behind it


def labels_picture(
    samples: np.ndarray,
    sample_rate: int,
    segments: Mapping[str, Sequence[Segment]],
    out: Path,
    title: str,
) -> None:
    """Write a PNG 1600 pixels wide, beside and renamed.

    samples [S] float, sample_rate Hz; segments: name of a label source → (symbol, start, end) in seconds, any order; what
    no segment covers stays blank. Raises IsoglossError for no or too much audio and for segments that end before they
    start.
    """
    seconds = len(samples) / sample_rate
    if not 0.05 <= seconds <= MAX_SECONDS:
        raise IsoglossError(
            f"{title}: {seconds:.2f} s of audio; expected 0.05 to {MAX_SECONDS:.0f} s: cut out the part to be seen"
        )
    for name, found in segments.items():
        wrong = [segment for segment in found if not segment[2] >= segment[1]]
        if wrong:
            raise IsoglossError(
                f"{title}: {len(wrong)} segments of {name} end before they start, first {wrong[0]}; "
                "expected (symbol, start, end) in seconds"
            )
    picture = log_mel(samples, sample_rate)
    num_rows = int(np.ceil(seconds / MAX_ROW_SECONDS))
    row_seconds = max(seconds / num_rows, MIN_ROW_SECONDS)
    rows = [(row * row_seconds, (row + 1) * row_seconds) for row in range(num_rows)]
    png([_row(row, rows, picture, sample_rate, segments, title) for row in range(num_rows)], out, columns=1)


def phone_class(symbol: str) -> str:
    """A name of CLASS_COLOURS. Knows ARPAbet (capitals), Pinyin initials and finals with tones, and common IPA."""
    bare = symbol.rstrip("0123456789ː").removeprefix("ˈ").removeprefix("ˌ")
    if bare in _CLASS_OF:
        # one letter v, z alone: consonants; v with a tone is Pinyin's ü
        return "vowel" if bare == "v" and symbol != bare else _CLASS_OF[bare]
    return "vowel" if bare.lower().startswith(tuple(_VOWEL_LETTERS)) else "silence, other"


def log_mel(samples: np.ndarray, sample_rate: int, num_bands: int = 80) -> tuple[np.ndarray, float]:
    """samples [S] → dB [num_bands, T] of triangular mel bands up to the Nyquist frequency, and seconds per column.

    Hann window of 25 ms, every 5 ms, centred on the column: for the eye, not the front end's.
    """
    from scipy.signal import ShortTimeFFT, windows

    length, hop = round(0.025 * sample_rate), round(0.005 * sample_rate)
    transform = ShortTimeFFT(
        windows.hann(length, sym=False), hop, sample_rate, mfft=1 << (length - 1).bit_length(), scale_to="magnitude"
    )
    emphasised = np.append(samples[:1], samples[1:] - 0.97 * samples[:-1]).astype(np.float64)
    power = transform.spectrogram(emphasised, p0=0, p1=len(samples) // hop + 1)
    corners = mel_to_hz(np.linspace(0, hz_to_mel(sample_rate / 2), num_bands + 2))
    rising = (transform.f - corners[:-2, None]) / np.diff(corners)[:-1, None]
    falling = (corners[2:, None] - transform.f) / np.diff(corners)[1:, None]
    bands = np.maximum(0, np.minimum(rising, falling))
    # a band narrower than the bins' distance takes the value between its neighbours instead of none
    at_centre = np.stack([np.interp(corners[1:-1], transform.f, column) for column in power.T], axis=1)
    width = bands.sum(axis=1, keepdims=True)
    means = np.where(width > 1, bands @ power / np.maximum(width, 1), at_centre)
    return 10 * np.log10(means + 1e-12), hop / sample_rate


def hz_to_mel(hz: float | np.ndarray) -> np.ndarray:
    return 1127 * np.log1p(np.asarray(hz) / 700)


def mel_to_hz(mel: float | np.ndarray) -> np.ndarray:
    return 700 * np.expm1(np.asarray(mel) / 1127)


def _row(
    row: int,
    rows: list[tuple[float, float]],
    picture: tuple[np.ndarray, float],
    sample_rate: int,
    segments: Mapping[str, Sequence[Segment]],
    title: str,
) -> Panel:
    start, end = rows[row]

    def draw(figure: FigureBase) -> None:
        heights = [SPECTROGRAM_HEIGHT, *[STRIP_HEIGHT] * len(segments)]
        grid = figure.subplots(
            len(heights), 1, squeeze=False, sharex=True, height_ratios=heights, gridspec_kw={"hspace": 0}
        )
        column = grid[:, 0]
        _draw_spectrogram(column[0], picture, sample_rate)
        for ax, (name, found) in zip(column[1:], segments.items(), strict=True):
            _draw_strip(ax, name, found, start, end)
        column[0].set_xlim(start, end)
        column[0].set_xticks(np.arange(np.ceil(start * 4) / 4, end + 1e-6, 0.25))
        for ax in column[:-1]:
            ax.spines["bottom"].set_visible(False)
            ax.tick_params(axis="x", length=0, labelbottom=False)
        if row == 0:
            _draw_heading(column[0], title)
        if row == len(rows) - 1:
            column[-1].set_xlabel("seconds")

    return Panel(
        key=f"labels-{row}",
        alt=f"{title}: spectrogram and phones from {start:g} s on, by {', '.join(segments)}.",
        draw=draw,
        width=WIDTH,
        height=SPECTROGRAM_HEIGHT + STRIP_HEIGHT * len(segments) + MARGIN_HEIGHT,
    )


def _draw_spectrogram(ax: Axes, picture: tuple[np.ndarray, float], sample_rate: int) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    decibel, column_seconds = picture
    top = float(np.percentile(decibel, 99.9))
    nyquist = sample_rate / 2
    half = column_seconds / 2
    ax.imshow(
        decibel,
        origin="lower",
        aspect="auto",
        interpolation="bilinear",
        cmap=LinearSegmentedColormap.from_list("ink", [light("page"), light("ink")]),
        vmin=max(float(np.percentile(decibel, 10)), top - 55),
        vmax=top,
        extent=(-half, decibel.shape[1] * column_seconds - half, 0, float(hz_to_mel(nyquist))),
    )
    shown = [hz for hz in (250, 500, 1000, 2000, 4000, 8000) if hz <= nyquist]
    ax.set_yticks(hz_to_mel(np.array(shown)), [f"{hz / 1000:g}" for hz in shown])
    ax.set_ylabel("kHz")


def _draw_strip(ax: Axes, name: str, segments: Sequence[Segment], start: float, end: float) -> None:
    ax.set_ylim(0, 1)
    ax.set_yticks([0.5], [name])
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    points_per_second = 72 * AXES_WIDTH / (end - start)
    for symbol, first, last in segments:
        first, last = max(first, start), min(last, end)
        if last <= first:
            continue
        colour = light(CLASS_COLOURS[phone_class(symbol)])
        ax.axvspan(first, last, facecolor=colour, alpha=0.25, linewidth=0)
        ax.axvspan(first, last, facecolor="none", edgecolor=colour, linewidth=0.5)
        size, rotation = _fitting(symbol, points_per_second * (last - first))
        if size:
            ax.text(
                (first + last) / 2,
                0.47,
                symbol,
                ha="center",
                va="center",
                fontsize=size,
                rotation=rotation,
                clip_on=True,
            )


def _fitting(symbol: str, width: float) -> tuple[float, float]:
    """Font size in points and rotation in degrees at which a symbol fits a segment `width` points wide; size 0: none."""
    em = 0.68 * len(symbol) + 0.2
    for size in (FONT_SIZE, FONT_SIZE - 1):
        if em * size <= width:
            return size, 0.0
    height = STRIP_HEIGHT * 72
    for size in (FONT_SIZE - 1, FONT_SIZE - 2):  # upright: its height takes the width
        if size <= width and em * size <= height:
            return size, 90.0
    return 0.0, 0.0


def _draw_heading(ax: Axes, title: str) -> None:
    from matplotlib.patches import Patch

    ax.set_title(title, loc="left")
    handles = [
        Patch(facecolor=(*_rgb(light(colour)), 0.25), edgecolor=light(colour), linewidth=0.5, label=name)
        for name, colour in CLASS_COLOURS.items()
    ]
    ax.legend(
        handles=handles,
        loc="lower right",
        bbox_to_anchor=(1.0, 1.0),
        ncols=len(handles),
        frameon=False,
        handlelength=1.2,
        columnspacing=1.2,
        borderpad=0.1,
    )


def _rgb(colour: str) -> tuple[float, float, float]:
    from matplotlib.colors import to_rgb

    return to_rgb(colour)
