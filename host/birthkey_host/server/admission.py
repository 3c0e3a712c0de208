"""Whose frame is handled next: keeps strangers cheap. No sockets and no clock; times are given.

Anyone may send frames, and the worst of them cost a hundred times what they cost to make. A cheap
look at a frame's header, without any cryptography, puts it into one of three ranks. It only ever
decides about the order: what a frame is worth, the verifier says.

Within a rank the origins take turns, so that an origin with many connections gets one share.
Work that came to nothing is charged to the origin of the frame, never to the `enc` in it, which
anyone can copy from the wire.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict, deque
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Rank(IntEnum):
    """What a look at a frame makes of it, the most promising first."""

    KNOWN = 0
    """Its `enc` began a boot of an active device, or its connection has proven itself."""
    STRANGER = 1
    """Anyone, and every board that has just rebooted."""
    LAST = 2
    """No frame at all, for another server, a repetition, or from an origin in debt."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Costs are seconds of the processor."""

    credit: float = 0.1  # of work that came to nothing, before an origin is in debt
    worst: float = 0.5  # no origin owes more, so that each gets out of debt
    recovery: float = 0.01  # is forgiven every second
    origins: int = 4096  # that owe something and are remembered
    known: int = 100_000  # boots of active devices that are remembered
    strangers_turn: int = 4  # one turn in so many goes to a stranger first


class Header(NamedTuple):
    """What a sealed-frame shows to everyone."""

    server_id: bytes
    number: int
    """The partial IV, which rises with every frame of a boot."""
    enc: bytes


# The deterministic encoding leaves one form for all that precedes the ciphertext.
_HEADER = bytes.fromhex("d0 83 5864 a4 011818 0450")
_SERVER_ID, _PARTIAL_IV, _ENC, _UNPROTECTED = 10, 28, 39, 104
_BEFORE_PARTIAL_IV, _BEFORE_ENC = b"\x06\x48", b"\x0a\x58\x41"
_NO_HEADERS, _BYTE_STRING = 0xA0, 2


def look(frame: bytes) -> Header | None:
    """The header, if `frame` may be a sealed-frame; else None. Its cost does not depend on it.

    The layout is that of docs/protocol.md. Everything that `cose.SealedFrame.decode` accepts is
    read alike; not all that is read here is accepted there.
    """
    if (
        len(frame) <= _UNPROTECTED + 1
        or frame[:_SERVER_ID] != _HEADER
        or frame[_PARTIAL_IV - 2 : _PARTIAL_IV] != _BEFORE_PARTIAL_IV
        or frame[_ENC - 3 : _ENC] != _BEFORE_ENC
        or frame[_UNPROTECTED] != _NO_HEADERS
        or frame[_UNPROTECTED + 1] >> 5 != _BYTE_STRING
    ):
        return None
    return Header(
        server_id=frame[_SERVER_ID : _PARTIAL_IV - 2],
        number=int.from_bytes(frame[_PARTIAL_IV : _ENC - 3], "big"),
        enc=frame[_ENC:_UNPROTECTED],
    )


def origin(address: str) -> str:
    """Whom to hold an address against: itself, or its /64 where it is one of IPv6.

    A single subscriber has a /64 at least, and so more addresses than any table has places.
    """
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, ipaddress.IPv4Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed) >> 64 << 64, 64)))


@dataclass(eq=False, slots=True)
class Request(Generic[T]):
    """A frame that waits for its turn, and whose it is."""

    owner: T
    frame: bytes
    origin: str
    header: Header | None
    rank: Rank


class Admission(Generic[T]):
    """The queue in front of the one thread that does the work.

    It has no bound of its own: each connection has at most one frame in it.
    """

    def __init__(
        self, server_ids: Collection[bytes], limits: AdmissionLimits | None = None
    ) -> None:
        self._server_ids = frozenset(server_ids)
        self._limits = limits or AdmissionLimits()
        self._queues = {rank: _Turns[T]() for rank in Rank}
        self._debts = _Debts(self._limits)
        self._known = _Known(self._limits.known)
        self._turn = 0

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def know(self, device_id: bytes, enc: bytes) -> None:
        """Remember that `enc` began the newest boot of an active device."""
        if self._known.get(enc) is None:
            self._known.put(device_id, enc, -1)

    def offer(self, owner: T, frame: bytes, origin: str, *, proven: bool, now: float) -> Request[T]:
        """Queue a frame. `proven`: the frame before it on this connection was `news`."""
        header = look(frame)
        rank = self._rank(header, origin, proven, now)
        request = Request(owner, frame, origin, header, rank)
        self._queues[rank].push(request)
        return request

    def next(self) -> Request[T] | None:
        """Take out the frame whose turn it is; None when none waits."""
        self._turn += 1
        first, second = Rank.KNOWN, Rank.STRANGER
        if self._turn % self._limits.strangers_turn == 0:
            # A board that has rebooted is a stranger: it must get in while others are busy.
            first, second = second, first
        for rank in (first, second, Rank.LAST):
            if (request := self._queues[rank].pop()) is not None:
                return request
        return None

    def withdraw(self, request: Request[T]) -> None:
        """Take out a frame whose connection is gone; nothing if its turn has come."""
        self._queues[request.rank].remove(request)

    def news(self, request: Request[T], device_id: bytes) -> bool:
        """An active device has sent this frame: whether it did so just now.

        Its number then is above all that were seen of its boot; else it was recorded and is sent
        again, by whomever.
        """
        header = request.header
        highest = None if header is None else self._known.get(header.enc)
        if header is None or (highest is not None and header.number <= highest):
            return False
        self._known.put(device_id, header.enc, header.number)
        return True

    def charge(self, origin: str, cost: float, now: float) -> None:
        """A frame or a handshake from there came to nothing, and took `cost` seconds."""
        self._debts.charge(origin, cost, now)

    def _rank(self, header: Header | None, origin: str, proven: bool, now: float) -> Rank:
        if header is None or header.server_id not in self._server_ids:
            return Rank.LAST
        highest = self._known.get(header.enc)
        if highest is not None and header.number <= highest:
            return Rank.LAST  # boards seal anew, under the next number, whatever they send again
        if proven:
            return Rank.KNOWN  # not to suffer for what others do behind the same address
        if self._debts.owes(origin, now):
            return Rank.LAST
        return Rank.STRANGER if highest is None else Rank.KNOWN


class _Turns(Generic[T]):
    """A queue for each origin, and the origins take turns."""

    def __init__(self) -> None:
        self._queues: OrderedDict[str, deque[Request[T]]] = OrderedDict()

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def push(self, request: Request[T]) -> None:
        self._queues.setdefault(request.origin, deque()).append(request)

    def pop(self) -> Request[T] | None:
        if not self._queues:
            return None
        origin, queue = next(iter(self._queues.items()))
        request = queue.popleft()
        self._queues.move_to_end(origin)
        if not queue:
            del self._queues[origin]
        return request

    def remove(self, request: Request[T]) -> None:
        queue = self._queues.get(request.origin)
        if queue is None or request not in queue:
            return
        queue.remove(request)
        if not queue:
            del self._queues[request.origin]


class _Debts:
    """What origins have cost for nothing; those that did so last are remembered."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self._owed: OrderedDict[str, tuple[float, float]] = OrderedDict()  # seconds, and when

    def __len__(self) -> int:
        return len(self._owed)

    def charge(self, origin: str, cost: float, now: float) -> None:
        self._owed[origin] = (min(self._now(origin, now) + cost, self._limits.worst), now)
        self._owed.move_to_end(origin)
        if len(self._owed) > self._limits.origins:
            self._owed.popitem(last=False)

    def owes(self, origin: str, now: float) -> bool:
        return self._now(origin, now) > self._limits.credit

    def _now(self, origin: str, now: float) -> float:
        owed, at = self._owed.get(origin, (0.0, now))
        return max(0.0, owed - (now - at) * self._limits.recovery)


class _Known:
    """The highest number seen under the `enc` of each active device's newest boot."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._numbers: OrderedDict[bytes, tuple[bytes, int]] = OrderedDict()
        self._encs: dict[bytes, bytes] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    def get(self, enc: bytes) -> int | None:
        """That number; -1 when none was seen since the start; None for an unknown `enc`."""
        found = self._numbers.get(enc)
        return None if found is None else found[1]

    def put(self, device_id: bytes, enc: bytes, number: int) -> None:
        self._forget(self._encs.get(device_id))
        self._forget(enc)  # the `enc` of two devices, if they conspire, is that of the last
        self._encs[device_id] = enc
        self._numbers[enc] = (device_id, number)
        if len(self._numbers) > self._limit:
            self._forget(next(iter(self._numbers)))

    def _forget(self, enc: bytes | None) -> None:
        if enc is not None and enc in self._numbers:
            device_id, _ = self._numbers.pop(enc)
            del self._encs[device_id]
