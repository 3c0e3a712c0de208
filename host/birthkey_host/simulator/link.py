"""A connection as the modem's protocol sees it, with what it holds in passive mode."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum, auto


class Phase(Enum):
    """The life of a connection."""

    OPENING = auto()
    OPEN = auto()
    ENDED = auto()  # by the peer, with data left to read


@dataclass
class Link:
    """What the modem knows of one connection."""

    kind: str
    address: str
    port: int
    local_port: int = 0
    phase: Phase = Phase.OPENING
    announced: bool = False  # by a +IPD, and not read since
    pieces: deque[bytes] = field(default_factory=deque)  # one of TCP, one for each datagram

    @property
    def buffered(self) -> int:
        """Bytes that wait to be read."""
        return sum(map(len, self.pieces))

    def put(self, data: bytes) -> None:
        """Keep bytes of the stream, or one datagram."""
        if self.kind == "TCP" and self.pieces:
            self.pieces[0] += data
        else:
            self.pieces.append(data)

    def take(self, limit: int) -> bytes:
        """The next bytes of the stream, or the next datagram."""
        piece = self.pieces.popleft()
        # As from a socket: what does not fit of a stream stays, of a datagram it is lost.
        if self.kind == "TCP" and len(piece) > limit:
            self.pieces.appendleft(piece[limit:])
        return piece[:limit]
