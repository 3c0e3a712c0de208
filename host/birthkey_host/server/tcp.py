"""Frames over TCP: each follows its length, two bytes, big-endian (docs/protocol.md).

A connection is served strictly in order: a frame is read, handled and answered before the next is
read. So a board that sends faster than it is served is slowed down by TCP, and none can queue
more than one frame for the one thread that does the work. Whose turn it is there, `admission`
says; who has to go when there are too many connections, `places` says.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

from birthkey_host.server.admission import Admission, AdmissionLimits, Request, origin
from birthkey_host.server.lines import Lines
from birthkey_host.server.pipeline import Served
from birthkey_host.server.places import Full, Places

log = logging.getLogger(__name__)

MAX_FRAME = 4096

_BACKLOG = 1024  # connections that wait to be accepted; with fewer, a flood drops those of boards
_RECEIVED = 4 * MAX_FRAME  # bytes that a connection may send ahead

Handle = Callable[[bytes, str], bytes | None]


@dataclass(frozen=True, slots=True)
class Limits:
    """What one stranger may cost. Times in seconds."""

    idle: float = 300.0  # between two frames
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

    def serve(self, frame: bytes, source: str) -> Served:
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

    def serve(self, frame: bytes, source: str) -> Served:
        answer = self._handle(frame, source)
        return Served(answer, charged=answer is None)


@dataclass(eq=False, slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    source: str
    origin: str
    task: asyncio.Task[None]
    served: asyncio.Future[Served] | None = None  # while a frame of it waits or is handled
    must_go: str = "the server stops"


class TcpServer:
    """Listens, and passes each frame with its source address to a `Pipeline`.

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
        self._admission = Admission[_Connection](self._service.server_ids, self._limits.admission)
        self._places = Places[_Connection](
            self._limits.connections, self._limits.connections_per_source
        )
        self._server: asyncio.Server | None = None
        self._reporter: asyncio.Task[None] | None = None
        self._connections: set[_Connection] = set()
        self._stopping = False

    async def start(self, host: str, port: int) -> list[tuple[str, int]]:
        """Listen, and return the addresses of it: a name may have several, port 0 is a free one.

        Raises `OSError` when an address cannot be used.
        """
        loop = asyncio.get_running_loop()
        limit = self._limits.admission.known
        for device_id, enc in await loop.run_in_executor(self._worker, self._service.boots, limit):
            self._admission.know(device_id, enc)
        self._server = await asyncio.start_server(self._serve, host, port, limit=2 * MAX_FRAME)
        for listener in self._server.sockets:
            # The system's own choice is megabytes for each connection.
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVED)
            # asyncio accepts as many in a row as may wait: few should, and many may.
            with socket.fromfd(listener.fileno(), listener.family, listener.type) as same:
                same.listen(_BACKLOG)
        self._reporter = loop.create_task(self._report())
        return [listener.getsockname()[:2] for listener in self._server.sockets]

    async def stop(self) -> None:
        """Close the listeners, finish the frames that are being handled, close the connections."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            if connection.served is None:
                connection.writer.close()
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

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        source = str(peer[0]) if peer else "unknown"
        task = asyncio.current_task()
        assert task is not None
        connection = _Connection(reader, writer, source, origin(source), task)
        if refusal := self._make_room(connection):
            self._log(connection, "connection", "refused a connection from %s: %s", refusal)
            await self._close(writer)
            return
        self._connections.add(connection)
        try:
            await self._live(connection)
            await self._close(writer)
        except asyncio.CancelledError:
            self._log(
                connection, "connection", "cut the connection from %s: %s", connection.must_go
            )
            writer.transport.abort()
        finally:
            self._places.leave(connection)
            self._connections.remove(connection)

    async def _live(self, connection: _Connection) -> None:
        """Serve a connection until it is over, whatever ends it."""
        try:
            await self._frames(connection)
        except asyncio.IncompleteReadError:
            pass  # the board went away, between two frames or within one
        except TimeoutError:
            self._log(connection, "connection", "closed the connection from %s: it took too long")
            connection.writer.transport.abort()
        except OSError as error:
            self._log(connection, "connection", "lost the connection from %s: %s", error)
        except Exception as error:
            self._log(connection, "error", "closed the connection from %s", error=error)

    def _make_room(self, connection: _Connection) -> str | None:
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

    async def _frames(self, connection: _Connection) -> None:
        bad = 0
        while not self._stopping:
            frame = await self._read(connection.reader)
            if frame is None:
                self._log(connection, "framing", "refused framing: bad length from %s")
                return
            answer = (await self._turn(connection, frame)).answer
            if answer is None:
                bad += 1
                if bad >= self._limits.bad_frames:
                    self._log(connection, "connection", "closed the connection from %s: bad frames")
                    return
                continue
            connection.writer.write(len(answer).to_bytes(2, "big") + answer)
            async with asyncio.timeout(self._limits.transfer):
                await connection.writer.drain()

    async def _turn(self, connection: _Connection, frame: bytes) -> Served:
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

    def _handle(self, request: Request[_Connection]) -> tuple[Served, float]:
        """What becomes of a frame, and the seconds of the processor that it took. In the thread."""
        began = time.thread_time()
        served = self._service.serve(request.frame, request.owner.source)
        return served, time.thread_time() - began

    def _handled(
        self, request: Request[_Connection], handled: asyncio.Future[tuple[Served, float]]
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

    def _judge(self, request: Request[_Connection], served: Served, cost: float) -> None:
        """What a frame says about its connection and its origin."""
        if served.device_id is not None and self._admission.news(request, served.device_id):
            self._places.prove(request.owner, served.device_id)
        elif served.device_id is not None or served.charged:
            self._places.doubt(request.owner)
            self._admission.charge(request, cost, asyncio.get_running_loop().time())

    async def _read(self, reader: asyncio.StreamReader) -> bytes | None:
        """The next frame, or None for a length that no frame has."""
        async with asyncio.timeout(self._limits.idle):
            first = await reader.readexactly(1)
        async with asyncio.timeout(self._limits.transfer):
            length = int.from_bytes(first + await reader.readexactly(1), "big")
            if not 0 < length <= MAX_FRAME:
                return None
            return await reader.readexactly(length)

    async def _close(self, writer: asyncio.StreamWriter) -> None:
        """Close in peace if the board takes what was written to it, else without."""
        writer.close()
        try:
            async with asyncio.timeout(self._limits.transfer):
                await writer.wait_closed()
        except TimeoutError:
            writer.transport.abort()
        except OSError:
            pass  # the other side was faster

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(self._limits.summaries)
            self._lines.sum_up()

    def _log(
        self,
        connection: _Connection,
        what: str,
        line: str,
        *arguments: object,
        error: BaseException | None = None,
    ) -> None:
        level = logging.WARNING if error is None else logging.ERROR
        source = connection.source
        self._lines.write(level, source, what, line, source, *arguments, error=error)
