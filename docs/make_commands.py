"""Write docs/commands.md: every command's --help, so that options and defaults can be read on the web."""

from pathlib import Path

from typer.testing import CliRunner

from isogloss.cli import app

names = [command.name or command.callback.__name__ for command in app.registered_commands if command.callback]
helps = [
    (name, CliRunner().invoke(app, [name, "--help"], terminal_width=110, prog_name="isogloss").output) for name in names
]
text = "# Commands\n\nMade by `make docs`.\n" + "".join(
    f"\n## {name}\n\n```\n{output.strip()}\n```\n" for name, output in helps
)
Path(__file__).with_name("commands.md").write_text(text, encoding="utf-8")
