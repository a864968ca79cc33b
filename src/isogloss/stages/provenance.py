"""Where a number comes from: commit, machine, versions."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("isogloss", "numpy", "scipy", "torch", "lhotse", "onnxruntime")


def commit() -> str:
    """The commit of this source tree, `+` where it has been changed; the version where there is no repository."""
    from isogloss import __version__

    here = Path(__file__).parent
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return __version__
    return run.stdout.strip() if run.returncode == 0 else __version__


def machine() -> str:
    """`AMD EPYC, 2 cores, Linux`"""
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            name = next(line.partition(":")[2].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores, {platform.system()}"


def versions() -> dict[str, str]:
    """Of Python and of the packages that can move a result; what is not installed is left out."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
