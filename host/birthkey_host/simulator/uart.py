"""The modem's UART: a pty, whose other end a board opens as its serial port."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

_CHUNK = 4096
_CONGESTED = 65536  # bytes queued for the board


class Uart:
    """Both directions run as fast as the pty, or at `baud` bits a second (10 for a byte)."""

    def __init__(self, link: Path | None, baud: int | None) -> None:
        self.baud = baud
        self.port = ""
        self._link = link
        self._queue = bytearray()
        self._queued = asyncio.Event()

    @contextmanager
    def plugged_in(self) -> Iterator[None]:
        """The time in which there is a pty, and a link to it. Raises OSError."""
        with ExitStack() as stack:
            # The modem keeps the board's end open too, or the pty would hang up whenever a
            # board closes it.
            self._master, slave = os.openpty()
            stack.callback(os.close, self._master)
            stack.callback(os.close, slave)
            tty.setraw(slave)
            os.set_blocking(self._master, False)
            self.port = os.ttyname(slave)
            if self._link is not None:
                if self._link.is_symlink():
                    self._link.unlink()  # left by a modem that was killed
                self._link.symlink_to(self.port)
                stack.callback(self._link.unlink, missing_ok=True)
            yield

    @property
    def congested(self) -> bool:
        """The board does not read. What is written all the same is kept."""
        return len(self._queue) > _CONGESTED

    def write(self, data: bytes) -> None:
        """Queue bytes for the board."""
        self._queue += data
        self._queued.set()

    async def read(self) -> bytes:
        """At least one byte from the board."""
        loop = asyncio.get_running_loop()
        while True:
            await self._ready(loop.add_reader, loop.remove_reader)
            with suppress(BlockingIOError):
                data = os.read(self._master, self._chunk())
                await self._pass(len(data))
                return data

    async def transmit(self, progress: Callable[[], None]) -> None:
        """Write what is queued, for ever; say so each time that the queue gets shorter."""
        loop = asyncio.get_running_loop()
        while True:
            await self._queued.wait()
            await self._ready(loop.add_writer, loop.remove_writer)
            with suppress(BlockingIOError):
                written = os.write(self._master, self._queue[: self._chunk()])
                del self._queue[:written]
                await self._pass(written)
            if not self._queue:
                self._queued.clear()
            progress()

    async def _ready(
        self,
        add: Callable[[int, Callable[[], None]], None],
        remove: Callable[[int], bool],
    ) -> None:
        ready = asyncio.Event()
        add(self._master, ready.set)
        try:
            await ready.wait()
        finally:
            remove(self._master)

    def _chunk(self) -> int:
        """Bytes for one system call: at a baud rate, those of 10 ms."""
        baud = self.baud
        return _CHUNK if baud is None else max(1, min(_CHUNK, baud // 1000))

    async def _pass(self, count: int) -> None:
        """Take the time that so many bytes take on the wire."""
        baud = self.baud
        await asyncio.sleep(0 if baud is None else count * 10 / baud)
