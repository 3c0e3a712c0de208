"""Runs on an emulated board, from boot.py on its flash: what TLS costs, in ticks of its clock.

The server is a second TLS, on the same board and in memory: so nothing is waited for, and what
the server does is not counted. Leaves a file of JSON on the flash.
"""

import gc
import io
import json
import time

import tls

from birthkey.crypto import p256, x509
from birthkey.transport.tls import Tls


def run(steps):
    """To the end, and without a pause: how long a board sleeps is no cost."""
    while True:
        try:
            next(steps)
        except StopIteration as stop:
            return stop.value


_FRAME = 253  # bytes of a reading's frame with its length, and of its answer
_ANSWER = 100

with open("/tls.json") as file:
    given = {name: bytes.fromhex(value) for name, value in json.load(file).items()}


class Board:
    """What of an identity TLS needs."""

    def __init__(self):
        self._private = bytes(range(1, 33))
        self._public = p256.public_key(self._private)

    def certificate(self):
        certificate = x509.self_signed(self._private, self._public, self._public[:16])
        return certificate, x509.private_key(self._private, self._public)

    def sign_digest(self, digest):
        return p256.sign(self._private, digest)


class Pipe(io.IOBase):
    """The server's end: what it reads is `incoming`, what it writes `outgoing`."""

    def __init__(self):
        self.incoming = b""
        self.outgoing = b""

    def readinto(self, buffer):
        length = min(len(buffer), len(self.incoming))
        buffer[:length] = self.incoming[:length]
        self.incoming = self.incoming[length:]
        return length or None

    def write(self, data):
        self.outgoing += bytes(data)
        return len(data)

    def ioctl(self, request, argument):
        return 0


class Link:
    """A modem whose only server is beside it; its connection, too. Steps that never wait."""

    connected = True
    failure = None

    def __init__(self, client_certificate):
        context = tls.SSLContext(tls.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(given["certificate"], given["key"])
        if client_certificate:
            context.load_verify_locations(client_certificate)
            context.verify_mode = tls.CERT_REQUIRED
        self._pipe = Pipe()
        self._server = context.wrap_socket(
            self._pipe, server_side=True, do_handshake_on_connect=False
        )
        self.elsewhere = self.up = self.down = 0

    def connect(self, host, port):
        return self
        yield

    @property
    def buffered(self):
        return len(self._pipe.outgoing)

    def take(self, buffer):
        length = min(len(buffer), len(self._pipe.outgoing))
        buffer[:length] = self._pipe.outgoing[:length]
        self._pipe.outgoing = self._pipe.outgoing[length:]
        return length

    def send(self, data, timeout_ms=0):
        self._pipe.incoming += bytes(data)
        self.up += len(data)
        return None
        yield

    def wait(self, least, timeout_ms):
        if self.buffered < least:
            self.serve(None)
        return self.buffered >= least
        yield

    def serve(self, answer):
        """Let the server read, and answer that."""
        began = time.ticks_cpu()
        before = self.buffered
        self._server.read(4096)
        if answer:
            self._server.write(answer)
        self.down += self.buffered - before
        self.elsewhere += time.ticks_diff(time.ticks_cpu(), began)

    def close(self):
        self._server.close()
        return None
        yield


ticks = {}


def measure(name, identity):
    link = Link(identity and identity.certificate()[0])
    gc.collect()
    free = gc.mem_free()
    client = Tls(link, given["ca"], identity)
    gc.collect()
    began, elsewhere = time.ticks_cpu(), link.elsewhere
    stream = run(client.connect("birthkey.example", 7156))
    spent = time.ticks_diff(time.ticks_cpu(), began) - (link.elsewhere - elsewhere)
    ticks["tls.handshake" + name] = spent
    ticks["bytes tls.handshake" + name + ".up"] = link.up
    ticks["bytes tls.handshake" + name + ".down"] = link.down
    gc.collect()
    ticks["bytes tls" + name + ".heap"] = free - gc.mem_free()
    frame, answer = bytes(_FRAME), bytearray(_ANSWER)
    gc.collect()
    began, elsewhere = time.ticks_cpu(), link.elsewhere
    run(stream.send(frame))
    link.serve(bytes(_ANSWER))
    if run(stream.receive(answer, 1000)) != _ANSWER:
        raise ValueError("the answer is not whole")
    spent = time.ticks_diff(time.ticks_cpu(), began) - (link.elsewhere - elsewhere)
    ticks["tls.message" + name] = spent
    run(stream.close())
    gc.collect()


measure("", None)
measure(".certificate", Board())
with open("/ticks.json", "w") as file:
    json.dump(ticks, file)
