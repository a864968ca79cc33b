"""espeak-ng 1.52 through ctypes: text → samples and the phones in them.

Each phone's start is the sample at which espeak's synthesiser took up its commands (`espeak_EVENT.sample`), so it is
exact. Two things are mended: espeak leaves a stop's closure, which it writes as digital silence, to the phone before;
here it belongs to the stop. And pauses have no name of their own; here each is SILENCE.

The library keeps its state (voice, noise source) for the whole process, so what was said before changes what is said
next. For the same bytes twice, one process speaks one job, from its start (see worker.py).
"""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import espeakng_loader
import numpy as np

from isogloss.corpora.synthetic.voices import Voice
from isogloss.types import IsoglossError

SAMPLE_RATE = 22050  # Hz, espeak's own
SILENCE = "SIL"
STRESS_MARKS = "ˈˌ"
STOPS = "ptkbdɡgqcɟɢʔʈɖ"  # an affricate begins with one of them
CLOSURE_SECONDS = 0.010  # shorter silences at the end of a phone are left where they are

# speak_lib.h
_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 0x1, 0x2, 0x8000
_RATE, _VOLUME = 1, 2
_UTF8 = 1
_EVENT_LIST_END, _EVENT_PHONEME = 0, 7
_MAX_PATH = 150  # espeak keeps the path of its data in 160 bytes
_VOLUME_PERCENT = 30  # of espeak's default: above it loud vowels clip


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # milliseconds, rounded down
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Speech:
    """Samples [S] int16 at SAMPLE_RATE, and phones (symbol, first sample, end sample) that cover them without a gap."""

    samples: np.ndarray
    phones: list[tuple[str, int, int]]


def overlay(directory: Path, voices: Iterable[Voice]) -> Path:
    """A private copy of espeak's data in `directory`, `voices` its only variants; the installed one stays as it is."""
    data = directory / "espeak-ng-data"
    shutil.copytree(espeakng_loader.get_data_path(), data, ignore=shutil.ignore_patterns("!v"))
    variants = data / "voices" / "!v"
    variants.mkdir(parents=True)
    for voice in voices:
        (variants / voice.name).write_text(voice.variant, encoding="ascii")
    return data


class Espeak:
    """The one synthesiser of this process, reading the data in `data`."""

    def __init__(self, data: Path) -> None:
        if len(str(data).encode()) > _MAX_PATH:
            raise IsoglossError(f"espeak cannot hold a path as long as {data}; set TMPDIR to a shorter folder")
        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        rate = self._library.espeak_Initialize(
            _SYNCHRONOUS, 0, str(data).encode(), _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT
        )
        if rate != SAMPLE_RATE:
            raise IsoglossError(
                f"espeak-ng answered {rate} to its initialisation, expected {SAMPLE_RATE}; is {data} complete?"
            )
        self._chunks: list[bytes] = []
        self._events: list[tuple[str, int]] = []
        self._callback = _Callback(self._receive)  # kept: ctypes does not hold it
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: ctypes._Pointer[ctypes.c_short], count: int, events: ctypes._Pointer[_Event]) -> int:
        if samples and count > 0:
            self._chunks.append(ctypes.string_at(samples, 2 * count))
        i = 0
        while events[i].type != _EVENT_LIST_END:
            if events[i].type == _EVENT_PHONEME:
                symbol = events[i].id.string.decode("utf-8", "ignore")  # cut at 8 bytes, perhaps inside a character
                self._events.append((symbol.strip(STRESS_MARKS), events[i].sample))
            i += 1
        return 0

    def select(self, language: str, voice: Voice | None = None) -> None:
        """Speak as `voice` in espeak's `language` from now on."""
        name = f"{language}+{voice.name}" if voice else language
        if self._library.espeak_SetVoiceByName(name.encode()) != 0:
            raise IsoglossError(
                f"espeak-ng has no voice {name!r}; espeak-ng 1.52 is expected (pip install -U espeakng-loader)"
            )

    def say(self, text: str, rate_wpm: int) -> Speech | None:
        """The speech, or None where espeak reads any part of `text` as another language or says nothing."""
        self._library.espeak_SetParameter(_RATE, rate_wpm, 0)
        self._library.espeak_SetParameter(_VOLUME, _VOLUME_PERCENT, 0)
        self._chunks.clear()
        self._events.clear()
        utf8 = text.encode()
        status = self._library.espeak_Synth(utf8, ctypes.c_size_t(len(utf8) + 1), 0, 1, 0, _UTF8, None, None)
        if status != 0:
            raise IsoglossError(f"espeak-ng failed with status {status} on {text!r}")
        samples = np.frombuffer(b"".join(self._chunks), dtype=np.int16)
        if any(symbol.startswith("(") for symbol, _ in self._events):  # "(en)": a language switch
            return None
        phones = phones_from_events(self._events, samples)
        return Speech(samples, phones) if any(symbol != SILENCE for symbol, _, _ in phones) else None


def phones_from_events(events: list[tuple[str, int]], samples: np.ndarray) -> list[tuple[str, int, int]]:
    """Events (symbol, first sample) in time order and the samples [S] → phones that cover [0, S).

    An event without a symbol is a pause where the samples are silent, else a sound with no letter of its own (the short
    vowel between t and r in Russian, a palatal glide in Greek), which goes to the phone before it, or after a pause to
    the phone that follows.
    """
    starts: list[tuple[str, int]] = [(SILENCE, 0)]
    onset: int | None = None  # of a sound without a letter that waits for its phone
    bounds = [sample for _, sample in events[1:]] + [len(samples)]
    for (symbol, start), end in zip(events, bounds, strict=True):
        if end <= start:
            continue
        last, last_start = starts[-1]
        if not symbol and np.any(samples[start:end]):
            if last == SILENCE and onset is None:
                onset = start
            continue
        if not symbol:
            symbol = SILENCE
        elif onset is not None:
            start = onset
        elif symbol[0] in STOPS and last != SILENCE:
            closure = _trailing_silence(samples[last_start:start])
            start -= closure if closure >= CLOSURE_SECONDS * SAMPLE_RATE else 0
        onset = None
        if symbol != SILENCE or last != SILENCE:
            starts.append((symbol, start))
    ends = [start for _, start in starts[1:]] + [len(samples)]
    return [(symbol, start, end) for (symbol, start), end in zip(starts, ends, strict=True) if end > start]


def _trailing_silence(samples: np.ndarray) -> int:
    sounding = np.flatnonzero(samples)
    return len(samples) - 1 - int(sounding[-1]) if len(sounding) else 0
