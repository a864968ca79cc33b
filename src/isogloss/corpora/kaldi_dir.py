"""A Kaldi data directory: wav.scp, and where there are any segments, utt2spk, utt2lang. The licence is that of your data.

    wav.scp    RECORDING PATH, or RECORDING COMMAND |   (Kaldi's rules: paths from where you stand, the shell runs commands)
    segments   UTTERANCE RECORDING START END            (seconds; END −1: to the end of the recording)
    utt2lang   UTTERANCE LANGUAGE,   utt2spk   UTTERANCE SPEAKER

A path that is not there from where you stand is looked for from the data directory. Channels are averaged, and a channel
column in segments is not read. Wave archives (x.ark:OFFSET) are not read either.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from isogloss.corpora.item import Item
from isogloss.corpora.pipe import is_pipe
from isogloss.types import IsoglossError

MAX_OVERSHOOT_SECONDS = 0.5  # Kaldi's: a segment that ends at most so far past the end ends there, others are left out
LeftOut = tuple[str, str]  # id, reason

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Utterance:
    """Where the audio of one utterance is."""

    id: str
    recording: str
    source: str  # a path, or `command |`
    start_seconds: float = 0.0
    end_seconds: float | None = None  # None: to the end

    def cut(self, samples: np.ndarray, sample_rate: int) -> np.ndarray:
        """Its part [S'] of its recording [S]; IsoglossError where it lies outside."""
        start = round(self.start_seconds * sample_rate)
        end = len(samples) if self.end_seconds is None else round(self.end_seconds * sample_rate)
        if start >= len(samples) or end - len(samples) > MAX_OVERSHOOT_SECONDS * sample_rate:
            raise IsoglossError(
                f"past the end: {self.start_seconds} to {self.end_seconds} s of {len(samples) / sample_rate:.2f} s; "
                "are the times in seconds and of this recording?"
            )
        return samples[start:end]


def wavs(path: Path) -> dict[str, str]:
    """Recording → path or `command |`, of a data directory or a wav.scp file. IsoglossError for a recording named twice."""
    path = Path(path)
    table, repeated = _table(path / "wav.scp" if path.is_dir() else path)
    if repeated:
        raise IsoglossError(f"{path}: recording {repeated[0]!r} twice in wav.scp; which one is meant?")
    folder = path if path.is_dir() else path.parent
    return {recording: _found(source, folder) for recording, source in table.items()}


def utterances(path: Path) -> tuple[list[Utterance], list[LeftOut]]:
    """The utterances of a data directory (its segments, else its recordings) or of a wav.scp file, and what is left out."""
    path = Path(path)
    of_recording = wavs(path)
    if not (path / "segments").is_file():
        return [Utterance(recording, recording, source) for recording, source in of_recording.items()], []
    found: list[Utterance] = []
    segments, repeated = _table(path / "segments")
    left_out = [(name, "duplicate: twice in segments") for name in repeated]
    for name, text in segments.items():
        recording, start, end = _segment(name, text, path / "segments")
        if recording in of_recording:
            found.append(Utterance(name, recording, of_recording[recording], start, end))
        else:
            left_out.append((name, f"no recording: {recording} is not in wav.scp"))
    return found, left_out


def items(folder: Path) -> list[Item]:
    """The labelled utterances; those that utt2lang does not name are left out with a warning.

    IsoglossError where utt2lang is missing or seems to hold speakers.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise IsoglossError(f"{folder} is not a folder; expected a Kaldi data directory with wav.scp and utt2lang")
    found, left_out = utterances(folder)
    languages, speakers = _languages(folder), _table(folder / "utt2spk")[0] if (folder / "utt2spk").exists() else {}
    made = []
    for utterance in found:
        if utterance.id not in languages:
            left_out.append((utterance.id, "no language: not in utt2lang"))
            continue
        made.append(
            Item(
                id=utterance.id.replace("#", "_"),
                path=folder / "wav.scp" if is_pipe(utterance.source) else Path(utterance.source),
                language=languages[utterance.id],
                recording=utterance.recording,
                speaker=speakers.get(utterance.id),
                start_seconds=utterance.start_seconds,
                end_seconds=utterance.end_seconds,
                command=utterance.source if is_pipe(utterance.source) else None,
            )
        )
    if left_out:
        counts = Counter(reason.partition(":")[0] for _, reason in left_out)
        text = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
        logger.warning("%s: left out: %s; the first: %s (%s)", folder, text, *left_out[0])
    if not made:
        raise IsoglossError(
            f"{folder}: no utterance has both a recording and a language; do utt2lang and "
            f"{'segments' if (folder / 'segments').exists() else 'wav.scp'} name the same utterances?"
        )
    return made


def _languages(folder: Path) -> dict[str, str]:
    """utt2lang, unless it looks like a file of speakers."""
    if not (folder / "utt2lang").exists():
        other = " (utt2spk says who speaks, not which language)" if (folder / "utt2spk").exists() else ""
        raise IsoglossError(f"{folder} has no utt2lang{other}; expected lines `UTTERANCE LANGUAGE` for every utterance")
    languages, repeated = _table(folder / "utt2lang")
    if repeated:
        raise IsoglossError(f"{folder / 'utt2lang'}: utterance {repeated[0]!r} twice; which language is meant?")
    count = len(set(languages.values()))
    hint = "are they speakers? Is this utt2spk under another name, or are utt2lang and utt2spk swapped?"
    if len(languages) > 3 and count == len(languages):
        raise IsoglossError(f"{folder / 'utt2lang'}: as many languages as utterances ({count}); {hint}")
    if (folder / "utt2spk").exists():
        speakers, _ = _table(folder / "utt2spk")
        pairs = {(language, speakers[name]) for name, language in languages.items() if name in speakers}
        # a speaker has one language, a language several speakers: the other way round, the files are
        if len(pairs) == count > len({speaker for _, speaker in pairs}) > 1:
            raise IsoglossError(
                f"{folder}: {count} languages in utt2lang but {len({speaker for _, speaker in pairs})} speakers in "
                f"utt2spk, and no language with two of them; {hint}"
            )
    return languages


def _segment(name: str, text: str, path: Path) -> tuple[str, float, float | None]:
    """Recording, start, end of a line of segments."""
    try:
        recording, begin, stop = text.split()[:3]
        start, end = float(begin), float(stop)
    except ValueError:
        raise IsoglossError(f"{path}: {name} {text!r}; expected UTTERANCE RECORDING START END, in seconds") from None
    if start < 0 or not (end == -1 or start < end):
        raise IsoglossError(f"{path}: {name} from {start} to {end} s; expected 0 ≤ start < end, in seconds")
    return recording, start, None if end == -1 else end


def _table(path: Path) -> tuple[dict[str, str], list[str]]:
    """Key → rest of the line, in the file's order, and the keys that came again (the first stands)."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise IsoglossError(f"{path} is not there; expected a Kaldi data directory or a wav.scp file") from None
    except UnicodeDecodeError as error:
        raise IsoglossError(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}); is it a table?"
        ) from None
    table: dict[str, str] = {}
    repeated = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        key, *rest = line.split(maxsplit=1)
        if not rest:
            raise IsoglossError(f"{path}, line {number}: {key!r} stands alone; expected a key, a blank and a value")
        if key in table:
            repeated.append(key)
        else:
            table[key] = rest[0].strip()
    return table, repeated


def _found(source: str, folder: Path) -> str:
    if is_pipe(source) or Path(source).is_absolute() or Path(source).exists() or not (folder / source).exists():
        return source
    return str(folder / source)
