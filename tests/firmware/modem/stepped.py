"""A transport over a modem whose steps are taken one by one; runs on the device.

The clock is the test's, and what goes over the UART: its receive buffer is small, and loses what
does not fit.
"""

import ticks

from birthkey import modem
from birthkey.transport import tcp

RUNNING, GIVEN, FAILED = range(3)
_ROOM = 256


class Uart:
    """As machine.UART: None when there is nothing."""

    def __init__(self):
        self.incoming = b""
        self.written = b""

    def hear(self, data):
        self.incoming += data[: _ROOM - len(self.incoming)]

    def readinto(self, buffer):
        piece = self.incoming[: len(buffer)]
        self.incoming = self.incoming[len(piece) :]
        buffer[: len(piece)] = piece
        return len(piece) or None

    def write(self, data):
        self.written += bytes(data)
        return len(data)


class Bench:
    """A Tcp, one generator of it, and those that were dropped: MicroPython finalises none."""

    def __init__(self, ssid):
        self._now = 0
        self._uart = Uart()
        self._steps = None
        self._dropped = []
        self._call(self._make, ssid)

    def _make(self, ssid):
        link = modem.open(self._uart, "esp_at", ssid=ssid, password="secret")
        self._tcp = tcp.Tcp(link, "server", 7000)

    def _clock(self):
        return self._now

    def _call(self, function, *args):
        return ticks.by(self._clock, function, *args)

    def connected(self):
        return self._tcp.connected

    def begin(self, name, *args):
        self._steps = self._call(getattr(self._tcp, name), *args)

    def step(self, milliseconds, heard):
        """Time passes, and bytes come; then a step: how it ended, what with, what was written."""
        self._now += milliseconds
        self._uart.hear(heard)
        ended, value = self._call(self._step)
        written, self._uart.written = self._uart.written, b""
        return ended, value, written

    def _step(self):
        try:
            next(self._steps)
        except StopIteration as stop:
            return GIVEN, stop.value
        except modem.ModemError as error:
            return FAILED, str(error)
        return RUNNING, None

    def close(self):
        self._call(self._steps.close)

    def drop(self):
        self._dropped.append(self._steps)

    def pick_up(self):
        """Go on with what was dropped before, as if it had only been left."""
        self._steps = self._dropped.pop(0)
