"""Runs on an emulated board, from boot.py on its flash: what the worst bytes cost that may come.

Leaves a file of JSON on the flash: {what: [ticks of `time.ticks_cpu`, bytes of heap]}. The heap is
all that was taken until there is none left, since nothing is collected meanwhile.
"""

import gc
import json
from time import ticks_cpu, ticks_diff

from birthkey import cose, modem
from birthkey.modem.stream import Stream
from birthkey.transport import serial, tcp, tls

PIECE = 256  # what is taken from a UART at once


def repeated(data, size=PIECE):
    return (data * (size // len(data) + 1))[:size]


# What a modem, or whoever is between it and the board, may say.
SAID = {
    "noise": bytes([(number * 167 + 13) & 0xFF for number in range(PIECE)]),
    "lines of a byte": repeated(b"x\n"),
    "lines of two": repeated(b"+1\n"),
    "a line without end": repeated(b"x"),
    "commas": b"+" + repeated(b",", PIECE - 1),
    "colons": b"+IPD" + repeated(b":", PIECE - 4),
    "lines of commas": repeated(b"+,,,,,,,,\n"),
    "headers": repeated(b"+IPD,0,0:"),
    "data of a byte": repeated(b"+IPD,0,1:x"),
    "data in one piece": b"+IPD,0,2920:" + repeated(b"x", PIECE - 12),
    "announcements": repeated(b"+IPD,0,1\n"),
    "announcements of long links": repeated(b"+IPD,12345678901234567890,1\n"),
    "results": repeated(b"OK\n"),
    "errors": repeated(b"+CME ERROR: 1\n"),
    "busy": repeated(b"busy \n"),
    "closed": repeated(b"0,CLOSED\n"),
    "restarts": repeated(b"ready\n"),
    "lost networks": repeated(b"WIFI DISCONNECT\n"),
    "data that nobody asked for": repeated(b"+CIPRECVDATA:9,\n"),
}
# What the network may send: frames for the transports, each in pieces as above.
MOST = cose.MAX_ANSWER
FRAMED = {
    "frames of a byte": repeated(b"\x00\x01x"),
    "the longest frame": bytes((MOST >> 8, MOST & 0xFF)) + repeated(b"x", MOST),
    "a length that is none": bytes(2),
    "a length that is too long": bytes(((MOST + 1) >> 8, (MOST + 1) & 0xFF)),
}
ENCODED = {
    "zeros": bytes(PIECE),
    "codes of nothing": repeated(b"\x01\x00"),
    "a code that is cut": repeated(b"\xff\x00"),
} | {
    "the longest frame, blocks of " + str(code): repeated(
        bytes([code]) + repeated(b"x", code - 1) if code > 1 else b"\x01",
        (MOST - 1) // code * code,
    )
    + b"\x00"
    for code in (1, 2, 8, 9, 255)
}  # fmt: skip
costs = {}


def measure(name, case, *arguments):
    """Once for a warm-up, and once to count."""
    for _ in range(2):
        gc.collect()
        gc.disable()
        free = gc.mem_free()
        began = ticks_cpu()
        case(*arguments)
        ticks = ticks_diff(ticks_cpu(), began)
        costs[name] = ticks, free - gc.mem_free()
        gc.enable()


class Uart:
    def __init__(self):
        self.said = None

    def readinto(self, buffer):
        said, self.said = self.said, None
        if said is None:
            return None
        buffer[: len(said)] = said
        return len(said)


uart = Uart()
link = modem.open(uart, "esp_at")
buffer = memoryview(bytearray(2048))


def hear(said):
    link._engine.reset()  # or the second time would go on with a line of the first
    uart.said = said
    link.pump()


def frames(reader, data):
    reader.reset()
    at = 0
    while at < len(data):
        piece = data[at : at + min(PIECE, reader.wanted)]
        try:
            reader.feed(piece)
        except ValueError:
            reader.reset()
            return
        at += len(piece)
        while reader.next_frame() is not None:
            pass


for name, said in SAID.items():
    stream = link._streams[0] = Stream(link, 0, buffer)
    link._spare.clear()
    measure("modem: " + name, hear, said)
for name, data in FRAMED.items():
    measure("tcp: " + name, frames, tcp.FrameReader(MOST), data)
for name, data in ENCODED.items():
    measure("serial: " + name, frames, serial.FrameReader(MOST), data)


class Peer:
    """A connection whose other end says this, and nothing after it."""

    failure = None
    connected = True
    released = False

    def __init__(self, said):
        self._said = said
        self.buffered = len(said)

    def take(self, buffer):
        length = min(len(buffer), self.buffered)
        buffer[:length] = self._said[:length]
        self._said = self._said[length:]
        self.buffered -= length
        return length

    def send(self, data, timeout_ms=0):
        yield

    def wait(self, least, timeout_ms):
        yield
        return False

    def close(self):
        yield


class Link:
    def connect(self, host, port):
        yield
        return Peer(self.said)


def shake(link, transport, said):
    link.said = said
    steps = transport.connect("localhost", 1)
    try:
        while True:
            next(steps)
    except (StopIteration, modem.ModemError):
        pass


RECORDS = {
    "nothing": b"",
    "noise": SAID["noise"] * 8,
    "empty records": repeated(b"\x16\x03\x03\x00\x00", 2048),
    "alerts": repeated(b"\x15\x03\x03\x00\x02\x01\x5a", 2048),
    "messages of nothing": repeated(b"\x16\x03\x03\x00\x04\x00\x00\x00\x00", 2048),
    "a record that is too long": b"\x16\x03\x03\xff\xff" + repeated(b"x", 2043),
}
if tls.tls is not None:
    tls_link = Link()
    transport = tls.Tls(tls_link, [], handshake_ms=1)
    for name, said in RECORDS.items():
        measure("tls: " + name, shake, tls_link, transport, said)

with open("/costs.json", "w") as file:
    json.dump(costs, file)
