"""A modem that follows a script, under a clock that only waiting moves; runs on the device.

A script is a list of (what the board must write, what the modem answers at once), or of
these two, a number of milliseconds and what the modem says after them.
"""

import gc

import ticks

from birthkey import modem
from birthkey._port import Timer, arun, run
from birthkey.modem import at, stream
from birthkey.modem.dialects import esp_at
from birthkey.transport import tcp


class Uart:
    """Takes and gives a few bytes at a time, None when there is nothing, as machine.UART."""

    def __init__(self, script, read_size, write_size):
        self.now = 0
        self.script = [tuple(step) for step in script]
        self.incoming = b""
        self.mismatch = None
        self.always = None  # (start of a line, milliseconds, its answer) when the script is over
        self.answered = 0
        self._written = b""
        self._read_size = read_size
        self._write_size = write_size
        self._turn = 0
        self._later = []

    def readinto(self, buffer):
        while self._later and self._later[0][0] <= self.now:
            self.incoming += self._later.pop(0)[1]
        piece = self.incoming[: min(len(buffer), self._read_size)]
        if not piece:
            return None
        buffer[: len(piece)] = piece
        self.incoming = self.incoming[len(piece) :]
        return len(piece)

    def write(self, data):
        self._turn += 1
        if self._write_size < 16 and self._turn % 3 == 0:
            return None  # its buffer is full
        data = bytes(data[: self._write_size])
        self._written += data
        if self.always and not self.script and self._written.startswith(self.always[0]):
            if self._written.endswith(b"\n"):
                self.answered += 1
                self._later.append((self.now + self.always[1], self.always[2]))
                self._written = b""
            return len(data)
        while self._written and self.mismatch is None:
            expected, answer = self.script[0][:2] if self.script else (b"nothing", b"")
            if len(self._written) < len(expected) and expected.startswith(self._written):
                break
            if not self._written.startswith(expected):
                self.mismatch = (expected, self._written)
                raise AssertionError("expected {!r}, got {!r}".format(*self.mismatch))
            self._written = self._written[len(expected) :]
            self.incoming += answer
            step = self.script.pop(0)
            if len(step) > 2:
                self._later.append((self.now + step[2], step[3]))
        return len(data)


def _starve(data):
    raise MemoryError


class Bench:
    """A Modem on a scripted UART, and one Stream of it."""

    def __init__(self, script, options=None, read_size=256, write_size=256):
        self.uart = Uart(script, read_size, write_size)
        self.modem = self._on_clock(lambda: modem.open(self.uart, "esp_at", **(options or {})))
        self.streams = {}
        self.stream = None
        self.waiting = None
        self.tcp = None

    def _clock(self):
        return self.uart.now

    def _run(self, steps):
        while True:
            try:
                next(steps)
            except StopIteration as stop:
                return stop.value
            self.uart.now += 1

    def _on_clock(self, function, *args):
        run = stream.run
        stream.run = self._run
        try:
            return ticks.by(self._clock, function, *args)
        finally:
            stream.run = run

    def _drive(self, function, *args):
        return self._on_clock(lambda: self._run(function(*args)))

    # What the modem does by itself, and what the script still holds.

    def say(self, data):
        self.uart.incoming += data

    def then(self, script):
        self.uart.script += [tuple(step) for step in script]

    def repeat(self, start, milliseconds, answer):
        """Answer each line that begins so, after that time, for ever."""
        self.uart.always = start, milliseconds, answer

    def answered(self):
        """How many lines `repeat` has answered."""
        return self.uart.answered

    def left(self):
        return (self.uart.mismatch, self.uart.script)

    def clock(self):
        return self.uart.now

    def wait(self, milliseconds):
        self.uart.now += milliseconds

    # The modem and its stream.

    def connect(self, host="example.org", port=7000, protocol="TCP"):
        self.stream = self._drive(self.modem.connect, host, port, protocol)
        self.streams[self.stream.link] = self.stream
        return self.stream.link

    def select(self, link):
        self.stream = self.streams[link]

    def send(self, data, timeout_ms=1000):
        return self._drive(self.stream.send, data, timeout_ms)

    def receive(self, size, timeout_ms=100):
        buffer = bytearray(size)
        length = self._drive(self.stream.receive, buffer, timeout_ms)
        return bytes(buffer[:length])

    def receive_all(self, size=256):
        """Everything until the connection is over, and why it is over."""
        received = b""
        try:
            while True:
                received += self.receive(size, 3000)
        except modem.ModemError as error:
            return received, type(error).__name__

    def close(self):
        self._drive(self.stream.close)

    def connected(self):
        return self.stream.connected

    def buffers(self):
        """How many receive buffers there are."""
        in_use = [stream for stream in self.modem._streams if stream is not None]
        return len(self.modem._spare) + len(in_use)

    def start(self, name, *args):
        """Begin to send, receive or connect, and leave it at its first wait."""
        function = self.modem.connect if name == "connect" else getattr(self.stream, name)
        self.waiting = self._on_clock(function, *args)
        self._on_clock(next, self.waiting)

    def cancel(self):
        self.waiting.close()

    def forget(self):
        """What MicroPython does to a cancelled task: its generator never runs again."""
        self.streams[-1] = self.waiting

    def pick_up(self):
        """Go on with what was forgotten, as if it had only been left."""
        self.waiting = self.streams.pop(-1)

    def go_on(self):
        """Take one more step of what was begun; give whether it has more."""
        try:
            self._on_clock(next, self.waiting)
        except StopIteration:
            return False
        return True

    def watch(self, milliseconds):
        """Go on to the end, that long a step; give whether the modem was busy all the time."""
        busy = True
        while self.go_on():
            self.uart.now += milliseconds
            busy = busy and self.busy()
        return busy

    def busy(self):
        return self._on_clock(lambda: self.modem.busy)

    # MicroPython's stream protocol.

    def set_timer(self, milliseconds):
        self.stream.timer = self._on_clock(Timer, milliseconds)

    def readinto(self, size):
        buffer = bytearray(size)
        result = self._on_clock(self.stream.readinto, buffer)
        return result, bytes(buffer[: result or 0]) if (result or 0) > 0 else b""

    def write(self, data):
        return self._on_clock(self.stream.write, data)

    def ioctl(self, request, argument):
        return self._on_clock(self.stream.ioctl, request, argument)

    def look(self):
        """Take in what the UART holds, or a part."""
        self._on_clock(self.modem.pump)

    def pending(self):
        return len(self.uart.incoming)

    def starve(self):
        """Let memory run out at the next data that the modem pushes."""
        self.stream.put = _starve

    # Frames.

    def tcp_open(self):
        if self.tcp is None:
            self.tcp = tcp.Tcp(self.modem, "example.org", 7000)
        self._drive(self.tcp.open)
        self.stream = self.tcp._stream

    def tcp_send(self, frame):
        if self.tcp is None:
            self.tcp = tcp.Tcp(self.modem, "example.org", 7000)
        self._drive(self.tcp.send, frame)

    def tcp_receive(self, timeout_ms=100):
        return self._drive(self.tcp.receive, timeout_ms)

    def tcp_close(self):
        self._drive(self.tcp.close)

    def tcp_connected(self):
        return self.tcp.connected


def converse(runner, script, data):
    """Connect, send data and give the answer, by the real clock."""
    uart = Uart(script, 256, 256)

    def steps():
        connection = yield from modem.open(uart, "esp_at").connect("example.org", 7000)
        yield from connection.send(data)
        answer = bytearray(16)
        length = yield from connection.receive(answer, 1000)
        return bytes(answer[:length])

    if runner == "run":
        return run(steps())
    import asyncio

    return asyncio.run(arun(steps()))


def events(chunks, asked=0, prompt=None):
    """What the engine makes of the chunks, with neighbouring counted data joined."""
    found = []

    def take(kind, value, detail):
        if kind == at.DATA:
            value = bytes(value)
            if found and found[-1][0] == kind and found[-1][2] == detail:
                value = found.pop()[1] + value
        found.append((kind, value, detail))

    engine = at.Engine(esp_at.Dialect(), take)
    engine.asked = asked
    engine.prompt = prompt
    for chunk in chunks:
        engine.feed(chunk)
    return found


def memory_kept(chunk, times):
    """Bytes of heap that an engine keeps after being fed."""
    engine = at.Engine(esp_at.Dialect(), lambda kind, value, detail: None)
    engine.feed(chunk)
    before = _memory()
    for _ in range(times):
        engine.feed(chunk)
    return _memory() - before


def _memory():
    gc.collect()
    if hasattr(gc, "mem_alloc"):
        return gc.mem_alloc()
    import tracemalloc

    if not tracemalloc.is_tracing():
        tracemalloc.start()
    return tracemalloc.get_traced_memory()[0]


def frames(chunks):
    """What a FrameReader makes of the chunks, taking what it wants at a time."""
    reader = tcp.FrameReader(tcp.FRAME_MAX)
    found = []
    for chunk in chunks:
        while chunk:
            wanted = reader.wanted
            reader.feed(chunk[:wanted])
            chunk = chunk[wanted:]
            frame = reader.next_frame()
            if frame is not None:
                found.append(frame)
    return found
