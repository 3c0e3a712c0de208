"""`birthkey messages`."""

from __future__ import annotations

import contextlib
import json
import time
from typing import Annotated

import typer

from birthkey_host.cli import values
from birthkey_host.cli.common import Place, device_id, fail, group, moment, table
from birthkey_host.message import Message, Type
from birthkey_host.schema import StoredMessage

POLL = 0.5
"""Seconds between two looks into the log."""


def messages(
    context: typer.Context,
    device: Annotated[
        str | None, typer.Option(metavar="ID", help="Only those of one device.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Go on until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object a line.")] = False,
    limit: Annotated[int, typer.Option(min=1, help="How many of the last ones.")] = 100,
) -> None:
    """Print the stored messages, the oldest first.

    The counter is boot:sequence.
    """
    place: Place = context.obj
    wanted = None if device is None else device_id([device])
    with place.open_registry() as registry, contextlib.suppress(KeyboardInterrupt):
        if wanted is not None and registry.device(wanted) is None:
            fail(f"there is no device {group(wanted)}")
        rows = registry.messages(wanted, limit=limit)
        if not follow and not as_json:
            table(("received", "device", "counter", "type", "body"), [_cells(row) for row in rows])
            return
        last = 0
        while True:
            for row in rows:
                typer.echo(_json(row) if as_json else "  ".join(_cells(row)))
                last = row.number
            if not follow:
                return
            time.sleep(POLL)
            rows = registry.messages(wanted, after=last)


def _decode(row: StoredMessage) -> tuple[Message, Type]:
    try:
        message = Message.decode(row.message)
        return message, Type(message.type)
    except ValueError as error:
        fail(f"message {row.number} of the registry is damaged: {error}")


def _cells(row: StoredMessage) -> tuple[str, ...]:
    message, kind = _decode(row)
    counter = f"{message.counter >> 32}:{message.counter & 0xFFFFFFFF}"
    body = values.text(values.named(kind, message.body))
    return moment(row.received), group(row.device_id), counter, kind.name.lower(), body


def _json(row: StoredMessage) -> str:
    message, kind = _decode(row)
    return json.dumps(
        {
            "received": moment(row.received),
            "device": row.device_id.hex(),
            "boot": message.counter >> 32,
            "sequence": message.counter & 0xFFFFFFFF,
            "type": kind.name.lower(),
            "body": values.plain(values.named(kind, message.body)),
        }
    )
