"""Runs on a board, beside the firmware, for the tests of TLS in tests/emulated."""

import gc
from binascii import b2a_base64

import board
from birthkey import Device, modem
from birthkey._port import free_heap, run, ticks_diff, ticks_ms, ticks_us
from birthkey.crypto import p256, x509
from birthkey.transport.tls import Tls

# Of ballast, in bytes: a piece where no larger one fits, and at most what an object costs beside.
_SMALLEST = 64
_OBJECT = 48
_ROUNDS = 4  # what was let go of may still be on the stack the first time


def open_modem():
    return modem.open(board.uart(), "esp_at", ssid="net", password="secret")


class Key:
    """A birth key of the test's choice, with what `Identity` offers to TLS."""

    def __init__(self, private):
        self._private = private
        self._public = p256.public_key(private)

    def certificate(self):
        name = self._public[:16]
        certificate = x509.self_signed(self._private, self._public, name)
        return certificate, x509.private_key(self._private, self._public)

    def sign_digest(self, digest):
        return p256.sign(self._private, digest)


class Client:
    """Connections over the board's modem, one after the other."""

    def __init__(self):
        self._modem = open_modem()
        self._tls = self._stream = None
        self.longest_us = 0

    def trust(self, ca, handshake_ms, private=None):
        """How the next connections are made; with a private key the board has a certificate."""
        self._tls = None
        gc.collect()
        self._tls = Tls(self._modem, ca, Key(private) if private else None, handshake_ms)

    def connect(self, host, port):
        """Connect, after closing what was open."""
        self.close()
        self.longest_us = 0
        steps = self._tls.connect(host, port)
        while True:
            began = ticks_us()
            try:
                next(steps)
            except StopIteration as stop:
                self._stream = stop.value
                return
            finally:
                self.longest_us = max(self.longest_us, ticks_diff(ticks_us(), began))

    def longest(self):
        """Milliseconds of the longest step of the last `connect`."""
        return self.longest_us // 1000

    def send(self, data):
        run(self._stream.send(data))

    def receive(self, size, timeout_ms=10000):
        """So many bytes, or what has come in time."""
        data = memoryview(bytearray(size))
        filled = 0
        while filled < size:
            length = run(self._stream.receive(data[filled:], timeout_ms))
            if not length:
                break
            filled += length
        return bytes(data[:filled])

    def echoes(self, size, piece=1024):
        """Whether so many bytes come back that are sent in one go."""
        sent = bytearray(size)  # a list would need four times as much, in one piece
        for at in range(size):
            sent[at] = at * 7 & 0xFF
        self.send(sent)
        return all(
            self.receive(min(piece, size - at)) == sent[at : at + piece]
            for at in range(0, size, piece)
        )

    def close(self):
        stream, self._stream = self._stream, None
        if stream:
            run(stream.close())

    # Memory.

    def used(self):
        """Bytes of heap in use."""
        gc.collect()
        return gc.mem_alloc()

    def connect_with(self, free, host, port):
        """What a connection attempt raises while only so many bytes of heap are free."""
        return self._outcome(_filled(free, 512), host, port)

    def connect_robbed(self, free, host, port):
        """The same when others take the rest of it as soon as the modem has connected."""
        tls = self._tls
        tls._link = robber = Robber(self._modem, free)
        said = self._outcome(robber.ballast, host, port)
        tls._link = self._modem
        return said

    def _outcome(self, ballast, host, port):
        error = None
        try:
            self.connect(host, port)
        except Exception as caught:
            error = caught
        ballast.clear()
        gc.collect()
        return error and type(error).__name__ + ": " + str(error)


class Robber:
    """A modem in whose time others take memory, and leave only so many bytes."""

    def __init__(self, modem, free):
        self.ballast = []
        self._modem = modem
        self._free = free

    def connect(self, host, port):
        stream = yield from self._modem.connect(host, port)
        self.ballast.append(_filled(self._free, 512))
        return stream


def _filled(free, size):
    """Pieces of that size, or smaller ones, that leave only so many bytes free."""
    gc.collect()
    ballast = [None] * (free_heap() // _SMALLEST)
    at = 0
    for _ in range(_ROUNDS):
        gc.collect()
        for each in (size, _SMALLEST):
            try:
                for _ in range((free_heap() - free) // (each + _OBJECT)):
                    ballast[at] = bytearray(each)
                    at += 1
            except MemoryError:
                pass  # what is free is in smaller pieces
    return ballast


class Board:
    """A Device over TLS, as an application has it."""

    mounted = False

    def __init__(self, server, server_key, ca, options):
        if not Board.mounted:
            board.mount()
            Board.mounted = True
        self._device = Device(
            open_modem(),
            server=tuple(server),
            server_key=server_key,
            board=board.NAME,
            path=board.STATE,
            sources=board.ENTROPY,
            tls=True,
            ca=ca,
            **options,
        )

    def device_id(self):
        return self._device.device_id

    def certificate_pem(self):
        """What it shows to a server."""
        body = b2a_base64(self._device._identity.certificate()[0])
        return b"-----BEGIN CERTIFICATE-----\n" + body + b"-----END CERTIFICATE-----\n"

    def send(self, body, wait_ms):
        return self._device.send(body, wait_ms)

    def deliver(self, wait_ms):
        return self._device.deliver(wait_ms)

    def state(self):
        """How many readings wait, and what the problem was."""
        return self._device.queued, self._device.problem

    def deliver_beside(self, wait_ms, cancel_ms=0):
        """Deliver as one task, and count in another: what came of it, and how that one fared.

        That is its turns, and its pauses of more than 100 ms together, in milliseconds. With
        `cancel_ms` the first task is cancelled then.
        """
        import asyncio

        return asyncio.run(self._beside(asyncio, wait_ms, cancel_ms))

    async def _beside(self, asyncio, wait_ms, cancel_ms):
        task = asyncio.create_task(self._device.adeliver(wait_ms))
        counter = asyncio.create_task(_count(asyncio))
        if cancel_ms:
            await asyncio.sleep_ms(cancel_ms)
            task.cancel()
        try:
            result = await task
        except asyncio.CancelledError:
            result = "cancelled"
        counter.cancel()
        # The event loop would keep the device in memory as long as a task has not ended.
        return result, await counter


async def _count(asyncio):
    """(turns, milliseconds of long pauses) until it is cancelled."""
    turns = paused = 0
    last = ticks_ms()
    try:
        while True:
            await asyncio.sleep_ms(1)
            now = ticks_ms()
            pause = ticks_diff(now, last)
            last = now
            turns += 1
            if pause > 100:
                paused += pause
    except asyncio.CancelledError:
        return turns, paused
