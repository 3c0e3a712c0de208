"""Who may have a connection, when there are not enough for everyone. No sockets and no clock.

A connection that has proven nothing has to go when the table is full and someone else comes: so
strangers cannot keep boards out by holding on to what they have. One that has proven itself is
never closed for another. Each device has one such connection, its last: so no device can fill the
table either.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from typing import Generic, TypeVar

C = TypeVar("C", bound=Hashable)


class Full(Exception):
    """There is no place, and nobody has to go for the one who came; the text says why."""


class Places(Generic[C]):
    """At most `total` connections, and at most `per_origin` of one origin."""

    def __init__(self, total: int, per_origin: int) -> None:
        self._total = total
        self._per_origin = per_origin
        self._origins: dict[C, str] = {}
        self._counts: Counter[str] = Counter()
        self._unproven: dict[str, dict[C, None]] = {}  # by origin, the oldest first
        self._proven: dict[bytes, C] = {}  # by device
        self._devices: dict[C, bytes] = {}

    def __len__(self) -> int:
        return len(self._origins)

    def take(self, connection: C, origin: str) -> C | None:
        """Give `connection` a place; the one that has lost its place for it, if one had to.

        Raises `Full`. It is the oldest unproven one of the same origin, when the origin has all
        that it may have, else of the origin that has the most of them.
        """
        victim = None
        if self._counts[origin] >= self._per_origin:
            victim = self._oldest(origin)
            if victim is None:
                raise Full("too many connections from there")
        elif len(self) >= self._total:
            if not self._unproven:
                raise Full("too many connections")
            victim = self._oldest(max(self._unproven, key=lambda each: len(self._unproven[each])))
        if victim is not None:
            self.leave(victim)
        self._origins[connection] = origin
        self._counts[origin] += 1
        self._unproven.setdefault(origin, {})[connection] = None
        return victim

    def prove(self, connection: C, device_id: bytes) -> None:
        """An active device has sent news on this connection: it is the device's one from now on."""
        former = self._proven.get(device_id)
        if former == connection or connection not in self._origins:
            return
        if former is not None:
            self.doubt(former)
        self.doubt(connection)
        self._drop_unproven(connection)
        self._proven[device_id] = connection
        self._devices[connection] = device_id

    def doubt(self, connection: C) -> None:
        """What came last on this connection was no news: it has proven nothing any more."""
        device_id = self._devices.pop(connection, None)
        if device_id is not None:
            del self._proven[device_id]
            self._unproven.setdefault(self._origins[connection], {})[connection] = None

    def proven(self, connection: C) -> bool:
        """Whether it has proven itself."""
        return connection in self._devices

    def leave(self, connection: C) -> None:
        """Its place is free; nothing if it has none."""
        if connection not in self._origins:
            return
        self.doubt(connection)
        self._drop_unproven(connection)
        origin = self._origins.pop(connection)
        self._counts[origin] -= 1
        if not self._counts[origin]:
            del self._counts[origin]

    def _oldest(self, origin: str) -> C | None:
        return next(iter(self._unproven.get(origin, {})), None)

    def _drop_unproven(self, connection: C) -> None:
        origin = self._origins[connection]
        del self._unproven[origin][connection]
        if not self._unproven[origin]:
            del self._unproven[origin]
