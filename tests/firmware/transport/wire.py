"""A serial link on a UART by hand, under a clock that only waiting moves; runs on the device."""

from birthkey.transport import serial


class Uart:
    """Takes and gives a few bytes at a time, None when there is nothing, as machine.UART."""

    def __init__(self, read_size, write_size):
        self.now = 0
        self.incoming = b""
        self.written = b""
        self.stalled = False
        self.endless = False
        self._read_size = read_size
        self._write_size = write_size
        self._turn = 0

    def readinto(self, buffer):
        if self.endless:
            self.now += 1
            self.incoming = b"\x00\x07\x00" * 100
        piece = self.incoming[: min(len(buffer), self._read_size)]
        if not piece:
            return None
        buffer[: len(piece)] = piece
        self.incoming = self.incoming[len(piece) :]
        return len(piece)

    def write(self, data):
        self._turn += 1
        if self.stalled or self._turn % 3 == 0:
            return None
        data = bytes(data[: self._write_size])
        self.written += data
        return len(data)


class Bench:
    def __init__(self, read_size=256, write_size=256):
        self.uart = Uart(read_size, write_size)
        self.link = serial.Serial(self.uart)

    def _run(self, steps, *args):
        ticks_ms = serial.ticks_ms
        serial.ticks_ms = lambda: self.uart.now
        try:
            steps = steps(*args)
            while True:
                try:
                    next(steps)
                except StopIteration as stop:
                    return stop.value
                self.uart.now += 1
        finally:
            serial.ticks_ms = ticks_ms

    def open(self):
        self._run(self.link.open)

    def send(self, frame):
        """Send it; give what went over the wire."""
        self.uart.written = b""
        self._run(self.link.send, frame)
        return self.uart.written

    def receive(self, timeout_ms=1000):
        return self._run(self.link.receive, timeout_ms)

    def close(self):
        self._run(self.link.close)

    def connected(self):
        return self.link.connected

    def bad(self):
        return self.link.bad

    def clock(self):
        return self.uart.now

    def say(self, data):
        self.uart.incoming += data

    def stall(self):
        self.uart.stalled = True

    def say_noise_without_end(self):
        self.uart.endless = True


def encode(frame):
    block = memoryview(bytearray(255))
    return b"".join([bytes(part) for part in serial.encode(frame, block)])


def decode(encoded):
    buffer = bytearray(encoded)
    return bytes(buffer[: serial.decode(memoryview(buffer))])


def round_trips(pairs):
    """Of (frame, its encoding), those that this side encodes or decodes in another way."""
    return [pair for pair in pairs if [decode(pair[1]), encode(pair[0])] != pair]


def frames(stream, size):
    """What a reader finds in a stream that comes in pieces, and how much it counts as bad."""
    reader = serial.FrameReader()
    found = []
    for at in range(0, len(stream), size):
        piece = stream[at : at + size]
        while piece:
            part = piece[: reader.wanted]
            reader.feed(part)
            piece = piece[len(part) :]
            frame = reader.next_frame()
            while frame is not None:
                found.append(frame)
                frame = reader.next_frame()
    return found, reader.bad
