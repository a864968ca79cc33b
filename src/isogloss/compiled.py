"""`@compiled(…)`: numba's njit, its machine code kept on disk where there is a place to keep it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def compiled(**options: Any) -> Callable[[FunctionT], FunctionT]:
    """njit with `cache=True`; without, in a container where neither the package's nor the user's folder can be written.

    There numba would refuse at import; so the price is eight seconds at the first call in every process.
    """

    def decorate(function: FunctionT) -> FunctionT:
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:  # "cannot cache function …: no locator available"
            return njit(**options)(function)

    return decorate
