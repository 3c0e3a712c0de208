"""`birthkey approve`, `suspend`, `revoke`, `delete` and `prune`."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Annotated

import typer

from birthkey_host.cli.common import (
    Id,
    Label,
    MaybeId,
    Place,
    Why,
    device_id,
    fail,
    group,
    label,
    login,
    printable,
)
from birthkey_host.cli.work import LongWork


def approve(
    context: typer.Context,
    identity: Id,
    name: Label = None,
    replaces: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The revoked or cloned device whose place it takes."),
    ] = None,
    why: Why = "",
) -> None:
    """Let a device in, by its whole id.

    One that waits, is suspended or was deleted; before its first contact too, which is how ids get
    onto the allow-list. A revoked or cloned device never comes back: its board makes a new birth
    key, and --replaces links the two.
    """
    place: Place = context.obj
    wanted = device_id(identity)
    with place.open_registry() as registry:
        device = registry.approve(
            wanted,
            label=label(name),
            replaces=None if replaces is None else device_id([replaces]),
            who=login(),
            why=printable(why),
            now=time.time(),
        )
    if device is None:
        typer.echo(f"{group(wanted)} is approved, and active from its first contact on")
    else:
        typer.echo(f"{group(wanted)} is active")


def suspend(context: typer.Context, identity: Id, why: Why = "") -> None:
    """Refuse a device until it is approved again.

    Its board keeps what it can, and sends it then.
    """
    place: Place = context.obj
    wanted = device_id(identity)
    with place.open_registry() as registry:
        registry.suspend(wanted, who=login(), why=printable(why), now=time.time())
    end = place.hint(f"`birthkey approve {wanted.hex()}`")
    typer.echo(f"{group(wanted)} is suspended; {end} ends it")


def revoke(context: typer.Context, identity: Id, why: Why = "") -> None:
    """Refuse a device for ever, as a stolen one.

    Its board drops what it has queued.
    """
    place: Place = context.obj
    wanted = device_id(identity)
    with place.open_registry() as registry:
        registry.revoke(wanted, who=login(), why=printable(why), now=time.time())
    typer.echo(f"{group(wanted)} is revoked, for ever")


def delete(
    context: typer.Context,
    identity: MaybeId = None,
    pending: Annotated[
        bool, typer.Option("--pending", help="All that wait for approval, in the place of one.")
    ] = False,
    before: Annotated[
        str | None,
        typer.Option(metavar="DATE", help="Of these, who waits since before it, as 2026-01-31."),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option(
            "--from", metavar="NETWORK", help="Of these, who came from there, as 192.0.2.0/24."
        ),
    ] = None,
    why: Why = "",
) -> None:
    """Delete a device and all that it sent.

    Its key, state and boots are kept, so that nothing old can be sent again. It does not come back
    by itself, whatever the policy, but only if it is approved. One that only waited is forgotten.
    Servers go on meanwhile; if this is interrupted, the same command goes on with it.
    """
    if pending == bool(identity):
        fail("give either the id of a device, or --pending", code=2)
    place: Place = context.obj
    if pending:
        _delete_pending(place, before, origin, why)
        return
    if before is not None or origin is not None:
        fail("--before and --from go with --pending", code=2)
    assert identity is not None
    wanted = device_id(identity)
    with place.open_registry() as registry, LongWork("deleting") as work:
        messages = registry.delete(
            wanted, who=login(), why=printable(why), now=time.time(), between=work
        )
    typer.echo(f"{group(wanted)} is deleted, with {_messages(messages)}")


def _delete_pending(place: Place, before: str | None, origin: str | None, why: str) -> None:
    until = None if before is None else _midnight(before)
    try:
        network = None if origin is None else ip_network(origin, strict=False)
    except ValueError:
        fail(f"{origin!r} is no address or network like 192.0.2.0/24 or 2001:db8::/48", code=2)
    with place.open_registry() as registry:
        count = registry.delete_waiting(
            before=until, network=network, who=login(), why=printable(why), now=time.time()
        )
    devices = "1 device" if count == 1 else f"{count} devices"
    typer.echo(f"{devices} forgotten that waited for approval")


def prune(
    context: typer.Context,
    before: Annotated[
        str, typer.Option(metavar="DATE", help="As 2026-01-31, midnight UTC; what came earlier.")
    ],
    device: Annotated[
        str | None, typer.Option(metavar="ID", help="Only those of one device.")
    ] = None,
) -> None:
    """Delete old messages. Whatever was made at their time is refused as old from then on.

    With --device the date may be yet to come, for what was stored while the clock was ahead.

    Servers go on meanwhile; if this is interrupted, the same command goes on with it.
    """
    place: Place = context.obj
    until, now = _midnight(before), time.time()
    if until > now and device is None:
        fail(
            f"{before} is yet to come: that would be all messages of all devices. For what was"
            " stored while the clock was ahead, say whose with --device ID",
            code=2,
        )
    chosen = None if device is None else device_id([device])
    with place.open_registry() as registry, LongWork("deleting") as work:
        messages = registry.prune(chosen, before=until, who=login(), now=now, between=work)
    typer.echo(f"{_messages(messages)} deleted")
    if until > now:
        typer.echo(f"{before} is yet to come: all that the device sent until now was among them")


def _midnight(date: str) -> float:
    try:
        return datetime.strptime(date, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        fail(f"{date!r} is no date like 2026-01-31", code=2)


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count} messages"
