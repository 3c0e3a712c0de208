"""Who may have a connection, when there are not enough for everyone. No sockets and no clock.

Whoever comes gets a place, and somebody else goes for it. Who has proven nothing goes first, and
which of them, chance says: so whoever wants to push a board out has to push out nearly everyone,
and cannot aim at it. They are counted by where they come from: a network that has more of them
than the others loses one. Of those that have a frame waiting none goes, unless most have one.

A quarter is for those who have not proven themselves, so that boards have the time to. What is
proven beyond three quarters goes after all, the one that was idle for the longest first. Each
device has one such connection, its last: so no device can fill the table.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from enum import Enum
from random import Random, SystemRandom
from typing import Generic, TypeVar

from birthkey_host.origins import Origin, shares
from birthkey_host.server.pools import Pool

C = TypeVar("C", bound=Hashable)


class Full(Exception):
    """There is no place, and nobody can go for the one who came; the text says why."""


class _Doing(Enum):
    NOTHING = 0
    WAITING = 1
    HANDLED = 2


@dataclass(slots=True)
class _Place:
    origin: Origin
    doing: _Doing = _Doing.NOTHING
    device: bytes | None = None


@dataclass(slots=True)
class _Network(Generic[C]):
    """What it has; the whole table is one too."""

    limit: int
    all: int = 0
    proven: int = 0
    resting: dict[C, None] = field(default_factory=dict)  # of the proven, the idlest first
    waiting: dict[C, None] = field(default_factory=dict)  # of the proven


class Places(Generic[C]):
    """At most `total` connections, and at most `per_source` of one address.

    A network of IPv6 counts as `origins` says. Times are seconds of any clock that never goes
    back.
    """

    def __init__(self, total: int, per_source: int, random: Random | None = None) -> None:
        self._per_source = per_source
        self._random = random or SystemRandom()
        self._whole = _Network[C](total)
        self._networks: dict[str, _Network[C]] = {}
        self._places: dict[C, _Place] = {}
        self._devices: dict[bytes, C] = {}
        self._idle, self._waiting = Pool[C](), Pool[C]()
        self._until: dict[C, float] = {}  # those that wait for a time only, which ends first first

    def __len__(self) -> int:
        return len(self._places)

    def take(self, connection: C, origin: Origin, now: float) -> C | None:
        """Give `connection` a place; the one that has lost its place for it, if one had to.

        Raises `Full` when what all the others have sent is being handled just now.
        """
        self._expire(now)
        victim = None
        for level in range(len(origin), -1, -1):
            network = self._network(origin, level)
            if network.all >= network.limit:
                victim = self._victim(origin[:level], network)
                self.leave(victim)
                break
        self._places[connection] = place = _Place(origin)
        for level in range(1, len(origin) + 1):
            self._networks.setdefault(origin[level - 1], self._network(origin, level))
        for network in self._all(place):
            network.all += 1
        self._put(connection, place)
        return victim

    def give_way(self, now: float) -> C | None:
        """Whoever has lost its place because the system has none for so many; None if none can."""
        self._expire(now)
        try:
            victim = self._victim((), self._whole)
        except Full:
            return None
        self.leave(victim)
        return victim

    def waits(self, connection: C, until: float | None = None) -> None:
        """It has sent a frame that waits for its turn; or it waits until then, if it may that long.

        Whoever gives an `until` gives none that is before one that was given earlier.
        """
        self._do(connection, _Doing.WAITING)
        if until is not None and connection in self._places:
            self._until[connection] = until

    def handled(self, connection: C) -> None:
        """What it has sent is being handled: it cannot go."""
        self._do(connection, _Doing.HANDLED)

    def rests(self, connection: C) -> None:
        """Nothing that it has sent waits any more."""
        self._do(connection, _Doing.NOTHING)

    def prove(self, connection: C, device_id: bytes) -> None:
        """An active device has sent news on this connection: it is the device's one from now on."""
        former = self._devices.get(device_id)
        if former == connection or connection not in self._places:
            return
        if former is not None:
            self.doubt(former)
        self.doubt(connection)
        self._devices[device_id] = connection
        place = self._places[connection]
        self._take_out(connection, place)
        place.device = device_id
        for network in self._all(place):
            network.proven += 1
        self._put(connection, place)

    def doubt(self, connection: C) -> None:
        """What came last on this connection was no news: it has proven nothing any more."""
        place = self._places.get(connection)
        if place is None or place.device is None:
            return
        self._take_out(connection, place)
        del self._devices[place.device]
        place.device = None
        for network in self._all(place):
            network.proven -= 1
        self._put(connection, place)

    def device(self, connection: C) -> bytes | None:
        """The device that has proven itself on this connection, if one has."""
        place = self._places.get(connection)
        return None if place is None else place.device

    def leave(self, connection: C) -> None:
        """Its place is free; nothing if it has none."""
        self.doubt(connection)
        place = self._places.pop(connection, None)
        if place is None:
            return
        self._until.pop(connection, None)
        self._take_out(connection, place)
        for network in self._all(place):
            network.all -= 1
        for name in place.origin:
            if not self._networks[name].all:
                del self._networks[name]

    def _victim(self, networks: Origin, network: _Network[C]) -> C:
        """Who has to go, of those in the last of `networks`. Raises `Full`."""
        idle, waiting = self._idle.within(networks), self._waiting.within(networks)
        proven = network.resting or network.waiting
        if proven and (4 * network.proven > 3 * network.limit or not (idle or waiting)):
            return next(iter(proven))
        if len(waiting) > len(idle):
            return waiting.choose(self._random)
        if idle:
            return idle.choose(self._random)
        raise Full("too many connections from there" if networks else "too many connections")

    def _do(self, connection: C, doing: _Doing) -> None:
        place = self._places.get(connection)
        if place is None:
            return
        self._until.pop(connection, None)
        self._take_out(connection, place)
        place.doing = doing
        self._put(connection, place)

    def _put(self, connection: C, place: _Place) -> None:
        """Put it where `_victim` finds it, behind all that are there."""
        if place.doing is _Doing.HANDLED:
            return
        is_idle = place.doing is _Doing.NOTHING
        if place.device is None:
            (self._idle if is_idle else self._waiting).add(connection, place.origin)
            return
        for network in self._all(place):
            (network.resting if is_idle else network.waiting)[connection] = None

    def _take_out(self, connection: C, place: _Place) -> None:
        if place.doing is _Doing.HANDLED:
            return
        is_idle = place.doing is _Doing.NOTHING
        if place.device is None:
            (self._idle if is_idle else self._waiting).remove(connection, place.origin)
            return
        for network in self._all(place):
            del (network.resting if is_idle else network.waiting)[connection]

    def _expire(self, now: float) -> None:
        """Let those rest that have waited for their time."""
        while self._until:
            connection, until = next(iter(self._until.items()))
            if until > now:
                break
            self.rests(connection)

    def _network(self, origin: Origin, level: int) -> _Network[C]:
        """The whole table, or the network at that level."""
        if not level:
            return self._whole
        network = self._networks.get(origin[level - 1])
        return network or _Network(self._per_source * shares(origin)[level - 1])

    def _all(self, place: _Place) -> list[_Network[C]]:
        return [self._network(place.origin, level) for level in range(len(place.origin) + 1)]
