"""A board's REPL over its serial port: runs code on it and takes what the code printed.

The transport is mpremote's. Whatever goes wrong is a `ReplError`, a sentence for a person. What is
on the port may be hostile: each call has a bound of bytes and of time, whatever comes.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import struct
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import serial  # type: ignore[import-untyped]
from mpremote.transport import TransportError  # type: ignore[import-untyped]
from mpremote.transport_serial import SerialTransport  # type: ignore[import-untyped]
from serial.tools import list_ports  # type: ignore[import-untyped]

from birthkey_host.legible import excerpt, quoted
from birthkey_host.literals import literal

_TICK = 1.0  # seconds that a single read or write of the port may take
_PATIENCE = 10.0
_MARGIN = 20.0  # seconds that a board may go on talking after its time to be silent
_MOST = 128 * 1024  # bytes that a board may say at a time
_BUSY = 1.0  # so long may another program take to let go of the port
_ATTEMPTS = (2.0, 5.0, 10.0)  # a board that is just starting misses the first

_IN_USE = "it is busy, another program has it: close the terminal, mpremote or server that uses it"
_WHY = {
    errno.EACCES: "this user may not: on Debian and Ubuntu `sudo adduser $USER dialout` and a new"
    " login change that",
    errno.EAGAIN: _IN_USE,
    errno.EBUSY: _IN_USE,
}


class ReplError(Exception):
    """The port or the board on it does not do what it must; the text says what, and what helps."""


class BoardError(ReplError):
    """Code on the board raised an exception."""

    def __init__(self, kind: str, text: str) -> None:
        self.kind = excerpt(kind, 60)
        """The name of its class."""
        self.text = excerpt(text, 300)
        says = f"the board says {self.kind}"
        super().__init__(f"{says}: {self.text}" if text else says)


class Repl:
    """The board on `port`, its program stopped and its memory fresh; `close` starts it again.

    `port` is a device or a URL of pyserial. Soft resets run boot.py, but not main.py.
    """

    def __init__(self, port: str) -> None:
        self.port = port
        self._transport = _opened(port)
        self._transport.serial.write_timeout = _PATIENCE
        self._meter = _Meter(self._transport.serial)
        try:
            self.reset()
        except BaseException:
            self._hang_up()
            raise

    def reset(self) -> None:
        """Reset the interpreter: all modules and mounts of before are gone."""
        endless = False
        for patience in _ATTEMPTS:
            self._meter.begin(3 * patience + _TICK)  # mpremote waits for three things
            # mpremote prints what it could not make sense of.
            with contextlib.redirect_stdout(io.StringIO()):
                try:
                    self._transport.enter_raw_repl(timeout_overall=patience)
                    return
                except TransportError as error:
                    endless = isinstance(error, _Endless)
                except OSError as error:
                    raise ReplError(self._silent()) from error
        raise ReplError(self._endless() if endless else self._silent())

    def run(self, code: str, patience: float = _PATIENCE) -> str:
        """What `code` prints, at most 128 KiB; it may be silent for `patience` seconds at a time,
        and take little more in all.
        """
        self._meter.begin(patience + _MARGIN)
        with self._wire():
            out, error = self._transport.exec_raw(code, timeout=patience)
        if error:
            raise _board_error(error.decode(errors="replace"))
        return str(out.decode(errors="replace")).replace("\r\n", "\n")

    def ask(self, code: str, patience: float = _PATIENCE) -> Any:
        """The value whose `repr` is the last line that `code` prints: see `literal`."""
        lines = self.run(code, patience).splitlines()
        try:
            return literal(lines[-1])
        except (IndexError, ValueError):
            said = quoted(" ".join(lines)[-200:], None)
            raise ReplError(f"{self.port} answered what makes no sense: {said}") from None

    def close(self) -> None:
        """Let the board's own program start again, and let go of the port."""
        with contextlib.suppress(TransportError, OSError):
            self._transport.exit_raw_repl()
            self._transport.serial.write(b"\x04")  # soft reset, from the friendly REPL
            self._meter.drain()
        self._hang_up()

    def __enter__(self) -> Repl:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._transport.close()

    @contextlib.contextmanager
    def _wire(self) -> Iterator[None]:
        try:
            # struct.error: a part of the handshake is missing.
            with contextlib.redirect_stdout(io.StringIO()):
                yield
        except _Endless:
            raise ReplError(self._endless()) from None
        except (TransportError, OSError, struct.error) as error:
            raise ReplError(
                f"the board on {self.port} fell silent ({excerpt(str(error), 100)}): was it"
                " unplugged, or does another program read its port? Plug it in again, and repeat"
                " the command"
            ) from error

    def _silent(self) -> str:
        return (
            f"what is on {self.port} does not answer as MicroPython: is it the right port, does"
            " the board run MicroPython and not its boot loader, and does no other program read"
            " the port?"
        )

    def _endless(self) -> str:
        return (
            f"what is on {self.port} does not stop talking: is it the right port? If it is, a"
            " program on the board may be the cause, or a firmware that means harm: flash it anew"
        )


class _Endless(TransportError):  # type: ignore[misc]
    """More has come, or for longer, than is sensible."""


class _Meter:
    """Counts what is read from a port: the loops of mpremote end when nothing comes, or never."""

    def __init__(self, port: Any) -> None:
        self._port, self._read = port, port.read
        self._left, self._end = 0, 0.0
        port.read = self.read

    def begin(self, seconds: float) -> None:
        """From now on so long, and so many bytes as ever."""
        self._left, self._end = _MOST, time.monotonic() + seconds

    def read(self, size: int = 1) -> bytes:
        """As the port's own; raises `_Endless` when it is enough."""
        if time.monotonic() > self._end:
            raise _Endless("it takes too long")
        data = bytes(self._read(size))
        self._left -= len(data)
        if self._left < 0:
            raise _Endless("it says too much")
        return data

    def drain(self) -> None:
        """Wait until all has gone that was written, but not for ever, as the port would."""
        end = time.monotonic() + _BUSY
        while getattr(self._port, "out_waiting", 0) and time.monotonic() < end:
            time.sleep(_BUSY / 100)


def ports() -> list[str]:
    """The serial ports of this machine that a board may be on, as `PORT  what it says it is`."""
    found = sorted(list_ports.comports())
    width = max((len(port.device) for port in found), default=0)
    return [f"{port.device:{width}}  {excerpt(port.description, 80)}" for port in found]


def _opened(port: str) -> SerialTransport:
    deadline = time.monotonic() + _BUSY
    while True:
        try:
            return SerialTransport(port, timeout=_TICK)
        except (TransportError, ValueError):
            why = _why(port)
            if "busy" not in why or time.monotonic() > deadline:
                raise ReplError(why) from None
            time.sleep(_BUSY / 10)


def _why(port: str) -> str:
    """Why a port could not be opened: mpremote does not tell."""
    try:
        serial.serial_for_url(port, timeout=_TICK, exclusive=True).close()
    except ValueError as error:  # a URL that pyserial does not know
        return f"{port} is no serial port: {error}"
    except OSError as error:
        number = error.errno or 0
        if os.path.isfile(port) or os.path.isdir(port):
            return f"{port} is no serial port"
        if number == errno.ENOENT:
            here = ", ".join(name.split()[0] for name in ports())
            return f"there is no serial port {port}; there is {here or 'none: plug the board in'}"
        why = _WHY.get(number) or (os.strerror(number) if number else str(error))
        return f"cannot open the serial port {port}: {why}"
    return f"cannot open the serial port {port}: it was busy a moment ago; try again"


def _board_error(traceback: str) -> BoardError:
    lines = [line for line in traceback.strip().splitlines() if line.strip()]
    kind, _, text = (lines[-1] if lines else "an error without a name").partition(": ")
    return BoardError(kind.strip(), text.strip())
