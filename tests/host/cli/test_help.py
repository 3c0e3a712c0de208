"""Help texts: the same whether or not a command is loaded, and loaded only when it is called."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from birthkey_host.cli import app
from birthkey_host.cli.lazy import COMMANDS, load
from command import Command

HEAVY = ("sqlalchemy", "cryptography", "OpenSSL", "rich", "serial", "asyncio", "segno", "ecdsa")
"""What only commands need."""


def loaded(*arguments: str) -> set[str]:
    """The modules that a call of the command has imported when it ends."""
    program = (
        "import sys\n"
        "from birthkey_host.cli import main\n"
        "sys.argv = ['birthkey', *sys.argv[1:]]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print(*sys.modules, file=sys.stderr)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    return set(ran.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [["--help"], [], ["aprove"]], ids=str)
def test_help_loads_no_command(arguments: list[str]) -> None:
    modules = loaded(*arguments)
    assert "birthkey_host.cli" in modules
    assert modules.isdisjoint(HEAVY)
    assert not {name for name in modules if name.startswith("birthkey_host.cli.")} - {
        "birthkey_host.cli.lazy",
        "birthkey_host.cli.output",
        "birthkey_host.cli.printing",
    }


def test_a_command_loads_its_own_module() -> None:
    modules = loaded("modem", "--help")
    assert "birthkey_host.cli.tools" in modules
    assert "birthkey_host.cli.server" not in modules


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.parametrize("width", [20, 45, 65, 200])
def test_what_the_list_says_of_a_command_is_how_its_own_help_begins(name: str, width: int) -> None:
    root = typer.main.get_command(app)
    listed = root.get_command(typer.Context(root), name)  # type: ignore[attr-defined]
    assert listed.get_short_help_str(width) == load(name).get_short_help_str(width)


def test_order_of_the_list(nothing: Command) -> None:
    *_, commands = nothing("--help").partition("Commands:\n")
    assert [line.split()[0] for line in commands.splitlines()] == list(COMMANDS)
    assert list(COMMANDS)[:5] == ["init", "serve", "server-key", "devices", "show"]


def test_a_slip_is_understood(nothing: Command) -> None:
    result = nothing.run("aprove")
    assert result.exit_code == 2
    assert "No such command 'aprove'. Did you mean 'approve'?" in result.stderr


@pytest.mark.parametrize("name", COMMANDS)
def test_each_has_a_help_text(nothing: Command, name: str) -> None:
    said = nothing(name, "--help")
    assert f" {name} [OPTIONS]" in said
    assert "--help" in said
