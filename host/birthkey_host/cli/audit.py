"""`birthkey audit`."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from birthkey_host import events
from birthkey_host.cli.common import Place, device_id, fail, group, moment, table
from birthkey_host.schema import Event


def audit(
    context: typer.Context,
    verify: Annotated[
        bool, typer.Option("--verify", help="Follow the chain of hashes; exits 1 if it breaks.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what is about one device.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object a line.")] = False,
) -> None:
    """Print who did what, when and why, or check it.

    A chain that lost its end looks whole: keep the last hash somewhere else, and see that it is
    still there, with --json.
    """
    place: Place = context.obj
    wanted = None if device is None else device_id([device])
    with place.open_registry() as registry:
        rows = registry.events()
    if verify:
        typer.echo(_verified(rows))
        return
    rows = [row for row in rows if wanted is None or row.device_id == wanted]
    if as_json:
        for row in rows:
            typer.echo(_json(row))
        return
    cells = [
        (
            str(row.number),
            moment(row.at),
            row.who,
            row.action.value,
            "-" if row.device_id is None else group(row.device_id),
            row.why or "-",
        )
        for row in rows
    ]
    table(("number", "at", "who", "action", "device", "why"), cells)


def _verified(rows: list[Event]) -> str:
    try:
        last = events.verify(rows)
    except events.BrokenChain as broken:
        fail(
            f"{broken}: it, or what came before it, was changed, removed or put in; compare with"
            " a backup of the registry"
        )
    return f"the chain of {len(rows)} events is whole; its last hash is {last.hex()}"


def _json(row: Event) -> str:
    return json.dumps(
        {
            "number": row.number,
            "at": moment(row.at),
            "who": row.who,
            "action": row.action,
            "device": None if row.device_id is None else row.device_id.hex(),
            "why": row.why,
            "hash": row.hash.hex(),
        }
    )
