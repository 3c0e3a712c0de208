"""Runs on a board: what frames cost that anyone can send, or whoever has the server's key."""

import gc
import time

from birthkey import cbor, cose, message
from birthkey.crypto import chacha20poly1305, p256
from birthkey.session import Session

_KEY = bytes(range(1, 33))
_COUNTER = 1 << 32


class _Identity:
    """As much of one as a session needs."""

    boot = 1
    device_id = bytes(16)

    def ephemeral_seed(self):
        return _KEY

    def sign(self, encoded, aad):
        return cose.signed_frame(_KEY, self.device_id, encoded, aad)


class Board:
    """A session with a frame under way, and frames that come to it."""

    def __init__(self):
        self._session = Session(_Identity(), [p256.public_key(_KEY)])
        self._number = -1
        self.seal()

    def seal(self):
        self._number += 1
        self._session.seal(_COUNTER, message.encode(message.DATA, _COUNTER, {}), 0)

    def answer(self, kind, counter, encoded_body):
        """An authentic answer to the last frame, whose body is already encoded."""
        iv = cose.partial_iv(1, self._number)
        protected = cbor.dumps({1: 24, 4: iv, 5: bytes(12)})
        aad = cbor.dumps(["Encrypt0", protected, cose.downlink_aad(_Identity.device_id)])
        plain = b"\x83" + cbor.dumps(kind) + cbor.dumps(counter) + encoded_body
        key = self._session._peers[0].down_key
        sealed = chacha20poly1305.seal(key, bytes(12), plain, aad)
        return b"\xd0" + cbor.dumps([protected, {}, sealed])

    def acknowledge(self):
        """Have the last frame answered, so that a command may follow."""
        body = cbor.dumps({0: 1, 1: True})
        self._session.open(self.answer(message.ACKNOWLEDGE, _COUNTER, body), 0)

    def cost(self, frame):
        """(ticks, bytes of heap in all, bytes that are kept, error's text) of opening a frame."""
        return _cost(lambda: self._session.open(frame, 0))

    def decode(self, encoded):
        """The same of the general decoder, with its own budget."""
        return _cost(lambda: cbor.loads(encoded))

    def starved(self, frame, left):
        """The error's text where only so many bytes of heap are left."""
        ballast = []
        gc.collect()
        size = 1 << 15
        while size >= 32:
            try:
                while gc.mem_free() - left > size:
                    ballast.append(bytearray(size))
            except MemoryError:
                pass
            size >>= 1
        try:
            self._session.open(frame, 0)
        except ValueError as error:
            return str(error)
        finally:
            ballast.clear()
            gc.collect()


def _cost(call):
    gc.collect()
    gc.disable()  # so that all that is allocated is counted, also what is garbage at once
    before = gc.mem_alloc()
    began = time.ticks_cpu()
    text = kept = None
    try:
        kept = call()
    except ValueError as error:
        text = str(error)
    ticks = time.ticks_diff(time.ticks_cpu(), began)
    allocated = gc.mem_alloc() - before
    gc.enable()
    gc.collect()
    held = gc.mem_alloc() - before
    del kept
    return ticks, allocated, held, text
