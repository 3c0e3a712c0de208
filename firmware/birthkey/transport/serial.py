"""Frames straight over a UART, with no modem between: the bench, the factory.

Each frame is COBS-encoded (Cheshire and Baker, "Consistent Overhead Byte Stuffing"), so
that 0x00 occurs in none, and stands between two 0x00: after noise the next one is whole.
"""

from birthkey._port import Timer, const
from birthkey.cose import MAX_ANSWER
from birthkey.modem import ModemClosed, SendFailed
from birthkey.transport.tcp import FRAME_MAX

_DELIMITER = b"\x00"
_BLOCK = const(254)  # the most bytes that follow one code byte
_SHORT = const(8)  # bytes; slices of more are worth their memory
_PIECE = const(256)
_STALL_MS = const(1000)
_LAST_LOOKS = const(16)  # when time is up, for the UART's buffer is full after a pause


def encode(frame, block):
    """COBS: give the encoding in parts, each in `block`, a memoryview of 255 bytes."""
    view = memoryview(frame)
    at = 0
    while True:
        zero = frame.find(_DELIMITER, at, at + _BLOCK)
        end = min(at + _BLOCK, len(frame)) if zero < 0 else zero
        code = end - at + 1
        block[0] = code
        block[1:code] = view[at:end]
        yield block[:code]
        if zero >= 0:
            at = zero + 1
        elif end < len(frame):
            at = end
        else:
            return


def decode(view):
    """Undo COBS in place; give how many bytes there are now.

    `view` is a memoryview of 1 byte or more, none of them 0x00. ValueError when the last
    block is cut short.
    """
    size = len(view)
    at = into = 0
    while True:
        code = view[at]
        end = at + code
        if end > size:
            raise ValueError("the last block is cut short")
        if code > _SHORT:
            view[into : into + code - 1] = view[at + 1 : end]
            into += code - 1
        else:
            while at + 1 < end:
                at += 1
                view[into] = view[at]
                into += 1
        if end == size:
            return into
        if code <= _BLOCK:
            view[into] = 0
            into += 1
        at = end


class FrameReader:
    """Takes a byte stream apart into frames of at most `most` bytes.

    What is no frame is counted and skipped. After `feed`, `next_frame` is called until it
    gives None.
    """

    def __init__(self, most):
        self._most = most
        self._encoded_most = most + most // _BLOCK + 1  # with a code for each block begun
        self._buffer = bytearray(self._encoded_most + 1)
        self._view = memoryview(self._buffer)
        self.bad = 0
        self.reset()

    def reset(self):
        self._start = 0  # of the frame that has begun
        self._scanned = 0  # up to here there is no delimiter
        self._end = 0
        self._skipping = False  # it was too long: nothing counts before the next delimiter

    @property
    def wanted(self):
        """Bytes that may be fed now."""
        return len(self._buffer) - self._end

    def feed(self, data):
        """Take in at most `wanted` bytes."""
        end = self._end + len(data)
        if end > len(self._buffer):
            raise ValueError("more bytes than wanted")
        self._view[self._end : end] = data
        self._end = end

    def next_frame(self):
        """Give the next whole frame, None when there is none."""
        while True:
            delimiter = self._buffer.find(_DELIMITER, self._scanned, self._end)
            if delimiter < 0:
                self._make_room()
                return None
            start = self._start
            self._start = self._scanned = delimiter + 1
            if self._skipping:
                self._skipping = False
            elif start < delimiter:
                encoded = self._view[start:delimiter]
                try:
                    length = decode(encoded)
                except ValueError:
                    length = 0
                if 0 < length <= self._most:
                    return bytes(encoded[:length])
                self.bad += 1

    def _make_room(self):
        """Keep the frame that has begun, at the front, unless it is none any more."""
        begun = self._end - self._start
        if self._skipping:
            begun = 0
        elif begun > self._encoded_most:
            self.bad += 1
            self._skipping = True
            begun = 0
        elif self._start:
            self._view[:begun] = self._view[self._start : self._end]
        self._start = 0
        self._scanned = self._end = begun


class Serial:
    """Frames to and from whoever is at the other end of a UART (`readinto`, `write`).

    It takes the place of a modem and a server: `Device(Serial(uart), server_key=...)`.
    """

    def __init__(self, uart):
        self.connected = False
        self._uart = uart
        self._reader = FrameReader(MAX_ANSWER)
        self._piece = memoryview(bytearray(_PIECE))
        self._block = memoryview(bytearray(1 + _BLOCK))

    @property
    def bad(self):
        """How many times what came was no frame: noise, or another baud rate."""
        return self._reader.bad

    def open(self):
        """Begin anew; there is nobody to ask."""
        yield from self.close()
        self.connected = True

    def send(self, frame):
        """Send a frame of 1 to 4096 bytes; raises SendFailed when the UART takes none."""
        if not 0 < len(frame) <= FRAME_MAX:
            raise ValueError("a frame has 1 to %d bytes" % FRAME_MAX)
        self._check()
        # The first one ends what noise, or a frame that was abandoned, has begun.
        yield from self._write(_DELIMITER)
        for part in encode(frame, self._block):
            yield from self._write(part)
        yield from self._write(_DELIMITER)

    def receive(self, timeout_ms):
        """Give the next frame, or None when none was complete in time."""
        self._check()
        timer = Timer(timeout_ms)
        looks = _LAST_LOOKS
        while True:
            frame = self._reader.next_frame()
            if frame is not None:
                return frame
            length = self._uart.readinto(self._piece[: self._reader.wanted])
            if length:
                self._reader.feed(self._piece[:length])
            if not timer.left():
                looks -= 1
                if not length or not looks:
                    return self._reader.next_frame()
            yield

    def close(self):
        """Forget what has begun to come; never raises."""
        self.connected = False
        self._reader.reset()
        yield

    def _check(self):
        if not self.connected:
            raise ModemClosed("The serial link is closed: open it first.")

    def _write(self, data):
        timer = Timer(_STALL_MS)
        while len(data):
            taken = self._uart.write(data)
            if taken:
                data = data[taken:]
                timer.start(_STALL_MS)
            elif not timer.left():
                self.connected = False
                raise SendFailed(
                    "The UART took no bytes for %d ms: does its flow control wait for somebody?"
                    % _STALL_MS
                )
            yield
