"""HMAC-SHA256 (RFC 2104) and HKDF over it (RFC 5869).

MicroPython's `hashlib` has no `hmac` beside it, so both are made here from `sha256`. An HMAC
takes 3 blocks of SHA-256 beside those of its message and its padding, at least one: the padded
key twice, and the inner digest; its `sha256` cannot be copied, so that none of them is saved.
`extract` is one HMAC, `expand` one for each 32 bytes.
"""

from array import array
from hashlib import sha256

from birthkey._port import const

_BLOCK = const(64)
_INNER = b"\x36" * _BLOCK
_OUTER = b"\x5c" * _BLOCK
_HASH = const(32)
_MAX_LENGTH = const(255 * 32)


class Hmac:
    """HMAC-SHA256 with one key, for several messages; `wipe` it after the last."""

    def __init__(self, key):
        if len(key) > _BLOCK:
            key = sha256(key).digest()
        padded = bytearray(len(key) + 1 & ~1)
        padded[: len(key)] = key
        words = array("H", padded)
        self._inner = inner = array("H", _INNER)
        self._outer = outer = array("H", _OUTER)
        for i in range(len(words)):  # pairs of bytes: half the steps, and never a big integer
            word = words[i]
            inner[i] = word ^ 0x3636
            outer[i] = word ^ 0x5C5C
        padded[:] = bytes(len(padded))
        words[:] = array("H", padded)

    def of(self, *parts):
        """The 32 bytes for the parts, as if they were one message."""
        state = sha256(self._inner)
        for part in parts:
            state.update(part)
        digest = state.digest()
        state = sha256(self._outer)
        state.update(digest)
        return state.digest()

    def wipe(self):
        """Leave nothing of the key in the heap."""
        self._inner[:] = self._outer[:] = array("H", _INNER)


def hmac(key, *parts):
    """HMAC-SHA256 over the parts, as if they were one message: 32 bytes."""
    mac = Hmac(key)
    digest = mac.of(*parts)
    mac.wipe()
    return digest


def extract(salt, ikm):
    """HKDF-Extract: a pseudorandom key of 32 bytes. An empty salt stands for 32 zeros."""
    return hmac(salt, ikm)


def expand(prk, info, length):
    """HKDF-Expand: `length` bytes; ValueError above 255 * 32."""
    if not 0 <= length <= _MAX_LENGTH:
        raise ValueError("HKDF expands to at most 8160 bytes")
    output = bytearray(length)
    mac = Hmac(prk)
    block = b""
    for offset in range(0, length, _HASH):
        block = mac.of(block, info, bytes((offset // _HASH + 1,)))
        output[offset : offset + _HASH] = block[: length - offset]
    mac.wipe()
    return bytes(output)
