"""Made-up words of a few sounds that a recogniser can tell apart, said by speakers who differ, as a corpus on disk."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

RATE = 16000
CENTRES = {"m": 250, "a": 800, "o": 1500, "i": 2600, "s": 5200}  # Hz, of each phone's noise
LEXICON = """\
sam s a m
sam s o m
mis m i s
osa o s a
ami a m i
iso i s o
moa m o a
"""
WORDS = tuple(dict.fromkeys(line.split()[0] for line in LEXICON.splitlines()))
HELD_OUT_EVERY = 3
TINY = [
    "silence_states=3", "lm_order=2",
    "mono.gaussians=50", "mono.iterations=10", "mono.grow_until=6", "mono.realign=[1, 2, 3, 4, 5, 7, 9]",
    *(f"{stage}.{option}" for stage in ("tri1", "tri2b", "tri3b", "tri4b")
      for option in ("leaves=30", "gaussians=50", "tree_threshold=40", "iterations=6", "grow_until=3", "realign=[3]")),
    *(f"{stage}.transforms=[2, 4]" for stage in ("tri2b", "tri3b")),
]  # fmt: skip


@dataclass
class PhoneWords:
    """A table of clips, its lexicon, and utterance → (phone, start, end) in seconds, pauses left out."""

    table: Path
    lexicon: Path
    times: dict


def noise(num_samples, rng, hertz=None):
    """Gaussian noise about a frequency; without one, the quiet of a pause."""
    white = rng.standard_normal(num_samples)
    if hertz is None:
        return 1e-3 * white
    spectrum = np.fft.rfft(white) * np.exp(
        -0.5 * (np.log(np.fft.rfftfreq(num_samples, 1 / RATE) / hertz + 1e-9) / 0.2) ** 2
    )
    made = np.fft.irfft(spectrum, num_samples)
    return 0.1 * made / made.std() + 1e-3 * white


def say(words, rng, warp=1.0, pause=0.12):
    """Samples of the words in a row, a letter a phone, with a pause at both ends; and the times of their phones."""
    pieces, times, at = [noise(int(pause * RATE), rng)], [], int(pause * RATE)
    for phone in "".join(words):
        length = int(rng.integers(6, 14)) * RATE // 100
        pieces.append(noise(length, rng, CENTRES[phone] * warp))
        times.append((phone, at / RATE, (at + length) / RATE))
        at += length
    return np.concatenate([*pieces, noise(int(pause * RATE), rng)]), times


def write_words(root, speakers=(("ann", 0.95), ("bob", 1.05)), each=30):
    """ROOT/SPEAKER/NN.wav, ROOT/table.tsv and ROOT/lexicon.txt; every third clip is for testing."""
    rng, lines, times = np.random.default_rng(0), ["path\tspeaker\ttext\tsplit"], {}
    for speaker, warp in speakers:
        (root / speaker).mkdir(parents=True)
        for number in range(each):
            words = rng.choice(WORDS, 2).tolist()
            samples, times[f"{speaker}/{number:02}"] = say(words, rng, warp)
            soundfile.write(root / speaker / f"{number:02}.wav", samples, RATE)
            split = "train" if (number + 1) % HELD_OUT_EVERY else "test"
            lines.append(f"{speaker}/{number:02}.wav\t{speaker}\t{' '.join(words)}\t{split}")
    (root / "table.tsv").write_text("\n".join(lines) + "\n")
    (root / "lexicon.txt").write_text(LEXICON)
    return PhoneWords(root / "table.tsv", root / "lexicon.txt", times)


def files_in_place(run, tasks, label, chunksize=1):
    """For `stages.clips.in_workers`: the same without the seconds that starting processes takes."""
    return (run(task) for task in tasks)
