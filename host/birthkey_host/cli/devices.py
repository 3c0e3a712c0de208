"""`birthkey devices` and `show`."""

from __future__ import annotations

import json
import textwrap
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Annotated

import typer

from birthkey_host import cbor, commands, sizes
from birthkey_host.cli import values
from birthkey_host.cli.common import Id, Place, device_id, fail, group, moment, printable, table
from birthkey_host.evidence import PROOFS, Case, Exhibit, examine
from birthkey_host.registry import Registry
from birthkey_host.schema import Approval, CommandState, Device, StoredCommand


def devices(
    context: typer.Context,
    deleted: Annotated[bool, typer.Option("--all", help="Deleted ones too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON array.")] = False,
) -> None:
    """List the devices, the oldest first.

    After them come ids that are approved and were not seen yet.
    """
    place: Place = context.obj
    with place.open_registry() as registry:
        rows = (row for row in registry.each_device() if deleted or row.deleted is None)
        awaited = registry.each_approval()
        if as_json:
            _print_array(chain(map(_fields, rows), map(_awaited, awaited)))
            return
        cells = chain(map(_cells, rows), map(_awaited_cells, awaited))
        table(("id", "state", "label", "board", "firmware", "last seen"), cells)


def _cells(row: Device) -> tuple[str, ...]:
    return (
        group(row.device_id),
        row.state.value,
        row.label or "-",
        row.board or "-",
        row.firmware or "-",
        moment(row.last_seen),
    )


def _awaited_cells(row: Approval) -> tuple[str, ...]:
    return group(row.device_id), "approved", row.label or "-", "-", "-", "-"


def _print_array(objects: Iterable[dict[str, object]]) -> None:
    """What `json.dumps(list(objects), indent=2)` would give, without the list."""
    before = "["
    for each in objects:
        typer.echo(before)
        typer.echo(textwrap.indent(json.dumps(each, indent=2), "  "), nl=False)
        before = ","
    typer.echo("[]" if before == "[" else "\n]")


def show(context: typer.Context, identity: Id) -> None:
    """Show one device, its commands and what happened to it.

    Of a cloned one the two frames that prove it too; their signatures are verified anew.
    """
    place: Place = context.obj
    wanted = device_id(identity)
    with place.open_registry() as registry:
        device = registry.device(wanted)
        approval = next((row for row in registry.each_approval() if row.device_id == wanted), None)
        if device is not None:
            lines = _device(device)
        elif approval is not None:
            lines = _approval(approval)
        else:
            fail(f"there is no device {group(wanted)}")
        now = time.time()
        sent = (_command(row, now) for row in registry.each_command(wanted))
        case = None if device is None else examine(device, registry.evidence(wanted))
        proof = () if case is None else _case(case)
        every = chain([("id", group(wanted))], lines, sent, _history(registry, wanted), proof)
        for name, text in every:
            typer.echo(printable(f"{name:<12} {text}"))


def _device(device: Device) -> Iterator[tuple[str, str]]:
    deleted = "" if device.deleted is None else f", deleted {moment(device.deleted)}"
    yield "state", device.state.value + deleted
    yield "label", device.label or "-"
    yield "board", device.board or "-"
    yield "firmware", device.firmware or "-"
    yield "thumbprint", device.thumbprint.hex()
    yield "public key", device.public_key.hex()
    yield "first seen", moment(device.created)
    yield "last seen", moment(device.last_seen)
    if device.origin:
        yield "came from", device.origin
    yield "newest boot", str(device.newest)
    yield "frames kept", f"{device.frames}, {sizes.text(device.size)}"
    if device.replaces is not None:
        yield "replaces", group(device.replaces)


def _approval(approval: Approval) -> Iterator[tuple[str, str]]:
    yield "state", "approved, not seen yet"
    yield "label", approval.label or "-"
    if approval.replaces is not None:
        yield "replaces", group(approval.replaces)


def _command(row: StoredCommand, now: float) -> tuple[str, str]:
    state = commands.state(row, now)
    text = f"{state.value}: {values.text(cbor.loads(row.body))}"
    if state in commands.OPEN:
        text += f", until {moment(row.expires)}"
    elif state is CommandState.DONE and row.result is not None:
        text += f" gave {_result(cbor.loads(row.result))}, {moment(row.closed)}"
    return f"command {row.id}", text


def _result(result: cbor.Value) -> str:
    """What an application returned, or why it did not."""
    if isinstance(result, list):
        failure, sentence = result
        return f"{failure!s}: {values.text(sentence)}"
    return values.text(result)


def _history(registry: Registry, wanted: bytes) -> Iterator[tuple[str, str]]:
    successor = registry.replaced_by(wanted)
    if successor is not None:
        yield "replaced by", group(successor)
    for event in registry.each_event(wanted):
        why = f": {event.why}" if event.why else ""
        yield "event", f"{moment(event.at)} {event.action} by {event.who}{why}"


def _case(case: Case) -> Iterator[tuple[str, str]]:
    yield "proof", PROOFS[case.proof]
    for exhibit in case.exhibits:
        yield from _exhibit(exhibit)
    if case.proven:
        yield "checked now", "both signatures verify, and the two frames show it"
    else:
        yield "checked now", "this does NOT prove it: the registry has been changed or is damaged"


def _exhibit(exhibit: Exhibit) -> Iterator[tuple[str, str]]:
    row, message = exhibit.row, exhibit.message
    counter = "unreadable"
    if message is not None:
        counter = f"{message.counter >> 32}:{message.counter & 0xFFFFFFFF}"
    verifies = "verifies" if exhibit.authentic else "does NOT verify"
    yield (
        f"frame {row.place + 1}",
        f"received {moment(row.received)}, boot {row.boot}, counter {counter},"
        f" signature {verifies}",
    )
    yield "  enc", row.enc.hex()
    yield "  signed", row.signed_frame.hex()


def _fields(device: Device) -> dict[str, object]:
    return {
        "id": device.device_id.hex(),
        "state": device.state,
        "label": device.label,
        "board": device.board,
        "firmware": device.firmware,
        "public_key": device.public_key.hex(),
        "first_seen": moment(device.created),
        "last_seen": None if device.last_seen is None else moment(device.last_seen),
        "newest": device.newest,
        "frames": device.frames,
        "bytes": device.size,
        "from": device.origin or None,
        "replaces": None if device.replaces is None else device.replaces.hex(),
    }


def _awaited(approval: Approval) -> dict[str, object]:
    replaces = None if approval.replaces is None else approval.replaces.hex()
    return {
        "id": approval.device_id.hex(),
        "state": "approved",
        "label": approval.label,
        "replaces": replaces,
    }
