"""The boards' end of TLS connections to a server that runs in the same event loop.

Python's `ssl` on memory buffers: so a test holds the records, and can change or withhold them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import tempfile
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from birthkey_host.message import Message
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.server.certificate import CertificateFile
from birthkey_host.server.tcp import Limits, TcpServer
from birthkey_host.server.tls import ClientCertificates, make_context
from certificates import Issued, authority, issue
from tcp_clients import LIMITS, Client, Network, run

V1_1, V1_2, V1_3 = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

CA = authority()
SERVER = issue(CA)
PREFIX = "closed the TLS connection from 127.0.0.1: "


def client_context(
    version: ssl.TLSVersion = V1_2,
    *,
    ciphers: str | None = None,
    curve: str | None = None,
    certificate: Path | None = None,
    trust: Issued = CA,
) -> ssl.SSLContext:
    """Settings of a board. `certificate`: a file with its key and its certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # for versions that are not to work
        context.minimum_version = context.maximum_version = version
    context.load_verify_locations(cadata=trust.certificate_pem.decode())
    if ciphers is not None:
        context.set_ciphers(ciphers)
    if curve is not None:
        context.set_ecdh_curve(curve)
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


class TlsClient:
    """The board's end of one connection."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: ssl.SSLContext,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self.reader, self.writer = reader, writer
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._came, self._goes, server_hostname="localhost", session=session
        )

    async def shake_hands(self, alter: Callable[[bytes], bytes] = lambda data: data) -> None:
        """`alter` may change what is sent. Raises `ssl.SSLError`."""
        if await self._do(self.tls.do_handshake, alter) is not None:
            # Python 3.11.2 takes the end of a connection for one that TLS has announced.
            error = ssl.SSLEOFError("the server closed the connection")
            error.reason = "UNEXPECTED_EOF_WHILE_READING"
            raise error

    async def refused(self, alter: Callable[[bytes], bytes] = lambda data: data) -> str:
        """Shakes hands in vain; how that ends for the board."""
        try:
            await self.shake_hands(alter)
            await self.read(1)  # with TLS 1.3 a board is ready before the server is
        except ssl.SSLError as error:
            return str(error.reason)
        raise AssertionError("the server took it")

    def records(self, data: bytes) -> bytes:
        """The records for `data`, which are not sent."""
        self.tls.write(data)
        return self._goes.read()

    def send(self, frame: bytes) -> None:
        self.writer.write(self.records(len(frame).to_bytes(2, "big") + frame))

    async def read(self, count: int) -> bytes:
        """That many bytes, or fewer at the end."""
        data = b""
        while len(data) < count:
            more = await self._do(partial(self.tls.read, count - len(data)))
            if not more:
                break
            data += more
        return data

    async def receive(self) -> bytes:
        return await self.read(int.from_bytes(await self.read(2), "big"))

    async def ask(self, frame: bytes) -> bytes:
        self.send(frame)
        return await self.receive()

    def end(self) -> None:
        """Say that no more comes."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.unwrap()
        self.writer.write(self._goes.read())

    async def ended(self) -> None:
        """Waits until the server has ended TLS, and then the connection."""
        assert await self.read(1) == b""
        await Client(self.reader, self.writer).closed()

    async def _do(
        self, step: Callable[[], Any], alter: Callable[[bytes], bytes] = lambda data: data
    ) -> Any:
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLZeroReturnError:
                return b""
            finally:
                if data := self._goes.read():
                    self.writer.write(alter(data))
            data = await self.reader.read(65536)
            if data:
                self._came.write(data)
            else:
                self._came.write_eof()


class _Lines(logging.Handler):
    """Collects what the server logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@dataclass
class TlsNetwork(Network):
    """A server with a listener for TLS beside the plain one, and what it logs."""

    tls_port: int = 0
    tls_clients: list[TlsClient] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)

    async def begin(self, context: ssl.SSLContext | None = None, **options: Any) -> TlsClient:
        """A connection whose handshake has not begun."""
        session = options.pop("session", None)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.tls_port, **options)
        client = TlsClient(reader, writer, context or client_context(), session)
        self.tls_clients.append(client)
        return client

    async def secure(self, context: ssl.SSLContext | None = None, **options: Any) -> TlsClient:
        client = await self.begin(context, **options)
        await client.shake_hands()
        return client

    async def line(self) -> str:
        """The next line that the server logs."""
        while not self.lines:
            await asyncio.sleep(0.002)
        return self.lines.pop(0)


@contextlib.asynccontextmanager
async def serving_tls(
    handle: Any,
    limits: Limits = LIMITS,
    *,
    clients: ClientCertificates = ClientCertificates.NONE,
    path: Path | None = None,
) -> AsyncIterator[TlsNetwork]:
    """`path`: the file that the server's certificate is in."""
    with tempfile.TemporaryDirectory() as folder:
        path = path or SERVER.save(Path(folder) / "tls.pem")
        certificate = CertificateFile(path, partial(make_context, clients=clients))
        logger, collector = logging.getLogger("birthkey_host.server"), _Lines()
        logger.addHandler(collector)
        level = logger.level
        logger.setLevel(logging.INFO)
        server = TcpServer(handle, limits)
        [(_, port)] = await server.start("127.0.0.1", 0)
        [(_, tls_port)] = await server.start("127.0.0.1", 0, certificate)
        network = TlsNetwork(server, port, tls_port=tls_port, lines=collector.lines)
        try:
            yield network
        finally:
            for client in [*network.clients, *network.tls_clients]:
                client.writer.close()
            await server.stop()
            logger.removeHandler(collector)
            logger.setLevel(level)


def echo(frame: bytes, source: str) -> bytes | None:
    """Answers everything but what begins with 0."""
    return None if frame.startswith(b"\x00") else b"answer to " + frame


def both(
    function: Callable[[TlsNetwork, ssl.TLSVersion], Awaitable[None]],
) -> Callable[[ssl.TLSVersion], None]:
    """A test that is a coroutine with a server, for both versions of TLS."""

    @pytest.mark.parametrize("version", [V1_2, V1_3], ids=["1.2", "1.3"])
    def test(version: ssl.TLSVersion) -> None:
        async def served() -> None:
            async with serving_tls(echo) as network:
                await function(network, version)

        run(served())

    test.__name__ = function.__name__
    return test


async def refused(network: TlsNetwork, context: ssl.SSLContext) -> tuple[str, str]:
    """How a handshake fails: for the board, and in the server's log."""
    client = await network.begin(context)
    alert, line = await client.refused(), await network.line()
    assert line.startswith(PREFIX)
    return alert, line.removeprefix(PREFIX)


def flipped(data: bytes, at: int = -1) -> bytes:
    """One bit of it is changed."""
    changed = bytearray(data)
    changed[at] ^= 1
    return bytes(changed)


Serve = Callable[..., contextlib.AbstractAsyncContextManager[TlsNetwork]]
"""The fixture `serve`: makes a server that lets every board enrol."""


async def ask(client: Client | TlsClient, board: ReferenceDevice, message: Message) -> Message:
    return board.open(await client.ask(board.frame(message)))


async def enrol(client: Client | TlsClient, board: ReferenceDevice) -> Message:
    return await ask(client, board, board.enrol("pico", "1.0"))
