"""The command `birthkey`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from birthkey_host.cli import (
    audit,
    bad_keys,
    ca,
    claims,
    devices,
    factory,
    keeping,
    life,
    messages,
    send,
    server,
    tools,
)
from birthkey_host.cli.common import Commands, Place

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
    context.obj = Place(home, registry)


for name, command in (
    ("init", server.init),
    ("serve", server.serve),
    ("server-key", server.server_key),
    ("devices", devices.devices),
    ("show", devices.show),
    ("factory", factory.factory),
    ("approve", life.approve),
    ("suspend", life.suspend),
    ("revoke", life.revoke),
    ("delete", life.delete),
    ("messages", messages.messages),
    ("prune", life.prune),
    ("backup", keeping.backup),
    ("upgrade", keeping.upgrade),
    ("send", send.send),
    ("audit", audit.audit),
    ("inspect", tools.inspect),
    ("modem", tools.modem),
):
    app.command(name)(command)

app.add_typer(claims.app, name="claim")
app.add_typer(bad_keys.app, name="bad-key")
app.add_typer(ca.app, name="ca")


def main() -> None:
    """The entry point of `birthkey`."""
    app(prog_name="birthkey")
