"""Cuts → frames/ and voiced/: every version of every cut through the front end, packed.

Versions of utterance `u`: `u` itself (enrolment, validation, test), `u#sp0.9` … (training: speed, then volume),
`u#aug1@1.042` … (training: drawn rooms, noises, channels and codecs, and a speed, which the key tells), and
`u#telephone` (the cross-channel test). The store `frames` holds voiced frames only, `voiced` one bool for each frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from isogloss.config import FeaturesConfig
from isogloss.frontend.augment import apply, randomize
from isogloss.frontend.codec import telephone
from isogloss.frontend.frontend import Frames, FrontEnd
from isogloss.frontend.perturb import perturb_speed, perturb_volume
from isogloss.frontend.store import Store, StoreWriter
from isogloss.stages.clips import draw, map_clips
from isogloss.stages.ledger import done, is_done, stamp
from isogloss.stages.noise_recordings import noise_recordings, seen
from isogloss.stages.prepare import read_cuts, read_splits

TELEPHONE = "telephone"


@dataclass(frozen=True)
class FrameStores:
    """What the features stage leaves: frames [N, D] of voiced frames, voiced [M] bool of all frames."""

    frames: Store
    voiced: Store


def open_frames(folder: Path) -> FrameStores:
    return FrameStores(Store(folder / "frames"), Store(folder / "voiced"))


def features(prepared: Path, out: Path, config: FeaturesConfig) -> Path:
    """Make every version that some split needs; returns `out`. A killed run goes on where it was."""
    # by what it holds, not where it lies: a folder of noise that was moved makes the same copies
    options = config.model_dump(mode="json", exclude={"noise_recordings"})
    noise = seen(config.noise_recordings) if config.noise_recordings else None
    work = stamp("features", options, prepared, noise=noise)
    if is_done(out, work):
        return out
    splits = read_splits(prepared).values()
    train = {name for split in splits for name in split.train}
    test = {name for split in splits for name in split.test}
    meta = {"config": config.model_dump(mode="json"), "prepared": work}
    dim = config.front_end.dim
    with (
        StoreWriter(out / "voiced", np.bool_, meta=meta) as voiced,
        StoreWriter(out / "frames", config.dtype, (dim,), meta) as frames,
    ):
        make = partial(_versions, config=config, train=frozenset(train), test=frozenset(test))
        # the plain version is written last, so that its presence means that all are there
        results = map_clips(
            read_cuts(prepared),
            lambda name: name not in frames.finished,
            make,
            config.front_end.sample_rate,
            "features",
        )
        for versions in results:
            for key, made in versions:
                if key not in voiced.finished:
                    voiced.add(key, made.voiced)
                if key not in frames.finished:
                    frames.add(key, made.selected)
    store = open_frames(out)
    return done(
        out, work, utterances=len(store.frames), voiced_frames=store.frames.num_rows, all_frames=store.voiced.num_rows
    )


def training_keys(utterance: str, config: FeaturesConfig) -> list[str]:
    """Store keys of every training copy, in the order of `training_copies`."""
    augmented = [_augmented_key(utterance, number, config) for number in range(1, config.augmented + 1)]
    return [*(training_key(utterance, speed) for speed in config.speeds), *augmented]


def changed_copies(utterance: str, config: FeaturesConfig) -> list[str]:
    """Store keys of the training copies that sound other than the clip: all but the one at its own speed."""
    return [key for key in training_keys(utterance, config) if key != training_key(utterance, 1.0)]


def utterance_of(key: str) -> str:
    """Whose version a store key names."""
    return key.partition("#")[0]


def training_key(utterance: str, speed: float) -> str:
    """Of a speed copy."""
    return f"{utterance}#sp{speed}"


def _augmented_key(utterance: str, number: int, config: FeaturesConfig) -> str:
    low, high = config.augment.speed
    speed = low * (high / low) ** draw(config.seed, utterance, str(number))
    return f"{utterance}#aug{number}@{speed:.3f}"


def speed_of(key: str) -> float:
    """Of a store key's version; 1 of one that is none of the training copies."""
    version = key.partition("#")[2]
    if version.startswith("sp"):
        return float(version.removeprefix("sp"))
    return float(version.partition("@")[2]) if version.startswith("aug") else 1.0


def speed_copy(key: str, config: FeaturesConfig) -> str:
    """Of a training copy's key: that of the speed copy of the same clip whose speed is nearest; a speed copy's own."""
    speed = speed_of(key)
    return training_key(utterance_of(key), min(config.speeds, key=lambda other: abs(np.log(other / speed))))


def speed_copies(name: str, samples: np.ndarray, config: FeaturesConfig) -> Iterator[tuple[str, np.ndarray]]:
    """(store key, samples) of every speed copy of a clip [S], at the rate of `samples`: first its speed, then its volume."""
    for speed in config.speeds:
        key = training_key(name, speed)
        copy = perturb_speed(samples, speed)
        if config.volume is not None:
            low, high = config.volume
            copy = perturb_volume(copy, low + (high - low) * draw(config.seed, key))
        yield key, copy


def training_copies(name: str, samples: np.ndarray, config: FeaturesConfig) -> Iterator[tuple[str, np.ndarray]]:
    """(store key, samples) of every training copy of a clip [S], those with more than speed and volume changed at the end.

    What is drawn for an augmented copy depends on the seed and its key alone. Frame t of it lies at frame t of the clip at that
    speed. Clips of the corpus are not babble to each other: a test clip would be heard in training.
    """
    yield from speed_copies(name, samples, config)
    if not config.augmented:
        return
    recordings = noise_recordings(config.noise_recordings) if config.noise_recordings else ()
    for key in training_keys(name, config)[len(config.speeds) :]:
        generator = np.random.default_rng(int(2**53 * draw(config.seed, key)))
        drawn = randomize(generator, config.augment, num_recordings=len(recordings))
        yield key, apply(samples, replace(drawn, speed=speed_of(key)), recordings=recordings)


def telephone_key(utterance: str) -> str:
    return f"{utterance}#{TELEPHONE}"


def _versions(
    name: str, samples: np.ndarray, config: FeaturesConfig, train: frozenset[str], test: frozenset[str]
) -> list[tuple[str, Frames]]:
    front_end, rate = FrontEnd(config.front_end), config.front_end.sample_rate
    made = []
    if name in train:
        made += [(key, front_end.frames(copy, rate)) for key, copy in training_copies(name, samples, config)]
    if name in test and config.channel:
        made.append((telephone_key(name), front_end.frames(telephone(samples, rate), rate)))
    return [*made, (name, front_end.frames(samples, rate))]
