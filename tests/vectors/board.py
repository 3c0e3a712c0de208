"""The board's side of a vector; runs beside the device code, under MicroPython too."""

from birthkey import cbor, cose, identity
from birthkey.crypto import p256

DOUBLES = 1.0 + 2.0**-52 != 1.0  # else floats have 32 bits here


def read(data):
    """[value] of one CBOR item, or None when the board refuses it.

    Decided here, so that no error in carrying a bad value to the test can look like a
    refusal.
    """
    try:
        return [cbor.loads(data)]
    except ValueError:
        return None


class _FixedRandom:
    def __init__(self, fresh):
        self._fresh = fresh

    def urandom(self, size):
        if size != len(self._fresh):
            raise ValueError("a boot has 32 fresh bytes")
        return self._fresh


class FixedIdentity(identity.Identity):
    """An identity with the key, boot number and fresh bytes of a vector."""

    def __init__(self, private, boot, fresh):
        self._private = private
        self._fresh = fresh
        self.public = p256.public_key(private)
        self.device_id = cose.thumbprint(self.public)[:16]
        self.boot = boot

    def ephemeral_seed(self):
        system = identity.entropy
        identity.entropy = _FixedRandom(self._fresh)
        try:
            return identity.Identity.ephemeral_seed(self)
        finally:
            identity.entropy = system
