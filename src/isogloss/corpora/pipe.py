"""Audio that a command writes: Kaldi's `command |` in the place of a path."""

from __future__ import annotations

import subprocess

from isogloss.types import IsoglossError


def is_pipe(source: str) -> bool:
    return source.rstrip().endswith("|")


def contents(source: str) -> str | bytes:
    """What `read_audio` reads: a path as it is; of `command |` the bytes that the command, run by the shell, writes.

    IsoglossError with the exit code and the last line of stderr if the command fails, even if it wrote something:
    a cut-off decoder looks the same as a short recording. Run only lists of recordings that you trust.
    """
    if not is_pipe(source):
        return source
    command = source.rstrip()[:-1].strip()
    ended = subprocess.run(command, shell=True, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    if ended.returncode:
        said = ended.stderr.decode(errors="replace").strip().splitlines()
        raise IsoglossError(
            f"`{command}` ended with exit code {ended.returncode}"
            + (f": {said[-1]}" if said else " and said nothing; does it run by hand?")
        )
    if not ended.stdout:
        raise IsoglossError(
            f"`{command}` wrote nothing; expected audio on its standard output (is there a `-` missing?)"
        )
    return ended.stdout
