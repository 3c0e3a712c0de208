"""`birthkey devices`, `show` and `approve`."""

from __future__ import annotations

import getpass
import json
import time
from typing import Annotated

import typer

from birthkey_host.cli.common import Place, device_id, fail, group, moment, printable, table
from birthkey_host.registry import Registry
from birthkey_host.schema import Device

Id = Annotated[list[str], typer.Argument(metavar="ID", help="The whole id, grouped or not.")]


def devices(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List the devices, the oldest first, then ids that are approved but were not seen yet."""
    place: Place = context.obj
    with place.open_registry() as registry:
        rows = registry.devices()
        approved = [approval.device_id for approval in registry.approvals()]
    if as_json:
        objects = [_fields(device) for device in rows]
        objects += [{"id": awaited.hex(), "state": "approved"} for awaited in approved]
        typer.echo(json.dumps(objects, indent=2))
        return
    cells = [
        (group(row.device_id), row.state.value, row.board, row.firmware, moment(row.last_seen))
        for row in rows
    ]
    cells += [(group(awaited), "approved", "-", "-", "-") for awaited in approved]
    table(("id", "state", "board", "firmware", "last seen"), cells)


def show(context: typer.Context, identity: Id) -> None:
    """Show one device: its key, its state, and what happened to it."""
    place: Place = context.obj
    wanted = device_id(identity)
    with place.open_registry() as registry:
        device = registry.device(wanted)
        awaited = {approval.device_id for approval in registry.approvals()}
        if device is None and wanted not in awaited:
            fail(f"there is no device {group(wanted)}")
        _show(registry, wanted, device)


def _show(registry: Registry, wanted: bytes, device: Device | None) -> None:
    lines = [("id", group(wanted))]
    if device is None:
        lines.append(("state", "approved, not seen yet"))
    else:
        lines += [
            ("state", device.state.value),
            ("board", device.board),
            ("firmware", device.firmware),
            ("thumbprint", device.thumbprint.hex()),
            ("public key", device.public_key.hex()),
            ("first seen", moment(device.created)),
            ("last seen", moment(device.last_seen)),
            ("newest boot", str(device.newest)),
        ]
    for event in registry.events(wanted):
        why = f": {event.why}" if event.why else ""
        lines.append(("event", f"{moment(event.at)} {event.action} by {event.who}{why}"))
    for frame in registry.evidence(wanted):
        lines.append((f"evidence {frame.place + 1}", f"boot {frame.boot}, signed frame"))
        lines.append(("", frame.signed_frame.hex()))
    for name, text in lines:
        typer.echo(printable(f"{name:<12} {text}"))


def approve(
    context: typer.Context,
    identity: Id,
    why: Annotated[str, typer.Option(help="The reason, for the audit log.")] = "",
) -> None:
    """Let a device in, by its whole id; before its first contact too."""
    place: Place = context.obj
    wanted = device_id(identity)
    with place.open_registry() as registry:
        device = registry.approve(wanted, who=_login(), why=printable(why), now=time.time())
    if device is None:
        typer.echo(f"{group(wanted)} is approved, and active from its first contact on")
    else:
        typer.echo(f"{group(wanted)} is active")


def _fields(device: Device) -> dict[str, object]:
    return {
        "id": device.device_id.hex(),
        "state": device.state,
        "board": device.board,
        "firmware": device.firmware,
        "public_key": device.public_key.hex(),
        "first_seen": moment(device.created),
        "last_seen": None if device.last_seen is None else moment(device.last_seen),
        "newest": device.newest,
    }


def _login() -> str:
    try:
        return printable(getpass.getuser())
    except (OSError, KeyError, ImportError):  # a user without a name, as in many containers
        return "unknown"
