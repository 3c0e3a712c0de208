"""Frames over TCP or TLS: each follows its length, two bytes, big-endian (docs/protocol.md).

A connection is served strictly in order: a frame is read, handled and answered before the next is
read. So a board that sends faster than it is served is slowed down by TCP, and none can queue
more than one frame for the one thread that does the work. Whose turn it is there, `admission`
says; who has to go when there are too many connections, `places` says. All listeners share both.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Protocol

from birthkey_host.cose import MAX_FRAME
from birthkey_host.server.admission import Admission, AdmissionLimits, Request, origin
from birthkey_host.server.certificate import CertificateFile
from birthkey_host.server.connection import (
    RECEIVED,
    BadLength,
    Connection,
    PlainStream,
    Stream,
    tune,
)
from birthkey_host.server.lines import Lines
from birthkey_host.server.pipeline import Sender, Served
from birthkey_host.server.places import Full, Places
from birthkey_host.server.tls import TlsError, TlsStream

log = logging.getLogger(__name__)

_BACKLOG = 1024  # connections that wait to be accepted; with fewer, a flood drops those of boards

Handle = Callable[[bytes, str], bytes | None]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one stranger may cost. Times in seconds."""

    idle: float = 300.0  # between two frames
    idle_proven: float = 3600.0  # between two frames of a board that has proven itself
    handshake: float = 60.0  # for all of TLS's, which costs a board seconds of computing
    transfer: float = 10.0  # for a whole frame once it has begun, and for taking an answer
    connections: int = 500  # below the usual limit of 1024 open files
    connections_per_source: int = 100  # many boards may share one address
    bad_frames: int = 10  # those that got silence, before the connection is closed
    drain: float = 10.0  # for what is being handled when the server stops
    summaries: float = 10.0  # between two of what was not logged line by line
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)


class Service(Protocol):
    """What the listener needs of a `Pipeline`."""

    lines: Lines
    """Where it logs what strangers cause."""

    @property
    def server_ids(self) -> Collection[bytes]:
        """The keys that frames may be sealed to."""

    def boots(self, limit: int) -> Iterable[tuple[bytes, bytes]]:
        """At most `limit` (device id, `enc`) of active devices' newest boots."""

    def serve(self, frame: bytes, sender: Sender) -> Served:
        """What becomes of a frame; called from one thread."""


class _Plain:
    """A function as a service that knows nobody."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.lines = Lines(log)

    @property
    def server_ids(self) -> Collection[bytes]:
        return ()

    def boots(self, limit: int) -> Iterable[tuple[bytes, bytes]]:
        return ()

    def serve(self, frame: bytes, sender: Sender) -> Served:
        answer = self._handle(frame, sender.source)
        return Served(answer, charged=answer is None)


class TcpServer:
    """Listens, and passes each frame with what is known of its sender to a `Pipeline`.

    The pipeline runs in a thread of its own, one frame at a time. In its place, a function
    `handle(frame, source)` that returns the answer or None for silence will do; then nobody is
    known, and all take turns.
    """

    def __init__(self, service: Service | Handle, limits: Limits | None = None) -> None:
        self._service = _Plain(service) if callable(service) else service
        self._limits = limits or Limits()
        self._lines = self._service.lines
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registry")
        self._working = False
        self._admission = Admission[Connection](self._service.server_ids, self._limits.admission)
        self._places = Places[Connection](
            self._limits.connections, self._limits.connections_per_source
        )
        self._handshakes = asyncio.Lock()
        self._listeners: list[asyncio.Server] = []
        self._reporter: asyncio.Task[None] | None = None
        self._connections: set[Connection] = set()
        self._stopping = False

    async def start(
        self, host: str, port: int, certificate: CertificateFile | None = None
    ) -> list[tuple[str, int]]:
        """Listen, for TLS if there is a `certificate`; once more for each further address.

        Returns the addresses of it: a name may have several, port 0 is a free one. Raises
        `OSError` when one cannot be used.
        """
        if self._reporter is None:
            await self._begin()
        accept = partial(self._serve, certificate)
        server = await asyncio.start_server(accept, host, port, limit=2 * MAX_FRAME)
        self._listeners.append(server)
        for listener in server.sockets:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVED)
            # asyncio accepts as many in a row as may wait: few should, and many may.
            with socket.fromfd(listener.fileno(), listener.family, listener.type) as same:
                same.listen(_BACKLOG)
        return [listener.getsockname()[:2] for listener in server.sockets]

    async def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        limit = self._limits.admission.known
        for device_id, enc in await loop.run_in_executor(self._worker, self._service.boots, limit):
            self._admission.know(device_id, enc)
        self._reporter = loop.create_task(self._report())

    async def stop(self) -> None:
        """Close the listeners, finish the frames that are being handled, close the connections."""
        self._stopping = True
        for listener in self._listeners:
            listener.close()
        for connection in self._connections:
            if connection.served is None:
                connection.stream.close()
        tasks = {connection.task for connection in self._connections}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._limits.drain)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await asyncio.to_thread(self._worker.shutdown)
        if self._reporter is not None:
            self._reporter.cancel()
        self._lines.sum_up()

    async def _serve(
        self,
        certificate: CertificateFile | None,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        peer = writer.get_extra_info("peername")
        source = str(peer[0]) if peer else "unknown"
        task = asyncio.current_task()
        assert task is not None
        stream = PlainStream(reader, writer)
        connection = Connection(stream, Sender(source), origin(source), task)
        if refusal := self._make_room(connection):
            self._log(connection, "connection", "refused a connection from %s: %s", refusal)
            await self._close(stream)
            return
        self._connections.add(connection)
        try:
            tune(writer, self._limits.idle)
            if certificate is not None:
                connection.stream = TlsStream(certificate.context(), reader, writer)
            await self._live(connection)
            await self._close(connection.stream)
        except asyncio.CancelledError:
            self._log(
                connection, "connection", "cut the connection from %s: %s", connection.must_go
            )
            connection.stream.abort()
        finally:
            self._places.leave(connection)
            self._connections.remove(connection)

    async def _live(self, connection: Connection) -> None:
        """Serve a connection until it is over, whatever ends it."""
        try:
            if isinstance(connection.stream, TlsStream):
                await self._shake_hands(connection, connection.stream)
            await self._frames(connection)
        except asyncio.IncompleteReadError:
            pass  # the board went away, between two frames or within one
        except BadLength as bad:
            self._log(connection, "framing", "refused framing: bad length from %s%s", bad)
        except TlsError as error:
            self._log(connection, "TLS", "closed the TLS connection from %s: %s", error)
        except TimeoutError as error:
            if error.errno is not None:  # the system has given the other side up, not we
                self._log(connection, "connection", "lost the connection from %s: %s", error)
                return
            self._log(connection, "connection", "closed the connection from %s: it took too long")
            connection.stream.abort()
        except OSError as error:
            self._log(connection, "connection", "lost the connection from %s: %s", error)
        except Exception as error:
            self._log(connection, "error", "closed the connection from %s", error=error)

    async def _shake_hands(self, connection: Connection, stream: TlsStream) -> None:
        """Raises `TlsError`, and what else its stream raises."""
        limit = self._limits.handshake
        try:
            async with asyncio.timeout(limit) as patience:
                device_id = await stream.handshake(self._handshakes)
        except Exception:
            now = asyncio.get_running_loop().time()
            self._admission.charge(connection.origin, stream.cost, now)
            if patience.expired():
                raise TlsError(f"no TLS handshake within {limit:g} seconds") from None
            raise
        connection.sender = replace(connection.sender, tls=True, device_id=device_id)

    def _make_room(self, connection: Connection) -> str | None:
        """Give it a place, another's if it must be; why it gets none, if it does not."""
        if self._stopping:
            return "the server stops"
        try:
            victim = self._places.take(connection, connection.origin)
        except Full as full:
            return str(full)
        if victim is not None:
            victim.must_go = "another one needs its place"
            victim.task.cancel()
        return None

    async def _frames(self, connection: Connection) -> None:
        bad = 0
        while not self._stopping:
            frame = await self._read(connection)
            answers = (await self._turn(connection, frame)).frames
            if not answers:
                bad += 1
                if bad >= self._limits.bad_frames:
                    self._log(connection, "connection", "closed the connection from %s: bad frames")
                    return
                continue
            # In one go: a board waits for the command that its acknowledgement announces.
            connection.stream.write(
                b"".join(len(answer).to_bytes(2, "big") + answer for answer in answers)
            )
            async with asyncio.timeout(self._limits.transfer):
                await connection.stream.drain()

    async def _turn(self, connection: Connection, frame: bytes) -> Served:
        """Wait for this frame's turn, and for what becomes of it."""
        loop = asyncio.get_running_loop()
        connection.served = loop.create_future()
        request = self._admission.offer(
            connection,
            frame,
            connection.origin,
            proven=self._places.proven(connection),
            now=loop.time(),
        )
        self._work()
        try:
            return await connection.served
        finally:
            self._admission.withdraw(request)
            connection.served = None

    def _work(self) -> None:
        """Have the thread handle the frame whose turn it is, unless it is busy."""
        if self._working or (request := self._admission.next()) is None:
            return
        self._working = True
        loop = asyncio.get_running_loop()
        handled = loop.run_in_executor(self._worker, self._handle, request)
        handled.add_done_callback(partial(self._handled, request))

    def _handle(self, request: Request[Connection]) -> tuple[Served, float]:
        """What becomes of a frame, and the seconds of the processor that it took. In the thread."""
        began = time.thread_time()
        served = self._service.serve(request.frame, request.owner.sender)
        return served, time.thread_time() - began

    def _handled(
        self, request: Request[Connection], handled: asyncio.Future[tuple[Served, float]]
    ) -> None:
        self._working = False
        connection = request.owner
        waiting = connection.served
        if (error := handled.exception()) is None:
            served, cost = handled.result()
            self._judge(request, served, cost)
            if waiting is not None and not waiting.done():
                waiting.set_result(served)
        elif waiting is not None and not waiting.done():
            waiting.set_exception(error)
        self._work()

    def _judge(self, request: Request[Connection], served: Served, cost: float) -> None:
        """What a frame says about its connection and its origin."""
        if served.device_id is not None and self._admission.news(request, served.device_id):
            self._places.prove(request.owner, served.device_id)
        elif served.device_id is not None or served.charged:
            self._places.doubt(request.owner)
            self._admission.charge(request.origin, cost, asyncio.get_running_loop().time())

    async def _read(self, connection: Connection) -> bytes:
        """The next frame. Raises `BadLength`, and what its stream raises."""
        stream = connection.stream
        begins = await self._first(connection)
        async with asyncio.timeout(self._limits.transfer):
            begins += await stream.readexactly(1)
            length = int.from_bytes(begins, "big")
            if not 0 < length <= MAX_FRAME:
                raise BadLength(begins)
            return await stream.readexactly(length)

    async def _first(self, connection: Connection) -> bytes:
        """The byte that ends the time between two frames.

        A board that has proven itself has longer, for as long as this is its connection.
        """
        loop = asyncio.get_running_loop()
        idle = self._limits.idle
        end = loop.time() + max(idle, self._limits.idle_proven)
        while True:
            try:
                async with asyncio.timeout_at(min(loop.time() + idle, end)) as patience:
                    return await connection.stream.readexactly(1)
            except TimeoutError:
                is_over = loop.time() >= end or not self._places.proven(connection)
                if is_over or not patience.expired():
                    raise

    async def _close(self, stream: Stream) -> None:
        """Close in peace if the board takes what was written to it, else without."""
        stream.close()
        try:
            async with asyncio.timeout(self._limits.transfer):
                await stream.wait_closed()
        except TimeoutError:
            stream.abort()
        except OSError:
            pass  # the other side was faster

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(self._limits.summaries)
            self._lines.sum_up()

    def _log(
        self,
        connection: Connection,
        what: str,
        line: str,
        *arguments: object,
        error: BaseException | None = None,
    ) -> None:
        level = logging.WARNING if error is None else logging.ERROR
        source = connection.sender.source
        self._lines.write(level, source, what, line, source, *arguments, error=error)
