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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from birthkey_host.cose import MAX_FRAME
from birthkey_host.origins import origin
from birthkey_host.server.admission import Admission, AdmissionLimits, Rank, Request
from birthkey_host.server.certificate import CertificateFile
from birthkey_host.server.connection import (
    RECEIVED,
    BadLength,
    Connection,
    PlainStream,
    Stream,
    open_streams,
    tune,
)
from birthkey_host.server.listener import Listener, listen
from birthkey_host.server.pipeline import Sender, Served
from birthkey_host.server.places import Full, Places
from birthkey_host.server.service import Handle, Plain, Service
from birthkey_host.server.tls import TlsError, TlsStream


@dataclass(frozen=True, slots=True)
class Limits:
    """What one stranger may cost. Times in seconds."""

    idle: float = 300.0  # between two frames
    idle_proven: float = 3600.0  # between two frames of a board that has proven itself
    handshake: float = 60.0  # for all of TLS's, which costs a board seconds of computing
    transfer: float = 10.0  # for a whole frame once it has begun, and for taking an answer
    moving: float = 5.0  # after each step of a handshake, it goes for nobody else
    connections: int = 10_000  # each costs memory, and is an open file
    connections_per_source: int = 1000  # many boards may share one address
    bad_frames: int = 10  # those that got silence, before the connection is closed
    drain: float = 10.0  # for what is being handled when the server stops
    summaries: float = 10.0  # between two of what was not logged line by line
    admission: AdmissionLimits = field(default_factory=AdmissionLimits)


class TcpServer:
    """Listens, and passes each frame with what is known of its sender to a `Pipeline`.

    The pipeline runs in a thread of its own, one frame at a time. In its place, a function
    `handle(frame, source)` that returns the answer or None for silence will do; then nobody is
    known, and all take turns.
    """

    def __init__(self, service: Service | Handle, limits: Limits | None = None) -> None:
        self._service = Plain(service) if callable(service) else service
        self._limits = limits or Limits()
        self._lines = self._service.lines
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registry")
        self._working = False
        self._admission = Admission[Connection](self._service.server_ids, self._limits.admission)
        self._places = Places[Connection](
            self._limits.connections, self._limits.connections_per_source
        )
        self._handshakes = asyncio.Lock()
        self._listeners: list[Listener] = []
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
        begun = [
            Listener(listening, partial(self._accept, certificate), self._cannot_accept)
            for listening in await listen(host, port, RECEIVED)
        ]
        self._listeners += begun
        return [listener.address for listener in begun]

    async def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        limit = self._limits.admission.known
        for device_id, enc in await loop.run_in_executor(self._worker, self._service.boots, limit):
            self._admission.know(device_id, enc)
        self._reporter = loop.create_task(self._report())
        loop.set_exception_handler(self._unexpected)
        logging.getLogger("asyncio").addFilter(self._may_log)

    async def stop(self) -> None:
        """Close the listeners, finish the frames that are being handled, close the connections."""
        self._stopping = True
        while self._listeners:
            self._listeners.pop().close()
        for connection in self._connections:
            if connection.served is None and connection.stream is not None:
                connection.stream.close()
        tasks = {connection.task for connection in self._connections if connection.task}
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._limits.drain)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await asyncio.to_thread(self._worker.shutdown)
        if self._reporter is not None:
            self._reporter.cancel()
            asyncio.get_running_loop().set_exception_handler(None)
            logging.getLogger("asyncio").removeFilter(self._may_log)
        self._lines.sum_up()

    def _accept(
        self, certificate: CertificateFile | None, accepted: socket.socket, address: str
    ) -> None:
        """Serve a connection, in a task of its own, if there is a place for it."""
        connection = Connection(accepted, Sender(address), origin(address))
        if refusal := self._make_room(connection):
            self._log(connection, "connection", "refused a connection from %s: %s", refusal)
            accepted.close()
            return
        self._connections.add(connection)
        connection.task = asyncio.create_task(self._serve(certificate, connection))
        connection.task.add_done_callback(partial(self._gone, connection))

    def _cannot_accept(self, error: OSError) -> None:
        """The system has no more for a connection: let one go, so that the next one can come."""
        self._lines.write(
            logging.ERROR,
            "this server",
            "connection",
            "cannot accept a connection: %s",
            error.strerror or error,
        )
        self._send_away(self._places.give_way(self._now()))

    async def _serve(self, certificate: CertificateFile | None, connection: Connection) -> None:
        try:
            reader, writer = await open_streams(connection.accepted)
            stream: Stream = PlainStream(reader, writer)
            connection.stream = stream
            tune(writer, self._limits.idle)
            if certificate is not None:
                connection.stream = stream = TlsStream(certificate.context(), reader, writer)
            await self._live(connection, stream)
            await self._close(stream)
        except asyncio.CancelledError:
            self._log(
                connection, "connection", "cut the connection from %s: %s", connection.must_go
            )
            connection.cut()
        except Exception as error:  # of an address that OpenSSL or the system could do nothing with
            self._log(connection, "error", "closed the connection from %s", error=error)
            connection.cut()

    def _gone(self, connection: Connection, task: asyncio.Task[None]) -> None:
        """Its task is over, or was before it began."""
        if task.cancelled():
            connection.cut()
        self._places.leave(connection)
        self._connections.discard(connection)

    async def _live(self, connection: Connection, stream: Stream) -> None:
        """Serve a connection until it is over, whatever ends it."""
        try:
            if isinstance(stream, TlsStream):
                await self._shake_hands(connection, stream)
            await self._frames(connection, stream)
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
            stream.abort()
        except OSError as error:
            self._log(connection, "connection", "lost the connection from %s: %s", error)
        except Exception as error:
            self._log(connection, "error", "closed the connection from %s", error=error)

    async def _shake_hands(self, connection: Connection, stream: TlsStream) -> None:
        """Raises `TlsError`, and what else its stream raises."""
        limit = self._limits.handshake

        def moved() -> None:
            self._places.waits(connection, self._now() + self._limits.moving)

        try:
            async with asyncio.timeout(limit) as patience:
                device_id = await stream.handshake(self._handshakes, moved)
        except Exception:
            self._admission.charge(connection.origin, stream.cost, self._now())
            if patience.expired():
                raise TlsError(f"no TLS handshake within {limit:g} seconds") from None
            raise
        connection.sender = replace(connection.sender, tls=True, device_id=device_id)

    def _make_room(self, connection: Connection) -> str | None:
        """Give it a place, another's if it must be; why it gets none, if it does not."""
        if self._stopping:
            return "the server stops"
        try:
            self._send_away(self._places.take(connection, connection.origin, self._now()))
        except Full as full:
            return str(full)
        return None

    def _send_away(self, victim: Connection | None) -> None:
        if victim is not None and victim.task is not None:
            victim.must_go = "another one needs its place"
            if victim.stream is not None:
                victim.stream.abort()  # now, as the next one needs what the system has for it
            victim.task.cancel()

    async def _frames(self, connection: Connection, stream: Stream) -> None:
        bad = 0
        while not self._stopping:
            frame = await self._read(connection, stream)
            answers = (await self._turn(connection, frame)).frames
            if not answers:
                bad += 1
                if bad >= self._limits.bad_frames:
                    self._log(connection, "connection", "closed the connection from %s: bad frames")
                    return
                continue
            # In one go: a board waits for the command that its acknowledgement announces.
            stream.write(b"".join(len(answer).to_bytes(2, "big") + answer for answer in answers))
            async with asyncio.timeout(self._limits.transfer):
                await stream.drain()

    async def _turn(self, connection: Connection, frame: bytes) -> Served:
        """Wait for this frame's turn, and for what becomes of it."""
        loop = asyncio.get_running_loop()
        connection.served = loop.create_future()
        request = self._admission.offer(
            connection,
            frame,
            connection.origin,
            proven=self._places.device(connection),
            now=self._now(),
        )
        if request.rank is not Rank.LAST:  # which may be for ever, and is worth nothing
            self._places.waits(connection)
        self._work()
        try:
            return await connection.served
        finally:
            self._admission.withdraw(request)
            self._places.rests(connection)
            connection.served = None

    def _work(self) -> None:
        """Have the thread handle the frame whose turn it is, unless it is busy."""
        if self._working or (request := self._admission.next()) is None:
            return
        self._working = True
        self._places.handled(request.owner)
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
        device_id, now = served.device_id, self._now()
        if device_id is not None and self._admission.news(request, device_id):
            self._places.prove(request.owner, device_id)
            if served.stored:
                return
            if self._admission.owes(device_id, now):  # and it comes with ever new boots
                self._admission.charge(request.origin, cost, now)
            self._admission.charge_device(device_id, cost, now)
        elif device_id is not None or served.charged:
            self._places.doubt(request.owner)
            self._admission.charge(request.origin, cost, now)

    async def _read(self, connection: Connection, stream: Stream) -> bytes:
        """The next frame. Raises `BadLength`, and what its stream raises."""
        begins = await self._first(connection, stream)
        async with asyncio.timeout(self._limits.transfer):
            begins += await stream.readexactly(1)
            length = int.from_bytes(begins, "big")
            if not 0 < length <= MAX_FRAME:
                raise BadLength(begins)
            return await stream.readexactly(length)

    async def _first(self, connection: Connection, stream: Stream) -> bytes:
        """The byte that ends the time between two frames.

        A board that has proven itself has longer, for as long as this is its connection.
        """
        loop = asyncio.get_running_loop()
        idle = self._limits.idle
        end = loop.time() + max(idle, self._limits.idle_proven)
        while True:
            try:
                async with asyncio.timeout_at(min(loop.time() + idle, end)) as patience:
                    return await stream.readexactly(1)
            except TimeoutError:
                is_over = loop.time() >= end or self._places.device(connection) is None
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

    def _unexpected(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What asyncio has nobody else to tell."""
        error = context.get("exception")
        self._lines.write(
            logging.ERROR, "this server", "error", "asyncio: %s", context["message"], error=error
        )

    def _may_log(self, record: logging.LogRecord) -> bool:
        """Whether asyncio may log a line, as it does when it is made to write to who is gone."""
        return self._lines.may(record.levelno, "this server", "asyncio")

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()

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
