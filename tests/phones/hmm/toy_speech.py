"""Made-up cepstra of known phones: every HMM state a Gaussian, every speaker an affine distortion of them."""

import itertools
from dataclasses import dataclass

import numpy as np

from isogloss.phones.hmm.speech import NUM_CEPS, TrainingSpeech, normalised_by_speaker
from isogloss.phones.hmm.stages import Phonetics, train_deltas, train_lda_mllt, train_mono, train_quick, train_sat
from isogloss.phones.hmm.topology import left_to_right, silence_topology
from isogloss.phones.hmm.train import EmOptions

SILENCE, NUM_PHONES = 1, 6
PHONES = range(2, NUM_PHONES + 1)
TOPOLOGIES = {SILENCE: silence_topology(3)} | {phone: left_to_right(3) for phone in PHONES}
PHONETICS = Phonetics(
    TOPOLOGIES, [[2], [3, 4], [5], [6]], [frozenset({4}), frozenset({2, 5})], SILENCE, tree_threshold=60.0
)


@dataclass
class Toy:
    """`segments`: (phone, first frame, one past the last) of each utterance, silence too."""

    speech: TrainingSpeech
    segments: list[list[tuple[int, int, int]]]


def toy_speech(speakers=("ann", "bob"), utterances=14, seed=0, distortion=0.35):
    """Utterances of seven phones of 6 to 15 frames, a pause at both ends and sometimes between."""
    rng = np.random.default_rng(seed)
    means = 2.0 * rng.normal(size=(NUM_PHONES + 1, 3, NUM_CEPS))
    means[SILENCE] = means[SILENCE, 0]
    names, of, words, frames, segments = [], [], [], [], []
    for speaker in speakers:
        matrix = np.eye(NUM_CEPS) + distortion * rng.normal(size=(NUM_CEPS, NUM_CEPS)) / np.sqrt(NUM_CEPS)
        offset = rng.normal(size=NUM_CEPS)
        for number in range(utterances):
            said = rng.choice(PHONES, size=7)
            pauses = [True, *(rng.random(6) < 0.2), True]
            phones = [SILENCE] * pauses[0]
            for phone, pause in zip(said, pauses[1:], strict=True):
                phones += [int(phone)] + [SILENCE] * bool(pause)
            parts, cut, t = [], [], 0
            for phone in phones:
                lengths = rng.integers(2, 6, size=3)
                parts += [means[phone, state] + rng.normal(size=(n, NUM_CEPS)) for state, n in enumerate(lengths)]
                cut.append((phone, t, t := t + int(lengths.sum())))
            names.append(f"{speaker}{number}")
            of.append(speaker)
            words.append([[(phone,)] for phone in said.tolist()])
            frames.append((np.concatenate(parts) @ matrix.T + offset).astype(np.float32))
            segments.append(cut)
    return Toy(TrainingSpeech.of(names, of, words, normalised_by_speaker(frames, of)), segments)


OPTIONS = {
    "mono": EmOptions(40, 16, 8, realign=tuple(range(1, 11)), boost_silence=1.25),
    "tri1": EmOptions(60, 14, 6, realign=(3, 6)),
    "tri2b": EmOptions(60, 14, 6, realign=(3, 6), transforms=(2, 4)),
    "tri3b": EmOptions(60, 14, 6, realign=(3, 6), transforms=(2, 4)),
    "tri4b": EmOptions(64, 12, 3, realign=(3,)),
}


def trained(speech, last="tri4b"):
    """All stages up to `last`, by name."""
    stages = {"mono": train_mono(speech, PHONETICS, OPTIONS["mono"])}
    trainers = {"tri1": train_deltas, "tri2b": train_lda_mllt, "tri3b": train_sat, "tri4b": train_quick}
    for before, (name, train) in itertools.pairwise([("mono", None), *trainers.items()]):
        if before[0] == last:
            break
        stages[name] = train(stages[before[0]], PHONETICS, OPTIONS[name], 26)
    return stages
