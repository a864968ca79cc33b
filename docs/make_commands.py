"""Write docs/commands.md: every command's --help, so that options and defaults can be read on the web."""

from pathlib import Path

import typer
from typer.testing import CliRunner

from isogloss.cli import app


def commands(group: typer.Typer, before: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """What stands after `isogloss`, of every command and of those of its groups."""
    own = [
        (*before, command.name or command.callback.__name__)
        for command in group.registered_commands
        if command.callback
    ]
    return own + [words for of in group.registered_groups for words in commands(of.typer_instance, (*before, of.name))]


helps = [
    (" ".join(words), CliRunner().invoke(app, [*words, "--help"], terminal_width=110, prog_name="isogloss").output)
    for words in commands(app)
]
text = "# Commands\n\nMade by `make docs`.\n" + "".join(
    f"\n## {name}\n\n```\n{output.strip()}\n```\n" for name, output in helps
)
Path(__file__).with_name("commands.md").write_text(text, encoding="utf-8")
