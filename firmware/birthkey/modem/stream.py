"""One connection through a modem, as generators and as a MicroPython stream."""

import io

from birthkey._port import Timer, const, run
from birthkey.modem import ModemClosed

_SEND_MS = const(15_000)
# A code can be lost on the UART, and some modems announce new data only after the old
# ones were read: so ask now and then, even when nothing was announced.
_PROBE_MS = const(1000)
_LAST_LOOKS = const(16)  # when time is up, for the UART's buffer is full after a pause

_POLL = const(3)
_CLOSE = const(4)
_POLL_READ = const(1)
_POLL_WRITE = const(4)
_EINVAL = const(22)
_ECONNRESET = const(104)
_ETIMEDOUT = const(110)


class Stream(io.IOBase):
    """One connection; made by `Modem.connect`."""

    def __init__(self, modem, link, buffer):
        self.link = link
        self.timer = None  # a Timer: when it is over, `readinto` and `write` give up
        self.pending = False  # the modem may hold data for this link
        self.ended = False  # the peer closed; what the modem holds can still be read
        self.failure = None
        self.released = False  # to be closed by the next `connect`, if nobody does before
        self._modem = modem
        self._buffer = buffer  # a memoryview
        self._start = 0
        self._end = 0
        self._probe = Timer(_PROBE_MS)

    @property
    def connected(self):
        return not self.ended and self.failure is None

    @property
    def buffered(self):
        return self._end - self._start

    @property
    def space(self):
        return len(self._buffer) - self.buffered

    # What the modem calls.

    def put(self, data):
        """Append received data; more than fits breaks the stream, for nothing may be lost."""
        if self.failure is not None:
            return
        if len(data) > self.space:
            self.fail(
                ModemClosed(
                    "The modem pushed more data than the receive buffer of %d bytes holds: "
                    "raise `buffer_size`." % len(self._buffer)
                )
            )
            return
        if len(data) > len(self._buffer) - self._end:
            self._buffer[: self.buffered] = self._buffer[self._start : self._end]
            self._start, self._end = 0, self.buffered
        self._buffer[self._end : self._end + len(data)] = data
        self._end += len(data)

    def fail(self, error):
        """End the stream at once; what it had received is dropped."""
        if self.failure is None:
            self.failure = error
        self._start = self._end = 0

    def detach(self, error):
        """End the stream for good; give its buffer back."""
        self.fail(error)
        buffer, self._buffer = self._buffer, None
        return buffer

    def check(self):
        """Raise what ended the stream, if anything did."""
        if self.failure is not None:
            raise type(self.failure)(*self.failure.args)
        if self.ended:
            raise ModemClosed("The server closed the connection.")

    def asking(self):
        """Note that the modem is being asked for data."""
        self.pending = False
        self._probe.start(_PROBE_MS)

    def take(self, buffer):
        """Move received bytes into buffer; give how many."""
        length = min(len(buffer), self.buffered)
        if length:
            memoryview(buffer)[:length] = self._buffer[self._start : self._start + length]
            self._start += length
        return length

    # Generators.

    def send(self, data, timeout_ms=_SEND_MS):
        """Send all of data; raises ModemError, after which the connection is over."""
        view = memoryview(data)
        most = self._modem.dialect.SEND_MAX
        timer = Timer(timeout_ms)
        for at in range(0, len(view), most):
            # There is no step between two of them: whoever drops these is in the middle of one.
            yield from self._modem.send(self, view[at : at + most], timer.left())

    def wait(self, least, timeout_ms):
        """Wait until so many bytes can be taken; give whether they can.

        When time is up, the modem is asked once more for what it holds; with a negative time,
        it is not asked at all. Raises ModemClosed when the peer closed and no more will come.
        """
        timer = Timer(timeout_ms)
        looks = _LAST_LOOKS
        while True:
            heard = self._modem.pump()
            if self.buffered >= least:
                return True
            if self._due():
                if timeout_ms < 0:
                    return False
                yield from self._modem.read(self)
                if not timer.left():
                    return self.buffered >= least
            else:
                self.check()
                if not timer.left():
                    looks -= 1
                    if not heard or not looks:
                        return False
            yield

    def receive(self, buffer, timeout_ms):
        """Fill buffer with what came; give the number of bytes, 0 for none in time.

        Raises ModemClosed when the peer closed and everything has been read.
        """
        if (yield from self.wait(1, timeout_ms)):
            return self.take(buffer)
        return 0

    def close(self):
        """Close the connection; never raises."""
        # These steps may be closed or dropped before they are over.
        self.released = True
        return self._modem.close(self)

    # MicroPython's stream protocol, for libraries that want it: synchronous, errors as numbers.

    def readinto(self, buffer):
        """Give n, None for nothing yet, -104 for closed, -110 past the deadline; never 0."""
        try:
            self._modem.pump()
            if not self.buffered and self._due() and not self._modem.busy:
                run(self._modem.read(self))
            length = self.take(buffer)
            if length:
                return length
            if not self.connected and not (self.pending and self.failure is None):
                return -_ECONNRESET
            return -_ETIMEDOUT if self._late() else None
        except Exception as error:  # the caller may be C code, which must see a number
            self.fail(ModemClosed(str(error)))
            return -_ECONNRESET

    def write(self, data):
        """Give how many bytes were sent, None for later, -104 or -110."""
        try:
            if not self.connected:
                return -_ECONNRESET
            if self._late():
                return -_ETIMEDOUT
            if self._modem.busy:
                return None
            piece = memoryview(data)[: self._modem.dialect.SEND_MAX]
            if len(piece):
                run(self._modem.send(self, piece, _SEND_MS))
            return len(piece)
        except Exception as error:
            self.fail(ModemClosed(str(error)))
            return -_ECONNRESET

    def ioctl(self, request, argument):
        if request == _POLL:
            self._modem.pump()
            ready = _POLL_WRITE if self.connected else _POLL_READ | _POLL_WRITE
            if self.buffered or self.pending:
                ready |= _POLL_READ
            return ready & argument
        if request == _CLOSE:
            self.released = True  # the finaliser may be calling, and the heap be locked
            return 0
        return -_EINVAL

    def _due(self):
        if self.failure is not None:
            return False
        return self.pending or not self._probe.left()

    def _late(self):
        return self.timer is not None and not self.timer.left()
