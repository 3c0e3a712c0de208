"""A serial link on a UART by hand, under a clock that only waiting moves; runs on the device."""

import ticks

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
        return ticks.by(self.clock, self._drive, steps, args)

    def _drive(self, steps, args):
        steps = steps(*args)
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                return stop.value
            self.uart.now += 1

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

    def stall(self, stalled=True):
        self.uart.stalled = stalled

    def begin_receiving(self, timeout_ms):
        self._begin(self.link.receive, timeout_ms)

    def begin_sending(self, frame):
        self.uart.written = b""
        self._begin(self.link.send, frame)

    def _begin(self, steps, *args):
        self.steps = ticks.by(self.clock, steps, *args)
        ticks.by(self.clock, next, self.steps)

    def go_on(self, pause):
        """After a pause, go on to the end with what was begun."""
        self.uart.now += pause
        return self._run(lambda: self.steps)

    def written(self):
        return self.uart.written

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
    reader = serial.FrameReader(serial.FRAME_MAX)
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
