"""isogloss: spoken language recognition with phoneme-aware margins.

`isogloss.load("x.isogloss")("call.wav")` says which language is spoken and how sure it is. The rooms `frontend`,
`losses`, `metrics` and `backends` can be used alone. Importing this package imports nothing but the version.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from isogloss.runtime import load as load

__all__ = ["__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from isogloss.runtime import load

        return load
    raise AttributeError(f"module 'isogloss' has no attribute {name!r}")
