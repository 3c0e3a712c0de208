"""Frames straight over a UART, with no modem and no network between: the bench, the factory.

Each frame is COBS-encoded (Cheshire and Baker, "Consistent Overhead Byte Stuffing", IEEE/ACM
Transactions on Networking 7(2), 1999), so that 0x00 occurs in none, and stands between two 0x00:
after noise the next one is whole. What noise changed within a frame is the seal's to find.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Sequence
from types import TracebackType

import serial  # type: ignore[import-untyped]
from cobs import cobs  # type: ignore[import-untyped]

from birthkey_host.server.lines import Lines

log = logging.getLogger(__name__)

MAX_FRAME = 4096
MAX_ENCODED = int(cobs.max_encoded_length(MAX_FRAME))

_DELIMITER = b"\x00"
_POLL = 0.2  # seconds between two looks at whether to stop
_PATIENCE = 10.0  # seconds for a board to take its answer
_SUMMARIES = 10.0  # seconds between two of what was not logged line by line


class SerialLinkError(Exception):
    """The port cannot be used, or not any more; the text says which, why and what to do."""


def encode(frame: bytes) -> bytes:
    """A frame of 1 to 4096 bytes as it goes over the wire, between its delimiters."""
    return _DELIMITER + bytes(cobs.encode(frame)) + _DELIMITER


class FrameDecoder:
    """Takes a byte stream apart into frames; holds one at most.

    `bad` counts what stood between two delimiters and was no frame.
    """

    def __init__(self) -> None:
        self.bad = 0
        self._begun = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that `data` completes, 1 to 4096 bytes each."""
        *ended, begun = data.split(_DELIMITER)
        frames = []
        for piece in ended:
            self._keep(piece)
            if self._begun:  # delimiters may stand side by side
                frame = _decoded(bytes(self._begun))
                if frame:
                    frames.append(frame)
                else:
                    self.bad += 1
                self._begun.clear()
        self._keep(begun)
        return frames

    def _keep(self, piece: bytes) -> None:
        # One byte too many is enough to know it later.
        self._begun += piece[: MAX_ENCODED + 1 - len(self._begun)]


def _decoded(encoded: bytes) -> bytes | None:
    if len(encoded) > MAX_ENCODED:
        return None
    try:
        frame = bytes(cobs.decode(encoded))
    except cobs.DecodeError:
        return None
    return frame if 0 < len(frame) <= MAX_FRAME else None


class SerialLink:
    """Opens a serial port, and passes each frame on it with its name to `handle(frame, source)`.

    `handle` returns the frames that go back, none for silence; `run` calls it, one frame at a time.
    `between` is called between two reads of the port, five times a second while the board is
    silent.

    Raises SerialLinkError when the port cannot be opened, ValueError for a baud rate that it cannot
    have.
    """

    def __init__(
        self,
        port: str,
        handle: Callable[[bytes, str], Sequence[bytes]],
        baudrate: int = 115200,
        *,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = port
        self._handle = handle
        self._between = between
        self._decoder = FrameDecoder()
        self._stop = threading.Event()
        self._lines = Lines(log)
        self._next_mention = 1
        try:
            self._port = serial.Serial(
                port,
                baudrate,
                timeout=_POLL,
                write_timeout=_PATIENCE,
                exclusive=True,  # two readers would each get a part of every frame
            )
        except serial.SerialException as error:
            why = os.strerror(error.errno) if error.errno else str(error)
            raise SerialLinkError(
                f"cannot open the serial port {port} ({why}): is it plugged in, may you use it, "
                "and does no other program?"
            ) from error

    @property
    def bad(self) -> int:
        """How many times what came was no frame."""
        return self._decoder.bad

    def run(self) -> None:
        """Serve until `stop`. Raises SerialLinkError when the port is gone."""
        while not self._stop.is_set():
            try:
                data = self._port.read(self._port.in_waiting or 1)
            except OSError as error:
                raise self._gone() from error
            for frame in self._decoder.feed(data):
                self._serve(frame)
            self._mention()
            self._lines.sum_up(every=_SUMMARIES)
            self._between()

    def stop(self) -> None:
        """Let `run` return soon; from any thread or signal handler, and for good."""
        self._stop.set()

    def close(self) -> None:
        """Close the port; not while `run` runs."""
        self._port.close()

    def __enter__(self) -> SerialLink:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _serve(self, frame: bytes) -> None:
        try:
            answers = self._handle(frame, self._name)
        except Exception as error:
            line = "a frame from %s got no answer"
            self._lines.write(logging.ERROR, self._name, "error", line, self._name, error=error)
            return
        if not answers:
            return
        try:
            self._port.write(b"".join(map(encode, answers)))
        except serial.SerialTimeoutException:
            line = "the board on %s did not take its answer"
            self._lines.write(logging.WARNING, self._name, "connection", line, self._name)
        except OSError as error:
            raise self._gone() from error

    def _mention(self) -> None:
        """Say that what comes is bad, ever more seldom: noise must not fill the log."""
        if self.bad >= self._next_mention:
            self._next_mention = 2 * self.bad
            log.warning(
                "refused framing: %d bad so far from %s: noise, or another baud rate",
                self.bad,
                self._name,
            )

    def _gone(self) -> SerialLinkError:
        return SerialLinkError(f"the serial port {self._name} is gone: was it unplugged?")
