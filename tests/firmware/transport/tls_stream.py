"""Parts of birthkey.transport.tls with stand-ins for TLS and for the modem; runs on the device."""

import ticks

from birthkey import Device
from birthkey._port import run, ticks_diff, ticks_ms
from birthkey.transport import tls


class Stream:
    """What a TlsStream needs of the modem's Stream."""

    def __init__(self, endless=False):
        self.sent = []
        self.released = self.closed = False
        self.connected = True
        self.failure = None
        self.waited = 0
        self._data = b""
        self._endless = endless

    @property
    def buffered(self):
        return len(self._data)

    def come(self, data):
        self._data += data

    def take(self, buffer):
        piece = self._data[: len(buffer)]
        buffer[: len(piece)] = piece
        self._data = self._data[len(piece) :]
        return len(piece)

    def send(self, data, timeout_ms=0):
        if len(data):
            self.sent.append(bytes(data))
        yield

    def wait(self, least, timeout_ms):
        self.waited += 1
        yield
        return self._endless

    def close(self):
        self.closed = True
        yield


class Wire:
    """A _Wire, and the stream that it reads from."""

    def __init__(self, out=64):
        self._wire = tls._Wire(memoryview(bytearray(out)))
        self._wire.stream = Stream()

    def come(self, data):
        self._wire.stream.come(data)

    def readinto(self, size):
        """What TLS gets that asks for so many bytes; None for nothing yet."""
        buffer = bytearray(size)
        length = self._wire.readinto(buffer)
        return None if length is None else bytes(buffer[:length])

    def write(self, data):
        return self._wire.write(data)

    def taken(self):
        return bytes(self._wire.taken())

    def full(self):
        return self._wire.full

    def wanted(self):
        return self._wire.wanted

    def shaken(self):
        return self._wire.shaken


class Socket:
    """TLS that gives, one after the other, what it is told to; the last one for ever."""

    def __init__(self, given, wire):
        self.calls = []
        self.closed = False
        self._given = given
        self._wire = wire

    def _give(self, data):
        self.calls.append(bytes(data))
        given = self._given.pop(0) if len(self._given) > 1 else self._given[0]
        if isinstance(given, bytes):  # records that go out, and nothing yet
            self._wire.write(given)
            return None
        if isinstance(given, str):
            kind, _, text = given.partition(":")
            errors = {"memory": MemoryError, "value": ValueError, "os": OSError}
            raise errors[kind](int(text) if kind == "os" else text)
        return given

    def readinto(self, buffer):
        return self._give(buffer)

    def write(self, data):
        return self._give(data)

    def close(self):
        self.closed = True


class Bench:
    """A TlsStream over them."""

    def __init__(self, given, endless=False):
        wire = tls._Wire(memoryview(bytearray(64)))
        self._stream = wire.stream = Stream(endless)
        self._socket = Socket(given, wire)
        self._tls = tls.TlsStream(self._socket, wire, "example.org", lambda: None)

    def handshake(self, timeout_ms):
        run(self._tls.handshake(timeout_ms))

    def send(self, data, timeout_ms=1000):
        run(self._tls.send(data, timeout_ms))

    def receive(self, timeout_ms):
        """What it gave, and how many milliseconds that took."""
        began = ticks_ms()
        length = run(self._tls.receive(bytearray(8), timeout_ms))
        return length, ticks_diff(ticks_ms(), began)

    def begin(self, name, *args):
        """Begin to do that, and leave it at its first wait."""
        self._now = 0
        self._begun = ticks.by(self._clock, getattr(self._tls, name), *args)
        ticks.by(self._clock, next, self._begun)

    def _clock(self):
        return self._now

    def go_on(self, pause):
        """After a pause, go on to the end with what was begun."""
        self._now += pause
        return ticks.by(self._clock, run, self._begun)

    def connected(self):
        return self._tls.connected

    def waited(self):
        """How often the modem was waited for."""
        return self._stream.waited

    def abandon(self):
        self._tls.abandon()

    def close(self):
        run(self._tls.close())

    def calls(self):
        """The bytes that TLS was given to send, each time."""
        return self._socket.calls

    def sent(self):
        return self._stream.sent

    def state(self):
        """Whether it is connected, TLS closed, and the connection closed or let go."""
        stream = self._stream
        return self._tls.connected, self._socket.closed, stream.closed, stream.released


class Context:
    """Of MicroPython's `tls`, without birthkey's own signer; it connects nothing."""

    def __init__(self, protocol):
        self.shown = None

    def set_ciphers(self, ciphers):
        """Any will do."""

    def load_cert_chain(self, certificate, key):
        self.shown = certificate

    def wrap_socket(self, wire, server_hostname, do_handshake_on_connect):
        raise OSError(12)


class SigningContext(Context):
    ecdsa_sign_callback = None


class ShakingContext(Context):
    """Its handshakes never end."""

    sockets = []

    def wrap_socket(self, wire, server_hostname, do_handshake_on_connect):
        self.sockets.append(Socket([None], wire))
        return self.sockets[-1]


class Link:
    """Gives a stream for each connection."""

    def __init__(self):
        self.streams = []

    def connect(self, host, port):
        yield
        self.streams.append(Stream(True))
        return self.streams[-1]


def connect_again(how):
    """Leave a handshake, or close or drop it, and connect again: what became of both.

    [whether its TLS is closed, whether the modem is to close it] of each.
    """
    kept = tls.tls
    tls.tls = Module(False)
    tls.tls.SSLContext = ShakingContext
    ShakingContext.sockets.clear()
    try:
        link = Link()
        transport = tls.Tls(link, [])
        ShakingContext.sockets.clear()  # one was measured
        dropped = []
        for _ in range(2):
            steps = transport.connect("example.org", 7000)
            for _ in range(5):
                next(steps)
            dropped.append(steps)
            if how == "close":
                steps.close()
        return [
            [socket.closed, stream.released]
            for socket, stream in zip(ShakingContext.sockets, link.streams)  # noqa: B905
        ]
    finally:
        tls.tls = kept


class Module:
    """MicroPython's `tls`; its contexts let birthkey sign if it `signs`."""

    PROTOCOL_TLS_CLIENT = 0
    CERT_REQUIRED = 2

    def __init__(self, signs):
        self.SSLContext = SigningContext if signs else Context


class Identity:
    """It has a certificate, and signs a digest with twice that digest."""

    def certificate(self):
        return b"certificate", b"key"

    def sign_digest(self, digest):
        return digest + digest


def sign(signs, os_random, digest):
    """What a board shows to a server that asks for it, and birthkey's signature over a digest.

    None for a signature that TLS makes itself.
    """
    kept = tls.tls, tls.OS_RANDOM
    tls.tls, tls.OS_RANDOM = Module(signs), os_random
    try:
        context = tls.Tls(None, [], Identity())._context
    finally:
        tls.tls, tls.OS_RANDOM = kept
    return context.shown, context.ecdsa_sign_callback(None, digest) if signs else None


def make_device(options, receives=False):
    """Construct a Device that lacks everything else; its link is a transport if it `receives`."""
    Device(Transport() if receives else None, server_key="", **options)


class Transport:
    def receive(self):
        """There is nothing."""
