"""How well non-speech alone tells the languages apart: what microphones, rooms and codecs give away.

The frames that the VAD did not select, as MFCC without mean normalisation (which would take the channel away), of the
training clips of each split: a Gaussian for each language, all with one covariance. A test clip is the language under
which its own such frames are most likely on average. Every language weighs the same, so that guessing is right once in C,
however many clips each has. A system that is right more often than this probe has heard speech; one that is not may have
learnt microphones.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from isogloss import metrics
from isogloss.backends.gaussian import Gaussian
from isogloss.config import FrontEndConfig
from isogloss.corpora.splits import Split
from isogloss.frontend.frontend import cepstra_of, voiced_of
from isogloss.types import Key, Scores

if TYPE_CHECKING:
    from lhotse import CutSet

MIN_FRAMES = 10  # of non-speech; fewer say too little of a clip's channel
MAX_FRAMES = 50  # of each clip, evenly drawn: more of one channel say nothing new
FRAME_SECONDS = 0.01
DITHER = 0.01  # standard deviations: digital silence is the same in every frame, and a Gaussian needs a width
IMPOSSIBLE = -1e3  # log-likelihood of a language without a training clip that has non-speech


class NonSpeech(NamedTuple):
    """Of one clip."""

    num_frames: int
    cepstra: np.ndarray  # [≤ MAX_FRAMES, num_ceps] float32, some of them


@dataclass(frozen=True)
class ChannelProbe:
    """Test clips of all splits pooled, as far as they have non-speech."""

    accuracy: float
    low: float  # 95 % interval over recordings
    high: float
    chance: float
    num_utterances: int
    num_without: int  # test clips with less than MIN_FRAMES of non-speech
    seconds: float  # of non-speech in the clips that trained or were tested

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def basis(self) -> str:
        """What that rests on, for people."""
        return (
            f"The 95 % interval is {100 * self.low:.0f} % to {100 * self.high:.0f} %, from {self.num_utterances} test clips; "
            f"{self.num_without} others have too little non-speech. In all there are {self.seconds:.0f} s of it."
        )


def non_speech(samples: np.ndarray, config: FrontEndConfig) -> NonSpeech:
    """What the VAD leaves of a clip [S]."""
    cepstra = cepstra_of(samples, config)
    left = cepstra[~voiced_of(cepstra[:, 0], config)]
    some = np.linspace(0, len(left) - 1, min(len(left), MAX_FRAMES)).round().astype(int)
    return NonSpeech(len(left), left[some])


def channel_probe(
    cuts: CutSet,
    splits: Mapping[str, Split],
    heard: Mapping[str, NonSpeech],
    num_resamples: int = 1000,
    seed: int = 1024,
) -> ChannelProbe | None:
    """Trained on each split's training clips, tested on its ordinary test clips; `heard`: clip → what `non_speech` says.

    Test clips that were recorded for a condition of their own (short, channel …) are left out, as from `full`. None where
    there is nothing to train or to test on: no test clip with MIN_FRAMES of non-speech, or training clips of one language.
    """
    about = {cut.id: cut.supervisions[0] for cut in cuts}
    language = {name: str(s.language) for name, s in about.items()}
    target = sorted({language[name] for split in splits.values() for name in split.train})
    enough = {name for name, found in heard.items() if found.num_frames >= MIN_FRAMES}
    used: set[str] = set()
    utterances: list[str] = []
    rows = [np.zeros((0, len(target)))]
    recordings: dict[str, str] = {}
    key: Key = {}
    num_without = 0
    for split_name, split in splits.items():
        ordinary = [n for n in split.test if language[n] in target and not about[n].custom.get("condition")]
        train, test = ([name for name in names if name in enough] for names in (split.train, ordinary))
        if len({language[name] for name in train}) < 2:
            test = []
        num_without += len(ordinary) - len(test)
        if not test:
            continue
        used |= {*train, *test}
        cepstra = {name: heard[name].cepstra for name in {*train, *test}}
        rows.append(_loglik([(cepstra[n], language[n]) for n in train], [cepstra[n] for n in test], target))
        named = {f"{split_name}/{name}": name for name in test}
        utterances += named
        key |= {unique: language[name] for unique, name in named.items()}
        recordings |= {unique: str(about[name].custom["recording"]) for unique, name in named.items()}
    if not utterances:
        return None
    seconds = round(FRAME_SECONDS * sum(heard[name].num_frames for name in used), 2)
    scores = Scores(utterances, target, np.concatenate(rows))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few recordings of a language: the interval is no part of a claim here
        found = metrics.bootstrap(metrics.accuracy, scores, key, recordings, num_resamples, seed)
    return ChannelProbe(found.value, found.low, found.high, 1 / len(target), len(utterances), num_without, seconds)


def _loglik(train: list[tuple[np.ndarray, str]], test: list[np.ndarray], columns: list[str]) -> np.ndarray:
    """[U, C] mean log-likelihood of the test clips' frames in the order of `columns`, of which training may lack some."""
    x = np.concatenate([frames for frames, _ in train]).astype(np.float64)
    mean, deviation = x.mean(axis=0), np.maximum(x.std(axis=0), 1e-6)
    noise = np.random.default_rng(0).normal(scale=DITHER, size=x.shape)
    spoken = [language for frames, language in train for _ in frames]
    model = Gaussian().fit((x - mean) / deviation + noise, spoken)
    loglik = np.full((len(test), len(columns)), IMPOSSIBLE)
    own = [columns.index(name) for name in model.languages]
    for row, frames in zip(loglik, test, strict=True):
        row[own] = model.loglik((frames - mean) / deviation).mean(axis=0)
    return loglik
