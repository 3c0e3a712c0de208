"""The command `birthkey`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from birthkey_host.cli import output, printing
from birthkey_host.cli.lazy import Commands

app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def place(
    context: typer.Context,
    home: Annotated[
        Path,
        typer.Option(envvar="BIRTHKEY_HOME", help="Where the server's key and registry are."),
    ] = Path("birthkey-data"),
    registry: Annotated[
        str | None, typer.Option(metavar="URL", help="A registry elsewhere: a database URL.")
    ] = None,
) -> None:
    """Boards that prove who they are: the server's side."""
    from birthkey_host.cli.common import Place

    source = context.get_parameter_source("home")
    context.obj = Place(
        home, registry, home_typed=source is not None and source.name == "COMMANDLINE"
    )


def main() -> None:
    """The entry point of `birthkey`."""
    output.guard()
    printing.guard()
    try:
        app(prog_name="birthkey")
    except output.OutputLost as lost:
        output.give_up()
        if lost.broken_pipe:
            sys.exit(output.SIGPIPE_EXIT)
        sys.stderr.write(f"birthkey: {lost}; what the command changed before that stays changed\n")
        sys.exit(1)
