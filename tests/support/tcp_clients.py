"""The boards' end of TCP connections to a server that runs in the same event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from birthkey_host.server.tcp import Limits, TcpServer

LIMITS = Limits(idle=60, transfer=60, connections=20, connections_per_source=20, drain=5)


def run(steps: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await steps

    asyncio.run(bounded(), debug=False)


@dataclass
class Client:
    """The board's end of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, frame: bytes) -> None:
        self.writer.write(len(frame).to_bytes(2, "big") + frame)

    async def receive(self) -> bytes:
        length = int.from_bytes(await self.reader.readexactly(2), "big")
        return await self.reader.readexactly(length)

    async def ask(self, frame: bytes) -> bytes:
        self.send(frame)
        return await self.receive()

    async def closed(self) -> None:
        """Waits until the server has closed the connection, and nothing came before."""
        with contextlib.suppress(ConnectionError):
            assert await self.reader.read() == b""


@dataclass
class Network:
    """A server, and the clients that it has."""

    server: TcpServer
    port: int
    clients: list[Client] = field(default_factory=list)

    async def connect(self, **options: Any) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.port, **options))
        self.clients.append(client)
        return client


@contextlib.asynccontextmanager
async def serving(
    handle: Callable[[bytes, str], bytes | None], limits: Limits = LIMITS
) -> AsyncIterator[Network]:
    server = TcpServer(handle, limits)
    [(_, port)] = await server.start("127.0.0.1", 0)
    network = Network(server, port)
    try:
        yield network
    finally:
        for client in network.clients:
            client.writer.close()
        await server.stop()


def steps(function: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """A test that is a coroutine."""

    def test() -> None:
        run(function())  # type: ignore[arg-type]

    test.__name__ = function.__name__
    return test
