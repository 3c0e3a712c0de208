"""What tests do with the sockets of this machine."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

_LISTENS = "0A"  # the state of a socket in /proc/net/tcp


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def receive(connection: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes. Raises EOFError when the other side closes before."""
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError(f"closed after {len(data)} of {count} bytes")
        data += more
    return data


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """A port of 127.0.0.1 for a program that takes no port 0; nobody else gets it meanwhile.

    It is bound here and not listened on: Linux lets a second socket have it if both are set to
    SO_REUSEADDR, as servers set theirs.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield port_of(holder)


def listens(port: int) -> bool:
    """Whether anyone listens on that port of 127.0.0.1, found out without a connection."""
    local = f"0100007F:{port:04X}"
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return any(line.split()[1:4:2] == [local, _LISTENS] for line in lines)
