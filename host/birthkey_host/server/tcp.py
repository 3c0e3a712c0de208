"""Frames over TCP: each follows its length, two bytes, big-endian (docs/protocol.md).

A connection is served strictly in order: a frame is read, handled and answered before the next is
read. So a board that sends faster than it is served is slowed down by TCP, and none can queue
more than one frame for the one thread that does the work.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

log = logging.getLogger(__name__)

MAX_FRAME = 4096


@dataclass(frozen=True, slots=True)
class Limits:
    """What one stranger may cost. Times in seconds."""

    idle: float = 300.0  # between two frames
    transfer: float = 10.0  # for a whole frame once it has begun, and for taking an answer
    connections: int = 500  # below the usual limit of 1024 open files
    connections_per_source: int = 100  # many boards may share one address
    bad_frames: int = 10  # those that got silence, before the connection is closed
    drain: float = 10.0  # for what is being handled when the server stops


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    source: str
    waiting: bool = True  # for the board; otherwise a frame of it is being handled


class TcpServer:
    """Listens, and passes each frame with its source address to `handle(frame, source)`.

    `handle` returns the answer or None for silence; it runs in a thread of its own, one frame at a
    time.
    """

    def __init__(
        self, handle: Callable[[bytes, str], bytes | None], limits: Limits | None = None
    ) -> None:
        self._handle = handle
        self._limits = limits or Limits()
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="registry")
        self._server: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], _Connection] = {}
        self._sources: Counter[str] = Counter()
        self._stopping = False

    async def start(self, host: str, port: int) -> list[tuple[str, int]]:
        """Listen, and return the addresses of it: a name may have several, port 0 is a free one.

        Raises `OSError` when an address cannot be used.
        """
        self._server = await asyncio.start_server(self._serve, host, port, limit=2 * MAX_FRAME)
        return [socket.getsockname()[:2] for socket in self._server.sockets]

    async def stop(self) -> None:
        """Close the listeners, finish the frames that are being handled, close the connections."""
        self._stopping = True
        if self._server is not None:
            self._server.close()
        for connection in self._connections.values():
            if connection.waiting:
                connection.writer.close()
        tasks = set(self._connections)
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._limits.drain)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await asyncio.to_thread(self._worker.shutdown)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = writer.get_extra_info("peername")
        source = str(peer[0]) if peer else "unknown"
        if refusal := self._full(source):
            log.warning("closed a new connection from %s: %s", source, refusal)
            await self._close(writer)
            return
        connection = _Connection(reader, writer, source)
        with self._counted(connection):
            try:
                await self._frames(connection)
            except asyncio.IncompleteReadError:
                pass  # the board went away, between two frames or within one
            except TimeoutError:
                log.info("closed the connection from %s: it took too long", source)
                writer.transport.abort()
            except OSError as error:
                log.info("lost the connection from %s: %s", source, error)
            except asyncio.CancelledError:
                log.warning("cut the connection from %s: the server stops", source)
                writer.transport.abort()
            except Exception:
                log.exception("closed the connection from %s", source)
            await self._close(writer)

    @contextmanager
    def _counted(self, connection: _Connection) -> Iterator[None]:
        """Counts it until it is closed and gone."""
        task = asyncio.current_task()
        assert task is not None
        self._connections[task] = connection
        self._sources[connection.source] += 1
        try:
            yield
        finally:
            del self._connections[task]
            self._sources[connection.source] -= 1
            if not self._sources[connection.source]:
                del self._sources[connection.source]

    def _full(self, source: str) -> str | None:
        if self._stopping:
            return "the server stops"
        if len(self._connections) >= self._limits.connections:
            return "too many connections"
        if self._sources[source] >= self._limits.connections_per_source:
            return "too many connections from there"
        return None

    async def _frames(self, connection: _Connection) -> None:
        """Serve one connection until it ends or has to."""
        loop = asyncio.get_running_loop()
        bad = 0
        while not self._stopping:
            connection.waiting = True
            frame = await self._read(connection.reader)
            if frame is None:
                log.warning("refused framing: bad length from %s; closed", connection.source)
                return
            connection.waiting = False
            answer = await loop.run_in_executor(
                self._worker, self._handle, frame, connection.source
            )
            if answer is None:
                bad += 1
                if bad >= self._limits.bad_frames:
                    log.warning("closed the connection from %s: %d bad", connection.source, bad)
                    return
                continue
            connection.writer.write(len(answer).to_bytes(2, "big") + answer)
            async with asyncio.timeout(self._limits.transfer):
                await connection.writer.drain()

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
