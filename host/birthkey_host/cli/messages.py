"""`birthkey messages`."""

from __future__ import annotations

import contextlib
import itertools
import json
import time
from collections.abc import Iterator
from typing import Annotated

import typer

from birthkey_host.cli import values
from birthkey_host.cli.common import Place, device_id, fail, group, moment, table
from birthkey_host.message import Message, Type
from birthkey_host.registry import Registry
from birthkey_host.schema import StoredMessage

POLL = 0.5
"""Seconds between two looks into the log."""

LAST = 100
"""Messages that are printed unless somebody asks for more."""


def messages(
    context: typer.Context,
    device: Annotated[
        str | None, typer.Option(metavar="ID", help="Only those of one device.")
    ] = None,
    follow: Annotated[bool, typer.Option(help="Go on until Ctrl-C.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object a line.")] = False,
    limit: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=1_000_000_000,
            help=f"How many: the last ones, or the first after POSITION.  [default: {LAST}, or all"
            " after POSITION]",
        ),
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="POSITION", help="Only what was stored after this, as --json prints it."
        ),
    ] = None,
) -> None:
    """Print the stored messages, the oldest first.

    The counter is boot:sequence. Positions rise in the order of storing, and none comes twice: a
    program that goes on with --after and the last position that it has handled misses nothing.
    """
    place: Place = context.obj
    wanted = None if device is None else device_id([device])
    if follow and limit is not None and after is not None:
        fail("--follow goes on for ever: give --limit or --after, not both", code=2)
    with place.open_registry() as registry, _until_interrupted(follow):
        if wanted is not None and registry.device(wanted) is None:
            fail(f"there is no device {group(wanted)}")
        if after is None:
            after = registry.before_last(limit or LAST, wanted)
            limit = None if follow else limit or LAST
        _reached(registry, after)
        rows = itertools.chain.from_iterable(registry.pages(wanted, after=after, limit=limit))
        if not follow and not as_json:
            table(("received", "device", "counter", "type", "body"), map(_cells, rows))
            return
        while True:
            for row in rows:
                typer.echo(_json(row) if as_json else "  ".join(_cells(row)))
                after = row.number
            if not follow:
                return
            time.sleep(POLL)
            _reached(registry, after)
            rows = itertools.chain.from_iterable(registry.pages(wanted, after=after))


@contextlib.contextmanager
def _until_interrupted(follow: bool) -> Iterator[None]:
    """Ctrl-C is how `follow` ends; of all else it leaves a part, which must not pass for all."""
    try:
        yield
    except KeyboardInterrupt:
        if not follow:
            fail("stopped before all was printed", code=130)


def _reached(registry: Registry, after: int) -> None:
    """Nothing would come for a long time after a position of another registry, or of a later one
    than a backup that was put back."""
    last = registry.position()
    if last < after:
        fail(
            f"the last position of this registry is {last}, and {after} was asked for: if a backup"
            " was put back, what came after it is gone; go on with --after and a lower position"
        )


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
            "position": row.number,
            "received": moment(row.received),
            "device": row.device_id.hex(),
            "boot": message.counter >> 32,
            "sequence": message.counter & 0xFFFFFFFF,
            "type": kind.name.lower(),
            "body": values.plain(values.named(kind, message.body)),
        }
    )
