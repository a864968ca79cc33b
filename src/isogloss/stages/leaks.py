"""Are train and test apart, and could microphones alone tell the languages? leaks.json, and the same in plain lines.

leaks.json: {"shared": {"train-test": {"recordings", "speakers", "duplicates", "examples"}, … other pairs that share
anything}, "channel_probe": {"accuracy", "low", "high", "chance", "num_utterances", "num_without", "seconds"}, or null
where no clip has non-speech}.
"""

from __future__ import annotations

import hashlib
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.progress import track

from isogloss.config import FeaturesConfig, FrontEndConfig
from isogloss.corpora.leaks import Sharing, duplicates, shared
from isogloss.frontend.audio_fingerprint import AudioFingerprint, audio_fingerprint
from isogloss.stages.channel_probe import ChannelProbe, NonSpeech, channel_probe, non_speech
from isogloss.stages.clips import FileTask, clips_by_file
from isogloss.stages.features import open_frames
from isogloss.stages.ledger import done, is_done, stamp, write_json
from isogloss.stages.prepare import read_cuts, read_splits
from isogloss.types import IsoglossError

if TYPE_CHECKING:
    from lhotse import CutSet

FILE = "leaks.json"
TRAIN_TEST = "train-test"


@dataclass(frozen=True)
class Leaks:
    """What the stage found."""

    shared: dict[str, dict[str, Any]]  # `<a>-<b>` → counts and examples
    probe: ChannelProbe | None  # None: too little non-speech to probe
    lines: list[str]  # all of it in sentences

    @property
    def train_test_apart(self) -> bool:
        """Neither a recording, a speaker nor any audio of a test clip is in training."""
        return not self.shared[TRAIN_TEST]["examples"]

    def channel_warning(self, metrics_json: Path) -> str | None:
        """A sentence where non-speech tells much of what the best of these systems does."""
        from isogloss.report import load_run
        from isogloss.report.channel import best_accuracy, channel_sentence, flatters

        best = best_accuracy(load_run(metrics_json))
        return channel_sentence(self.probe, best) if self.probe and flatters(self.probe, best) else None


@dataclass(frozen=True)
class _Heard:
    """What listening to a clip once tells."""

    id: str
    digest: str  # of its samples
    fingerprint: AudioFingerprint
    non_speech: NonSpeech


def leaks(prepared: Path, out: Path, front_end: FrontEndConfig) -> Path:
    """Look for recordings, speakers and audio on two sides of a split, and probe the channel; returns `out`.

    prepared: what `prepare` made. front_end: that of the systems, whose VAD says what is non-speech.
    """
    from isogloss.report.channel import channel_sentence

    work = stamp("leaks", front_end, prepared)
    if is_done(out, work):
        return out
    cuts, splits = read_cuts(prepared), read_splits(prepared)
    used = {name for split in splits.values() for names in split.to_dict().values() for name in names}
    if missing := used - {cut.id for cut in cuts}:
        raise IsoglossError(
            f"{len(missing)} utterances of {prepared / 'splits.json'} are not in cuts.jsonl.gz, the first {min(missing)}; was "
            "one of the two files edited? Prepare the corpus again"
        )
    heard = _heard(cuts, used, front_end)
    same_audio = duplicates(
        cuts,
        {name: one.digest for name, one in heard.items()},
        {name: one.fingerprint for name, one in heard.items()},
    )
    pairs = {
        name: sharing for name, sharing in shared(cuts, splits, same_audio).items() if sharing or name == TRAIN_TEST
    }
    probe = channel_probe(cuts, splits, {name: one.non_speech for name, one in heard.items()})
    write_json(
        out / FILE,
        {
            "shared": {name: sharing.to_dict() for name, sharing in pairs.items()},
            "channel_probe": probe and probe.to_dict(),
        },
    )
    about_probe = (
        f"{channel_sentence(probe)} {probe.basis()}" if probe else "too little non-speech to probe the channel"
    )
    return done(out, work, lines=[*_about_sharing(pairs, cuts), about_probe])


def read_leaks(folder: Path) -> Leaks:
    """What `leaks` left in `folder`; IsoglossError where it has not been run."""
    path = folder / FILE
    if not path.exists():
        raise IsoglossError(f"{path} is not there; run `isogloss leaks` first")
    found = json.loads(path.read_text(encoding="utf-8"))
    lines = json.loads((folder / "stage.json").read_text(encoding="utf-8"))["lines"]
    probe = found["channel_probe"]
    return Leaks(found["shared"], ChannelProbe(**probe) if probe else None, lines)


def front_end_of(frames: Path) -> FrontEndConfig:
    """The front end that made a frames folder."""
    return FeaturesConfig(**open_frames(frames).frames.meta["config"]).front_end


def _heard(cuts: CutSet, used: set[str], front_end: FrontEndConfig) -> dict[str, _Heard]:
    """Of every used clip; in threads, for decoding and transforms leave Python, and starting processes takes longer."""
    work = partial(_listen, front_end=front_end)
    files = clips_by_file(cuts, used.__contains__)
    tasks = [FileTask(source, clips, front_end.sample_rate, work) for source, clips in files.items()]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(FileTask.run, tasks)
        try:
            done_files = track(results, "leaks", total=len(tasks), transient=True)
            return {one.id: one for of_file in done_files for one in of_file}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _listen(name: str, samples: np.ndarray, front_end: FrontEndConfig) -> _Heard:
    digest = hashlib.sha256(samples.tobytes()).hexdigest()
    return _Heard(name, digest, audio_fingerprint(samples, front_end.sample_rate), non_speech(samples, front_end))


def _about_sharing(pairs: dict[str, Sharing], cuts: CutSet) -> list[str]:
    lines = []
    for name, sharing in pairs.items():
        sides = " and ".join(name.split("-"))
        if not sharing:
            lines.append(f"{sides} share no recording, no speaker and no audio")
            continue
        one, other, why = sharing.examples[0]
        which = one if one == other else f"{one} and {other}"
        lines.append(
            f"{sides} share {len(sharing.recordings)} recording(s), {len(sharing.speakers)} speaker(s) and "
            f"{len(sharing.duplicates)} duplicate(s), the first: {which} ({why})"
        )
    if unnamed := sum(not cut.supervisions[0].speaker for cut in cuts):
        lines.append(f"{unnamed} of {len(cuts)} clips name no speaker, so that shared speakers of those went unseen")
    return lines
