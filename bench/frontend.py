"""The front end against Kaldi's own numbers, and its speed: error and time side by side, as markdown.

    python bench/frontend.py                    the recordings in tests/data
    python bench/frontend.py --reference DIR    a folder with manifest.json, wav/ and feats/*.npz of the same make

Every setting in the manifest is read from its Kaldi command line, so a folder with other settings needs no change here.
Each stage is given Kaldi's own input; `ours from audio on` runs our whole chain. No frame is left out. Times are one
thread, the best of several runs; × real time is seconds of audio per second.
"""

# ruff: noqa: E402 (thread counts must be set before NumPy is loaded)
from __future__ import annotations

import os

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ[name] = "1"

import argparse
import json
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from isogloss.frontend.cmvn import cmvn, cmvn_stats, sliding_cmn
from isogloss.frontend.deltas import deltas, splice
from isogloss.frontend.frontend import FrontEnd, paste
from isogloss.frontend.mfcc import fbank, mfcc
from isogloss.frontend.pitch import pitch
from isogloss.frontend.process_pitch import process_pitch
from isogloss.frontend.resample import resample
from isogloss.frontend.vad import vad

SUBSET = Path(__file__).parents[1] / "tests" / "data" / "kaldi_reference.npz"
SPEED_SECONDS = 600

RENAMED = {  # Kaldi's option → ours, where the name differs
    "frame_length": "frame_length_ms",
    "frame_shift": "frame_shift_ms",
    "preemphasis_coefficient": "preemphasis",
    "use_log_fbank": "use_log",
    "vad_energy_threshold": "energy_threshold",
    "vad_energy_mean_scale": "energy_mean_scale",
    "vad_frames_context": "frames_context",
    "vad_proportion_threshold": "proportion_threshold",
    "cmn_window": "window",
    "min_cmn_window": "min_window",
    "center": "centre",
    "norm_vars": "normalise_variance",
    "delta_order": "order",
    "delta_window": "window",
    "left_context": "left",
    "right_context": "right",
}
KALDI_DEFAULTS = {  # where ours are not Kaldi's
    "compute-mfcc-feats": {"num_ceps": 13, "low_freq": 20.0, "high_freq": 0.0},
    "apply-cmvn-sliding": {"window": 600, "centre": False},
    "splice-feats": {"left": 4, "right": 4},
}
IGNORED = {"dither", "sample_frequency", "delta_pitch_noise_stddev", "length_tolerance", "srand", "allow_upsample"}


class Reference:
    """Recordings and Kaldi's features, from a folder or from the subset in tests/data."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.archive = dict(np.load(SUBSET)) if folder is None else {}
        manifest = str(self.archive["manifest"]) if folder is None else (folder / "manifest.json").read_text()
        self.manifest = json.loads(manifest)

    def audio(self, recording: str) -> tuple[np.ndarray, int]:
        if self.folder is None:
            return self.archive[f"audio/{recording}"], self.manifest["audio"][recording]["sample_rate"]
        return soundfile.read(self.folder / "wav" / f"{recording}.wav", dtype="int16")

    @cache  # noqa: B019 (there is one Reference)
    def features(self, name: str) -> dict[str, np.ndarray]:
        if self.folder is None:
            return {key.split("/")[1]: value for key, value in self.archive.items() if key.startswith(name + "/")}
        path = self.folder / "feats" / f"{name}.npz"
        return dict(np.load(path)) if path.exists() else {}

    @cache  # noqa: B019 (there is one Reference)
    def command(self, name: str) -> tuple[str, dict, list[str]]:
        """Tool, its options under our names, and the features it read (none: it read audio)."""
        line, _, piped = self.manifest["features"][name]["command"][0].partition("|")
        tool, *words = shlex.split(line)
        for word in list(words):
            if word.startswith("--config="):
                lines = self.manifest["configs"][Path(word).name].splitlines()
                words = [line.split("#")[0].strip() for line in lines] + words
        pairs = [word[2:].split("=", 1) for word in words if word.startswith("--") and not word.startswith("--config=")]
        options = dict(KALDI_DEFAULTS.get(tool, {}))
        for key, value in pairs:
            key = key.replace("-", "_")
            own_name = tool.endswith("kaldi-pitch-feats") and not key.startswith("frame_")
            options[key if own_name else RENAMED.get(key, key)] = plain(value)
        arks = [word.split("/")[-1].removesuffix(".ark") for word in words if word.startswith("ark:ark/")]
        return tool, options, arks if piped else arks[:-1]


def plain(value: object) -> object:
    """`true`, `3`, `0.5`, `povey` → Python values."""
    if not isinstance(value, str):
        return value
    if value in ("true", "false"):
        return value == "true"
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            pass
    return value


def compute(reference: Reference, name: str, recording: str, own_inputs: bool) -> np.ndarray:
    """Our version of a feature, from Kaldi's inputs or, all the way from the audio, from our own."""
    tool, options, sources = reference.command(name)
    ours = {key: value for key, value in options.items() if key not in IGNORED}
    if own_inputs:
        inputs = [compute(reference, source, recording, True) for source in sources]
    else:
        inputs = [reference.features(source)[recording] for source in sources]
    if tool == "process-kaldi-pitch-feats":
        return process_pitch(inputs[0], **ours)
    if tool == "paste-feats":
        return paste(*inputs)
    if tool == "compute-vad":
        return vad(inputs[0][:, 0], **ours)
    if tool == "apply-cmvn-sliding":
        return sliding_cmn(inputs[0], **ours)
    if tool == "select-voiced-frames":
        return inputs[0][inputs[1] > 0]
    if tool == "compute-cmvn-stats":
        return cmvn_stats(inputs[0])
    if tool == "apply-cmvn":
        return cmvn(inputs[1], inputs[0], **ours)
    if tool == "add-deltas":
        return deltas(inputs[0], **ours)
    if tool == "splice-feats":
        return splice(inputs[0], **ours)
    samples, rate = reference.audio(recording)
    wanted = options.get("sample_frequency", rate)
    if options.get("allow_upsample") and wanted != rate:
        samples, rate = resample(samples, rate, wanted), wanted
    function = {"compute-mfcc-feats": mfcc, "compute-fbank-feats": fbank, "compute-kaldi-pitch-feats": pitch}[tool]
    return function(samples, rate, **ours)


def error_table(reference: Reference) -> None:
    print(f"## Error against Kaldi {reference.manifest['kaldi_commit'][:7]}\n")
    print(
        "| feature | Kaldi's tool, from its own input | recordings | frames | other shape | worst | max abs Δ | rms Δ | |"
    )
    print("|---|---|--:|--:|--:|---|--:|--:|---|")
    for name, entry in reference.manifest["features"].items():
        if "--compress" in entry["command"][0]:
            continue  # Kaldi's 8-bit storage is no part of this front end
        tool, options, sources = reference.command(name)
        whole_chain = tool in ("paste-feats", "select-voiced-frames")
        noisy = tool == "process-kaldi-pitch-feats" and options.get("delta_pitch_noise_stddev") != 0
        num_recordings = frames = wrong = lags = count = 0
        squares, largest, worst = 0.0, 0.0, ""
        for recording, expected in reference.features(name).items():
            if not whole_chain and any(recording not in reference.features(source) for source in sources):
                continue  # the input is not stored
            ours = compute(reference, name, recording, own_inputs=whole_chain)
            num_recordings += 1
            if noisy:
                ours, expected = ours[:, :2], expected[:, :2]
            if ours.shape != expected.shape:
                wrong += 1
                continue
            difference = np.abs(ours.astype(np.float64) - expected)
            if tool == "compute-kaldi-pitch-feats":
                lags += np.count_nonzero(difference[:, 1] > 1e-3)
            if tool == "compute-cmvn-stats":
                difference /= np.maximum(np.abs(expected), 1.0)
            frames, count, squares = (
                frames + len(expected),
                count + difference.size,
                squares + float((difference**2).sum()),
            )
            if difference.size and difference.max() >= largest:
                worst, largest = recording, float(difference.max())
        if num_recordings == 0:
            continue
        remark = {
            "compute-kaldi-pitch-feats": f"{lags} lags differ",
            "compute-cmvn-stats": "relative",
            "compute-vad": f"{round(squares)} frames differ",
        }.get(tool, "delta left out: Kaldi adds noise" if noisy else "")
        label = f"{tool} (ours from audio on)" if whole_chain else tool
        rms = np.sqrt(squares / max(count, 1))
        print(
            f"| {name} | {label} | {num_recordings} | {frames} | {wrong} | {worst} | {largest:.1e} | {rms:.1e} | {remark} |"
        )


def long_speech(reference: Reference, seconds: float) -> np.ndarray:
    """The 16 kHz recordings that hold sound, one after another, each time from another point on."""
    pieces = [reference.audio(name) for name in reference.manifest["audio"]]
    pieces = [
        samples for samples, rate in pieces if rate == 16000 and np.count_nonzero(samples) > 0.9 * len(samples) > 9000
    ]
    parts, size, turn = [], 0, 0
    while size < seconds * 16000:
        piece = pieces[turn % len(pieces)]
        parts.append(np.roll(piece, 997 * turn))
        size, turn = size + len(piece), turn + 1
    return np.concatenate(parts)[: int(seconds * 16000)]


def best(function: Callable[[], object], runs: int = 5) -> tuple[float, float]:
    """Wall and CPU seconds of the fastest run, the first (warming) one left out."""
    function()
    walls, cpus = [], []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def native_fbank(samples: np.ndarray) -> Callable[[], object] | None:
    """kaldi-native-fbank's MFCC of the same options; its frames are read only for the error."""
    try:
        import kaldi_native_fbank
    except ImportError:
        return None
    options = kaldi_native_fbank.MfccOptions()
    options.frame_opts.dither = 0.0
    options.mel_opts.low_freq, options.mel_opts.high_freq, options.num_ceps = 40.0, -200.0, 20
    values = samples.astype(np.float32).tolist()

    def run() -> object:
        computer = kaldi_native_fbank.OnlineMfcc(options)
        computer.accept_waveform(16000, values)
        computer.input_finished()
        return computer

    return run


def speed_table(samples: np.ndarray) -> None:
    cepstra, raw = mfcc(samples, 16000), pitch(samples, 16000)
    frames = np.hstack([cepstra[: len(raw)], process_pitch(raw)[: len(cepstra)]])
    front_end = FrontEnd()
    rows: list[tuple[str, Callable[[], object]]] = [
        ("chain: MFCC + pitch + VAD + CMN", lambda: front_end(samples, 16000)),
        ("mfcc", lambda: mfcc(samples, 16000)),
        ("pitch", lambda: pitch(samples, 16000)),
        ("process_pitch", lambda: process_pitch(raw)),
        ("vad", lambda: vad(cepstra[:, 0])),
        ("sliding_cmn", lambda: sliding_cmn(frames)),
        ("fbank, 40 bins", lambda: fbank(samples, 16000, num_mel_bins=40)),
    ]
    peer = native_fbank(samples)
    if peer is not None:
        rows.append(("kaldi-native-fbank, MFCC", peer))
    seconds = len(samples) / 16000
    print(f"\n## Speed, {seconds:.0f} s of 16 kHz speech, one thread, warm\n")
    print("| what | wall s | CPU s | × real time (wall) | × real time (CPU) |\n|---|--:|--:|--:|--:|")
    for name, function in rows:
        wall, cpu = best(function)
        print(f"| {name} | {wall:.3f} | {cpu:.3f} | {seconds / wall:,.0f} | {seconds / cpu:,.0f} |")
    if peer is not None:
        computer = peer()
        theirs = np.array([computer.get_frame(t) for t in range(computer.num_frames_ready)])  # type: ignore[attr-defined]
        print(f"\nmax abs Δ of mfcc and kaldi-native-fbank on this audio: {np.abs(theirs - cepstra).max():.1e}")


FIRST_CALL = """
import time, numpy as np
start = time.perf_counter()
from isogloss.frontend.frontend import FrontEnd, paste
imported = time.perf_counter()
FrontEnd()((np.random.default_rng(0).normal(0, 0.1, 160000)).astype(np.float32), 16000)
print(imported - start, time.perf_counter() - imported)
"""

PEAK = """
import sys, numpy as np
from isogloss.frontend.{module} import {name}
speech = np.load(sys.argv[1])
{name}(speech[:160000], 16000)
long = np.empty({seconds} * 16000, dtype=np.int16)  # filled in place: nothing else may raise the peak before
for start in range(0, len(long), len(speech)):
    long[start : start + len(speech)] = speech[: len(long) - start]
peak = lambda: int([line for line in open("/proc/self/status") if line.startswith("VmHWM")][0].split()[1])  # KB
before = peak()
out = {name}(long, 16000)
print(peak() - before, out.nbytes / 1024)
"""


def child(code: str, *arguments: str, **environment: str) -> list[float]:
    command = [sys.executable, "-c", code, *arguments]
    run = subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True, check=True)
    return [float(word) for word in run.stdout.split()]


def first_call_table() -> None:
    print("\n## First call, 10 s of audio, a fresh process\n\n| numba cache | import s | first call s |\n|---|--:|--:|")
    with tempfile.TemporaryDirectory() as cache:
        for label in ("empty: everything is compiled", "filled"):
            imported, called = child(FIRST_CALL, NUMBA_CACHE_DIR=cache)
            print(f"| {label} | {imported:.2f} | {called:.2f} |")


def memory_table(samples: np.ndarray) -> None:
    if not Path("/proc/self/status").exists():
        return  # Linux only: getrusage would report the parent's peak
    print(
        "\n## Memory beyond the input (int16)\n\n| what | audio | peak growth MB | of which output MB |\n|---|--:|--:|--:|"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "speech.npy")
        np.save(path, samples)
        for name in ("mfcc", "pitch"):
            for seconds, label in ((600, "10 min"), (10800, "3 h")):
                peak, output = child(PEAK.format(module=name, name=name, seconds=seconds), path)
                print(f"| {name} | {label} | {peak / 1024:.0f} | {output / 1024:.0f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--reference", type=Path, help="folder with manifest.json, wav/ and feats/; default: tests/data"
    )
    parser.add_argument("--errors-only", action="store_true", help="leave out speed, first call and memory")
    arguments = parser.parse_args()
    reference = Reference(arguments.reference)
    error_table(reference)
    if arguments.errors_only:
        return
    samples = long_speech(reference, SPEED_SECONDS)
    speed_table(samples)
    first_call_table()
    memory_table(samples)


if __name__ == "__main__":
    main()
