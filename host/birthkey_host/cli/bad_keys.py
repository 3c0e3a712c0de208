"""`birthkey bad-key add` and `bad-key list`."""

from __future__ import annotations

import re
import time
from itertools import chain
from typing import Annotated

import typer

from birthkey_host.bad_keys import PUBLISHED
from birthkey_host.cli.common import Place, Why, fail, group, login, moment, printable, table
from birthkey_host.cose import thumbprint
from birthkey_host.keys import parse_public

app = typer.Typer(help="Keys that must not become a device's.", no_args_is_help=True)


@app.command("add")
def add(
    context: typer.Context,
    key: Annotated[
        str, typer.Argument(help="128 hex digits, x || y, or its thumbprint, 64 hex digits.")
    ],
    why: Why = "",
) -> None:
    """Keep a key out for ever, and revoke the device that has it."""
    place: Place = context.obj
    with place.open_registry() as registry:
        device = registry.ban(_thumbprint(key), who=login(), why=printable(why), now=time.time())
    typer.echo("the key is on the list")
    if device is not None:
        typer.echo(f"{group(device.device_id)} has it, and is {device.state.value}")


@app.command("list")
def listed(context: typer.Context) -> None:
    """List the keys that are known to be bad, by their thumbprints."""
    place: Place = context.obj
    published = (
        (digest.hex(), "-", f"published in {where}") for digest, where in PUBLISHED.items()
    )
    with place.open_registry() as registry:
        added = (
            (row.thumbprint.hex(), moment(row.added), row.why or "-")
            for row in registry.each_bad_key()
        )
        table(("thumbprint", "added", "why"), chain(published, added))


def _thumbprint(key: str) -> bytes:
    if re.fullmatch("[0-9a-fA-F]{64}", key):
        return bytes.fromhex(key)
    try:
        return thumbprint(parse_public(key))
    except ValueError as error:
        fail(str(error), code=2)
