"""What the tests of the emulated RP2040 run on the board, and how they do."""

from __future__ import annotations

import os
import time
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from birthkey_host.repl import Repl
from boards.emulated.emulator import Emulator

# Sends back all that comes in on UART 1 until COUNT bytes have; prints microseconds, first to last.
ECHO = """
from machine import UART
from time import ticks_us, ticks_diff
uart = UART(1, {baud}, tx=4, rx=5, rxbuf=8192, txbuf=8192)
print("ready")
buffer = memoryview(bytearray(1024))
count = 0
while not uart.any():
    pass
start = ticks_us()
while count < {count}:
    length = uart.readinto(buffer)
    if length:
        count += length
        at = 0
        while at < length:
            at += uart.write(buffer[at:length]) or 0
print(ticks_diff(ticks_us(), start))
while not uart.txdone():
    pass
"""


@contextmanager
def repl(board: Emulator) -> Iterator[Repl]:
    """The board's REPL; the board keeps what was done there."""
    opened = Repl(board.repl)
    try:
        yield opened
    finally:
        opened._transport.close()


class Wire:
    """The far end of the board's UART: `tty` is what the board is wired to."""

    def __init__(self) -> None:
        self._here, self._there = os.openpty()
        tty.setraw(self._there)
        os.set_blocking(self._here, False)
        self.tty = os.ttyname(self._there)

    def send(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._here, data) :]
            except BlockingIOError:
                time.sleep(0.001)

    def receive(self) -> bytes:
        """What has come in."""
        try:
            return os.read(self._here, 65536)
        except BlockingIOError:
            return b""

    def exchange(self, data: bytes, count: int, seconds: float) -> bytes:
        """Send data while taking `count` bytes in, or as many as come within that time."""
        deadline = time.monotonic() + seconds
        found = b""
        while len(found) < count and time.monotonic() < deadline:
            if data:
                with suppress(BlockingIOError):
                    data = data[os.write(self._here, data[:1024]) :]
            found += self.receive()
            time.sleep(0.001)
        return found

    def close(self) -> None:
        os.close(self._here)
        os.close(self._there)
