"""One child process: speaks one (language, split), writes its audio and its part of the manifest.

A child each, because espeak-ng's state is the process's: only from a fresh start does a job give the same bytes again,
and a crash or a hang in the library ends no more than its child.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from isogloss.corpora.synthetic.plan import Job
from isogloss.corpora.synthetic.speak import SAMPLE_RATE, SILENCE, Espeak, Speech, overlay
from isogloss.corpora.synthetic.text import Phrases
from isogloss.corpora.synthetic.voices import Voice, draw_voice
from isogloss.types import IsoglossError

OUT_SAMPLE_RATE = 16000  # Hz
MIN_SECONDS, MAX_SECONDS = 2.0, 8.0  # of an utterance
TARGET_SECONDS = (2.5, 7.5)
GAP_SECONDS = (0.08, 0.35)  # between two phrases
MAX_REFUSED = 500  # phrases in one utterance


def run(job: Job, out_dir: Path, part: Path, scratch: Path) -> None:
    """Speaks `job` into `out_dir`; renames `part` into place when all its audio is written. `scratch`: an empty folder.

    The same job gives the same bytes.
    """
    names = [f"{job.split}-{index:02d}" for index in range(job.num_voices)]  # short: espeak keeps them in 40 bytes
    voices = [draw_voice(name, random.Random(f"{job.seed} {job.language} {name} voice")) for name in names]
    espeak = Espeak(overlay(scratch, voices))
    audio = out_dir / "audio" / job.language / job.split
    audio.mkdir(parents=True, exist_ok=True)
    seconds_each = 60 * job.minutes / job.num_voices
    rows = []
    for voice in voices:
        speaker = f"{job.language}-{voice.name}"
        rng = random.Random(f"{job.seed} {speaker} text")
        espeak.select(job.language, voice)
        phrases = Phrases(job.language, rng)
        for number, speech in enumerate(_utterances(espeak, voice, phrases, rng, seconds_each)):
            path = audio / f"{speaker}-{number:04d}.flac"
            duration = _write(speech, voice, path, rng)
            rows.append(
                {
                    "id": path.stem,
                    "path": path.relative_to(out_dir).as_posix(),
                    "language": job.language,
                    "speaker": speaker,
                    "recording": speaker,  # each is recorded once
                    "split": job.split,
                    "duration": duration,
                    "use": job.use,
                    "phones": _phones_in_seconds(speech, duration),
                }
            )
    beside = part.with_suffix(".tmp")
    beside.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    beside.replace(part)


def _utterances(espeak: Espeak, voice: Voice, phrases: Phrases, rng: random.Random, seconds: float) -> Iterator[Speech]:
    """Utterances of this voice until they last `seconds`."""
    while seconds > 0:
        speech = _utterance(espeak, voice, phrases, rng)
        yield speech
        seconds -= len(speech.samples) / SAMPLE_RATE


def _utterance(espeak: Espeak, voice: Voice, phrases: Phrases, rng: random.Random) -> Speech:
    target = rng.uniform(*TARGET_SECONDS)
    rate_wpm = round(voice.rate_wpm * rng.uniform(0.93, 1.07))
    whole: Speech | None = None
    for _ in range(MAX_REFUSED):
        phrase = espeak.say(phrases.draw(), rate_wpm)
        if phrase is None:
            continue
        longer = join(whole, phrase, rng.uniform(*GAP_SECONDS)) if whole else phrase
        if len(longer.samples) <= MAX_SECONDS * SAMPLE_RATE:
            whole = longer
            if len(whole.samples) >= target * SAMPLE_RATE:
                return whole
        elif whole and len(whole.samples) >= MIN_SECONDS * SAMPLE_RATE:
            return whole
    raise IsoglossError(
        f"{voice.name}: espeak-ng refused nearly all of {MAX_REFUSED} phrases or read them as another language; "
        "has this espeak-ng the language's dictionary? (pip install -U espeakng-loader babel)"
    )


def join(first: Speech, second: Speech, gap_seconds: float) -> Speech:
    """One after the other with a pause between them; silences that meet become one."""
    gap = round(gap_seconds * SAMPLE_RATE)
    offset = len(first.samples) + gap
    phones = list(first.phones)
    for symbol, start, end in [(SILENCE, -gap, 0), *second.phones]:
        if symbol == SILENCE == phones[-1][0]:
            phones[-1] = (SILENCE, phones[-1][1], end + offset)
        else:
            phones.append((symbol, start + offset, end + offset))
    return Speech(np.concatenate([first.samples, np.zeros(gap, np.int16), second.samples]), phones)


def _write(speech: Speech, voice: Voice, path: Path, rng: random.Random) -> float:
    """Writes the audio as heard in the voice's room; returns its duration in seconds."""
    # soxr's filter has linear phase and its delay is taken out, so times in seconds hold.
    wave = soxr.resample(speech.samples.astype(np.float32) / 32768, SAMPLE_RATE, OUT_SAMPLE_RATE)
    # Each voice has a loudness of its own: espeak's would tell the language (and Klatt or not).
    wave *= 10 ** (voice.level_db / 20) / float(np.sqrt(np.mean(wave**2)))
    # A quiet room: digital silence would make log energies and pitch of the pauses those of no recording.
    noise = np.random.default_rng(rng.getrandbits(64)).standard_normal(len(wave), dtype=np.float32)
    wave += 10 ** (voice.noise_db / 20) * noise
    pcm = np.clip(np.round(wave * 32768), -32768, 32767).astype(np.int16)
    soundfile.write(path, pcm, OUT_SAMPLE_RATE, subtype="PCM_16")
    return len(pcm) / OUT_SAMPLE_RATE


def _phones_in_seconds(speech: Speech, duration: float) -> list[tuple[str, float, float]]:
    """The last phone ends with the file, which may be a fraction of a sample shorter or longer than what was spoken."""
    starts = [round(start / SAMPLE_RATE, 5) for _, start, _ in speech.phones]
    symbols = [symbol for symbol, _, _ in speech.phones]
    return list(zip(symbols, starts, [*starts[1:], duration], strict=True))


def main(arguments: list[str]) -> int:
    """One argument: JSON of `run`'s own. Exit code 2 and one line for what the user can mend."""
    task = json.loads(arguments[0])
    try:
        run(Job(**task["job"]), Path(task["out_dir"]), Path(task["part"]), Path(task["scratch"]))
    except IsoglossError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
