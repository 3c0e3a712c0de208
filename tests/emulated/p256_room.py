"""How much stack P-256 takes on a board, and what it does where there is too little."""

import gc

import micropython
import uctypes
from micropython import stack_use

from birthkey.crypto import p256

_KEY = bytes(range(1, 33))
_DIGEST = bytes(range(32))
_NONCE = bytes(range(2, 34))
_PAINT = 0xA5


def _calls():
    public = p256.public_key(_KEY)
    signature = p256.sign(_KEY, _DIGEST)
    backend = p256._backend
    module = micropython
    return {
        "nothing": lambda: module.opt_level(),
        "entered": lambda: module.stack_use(),
        "in_range": lambda: backend.in_range(_KEY),
        "reduce": lambda: backend.reduce(_DIGEST),
        "public_key": lambda: backend.public_key(_KEY),
        "sign": lambda: backend.sign(_KEY, _DIGEST, _NONCE),
        "verify": lambda: backend.verify(public, _DIGEST, signature),
        "ecdh": lambda: backend.ecdh(_KEY, public),
    }


def _mbedtls():
    """The same of mbed TLS, in firmware for QEMU."""
    import qemu

    public = p256.public_key(_KEY)
    signature = p256.sign(_KEY, _DIGEST)
    return {
        "mbedtls ecdh": lambda: qemu.ecdh(_KEY, public, False),
        "mbedtls verify": lambda: qemu.ecdsa_verify(public, _DIGEST, signature, False),
    }


# With more variables, frames are larger: the stack ends elsewhere.
def _dive_2(depth, call):
    return _dive_2(depth - 1, call) if depth else call()


def _dive_4(depth, call, a=0, b=0):
    return _dive_4(depth - 1, call, a, b) if depth else call()


def _dive_6(depth, call, a=0, b=0, c=0, d=0):
    return _dive_6(depth - 1, call, a, b, c, d) if depth else call()


_DIVES = (_dive_2, _dive_4, _dive_6)


def _deepest(dive):
    """How deep Python's own calls go."""
    depth = 0
    try:
        while True:
            dive(depth, int)
            depth += 1
    except RuntimeError:
        return depth - 1


class Edge:
    """Calls at the end of the stack, with a look at what lies below it."""

    def __init__(self, bottom, size, mbedtls=False):
        self._calls = _calls()
        if mbedtls:
            self._calls.update(_mbedtls())
        self._right = {name: call() for name, call in self._calls.items()}
        self._below = uctypes.bytearray_at(bottom - size, size)
        self._paint = bytes([_PAINT]) * size

    def highest(self):
        """The end of the heap, as far as it can be had in pieces."""
        gc.collect()
        taken, most = [], 0
        try:
            while True:
                piece = bytearray(64)
                most = max(most, uctypes.addressof(piece) + 64)
                taken.append(piece)
        except MemoryError:
            taken.clear()
        return most

    def below(self, name, levels):
        """(right answers, errors' texts, and how far below the stack bytes were changed)."""
        right, texts, changed = 0, set(), 0
        call = self._calls[name]
        for dive in _DIVES:
            deepest = _deepest(dive)
            for depth in range(deepest - levels, deepest + 3):
                gc.collect()
                self._below[:] = self._paint
                try:
                    if dive(depth, call) != self._right[name]:
                        texts.add("a wrong answer")
                    right += 1
                except (RuntimeError, ValueError, MemoryError) as error:
                    texts.add(type(error).__name__ + ": " + str(error))
                changed = max(changed, len(self._below) - _untouched(self._below))
        return right, list(texts), changed


def used(name, bottom, size):
    """Bytes of stack that a function takes below the interpreter, which calls it."""
    calls = _calls()
    painted = uctypes.bytearray_at(bottom, size - stack_use() - 600)
    _fill(painted)
    entered = calls["entered"]()
    calls[name]()
    return size - entered - _untouched(painted)


def _fill(painted):
    for i in range(len(painted)):
        painted[i] = _PAINT


def _untouched(painted):
    for i in range(len(painted)):
        if painted[i] != _PAINT:
            return i
    return len(painted)
