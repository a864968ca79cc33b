"""No import runs up the table of docs: types ← config ← rooms ← training, runtime, report ← stages ← cli."""

import ast
from pathlib import Path

import pytest

import isogloss

SOURCE = Path(isogloss.__file__).parent
MAY_IMPORT = {
    "types": set(),
    "compiled": set(),
    "config": {"types"},
    "systems": {"types"},
    "corpora": {"types", "config", "frontend", "compiled"},  # a corpus is decoded once to be checked, by the one reader of audio
    "frontend": {"types", "config", "compiled"},
    "phones": {"types", "config", "frontend", "compiled"},
    "nn": {"types"},
    "losses": {"types"},
    "backends": {"types"},
    "metrics": {"types", "compiled"},
    "training": {"types", "config", "systems", "nn", "losses", "frontend"},
    "runtime": {"types", "config", "frontend", "backends"},
    "report": {"types", "metrics", "systems"},
    "stages": {"types", "config", "systems", "corpora", "frontend", "phones", "nn", "losses", "training", "backends",
               "metrics", "runtime", "report"},
    "__main__": {"cli"},
    "cli_options": {"types", "config"},
    "cli_import": {"types", "config", "cli_options", "stages"},
    "cli_phones": {"types", "config", "cli_options", "corpora", "phones", "stages"},
    "cli_scores": {"types", "cli_options", "backends", "stages"},
    "cli": {"types", "config", "cli_options", "cli_import", "cli_phones", "cli_scores", "systems", "corpora", "stages",
            "runtime", "report"},
}  # fmt: skip
WITHOUT_TORCH = {
    "types",
    "compiled",
    "config",
    "systems",
    "frontend",
    "backends",
    "metrics",
    "runtime",
    "corpora",
    "report",
}


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path):
    """(module, whether only for type checkers) of every import, wherever in the file it stands."""
    tree = ast.parse(path.read_text())
    checked_only = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in checked_only) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module, id(node) in checked_only


FILES = [path for path in sorted(SOURCE.rglob("*.py")) if path != SOURCE / "__init__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_run_down(path):
    here = room(path)
    for module, _ in imports(path):
        parts = module.split(".")
        if parts[0] == "isogloss" and len(parts) > 1 and parts[1] != here:
            assert parts[1] in MAY_IMPORT[here], f"{path.name} of {here} imports {module}"


@pytest.mark.parametrize(
    "path", [p for p in FILES if room(p) in WITHOUT_TORCH], ids=lambda p: str(p.relative_to(SOURCE))
)
def test_the_runtime_side_never_imports_torch(path):
    assert not [
        module for module, checked_only in imports(path) if module.split(".")[0] == "torch" and not checked_only
    ]


def test_every_room_is_in_the_table():
    assert {room(path) for path in FILES} == set(MAY_IMPORT)
