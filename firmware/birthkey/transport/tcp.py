"""Frames on a stream: two bytes of length, big-endian, then the frame."""

from birthkey._port import Timer, const
from birthkey.cose import MAX_ANSWER
from birthkey.modem import ModemClosed

FRAME_MAX = 4096
_HEADER = const(2)
_PIECE = const(256)


class FrameReader:
    """Takes a byte stream apart into frames of at most `most` bytes; holds one at most."""

    def __init__(self, most):
        self._buffer = memoryview(bytearray(_HEADER + most))
        self._most = most
        self.reset()

    def reset(self):
        self._filled = 0
        self._whole = _HEADER  # bytes in the frame with its header, as far as known

    @property
    def wanted(self):
        """Bytes that may be fed now: no more than the current frame still lacks."""
        return self._whole - self._filled

    def feed(self, data):
        """Take in at most `wanted` bytes; ValueError for a length that no frame has."""
        end = self._filled + len(data)
        if end > self._whole:
            raise ValueError("more bytes than wanted")
        self._buffer[self._filled : end] = data
        self._filled = end
        if end == _HEADER and self._whole == _HEADER:
            length = self._buffer[0] << 8 | self._buffer[1]
            if not 0 < length <= self._most:
                raise ValueError("a frame length of %d, outside 1 to %d" % (length, self._most))
            self._whole += length

    def next_frame(self):
        """Give the frame if it is complete, else None."""
        if self._whole == _HEADER or self.wanted:
            return None
        frame = bytes(self._buffer[_HEADER : self._whole])
        self.reset()
        return frame


class Tcp:
    """Frames to and from one server over `link`: `connect(host, port)` gives it a stream."""

    def __init__(self, link, host, port):
        self._link = link
        self._host = host
        self._port = port
        self._stream = None
        self._reader = FrameReader(MAX_ANSWER)
        self._piece = memoryview(bytearray(_PIECE))

    @property
    def connected(self):
        return self._stream is not None and self._stream.connected

    def open(self):
        """Connect, after closing what was open."""
        yield from self.close()
        self._stream = yield from self._link.connect(self._host, self._port)

    def send(self, frame):
        """Send a frame of 1 to 4096 bytes; raises ModemError when the connection is over."""
        length = len(frame)
        if not 0 < length <= FRAME_MAX:
            raise ValueError("a frame has 1 to %d bytes" % FRAME_MAX)
        yield from self._opened().send(bytes((length >> 8, length & 0xFF)) + frame)

    def receive(self, timeout_ms):
        """Give the next frame, or None when none was complete in time.

        Raises ModemClosed when the connection is over, also because of a frame that
        cannot be: what follows it on a stream means nothing.
        """
        stream = self._opened()
        timer = Timer(timeout_ms)
        left = max(timeout_ms, 0)
        while True:
            frame = self._reader.next_frame()
            if frame is not None:
                return frame
            piece = self._piece[: min(self._reader.wanted, _PIECE)]
            length = yield from stream.receive(piece, left)
            if not length:
                return None
            try:
                self._reader.feed(piece[:length])
            except ValueError as error:
                yield from self.close()
                raise ModemClosed("The server sent %s; the connection was closed." % error)
            # Past its time, the modem is not asked for more: a peer may give a byte each time.
            left = timer.left() or -1
            yield

    def close(self):
        """Close the connection, if there is one; never raises."""
        stream, self._stream = self._stream, None
        self._reader.reset()
        if stream is not None:
            yield from stream.close()

    def _opened(self):
        if self._stream is None:
            raise ModemClosed("There is no connection to the server: open one first.")
        return self._stream
