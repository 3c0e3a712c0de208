"""What people do to devices, in the caller's transaction; each of it is an audit event.

`approve` is the only way in: for one that waits, one that was not seen yet, one that was suspended
and one that was deleted. Out of `revoked` and `cloned` there is no way: such a board makes a new
birth key, and approving that one with `replaces` says whose place it takes.
"""

from __future__ import annotations

from datetime import UTC, datetime
from ipaddress import IPv4Network, IPv6Network

from sqlalchemy import delete as delete_from
from sqlalchemy import select
from sqlalchemy.orm import Session

from birthkey_host import bad_keys, erasing, events, waiting
from birthkey_host.schema import (
    Action,
    Approval,
    BadKey,
    Device,
    Evidence,
    RegistryError,
    State,
)

ENDED = (State.REVOKED, State.CLONED)


def approve(
    session: Session,
    device_id: bytes,
    *,
    label: str | None,
    replaces: bytes | None,
    who: str,
    why: str,
    now: float,
) -> Device | None:
    """Let a device in; None: it was not seen yet, and is active from its first contact on."""
    device = session.get(Device, device_id, with_for_update=True)
    old = None if replaces is None else _ended(session, replaces, device_id)
    if device is None:
        if session.get(Approval, device_id) is not None:
            raise RegistryError("it is approved already, and was not seen yet")
        label = label or (old.label if old else None)
        session.add(Approval(device_id=device_id, label=label, replaces=replaces, approved=now))
    else:
        if device.deleted is not None and erasing.is_left(session, device_id):
            raise RegistryError(
                "it is being deleted, or that was interrupted: `birthkey delete"
                f" {device_id.hex()}` goes on with it; approve it then"
            )
        _let_in(device, old)
        device.label = label or device.label or (old.label if old else None)
    reason = why if old is None else _because(f"replaces {old.device_id.hex()}", why)
    _event(session, device_id, Action.APPROVED, who, reason, now)
    if old is not None:
        _event(session, old.device_id, Action.REPLACED, who, f"by {device_id.hex()}", now)
    return device


def _let_in(device: Device, old: Device | None) -> None:
    if device.state in ENDED:
        raise RegistryError(
            f"it is {device.state.value}, and that is for ever: its board has to make a new birth"
            f" key; then `birthkey approve NEW --replaces {device.device_id.hex()}`"
        )
    if device.state is State.ACTIVE and old is None:
        raise RegistryError("it is active already")
    if old is not None:
        if device.replaces is not None:
            raise RegistryError(f"it replaces {device.replaces.hex()} already")
        device.replaces = old.device_id
    device.state = State.ACTIVE
    device.deleted = None
    waiting.leave(device)


def _ended(session: Session, old_id: bytes, new_id: bytes) -> Device:
    """The device that a new birth key may replace."""
    old = session.get(Device, old_id, with_for_update=True)
    if old is None:
        raise RegistryError(f"there is no device {old_id.hex()} to replace")
    if old.state not in ENDED:
        raise RegistryError(
            f"{old_id.hex()} is {old.state.value}, and only a revoked or cloned device is"
            f" replaced: `birthkey revoke {old_id.hex()}` first"
        )
    by = replaced_by(session, old_id)
    if by is not None and by != new_id:
        raise RegistryError(f"{old_id.hex()} is replaced by {by.hex()} already; replace that one")
    return old


def replaced_by(session: Session, device_id: bytes) -> bytes | None:
    """The id whose birth key took this device's place, seen or not."""
    for row in (Device, Approval):
        successor = session.scalar(select(row.device_id).where(row.replaces == device_id))
        if successor is not None:
            return successor
    return None


def suspend(session: Session, device_id: bytes, *, who: str, why: str, now: float) -> Device:
    """Refuse what an active device sends; it keeps it, until it is approved again."""
    device = _known(session, device_id)
    if device.state is not State.ACTIVE:
        raise RegistryError(f"it is {device.state.value}, and only active devices are suspended")
    device.state = State.SUSPENDED
    _event(session, device_id, Action.SUSPENDED, who, why, now)
    return device


def revoke(session: Session, device_id: bytes, *, who: str, why: str, now: float) -> Device:
    """Refuse a device for ever."""
    device = _known(session, device_id)
    if device.state in ENDED:
        raise RegistryError(f"it is {device.state.value} already, and that is for ever")
    device.state = State.REVOKED
    waiting.leave(device)
    _event(session, device_id, Action.REVOKED, who, why, now)
    return device


def delete(
    session: Session, device_id: bytes, *, who: str, why: str, now: float
) -> erasing.Scope | None:
    """Forget a device; what it sent is to be erased, piece by piece, and it is refused already.

    One that only waited, or was approved and not seen, is gone without a trace but the event: it
    never sent anything that could be sent again, and there is None to erase. Of any other the
    tombstone stays. Called again, this goes on with an erasure that was interrupted.
    """
    approval = session.get(Approval, device_id)
    if approval is not None:
        session.delete(approval)
        _event(session, device_id, Action.DELETED, who, _because("not seen yet", why), now)
        return None
    device = _known(session, device_id)
    if device.deleted is not None:
        if not erasing.is_left(session, device_id):
            raise RegistryError("it is deleted already")
        return erasing.Scope(device_id, None)
    scope = None
    messages = 0
    if device.state is State.PENDING:
        session.delete(device)
    else:
        scope = erasing.Scope(device_id, None)
        messages = erasing.Messages(scope).count(session)
        session.execute(delete_from(Evidence).where(Evidence.device_id == device_id))
        if device.state not in ENDED:
            device.state = State.DELETED
        device.deleted = now
        device.board = device.firmware = ""
        device.label = device.last_seen = None
    _event(session, device_id, Action.DELETED, who, _because(f"messages: {messages}", why), now)
    return scope


def choose_waiting(
    session: Session,
    *,
    before: float | None,
    network: IPv4Network | IPv6Network | None,
    who: str,
    why: str,
    now: float,
) -> list[bytes]:
    """The ids of those that wait and are to be forgotten, which is one event about all of them."""
    ids = waiting.chosen(session, before, network)
    if ids:
        which = f"waiting for approval: {len(ids)}"
        which += "" if network is None else f", from {network}"
        if before is not None:
            which += f", since before {datetime.fromtimestamp(before, UTC):%Y-%m-%dT%H:%M:%SZ}"
        events.append(
            session,
            at=now,
            who=who,
            action=Action.DELETED,
            device_id=None,
            why=_because(which, why),
        )
    return ids


def prune(session: Session, scope: erasing.Scope, *, messages: int, who: str, now: float) -> None:
    """Note that what came before a time is going to be erased, so many messages; none is no event.

    It is refused as old from then on. First frames of earlier boots go with it, and commands that
    were over by then.
    """
    if scope.device_id is not None:
        _known(session, scope.device_id)
    if messages:
        why = f"messages: {messages}"
        if scope.before is not None:
            moment = datetime.fromtimestamp(scope.before, UTC)
            why += f", before {moment:%Y-%m-%dT%H:%M:%SZ}"
        _event(session, scope.device_id, Action.PRUNED, who, why, now)


def ban(session: Session, thumbprint: bytes, *, who: str, why: str, now: float) -> Device | None:
    """Put a key on the list of bad ones, and revoke the device that has it; that device."""
    if bad_keys.is_listed(session, thumbprint):
        raise RegistryError("this key is on the list already")
    row = select(Device).where(Device.thumbprint == thumbprint).with_for_update()
    device = session.scalars(row).one_or_none()
    session.add(BadKey(thumbprint=thumbprint, added=now, why=why))
    _event(session, thumbprint[:16], Action.BANNED, who, _because(thumbprint.hex(), why), now)
    if device is not None and device.state not in ENDED:
        device.state = State.REVOKED
        waiting.leave(device)
        _event(session, device.device_id, Action.REVOKED, who, "its key is known to be bad", now)
    return device


def _known(session: Session, device_id: bytes) -> Device:
    device = session.get(Device, device_id, with_for_update=True)
    if device is None:
        if session.get(Approval, device_id) is not None:
            raise RegistryError(
                f"it was not seen yet: `birthkey delete {device_id.hex()}` takes its approval back,"
                " and `birthkey bad-key add KEY` keeps a key out for ever"
            )
        raise RegistryError(f"there is no device {device_id.hex()}; `birthkey devices` lists them")
    return device


def _because(fact: str, why: str) -> str:
    return f"{fact}; {why}" if why else fact


def _event(
    session: Session, device_id: bytes | None, action: Action, who: str, why: str, now: float
) -> None:
    events.append(session, at=now, who=who, action=action, device_id=device_id, why=why)
