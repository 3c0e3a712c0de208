"""The devices that wait for approval, in the caller's transaction: few, and from many places.

Each place has a share of the list. When its share or the list is full, one that fell silent goes
for one that comes: it never asked again, or not for a day. A board that wants in asks again and
again; who makes keys to fill the list would have to come back with all of them, day after day.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from birthkey_host import events
from birthkey_host.origins import Network, within
from birthkey_host.schema import Action, Device, State

SHARES = 10
"""One address has the tenth part of the list, a /56 two of them, a /48 four."""

ASKED = 3600.0
"""Seconds after which it is written down anew that a device has asked."""

SILENT = 86400.0
"""Seconds without a word, after which one counts as silent like those that never asked again."""

_WAITS = Device.state == State.PENDING


def ask(device: Device, now: float) -> None:
    """One that waits is heard of again."""
    if device.asked is None or now - device.asked >= ASKED:
        device.asked = now


def leave(device: Device) -> None:
    """It waits no longer, and where it came from is nobody's business any more."""
    device.origin = ""
    device.asked = None


def make_room(
    session: Session, networks: Sequence[Network], *, limit: int, ttl: float, now: float
) -> str | None:
    """Have room for one more, who comes from there; why there is none, if there is none."""
    _expire(session, ttl, now)
    for number, network in enumerate(networks):
        there = _in(network, exactly=number == 0)
        share = max(1, limit * network.share // SHARES)
        if _count(session, there) < share:
            continue
        if not _drop(session, now, there, _silent(now)):
            return f"{share} from {network.name} wait for approval already"
    if _count(session) < limit:
        return None
    return None if limit and _displace(session, networks, now) else f"{limit} wait already"


def chosen(
    session: Session, before: float | None, network: IPv4Network | IPv6Network | None
) -> list[bytes]:
    """The ids of those that wait, since before that time or from within that network, if given."""
    rows = select(Device.device_id, Device.origin).where(_WAITS).order_by(Device.device_id)
    if before is not None:
        rows = rows.where(Device.created < before)
    return [
        row.device_id
        for row in session.execute(rows)
        if network is None or within(row.origin, network)
    ]


def remove(session: Session, ids: Sequence[bytes]) -> int:
    """Forget those of them that still wait; their number."""
    rows = session.execute(delete(Device).where(_WAITS, Device.device_id.in_(ids)))
    assert isinstance(rows, CursorResult)
    return rows.rowcount


def _displace(session: Session, networks: Sequence[Network], now: float) -> bool:
    """Take one off a list that is full: of the origin that has most who are silent; else the one
    that asked longest ago, of an origin that has more than the one who comes will have."""
    busiest = select(Device.origin, func.count().label("held")).group_by(Device.origin)
    busiest = busiest.order_by(func.count().desc(), Device.origin).limit(1)
    found = session.execute(busiest.where(_WAITS, _silent(now))).one_or_none()
    if found is not None:
        return _drop(session, now, Device.origin == found.origin, _silent(now))
    found = session.execute(busiest.where(_WAITS)).one_or_none()
    own = _count(session, Device.origin == (networks[0].name if networks else ""))
    if found is None or found.held <= own + 1:
        return False
    return _drop(session, now, Device.origin == found.origin)


def _silent(now: float) -> ColumnElement[bool]:
    return or_(Device.asked.is_(None), Device.asked < now - SILENT)


def _in(network: Network, *, exactly: bool) -> ColumnElement[bool]:
    if exactly:
        return Device.origin == network.name
    return Device.origin.startswith(network.name, autoescape=True)


def _count(session: Session, *conditions: ColumnElement[bool]) -> int:
    return session.scalars(select(func.count()).where(_WAITS, *conditions)).one()


def _drop(session: Session, now: float, *conditions: ColumnElement[bool]) -> bool:
    """Forget the one of them that was heard of longest ago; whether there was one."""
    heard = func.coalesce(Device.asked, Device.created)
    rows = select(Device).where(_WAITS, *conditions).order_by(heard, Device.device_id).limit(1)
    device = session.scalars(rows.with_for_update()).one_or_none()
    if device is None:
        return False
    _forget(session, device, "its place went to another one, and nobody had approved it", now)
    session.flush()
    return True


def _expire(session: Session, ttl: float, now: float) -> None:
    """Forget those who waited too long; a board that still wants in enrols again."""
    expired = session.scalars(
        select(Device)
        .where(_WAITS, Device.created < now - ttl)
        .order_by(Device.device_id)
        .with_for_update()
    ).all()
    for device in expired:
        _forget(session, device, "nobody approved it in time", now)
    session.flush()


def _forget(session: Session, device: Device, why: str, now: float) -> None:
    events.append(
        session, at=now, who="server", action=Action.EXPIRED, device_id=device.device_id, why=why
    )
    session.delete(device)
