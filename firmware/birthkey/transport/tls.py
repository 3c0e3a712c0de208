"""TLS over a modem's connection, ended here: a modem's own TLS leaves the UART in the clear.

MicroPython's `tls` (mbed TLS) reads and writes records in memory, and steps carry them between
there and the modem: nothing blocks while the network is waited for, and what TLS writes in one
go is sent in one go.
"""

import gc
import io

from birthkey._port import OS_RANDOM, Timer, const, free_heap, tls
from birthkey.crypto import x509
from birthkey.crypto.entropy import EntropyError
from birthkey.modem import ModemClosed, ModemError, SendFailed

_SEND_MS = const(15_000)
_HEADER = const(5)  # of a record: type, version, length (RFC 5246 section 6.2.1)
_CHANGE_CIPHER_SPEC = const(20)
_OUT = const(1024)
# What the handshake takes beside the buffers, at its peak: measured, and a fifth more. In
# birthkey's own firmware, where native code computes on P-256, 4 KiB would do.
_HANDSHAKE_HEAP = const(12 * 1024)
_ENOMEM = const(12)

# Not in the `except` itself: a tuple that is made when memory is short takes memory.
_NO_MEMORY = (MemoryError, OSError)
_FAILED = (MemoryError, OSError, ValueError)

# Forward secrecy and an AEAD, or nothing. AES-128 first: its handshake hashes with SHA-256.
_CIPHERS = (
    "TLS-ECDHE-ECDSA-WITH-AES-128-GCM-SHA256",
    "TLS-ECDHE-ECDSA-WITH-AES-256-GCM-SHA384",
)

# What mbed TLS says of a certificate (library/x509_crt.c), and what that means for a person.
_CERTIFICATE = (
    (
        "not correctly signed",
        "it is signed by none of the CAs that this board trusts: another server answers, or "
        "its CA was changed and this board was not told",
    ),
    ("does not match", "it is for another name than %s"),
    ("expired", "it has expired, by this board's clock"),
    ("future", "it is not valid yet, by this board's clock"),
)

# Errors of mbed TLS (include/mbedtls/error.h), without their sign. The last 7 bits are those of
# a module below the one that the others are of: numbers, ASN.1.
_OUT_OF_MEMORY = (0x2880, 0x3F80, 0x4D80, 0x5180, 0x6180, 0x7F00)
_OUT_OF_MEMORY_BELOW = (0x10, 0x6A)
_CERTIFICATES = const(0x2080)  # X.509, then keys, RSA and elliptic curves
_CERTIFICATES_END = const(0x5000)
_ERRORS = {
    0x6600: "a parameter of the handshake is forbidden",
    0x6E00: "the server takes none of this board's ciphers",
    0x6E80: "the server speaks another version of TLS",
    0x7080: "the server speaks another version of TLS",
    0x7100: "a message of the handshake makes no sense: it was changed on its way",
    0x7180: "a record was changed on its way",
    0x7200: "what came is no record of TLS: another service answers there, or it was changed "
    "on its way",
    0x7300: "a message of the handshake makes no sense: it was changed on its way",
    0x7700: "a message came out of turn",
    0x7780: "the server ended it with an alert: its log says why",
}


class TlsError(ModemError):
    """TLS refused the server, or the server refused TLS; nothing was sent without it."""


class Tls:
    """TLS connections over `link`, whose `connect(host, port)` gives a stream.

    `ca` is one certificate or several, in PEM or DER: the server's must be signed by
    one of them, and be for the host's name. With `identity`, the board shows a certificate of
    its birth key to a server that asks for one. One connection at a time.

    ValueError when this firmware cannot do it, and for a CA that is no certificate.
    """

    def __init__(self, link, ca, identity=None, handshake_ms=60_000):
        if tls is None:
            raise ValueError("this firmware has no TLS: it was built without the module `tls`")
        self._link = link
        self._handshake_ms = handshake_ms
        self._out = memoryview(bytearray(_OUT))
        try:
            self._context = context = tls.SSLContext(tls.PROTOCOL_TLS_CLIENT)
        except OSError as error:
            raise EntropyError(
                "TLS has no random numbers: the chip's generator failed (%s)" % error
            )
        context.verify_mode = tls.CERT_REQUIRED
        context.set_ciphers(_CIPHERS)
        for der in x509.certificates(ca):
            try:
                context.load_verify_locations(der)
            except (OSError, ValueError):
                raise ValueError("ca: what was given is no certificate that TLS can read")
        if identity:
            context.load_cert_chain(*identity.certificate())
            if hasattr(context, "ecdsa_sign_callback"):
                # A digest of SHA-384 is cut to the order's length (FIPS 186-5 section 6.4.1).
                context.ecdsa_sign_callback = lambda _, digest: x509.signature(
                    identity.sign_digest(bytes(digest[:32]))
                )
            elif not OS_RANDOM:
                # mbed TLS would sign with nonces from the chip's generator alone: whoever can
                # predict it learns the birth key from one signature.
                raise ValueError(
                    "this firmware's TLS cannot let birthkey sign (MICROPY_PY_SSL_ECDSA_SIGN_ALT): "
                    "a client certificate would put the birth key at risk"
                )
        self._stream = None
        self._kept = None
        self._size = self._measure()
        self._keep()

    def connect(self, host, port):
        """Connect, and shake hands; give the TlsStream. Raises ModemError.

        TlsError when it is TLS that fails, also because there is too little memory for it:
        then nothing was sent.
        """
        # One whose steps were dropped still has its memory, and its place in the modem.
        if self._stream is not None:
            self._stream.abandon()
        wire = _Wire(self._out)
        stream = self._stream = TlsStream(self._wrap(wire, host), wire, host, self._keep)
        try:
            wire.stream = yield from self._link.connect(host, port)
            yield from stream.handshake(self._handshake_ms)
        except ModemError:
            yield from stream.close()
            raise
        except BaseException:  # a task that is cancelled here cannot take any more steps
            stream.abandon()
            raise
        return stream

    def _measure(self):
        """How many bytes of heap TLS's buffers take."""
        gc.collect()
        free = free_heap()
        try:
            socket = self._context.wrap_socket(
                _Wire(self._out), server_hostname="", do_handshake_on_connect=False
            )
        except _NO_MEMORY:
            return 0
        size = free - free_heap()
        socket.close()
        return size

    def _keep(self):
        """Keep the buffers' place while nothing is connected.

        A heap that is in use for long has no piece of that size any more, however much is free.
        """
        for _ in range(2):
            try:
                self._kept = bytearray(self._size)
                return
            except MemoryError:
                gc.collect()

    def _wrap(self, wire, host):
        """A TLS socket over `wire`; TlsError when memory does not suffice for a handshake."""
        self._kept = None
        gc.collect()
        try:
            socket = self._context.wrap_socket(
                wire, server_hostname=host, do_handshake_on_connect=False
            )
        except MemoryError:
            socket = None
        except OSError as error:
            if error.args[0] != _ENOMEM:
                raise TlsError("TLS cannot begin (%s)." % error)
            socket = None
        free = free_heap()
        if socket and free >= _HANDSHAKE_HEAP:
            return socket
        if socket:
            socket.close()
            free = free_heap()  # with what its buffers take
        self._keep()
        raise TlsError(
            "Too little memory for TLS: %d bytes of heap are free, and it needs its buffers in "
            "one piece each, then %d more for the handshake." % (free, _HANDSHAKE_HEAP)
        )


class TlsStream:
    """One connection; made by `Tls.connect`. Like the modem's Stream, its methods are steps."""

    def __init__(self, socket, wire, host, closed):
        self._socket = socket
        self._closed = closed  # called when its memory is free
        self._wire = wire
        self._host = host
        self._failed = False
        self._midway = False  # TLS has let records go, and they are not all sent
        self._early = bytearray(1)
        self._has_early = False  # the server was the first to speak

    @property
    def connected(self):
        return not (self._failed or self._midway) and self._wire.stream.connected

    def handshake(self, timeout_ms):
        """Shake hands, before anything is sent; raises ModemError."""
        stream = self._wire.stream
        try:
            done = yield from self._until(self._look, self._early, Timer(timeout_ms))
        except ModemClosed:
            if stream.failure is not None:
                raise
            raise self._broken("the server closed the connection: does it speak TLS on this port?")
        if not done:
            raise self._broken(
                "the server did not finish within %d s: does it speak TLS on this port?"
                % (timeout_ms // 1000)
            )

    def send(self, data, timeout_ms=_SEND_MS):
        """Send all of data; raises ModemError, after which the connection is over."""
        self._check()
        timer = Timer(timeout_ms)
        view = memoryview(data)
        self._midway = True
        while len(view):
            # After None, TLS wants to be given the same bytes again.
            length = yield from self._until(self._socket.write, view, timer)
            if length is None:
                self._failed = True
                raise SendFailed("TLS did not send all data in time: connect again.")
            view = view[length:]
        self._midway = False

    def receive(self, buffer, timeout_ms):
        """Fill buffer with what came; give the number of bytes, 0 for none in time.

        With a negative time, the modem is not asked for more than it has given. Raises
        ModemError when the connection is over: cut, or closed by the server.
        """
        if self._has_early:
            self._has_early = False
            buffer[0] = self._early[0]
            return 1
        self._check()
        length = yield from self._until(
            self._socket.readinto, buffer, Timer(timeout_ms), timeout_ms >= 0
        )
        if length == 0:
            self._failed = True
            raise ModemClosed("The server closed the connection.")
        return length or 0

    def close(self):
        """Close the connection; never raises."""
        self._end()
        if self._wire.stream is not None:
            yield from self._wire.stream.close()

    def abandon(self):
        """Have the modem close the connection when it makes the next one."""
        self._end()
        if self._wire.stream is not None:
            self._wire.stream.released = True

    def _end(self):
        self._failed = True
        closed, self._closed = self._closed, None
        if closed is not None:
            self._socket.close()
            closed()

    def _look(self, early):
        """Go on with the handshake; True once it is over. Reading is what drives it."""
        if self._socket.readinto(early):
            self._has_early = True
        return self._has_early or self._wire.shaken or None

    def _check(self):
        # The server misses records of steps that were closed or dropped.
        self._failed = self._failed or self._midway
        if self._failed:
            raise ModemClosed("The connection is over, or was left while it sent: connect again.")

    def _until(self, call, buffer, timer, waits=True):
        """What `call(buffer)` gives as soon as that is not None; None when the time is up.

        Between two calls, records are carried to and from the modem.
        """
        wire = self._wire
        stream = wire.stream
        late = not waits
        while True:
            try:
                given = call(buffer)
            except _FAILED as error:
                self._failed = True
                # The alert in which TLS tells the server why.
                try:
                    yield from stream.send(wire.taken())
                except ModemError:
                    pass
                raise self._broken(_explained(error, self._host))
            full = wire.full
            if wire.filled:
                midway, self._midway = self._midway, True
                yield from stream.send(wire.taken())
                self._midway = midway
            # One last look when the time is up: whoever sends without end, and nothing that
            # counts, is not waited for.
            if given is not None or late:
                return given
            left = timer.left()
            late = not left
            if not full and not (yield from stream.wait(wire.wanted, left)):
                return None
            yield

    def _broken(self, sentence):
        self._failed = True
        end = "" if sentence[-1] == "?" else "."
        return TlsError("TLS with %s: %s%s" % (self._host, sentence, end))


class _Wire(io.IOBase):
    """What TLS takes for its connection: records lie here until they are sent, or come.

    It never raises and never gives an end: whoever carries the records learns of that.
    """

    def __init__(self, out):
        self.stream = None
        # The handshake is over, as far as the records show: TLS has no way to ask. Too early
        # would do no harm, for TLS goes on with it when it is told to send.
        self.shaken = False
        self._out = out
        self.filled = 0
        self._left = 0  # of the record that TLS is reading
        self._changed = self._finished = False

    @property
    def wanted(self):
        """How many bytes must have come for TLS to get on."""
        return 1 if self._left else _HEADER

    @property
    def full(self):
        return self.filled == len(self._out)

    def taken(self):
        """What is to be sent; there is room again then."""
        filled, self.filled = self.filled, 0
        return self._out[:filled]

    def readinto(self, buffer):
        if not self._left:
            # The server's Finished was the last message, and TLS has accepted it.
            self.shaken = self.shaken or self._finished
        if self.stream.buffered < self.wanted:
            return None
        if self._left:
            length = self.stream.take(buffer)
            self._left -= length
            return length
        # TLS reads the header by itself, and then no further than it says.
        length = self.stream.take(buffer)
        self._left = buffer[3] << 8 | buffer[4]
        self._finished = self._changed
        self._changed = self._changed or buffer[0] == _CHANGE_CIPHER_SPEC
        return length

    def write(self, data):
        length = min(len(data), len(self._out) - self.filled)
        if not length:
            return None
        self._out[self.filled : self.filled + length] = memoryview(data)[:length]
        self.filled += length
        return length

    def ioctl(self, request, argument):
        return 0


def _explained(error, host):
    """What an error of MicroPython's `tls` means."""
    if isinstance(error, MemoryError):
        return "memory ran out"
    if isinstance(error, ValueError):
        found = [
            meaning % host if "%s" in meaning else meaning
            for sign, meaning in _CERTIFICATE
            if sign in str(error)
        ]
        reasons = found or [line for line in str(error).split("\n") if line]
        return "the server's certificate is refused: " + "; ".join(reasons)
    number = abs(error.args[0])
    if (
        number == _ENOMEM
        or number & 0xFF80 in _OUT_OF_MEMORY
        or number & 0x7F in _OUT_OF_MEMORY_BELOW
    ):
        return "memory ran out"
    if _CERTIFICATES <= number < _CERTIFICATES_END:
        return (
            "the server's certificate, or a key or a signature of the handshake, is wrong: it "
            "is not on P-256, or was changed on its way"
        )
    return _ERRORS.get(number, "it failed with error 0x%04X of mbed TLS" % number)
