"""Whose frame is handled next: keeps strangers cheap. No sockets and no clock; times are given.

Anyone may send frames, and the worst of them cost a hundred times what they cost to make. A cheap
look at a frame's header, without any cryptography, puts it into one of three ranks. It only ever
decides about the order: what a frame is worth, the verifier says.

Within a rank the origins take turns, so that an origin with many connections gets one share. A
device may speak from many addresses, so among the known the devices take turns too: one goes to
the origin, the next to the device that is next. Whose device a frame is, its `enc` only hints at,
which anyone can copy from the wire: who does so shares the turns of the device's other frames that
are no better known, and takes none of its proven connection, nor of its origin.

Work that came to nothing is charged to the origin of the frame, never to the `enc` in it. A device
is charged for what it has itself just sealed, and only to repeat: the verification has told so.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import Generic, NamedTuple, TypeVar

from birthkey_host.origins import Origin, shares
from birthkey_host.server.turns import Turns

T = TypeVar("T")


class Rank(IntEnum):
    """What a look at a frame makes of it, the most promising first."""

    KNOWN = 0
    """Its `enc` began a boot of an active device, or its connection has proven itself."""
    STRANGER = 1
    """Anyone, and every board that has just rebooted."""
    LAST = 2
    """No frame at all, for another server, a repetition, or an origin's or a device's in debt."""


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """Costs are seconds of the processor."""

    credit: float = 0.1  # of work that came to nothing, before an address or a device is in debt
    worst: float = 0.5  # none owes more, so that each gets out of debt
    recovery: float = 0.01  # is forgiven every second
    debtors: int = 65_536  # networks, and as many devices, that owe something and are remembered
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


@dataclass(eq=False, slots=True)
class Request(Generic[T]):
    """A frame that waits for its turn, and whose it is."""

    owner: T
    frame: bytes
    origin: Origin
    header: Header | None
    rank: Rank
    device: tuple[bytes, bool] | None = None
    """Whose it seems to be, and whether its connection has proven that."""


class Admission(Generic[T]):
    """The queue in front of the one thread that does the work.

    It has no bound of its own: each connection has at most one frame in it.
    """

    def __init__(
        self, server_ids: Collection[bytes], limits: AdmissionLimits | None = None
    ) -> None:
        self._server_ids = frozenset(server_ids)
        self._limits = limits or AdmissionLimits()
        self._queues = {rank: _Queue[T]() for rank in Rank}
        self._debts = _Debts(self._limits)
        self._device_debts = _Debts(self._limits)
        self._known = _Known(self._limits.known)
        self._turn = 0

    def __len__(self) -> int:
        return sum(len(queue) for queue in self._queues.values())

    def know(self, device_id: bytes, enc: bytes) -> None:
        """Remember that `enc` began the newest boot of an active device."""
        if self._known.get(enc) is None:
            self._known.put(device_id, enc, -1)

    def offer(
        self, owner: T, frame: bytes, origin: Origin, *, proven: bytes | None, now: float
    ) -> Request[T]:
        """Queue a frame. `proven`: the device whose connection it is, if one has proven that."""
        header = look(frame)
        seems = None if header is None else self._known.device(header.enc)
        device = proven or seems
        rank = self._rank(header, origin, proven, device, now)
        whose = None if device is None else (device, proven is not None)
        request = Request(owner, frame, origin, header, rank, whose)
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

    def charge(self, origin: Origin, cost: float, now: float) -> None:
        """A frame or a handshake from there came to nothing, and took `cost` seconds.

        It is owed by each network that the origin is in; one with several shares owes a part.
        """
        for network, share in zip(origin, shares(origin), strict=True):
            self._debts.charge(network, cost / share, now)

    def charge_device(self, device_id: bytes, cost: float, now: float) -> None:
        """A device has itself sealed and sent what was no use, and took `cost` seconds."""
        self._device_debts.charge(device_id, cost, now)

    def owes(self, device_id: bytes, now: float) -> bool:
        """Whether a device is in debt."""
        return self._device_debts.owes(device_id, now)

    def _rank(
        self,
        header: Header | None,
        origin: Origin,
        proven: bytes | None,
        device: bytes | None,
        now: float,
    ) -> Rank:
        if header is None or header.server_id not in self._server_ids:
            return Rank.LAST
        highest = self._known.get(header.enc)
        if highest is not None and header.number <= highest:
            return Rank.LAST  # boards seal anew, under the next number, whatever they send again
        if device is not None and self.owes(device, now):
            return Rank.LAST
        if proven is not None:
            return Rank.KNOWN  # not to suffer for what others do behind the same address
        if any(self._debts.owes(network, now) for network in origin):
            return Rank.LAST
        return Rank.STRANGER if highest is None else Rank.KNOWN


class _Queue(Generic[T]):
    """The frames of one rank. Who is next by device and who is by origin alternates."""

    def __init__(self) -> None:
        self._by_origin = Turns[Request[T]]()
        self._by_device = Turns[Request[T]]()
        self._turn = 0

    def __len__(self) -> int:
        return len(self._by_origin)

    def push(self, request: Request[T]) -> None:
        self._by_origin.push(request, request.origin)
        if request.device is not None:
            self._by_device.push(request, (request.device, *request.origin))

    def pop(self) -> Request[T] | None:
        self._turn += 1
        if self._turn % 2 and (request := self._by_device.pop()) is not None:
            self._by_origin.remove(request, request.origin, spend=0)
            return request
        if (request := self._by_origin.pop()) is not None and request.device is not None:
            # It is no turn of the device that it names, as anyone may name it.
            self._by_device.remove(request, (request.device, *request.origin), spend=1)
        return request

    def remove(self, request: Request[T]) -> None:
        """Nothing if it is not there."""
        self._by_origin.remove(request, request.origin)
        if request.device is not None:
            self._by_device.remove(request, (request.device, *request.origin))


class _Debts:
    """What somebody has cost for nothing; those that did so last are remembered."""

    def __init__(self, limits: AdmissionLimits) -> None:
        self._limits = limits
        self._owed: OrderedDict[str | bytes, tuple[float, float]] = OrderedDict()  # s, and when

    def __len__(self) -> int:
        return len(self._owed)

    def charge(self, who: str | bytes, cost: float, now: float) -> None:
        self._owed[who] = (min(self._now(who, now) + cost, self._limits.worst), now)
        self._owed.move_to_end(who)
        if len(self._owed) > self._limits.debtors:
            self._owed.popitem(last=False)

    def owes(self, who: str | bytes, now: float) -> bool:
        return self._now(who, now) > self._limits.credit

    def _now(self, who: str | bytes, now: float) -> float:
        owed, at = self._owed.get(who, (0.0, now))
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

    def device(self, enc: bytes) -> bytes | None:
        """Whose boot it is, as far as is known."""
        found = self._numbers.get(enc)
        return None if found is None else found[0]

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
