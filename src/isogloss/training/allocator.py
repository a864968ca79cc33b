"""Keep freed memory: glibc hands large blocks back to the kernel, and the page faults of the next step eat a quarter of it."""

from __future__ import annotations

import ctypes
import ctypes.util
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h


def keep_freed_memory() -> bool:
    """Tell glibc never to return memory; True if it listened (it is not there on macOS, Windows and musl)."""
    name = ctypes.util.find_library("c")
    if not sys.platform.startswith("linux") or name is None:
        return False
    libc = ctypes.CDLL(name)
    if not hasattr(libc, "mallopt"):
        return False
    # −1 is the largest of an unsigned size; 2³¹ − 1 would still return a free 2 GB
    return bool(libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, -1))
