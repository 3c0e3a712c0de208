"""Commands: what people tell a device to do, in the caller's transaction.

Ids rise per device and are given out by the database, when a command is queued and not when it is
sent: so a database that was restored sends under its old id what it does not know to have been
sent, and a board, which does no id twice, ignores it. All of it happens with the device's row
locked: no two servers send two commands at once. One is outstanding at a time.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from birthkey_host import cbor, events
from birthkey_host.message import MAX_COMMAND_ITEMS, UNKNOWN, Command, Type, items
from birthkey_host.schema import (
    Action,
    CommandState,
    Device,
    RegistryError,
    State,
    StoredCommand,
)

MAX_BODY = 1024
"""Bytes of an encoded command: with the acknowledgement before it, it fits one TCP segment."""

MAX_OPEN = 100
"""Commands of one device that wait."""

LAST_ID = (1 << 64) - 1
OPEN = (CommandState.QUEUED, CommandState.SENT)


def encode(body: object) -> bytes:
    """The CBOR of a command. Raises ValueError, a sentence, for what no board could be sent."""
    if not isinstance(body, dict):
        raise ValueError('a command is a map, as {"led": true}')
    for value in _floats(body):
        nearest = _nearest(value)
        if not math.isnan(value) and nearest != value:
            hint = f"; the nearest is {nearest!r}" if math.isfinite(nearest) else ""
            raise ValueError(
                f"boards have floats of 32 bits, and {value!r} is none of them{hint}."
                " An integer of a smaller unit is exact"
            )
    try:
        encoded = cbor.dumps(body)
        cbor.dumps([Type.COMMAND.value, LAST_ID, {0: 0, 1: body}])  # nested as it will be sent
    except ValueError as error:
        raise ValueError(f"the command is no message: {error}") from None
    if len(encoded) > MAX_BODY:
        raise ValueError(f"the command has {len(encoded)} bytes in CBOR; at most {MAX_BODY} fit")
    if (count := items(body)) > MAX_COMMAND_ITEMS:
        raise ValueError(
            f"the command has {count} items, keys counted; boards take at most {MAX_COMMAND_ITEMS}"
        )
    return encoded


def _floats(value: object) -> Iterable[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _floats(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _floats(item)


def _nearest(value: float) -> float:
    """The 32-bit float that is nearest to `value`."""
    try:
        [single] = struct.unpack(">f", struct.pack(">f", value))
    except OverflowError:
        return math.copysign(math.inf, value)
    return float(single)


def queue(
    session: Session,
    device_id: bytes,
    body: object,
    *,
    expires: float,
    who: str,
    why: str,
    now: float,
) -> StoredCommand:
    """Have a command sent with the device's next acknowledgement, until `expires`, Unix seconds.

    Raises ValueError as `encode` does, and RegistryError for a device that takes none.
    """
    encoded = encode(body)
    device = session.get(Device, device_id, with_for_update=True)
    if device is None:
        raise RegistryError(f"there is no device {device_id.hex()}; `birthkey devices` lists them")
    if device.state is not State.ACTIVE:
        raise RegistryError(f"it is {device.state.value}, and only active devices take commands")
    _expire(session, device, now)
    if len(_open(session, device)) >= MAX_OPEN:
        raise RegistryError(
            f"{MAX_OPEN} commands wait for it already: has it been heard of lately?"
        )
    if device.command_id >= LAST_ID:
        raise RegistryError("all its command ids are used up: its board needs a new birth key")
    device.command_id += 1
    row = StoredCommand(
        device_id=device_id,
        id=device.command_id,
        body=encoded,
        state=CommandState.QUEUED,
        queued=now,
        expires=expires,
    )
    session.add(row)
    text = json.dumps(body, separators=(",", ":"), default=lambda value: value.hex())
    reason = f"command {row.id}: {text}" + (f"; {why}" if why else "")
    events.append(
        session, at=now, who=who, action=Action.COMMANDED, device_id=device_id, why=reason
    )
    return row


def settle(session: Session, device: Device, reported: tuple[int, cbor.Value], now: float) -> None:
    """A board reports the last command that it began: that one and all below it are over.

    A result counts for what this database knows to have sent; another database may have given out
    the same id. It counts after the expiry too.
    """
    last, result = reported
    device.command_id = max(device.command_id, last)
    rows = select(StoredCommand).where(
        StoredCommand.device_id == device.device_id, StoredCommand.id <= last
    )
    for row in session.scalars(
        rows.where(StoredCommand.state.in_((*OPEN, CommandState.UNKNOWN)))
    ).all():
        if row.id == last and row.sent is not None and not _is_unknown(result):
            _close(row, CommandState.DONE, now)
            row.result = cbor.dumps(result)
        elif row.state in OPEN:
            _close(row, CommandState.UNKNOWN, now)


def _is_unknown(result: cbor.Value) -> bool:
    return isinstance(result, list) and result[:1] == [UNKNOWN]


def due(session: Session, device: Device, now: float) -> Command | None:
    """The command that goes out with an acknowledgement: the outstanding one, or the next."""
    if not device.command_id:  # nothing was ever queued for it
        return None
    _expire(session, device, now)
    rows = _open(session, device)
    if not rows:
        return None
    row = rows[0]
    if row.sent is None:
        row.state = CommandState.SENT
        row.sent = now
    body = cbor.loads(row.body)
    assert isinstance(body, dict)
    return Command(row.id, body)


def state(row: StoredCommand, now: float) -> CommandState:
    """What became of a command, also when it expired and no server has noticed yet."""
    if row.state in OPEN and row.expires <= now:
        return CommandState.EXPIRED if row.sent is None else CommandState.UNKNOWN
    return row.state


def _expire(session: Session, device: Device, now: float) -> None:
    """Close what may not be sent any more. The lower ids are closed first, and for ever: a server
    whose clock is behind does not send them again beside the next one."""
    for row in _open(session, device):
        if row.expires <= now:
            _close(row, state(row, now), now)
    session.flush()


def _open(session: Session, device: Device) -> list[StoredCommand]:
    rows = select(StoredCommand).where(
        StoredCommand.device_id == device.device_id, StoredCommand.state.in_(OPEN)
    )
    return list(session.scalars(rows.order_by(StoredCommand.id)))


def _close(row: StoredCommand, final: CommandState, now: float) -> None:
    row.state = final
    row.closed = now
