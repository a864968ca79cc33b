"""The module of ASV-Subtools that bench/training.py is measured against, for tests of the import of its checkpoints."""

import importlib.util
from pathlib import Path
from types import ModuleType


def baseline() -> ModuleType:
    path = Path(__file__).parents[1] / "bench" / "asv_subtools_baseline.py"
    spec = importlib.util.spec_from_file_location("asv_subtools_baseline", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
