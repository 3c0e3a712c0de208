"""Which boots the registry has seen last, so that a server that restarts knows its boards."""

from __future__ import annotations

from sqlalchemy import select

from birthkey_host.registry import Registry
from birthkey_host.schema import Boot, Device, State


def newest_boots(registry: Registry, limit: int) -> list[tuple[bytes, bytes]]:
    """(device id, `enc`) of the newest boot of active devices, those that stored last at the end.

    At most `limit` of them. Raises `RegistryError`.
    """
    rows = (
        select(Boot.device_id, Boot.enc)
        .join(Device)
        .where(Device.state == State.ACTIVE, Boot.boot == Device.newest)
        .order_by(Device.last_seen.desc())
        .limit(limit)
    )
    with registry._transaction(registry._read) as session:
        return [(row.device_id, row.enc) for row in session.execute(rows)][::-1]
