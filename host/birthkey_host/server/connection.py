"""One connection: its bytes, plain or over TLS, and what the listener knows of it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass
from typing import Protocol

from birthkey_host.cose import MAX_FRAME
from birthkey_host.origins import Origin
from birthkey_host.server.pipeline import Sender, Served

RECEIVED = 4 * MAX_FRAME
"""Bytes that a connection may send ahead; the system's own choice is megabytes."""

_SENT = 2 * MAX_FRAME  # bytes that wait for a peer before `drain` waits
_TLS = b"\x16\x03"  # how a TLS handshake begins: longer than any frame


class Stream(Protocol):
    """The bytes of a connection."""

    async def readexactly(self, count: int) -> bytes:
        """That many bytes. Raises `IncompleteReadError` at the end, and `OSError`."""

    def write(self, data: bytes) -> None:
        """Send `data`, sooner or later."""

    async def drain(self) -> None:
        """Wait until most of what was written has gone. Raises `OSError`."""

    def close(self) -> None:
        """Close it when all that was written has gone."""

    async def wait_closed(self) -> None:
        """Wait until it is closed. Raises `OSError`."""

    def abort(self) -> None:
        """Close it at once."""


async def open_streams(
    accepted: socket.socket,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """asyncio's streams on a connection that was accepted. Raises `OSError`."""
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader(limit=2 * MAX_FRAME, loop=loop)
    protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
    transport, _ = await loop.connect_accepted_socket(lambda: protocol, accepted)
    return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class PlainStream:
    """The bytes as they are on the wire."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writer = writer
        self.readexactly = reader.readexactly
        self.write = writer.write
        self.drain = writer.drain
        self.close = writer.close
        self.wait_closed = writer.wait_closed
        self.abort = writer.transport.abort


@dataclass(eq=False, slots=True)
class Connection:
    """What the listener knows of it."""

    accepted: socket.socket
    sender: Sender
    origin: Origin
    stream: Stream | None = None
    """None before it has begun to be served."""
    task: asyncio.Task[None] | None = None
    served: asyncio.Future[Served] | None = None
    """While a frame of it waits or is handled."""
    must_go: str = "the server stops"

    def cut(self) -> None:
        """Close it at once, however far it has come."""
        if self.stream is not None:
            self.stream.abort()
        else:
            self.accepted.close()


class BadLength(Exception):
    """What stands where a frame's length should is none; the text is what more is to be said."""

    def __init__(self, begins: bytes) -> None:
        speaks_tls = begins == _TLS
        super().__init__(": it speaks TLS, and this port does not" if speaks_tls else "")


def tune(writer: asyncio.StreamWriter, idle: float) -> None:
    """Bound what waits for the peer, and find out that it is gone when it is idle that long."""
    writer.transport.set_write_buffer_limits(high=_SENT)
    connection = writer.get_extra_info("socket")
    wanted = [("TCP_KEEPIDLE", max(round(idle), 1)), ("TCP_KEEPINTVL", 60), ("TCP_KEEPCNT", 5)]
    with contextlib.suppress(OSError):  # it may be gone already
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in wanted:
            if hasattr(socket, name):  # else the system's own choice must do
                connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
