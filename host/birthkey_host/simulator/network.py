"""The modem's side of the network: real sockets, IPv4."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Mapping
from ipaddress import IPv4Address

from .actions import Open

CONNECT_SECONDS = 10.0
_TYPES = {"TCP": socket.SOCK_STREAM, "UDP": socket.SOCK_DGRAM}


class Connection:
    """A TCP connection, or a UDP socket with one peer."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._stream = sock.type == socket.SOCK_STREAM
        self.address: str = sock.getpeername()[0]
        self.local_port: int = sock.getsockname()[1]

    async def receive(self, limit: int) -> bytes:
        """1 to limit bytes, or one datagram; b"" at the end of a stream."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                data = await loop.sock_recv(self._socket, limit)
            except OSError:
                data = b""
            # An empty datagram says nothing, an error on a datagram socket that a port is
            # unreachable: neither ends anything.
            if data or self._stream:
                return data

    async def send(self, data: bytes) -> bool:
        """Hand bytes to the network's stack; False if it refuses them."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._socket, data)
        except OSError:
            return not self._stream
        return True

    def reset(self) -> None:
        """Let close() break the connection off."""
        linger = struct.pack("ii", 1, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    def close(self) -> None:
        """Let the socket go."""
        self._socket.close()


async def resolve(host: str, names: Mapping[str, str] | None) -> str:
    """The IPv4 address of a host, from `names` alone where given. Raises socket.gaierror."""
    if names is not None:
        host = names.get(host, host)
        try:
            return str(IPv4Address(host))
        except ValueError:
            raise socket.gaierror(socket.EAI_NONAME, host) from None
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, None, family=socket.AF_INET)
    except ValueError:  # no name at all
        raise socket.gaierror(socket.EAI_NONAME, host) from None
    return str(found[0][4][0])


async def connect(wanted: Open, names: Mapping[str, str] | None, window: int) -> Connection:
    """Open a connection whose receive buffer has `window` bytes. Raises OSError."""
    address = await resolve(wanted.host, names)
    sock = socket.socket(socket.AF_INET, _TYPES[wanted.kind])
    try:
        sock.setblocking(False)
        if wanted.kind == "TCP":
            if wanted.keep_alive:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option in ("TCP_KEEPIDLE", "TCP_KEEPALIVE", "TCP_KEEPINTVL"):
                    if hasattr(socket, option):  # their names differ between systems
                        number = getattr(socket, option)
                        sock.setsockopt(socket.IPPROTO_TCP, number, wanted.keep_alive)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(CONNECT_SECONDS):
            await asyncio.get_running_loop().sock_connect(sock, (address, wanted.port))
        return Connection(sock)
    except BaseException:
        sock.close()
        raise
