"""The network between boards and a server: real sockets, and whoever sits on them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

import birthkey.conversation
from birthkey._port import ticks_diff
from birthkey.modem import ModemClosed, ServerUnreachable

Hook = Callable[[bytes], Iterable[bytes]]
Result = TypeVar("Result")

HOST = "127.0.0.1"
ELSEWHERE = "127.0.0.66"  # where attackers come from
PATIENCE = 20.0  # seconds; nothing here takes that long unless it hangs
PER_CONNECTION = 9  # a server closes a connection at the tenth frame that it could not answer


def framed(frame: bytes) -> bytes:
    """A frame on a stream."""
    return len(frame).to_bytes(2, "big") + frame


def unframed(stream: bytes) -> list[bytes]:
    """The frames of a stream that has ended."""
    frames = []
    while stream:
        end = 2 + int.from_bytes(stream[:2], "big")
        assert end <= len(stream), "the stream ends within a frame"
        frames.append(stream[2:end])
        stream = stream[end:]
    return frames


def passed(frame: bytes) -> list[bytes]:
    """A hook that lets every frame through."""
    return [frame]


def lost(frame: bytes) -> list[bytes]:
    """A hook that lets none through."""
    return []


class Loop:
    """An event loop in a thread of its own, for servers and taps."""

    def __enter__(self) -> Loop:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network")
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.soon(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def run(self, steps: Coroutine[Any, Any, Result]) -> Result:
        """What a coroutine returns that runs in the loop."""
        return asyncio.run_coroutine_threadsafe(steps, self._loop).result(PATIENCE)

    def soon(self, call: Callable[..., object], *arguments: object) -> None:
        """Call something in the loop."""
        self._loop.call_soon_threadsafe(call, *arguments)


def send_stream(port: int, stream: bytes) -> bytes:
    """Send bytes over a connection of their own; all that came back until the server closed it."""
    answer = b""
    with (
        socket.create_connection((HOST, port), PATIENCE, (ELSEWHERE, 0)) as connection,
        # A server that closes at a bad length does not read the rest, which resets the connection.
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(stream)
        connection.shutdown(socket.SHUT_WR)
        while piece := connection.recv(65536):
            answer += piece
    return answer


def send(port: int, *frames: bytes) -> list[bytes]:
    """Send frames, nine on a connection, and wait until the server is done: its answers."""
    answers = []
    for at in range(0, len(frames), PER_CONNECTION):
        stream = b"".join(map(framed, frames[at : at + PER_CONNECTION]))
        answers += unframed(send_stream(port, stream))
    return answers


class Wiretap:
    """Sits between a board and a server, reads every frame, and may change, add or lose some.

    `up` and `down` are given a frame, and return the frames that go on in its stead; they run in
    the loop's thread. `frames` and `answers` are what the board and the server sent.
    """

    def __init__(self, loop: Loop, target: Callable[[], int]) -> None:
        """`target` gives the port of the server, anew for every connection."""
        self.up: Hook = passed
        self.down: Hook = passed
        self.frames: list[bytes] = []
        self.answers: list[bytes] = []
        self._loop, self._target = loop, target
        self._connections: set[asyncio.Task[None]] = set()
        self._board: asyncio.StreamWriter | None = None
        self._server = loop.run(asyncio.start_server(self._serve, HOST, 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Cut every connection; the next goes to whoever is the target then."""
        self._loop.run(self._cut())

    def close(self) -> None:
        """Take no more connections, and cut those there are."""
        self._loop.soon(self._server.close)
        self.cut()

    def tell(self, frame: bytes) -> None:
        """Give the board a frame over the connection that it has."""
        assert self._board
        self._loop.soon(self._board.write, framed(frame))

    async def _cut(self) -> None:
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._connections.add(task)
        self._board = writer
        try:
            with contextlib.suppress(OSError):
                there = await asyncio.open_connection(HOST, self._target())
                await self._relay((reader, writer), there)
        except asyncio.CancelledError:
            pass  # asyncio reports a handler that was cancelled
        finally:
            await _closed(writer)
            self._connections.discard(task)

    async def _relay(self, board: Any, server: Any) -> None:
        ways = {
            asyncio.ensure_future(self._carry(board[0], server[1], self._ascend)),
            asyncio.ensure_future(self._carry(server[0], board[1], self._descend)),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            server[1].close()  # before anything that can be cancelled
            await asyncio.gather(*ways, return_exceptions=True)
            await _closed(server[1])

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, hook: Hook
    ) -> None:
        while True:
            length = int.from_bytes(await reader.readexactly(2), "big")
            for frame in hook(await reader.readexactly(length)):
                writer.write(framed(frame))

    def _ascend(self, frame: bytes) -> Iterable[bytes]:
        frames = list(self.up(frame))
        self.frames.append(frame)  # last: a test that sees it may change the hook
        return frames

    def _descend(self, frame: bytes) -> Iterable[bytes]:
        frames = list(self.down(frame))
        self.answers.append(frame)
        return frames


async def _closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


class SocketLink:
    """What `birthkey.modem.open` gives a Device, over sockets of this machine."""

    def __init__(self) -> None:
        self._streams: list[SocketStream] = []

    def connect(self, host: str, port: int) -> Iterator[None]:
        """A stream to a server."""
        yield
        try:
            connection = socket.create_connection((host, port), timeout=PATIENCE)
        except OSError as error:
            raise ServerUnreachable(str(error)) from error
        self._streams.append(SocketStream(connection))
        return self._streams[-1]

    def close(self) -> None:
        """Close every connection that was made."""
        for stream in self._streams:
            stream.connection.close()


class SocketStream:
    """What the firmware uses of `birthkey.modem.stream.Stream`."""

    def __init__(self, connection: socket.socket) -> None:
        connection.settimeout(0.002)
        self.connection = connection
        self.connected = True

    def send(self, data: bytes) -> Iterator[None]:
        yield
        try:
            self.connection.sendall(data)
        except OSError as error:
            self.connected = False
            raise ModemClosed(str(error)) from error

    def receive(self, buffer: memoryview, timeout_ms: int) -> Iterator[None]:
        yield
        # By the clock that the Device goes by, which a test may put forward.
        began = birthkey.conversation.ticks_ms()
        while True:
            try:
                length = self.connection.recv_into(buffer)
            except TimeoutError:
                if ticks_diff(birthkey.conversation.ticks_ms(), began) >= timeout_ms:
                    return 0
                yield
                continue
            except OSError:
                length = 0
            if length:
                return length
            self.connected = False
            raise ModemClosed("The server closed the connection.")

    def close(self) -> Iterator[None]:
        yield
        self.connected = False
        self.connection.close()
