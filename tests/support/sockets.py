"""What tests do with the sockets of this machine."""

from __future__ import annotations

import socket


def port_of(server: socket.socket) -> int:
    return int(server.getsockname()[1])


def receive(connection: socket.socket, count: int) -> bytes:
    """Exactly `count` bytes."""
    data = b""
    while len(data) < count:
        data += connection.recv(count - len(data))
    return data
