"""A pty as UART, with the part of machine.UART's interface that the modem driver uses."""

import termios

_VTIME = 5
_VMIN = 6


class PtyUart:
    """Raw, and never waits: `readinto` gives None when nothing is there."""

    def __init__(self, path):
        self._file = open(path, "r+b", buffering=0)
        termios.setraw(self._file.fileno())
        # setraw alone would block a read until the whole buffer is full.
        attributes = termios.tcgetattr(self._file.fileno())
        attributes[6][_VMIN] = attributes[6][_VTIME] = 0
        termios.tcsetattr(self._file.fileno(), termios.TCSANOW, attributes)

    def readinto(self, buffer):
        return self._file.readinto(buffer) or None

    def write(self, data):
        return self._file.write(data)
