"""A serial port with something on it that does what it can to whoever asks."""

from __future__ import annotations

import os
import select
import threading
import tty

_RAW = b"raw REPL; CTRL-B to exit\r\n>"


class HostilePort:
    """Says `said`, and its last byte for ever, with `pause` seconds between two of these.

    With `handshake` it does so when it is given code to run, and is a REPL before; else at once.
    """

    def __init__(self, said: bytes, *, handshake: bool = True, pause: float = 0) -> None:
        self._said, self._handshake, self._pause = said, handshake, pause
        self._ours, self._theirs = os.openpty()
        for descriptor in (self._ours, self._theirs):
            tty.setraw(descriptor)
        os.set_blocking(self._ours, False)
        self.name = os.ttyname(self._theirs)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> HostilePort:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        os.close(self._ours)
        os.close(self._theirs)

    def _run(self) -> None:
        if self._handshake:
            self._be_a_repl()
        self._write(self._said)
        last = self._said[-1:] * (1 if self._pause else 1000)
        while not self._stop.wait(self._pause):
            self._write(last)
            self._read()

    def _be_a_repl(self) -> None:
        """Until code comes."""
        heard = b""
        while not self._stop.wait(0.005):
            heard += self._read()
            if heard.endswith(b"\x05A\x01"):
                break
            if heard.endswith(b"\x01"):
                self._write(_RAW)
                heard = b""
            elif heard.endswith(b"\x04"):
                self._write(b"OK\r\nMPY: soft reboot\r\n" + _RAW)
                heard = b""
        if self._said.startswith(b"R"):  # what comes next is its window
            return
        self._write(b"R\x00")
        heard = b""
        while b"\x04" not in heard and not self._stop.wait(0.005):
            heard += self._read()

    def _read(self) -> bytes:
        try:
            return os.read(self._ours, 4096)
        except BlockingIOError:
            return b""

    def _write(self, data: bytes) -> None:
        while data and not self._stop.is_set():
            if select.select([], [self._ours], [], 0.05)[1]:
                data = data[os.write(self._ours, data) :]
            self._read()  # so that nobody waits for it to listen
