"""Items in, a checked lhotse CutSet out: everything that cannot be used is left out, counted and listed with its reason."""

from __future__ import annotations

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from rich.progress import track

from isogloss.config import PrepareConfig
from isogloss.corpora.item import Item
from isogloss.corpora.kaldi_dir import MAX_OVERSHOOT_SECONDS
from isogloss.corpora.pipe import contents
from isogloss.frontend.audio import audio_info, read_audio
from isogloss.types import IsoglossError

if TYPE_CHECKING:
    from lhotse import CutSet, MonoCut


@dataclass
class Checked:
    """A usable corpus and what was wrong with the rest."""

    cuts: CutSet
    left_out: list[tuple[str, str]]  # (path, reason)
    notes: Counter[str] = field(default_factory=Counter)  # used all the same: stereo, resampled …

    def summary(self) -> str:
        """`812 clips used; 6 left out: 4 too short, 2 undecodable; 3 stereo, mixed down`"""
        reasons = Counter(reason.partition(":")[0] for _, reason in self.left_out)
        parts = [f"{len(self.cuts)} clips used"]
        if self.left_out:
            parts.append(
                f"{len(self.left_out)} left out: " + ", ".join(f"{n} {reason}" for reason, n in reasons.most_common())
            )
        parts += [f"{n} {note}" for note, n in self.notes.most_common()]
        return "; ".join(parts)


@dataclass
class _Looked:
    """What looking at one file told: its numbers, or why it is left out."""

    sample_rate: int = 0
    num_channels: int = 0
    num_samples: int = 0
    digest: str = ""
    reason: str | None = None

    @property
    def length_seconds(self) -> float:
        return self.num_samples / self.sample_rate


def check(items: list[Item], config: PrepareConfig) -> Checked:
    """Decode every file once; leave out what is empty, undecodable, silent, duplicate or too short; build the cuts.

    Raises IsoglossError where what is left cannot be learnt from: fewer than two languages, or a language with fewer
    recordings than `config.min_recordings_per_language`.
    """
    from lhotse import CutSet

    files = list(dict.fromkeys(item.source for item in items))
    with ThreadPoolExecutor() as pool:
        looked = dict(
            zip(files, track(pool.map(_look, files), "checking audio", total=len(files), transient=True), strict=True)
        )
    left_out: list[tuple[str, str]] = []
    notes: Counter[str] = Counter()
    cuts: list[MonoCut] = []
    ids: set[str] = set()
    seen: dict[tuple[str, float, float | None], str] = {}
    for item in items:
        file = looked[item.source]
        content = (file.digest, item.start_seconds, item.end_seconds)
        duration = _duration(item, file)
        if file.reason:
            reason = file.reason
        elif item.id in ids:
            reason = f"duplicate id: {item.id}"
        elif content in seen:
            reason = f"duplicate audio: same as {seen[content]}"
        elif item.end_seconds is not None and item.end_seconds > file.length_seconds + MAX_OVERSHOOT_SECONDS:
            reason = f"past the end: to {item.end_seconds} s of {file.length_seconds:.2f} s; are the times in seconds?"
        elif duration < config.min_duration_seconds:
            reason = f"too short: {max(duration, 0):.2f} s, at least {config.min_duration_seconds} s expected"
        else:
            ids.add(item.id)
            seen[content] = item.source
            notes.update(["stereo, mixed down"] if file.num_channels > 1 else [])
            notes.update([f"at {file.sample_rate} Hz, resampled"] if file.sample_rate != 16000 else [])
            cuts.append(_cut(item, file, duration))
            continue
        left_out.append((item.source, reason))
    checked = Checked(CutSet.from_cuts(cuts), left_out, notes)
    _require_enough(checked, config)
    return checked


def _look(source: str) -> _Looked:
    try:
        audio_of = contents(source)
        rate, channels, samples = audio_info(audio_of)
        audio = read_audio(audio_of)
    except IsoglossError as error:
        return _Looked(reason=f"undecodable: {error}")
    if not np.any(audio):
        return _Looked(reason="digital silence: every sample is zero")
    return _Looked(rate, channels, samples, hashlib.sha256(audio.tobytes()).hexdigest())


def _duration(item: Item, file: _Looked) -> float:
    """Seconds of the item within its file; a span that ends past the end (a little: see check) is cut there."""
    if file.reason:
        return 0.0
    length = file.length_seconds
    return min(item.end_seconds if item.end_seconds is not None else length, length) - item.start_seconds


def _cut(item: Item, file: _Looked, duration: float) -> MonoCut:
    from lhotse import AudioSource, MonoCut, Recording, SupervisionSegment
    from lhotse.supervision import AlignmentItem

    length = file.length_seconds
    channels = list(range(file.num_channels))
    if item.command:
        source = AudioSource("command", channels, item.command.rstrip().removesuffix("|"))
    else:
        source = AudioSource("file", channels, str(item.path.resolve()))
    recording = Recording(item.id, [source], file.sample_rate, file.num_samples, length)
    custom = {"recording": item.recording, "split": item.split, "fold": item.fold, "out_of_set": item.out_of_set}
    custom |= {"condition": item.condition} if item.condition else {}
    alignment = {"phone": [AlignmentItem(symbol, start, round(end - start, 6)) for symbol, start, end in item.phones]}
    supervision = SupervisionSegment(
        item.id,
        item.id,
        0.0,
        duration,
        language=item.language,
        speaker=item.speaker,
        custom=custom,
        alignment=alignment if item.phones else None,
    )
    return MonoCut(item.id, item.start_seconds, duration, 0, [supervision], recording=recording)


def _require_enough(checked: Checked, config: PrepareConfig) -> None:
    recordings: dict[str, set[str]] = {}
    for cut in checked.cuts:
        supervision = cut.supervisions[0]
        if not supervision.custom["out_of_set"]:
            recordings.setdefault(supervision.language, set()).add(supervision.custom["recording"])
    lost = (
        f" ({len(checked.left_out)} clips were left out, the first: {': '.join(checked.left_out[0])})"
        if checked.left_out
        else ""
    )
    if not recordings:
        raise IsoglossError(f"no usable clip{lost}")
    if len(recordings) == 1:
        raise IsoglossError(f"only one language, {next(iter(recordings))!r}; expected at least two to tell apart{lost}")
    for language, of_language in sorted(recordings.items(), key=lambda pair: len(pair[1])):
        if len(of_language) < config.min_recordings_per_language:
            raise IsoglossError(
                f"language {language!r} has {len(of_language)} recording(s) after checking; at least "
                f"{config.min_recordings_per_language} are needed for training, validation and test to share none{lost}"
            )
