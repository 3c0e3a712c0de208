"""A socket that is listened on, and what to do when the system has no more for a connection.

Not asyncio's own server: for each connection that it cannot accept for want of open files, it
logs a trace, a hundred at a time; and it makes what a connection needs before anyone can say that
there is no place for it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable

_BACKLOG = 1024  # connections that wait to be accepted; with fewer, a flood drops those of boards
_IN_A_ROW = 8  # that are accepted before frames, and those who have to go, have their turn
_PAUSE = 0.01  # seconds until the next try after one could not be accepted

Taken = Callable[[socket.socket, str], None]
Failed = Callable[[OSError], None]


class Listener:
    """Gives each connection and its address to `taken`, and to `failed` why there is none."""

    def __init__(self, listening: socket.socket, taken: Taken, failed: Failed) -> None:
        self._socket = listening
        self._taken = taken
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._resume()

    @property
    def address(self) -> tuple[str, int]:
        """Host and port."""
        host, port = self._socket.getsockname()[:2]
        return str(host), int(port)

    def close(self) -> None:
        """Listen no more; nothing if that is so already."""
        if self._socket.fileno() < 0:
            return
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._socket)
        self._socket.close()

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._socket, self._accept)

    def _accept(self) -> None:
        for _ in range(_IN_A_ROW):
            try:
                accepted, address = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                # It would fail again at once, and as often as the loop comes round.
                self._loop.remove_reader(self._socket)
                self._pause = self._loop.call_later(_PAUSE, self._resume)
                self._failed(error)
                return
            accepted.setblocking(False)
            self._taken(accepted, str(address[0]))


async def listen(host: str, port: int, received: int) -> list[socket.socket]:
    """Sockets that listen on each address of `host`, whose connections take `received` bytes ahead.

    Raises `OSError` when one cannot be used.
    """
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    listening: list[socket.socket] = []
    lacking: OSError | None = None
    try:
        for family, address in dict.fromkeys((family, address) for family, *_, address in found):
            try:
                made = socket.create_server(address, family=family, backlog=_BACKLOG)
            except OSError as error:
                if error.errno != errno.EAFNOSUPPORT:
                    raise
                lacking = error  # as where IPv6 is switched off; the others will do
                continue
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, received)
            made.setblocking(False)
            listening.append(made)
    except OSError:
        for made in listening:
            made.close()
        raise
    if lacking is not None and not listening:
        raise lacking
    return listening
