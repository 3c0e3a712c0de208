"""Device code for the P-256 tests: what a plain call from a test cannot reach.

Runs in the interpreter under test, which finds it beside `device_worker.py`.
"""

import sys

from birthkey.crypto import p256, p256_python
from birthkey.crypto.hkdf import Hmac, hmac


def nonces(private, digest, count):
    """The first candidates for the nonce of a signature."""
    candidates = p256._nonces(private, digest)
    return [next(candidates) for _ in range(count)]


def signature_after(private, digest, candidate):
    """The signature when the first candidate comes out as told, and the one expected then."""
    made = []

    class Told(Hmac):
        def of(self, *parts):
            made.append((self, candidate if len(made) == 4 else super().of(*parts)))
            return made[-1][1]

    p256.Hmac = Told
    try:
        signature = p256.sign(private, digest)
    finally:
        p256.Hmac = Hmac
    # RFC 6979, section 3.2, end of step h: the key of the fifth HMAC is what the third made.
    key = hmac(made[2][1], candidate, b"\0")
    nonce = hmac(key, hmac(key, candidate))
    return signature, p256._backend.sign(private, digest, nonce)


def results(kind, private, public, digest, signature):
    """What every function gives for arguments of that type."""
    types = {"bytes": bytes, "bytearray": bytearray, "memoryview": memoryview}
    private, public, digest, signature = [
        types[kind](bytearray(argument)) for argument in (private, public, digest, signature)
    ]
    return (
        p256.public_key(private),
        p256.sign(private, digest),
        p256.verify(public, digest, signature),
        p256.ecdh(private, public),
    )


class _Right:
    public_key = staticmethod(p256_python.public_key)


class _Wrong:
    public_key = staticmethod(lambda private: bytes(64))


class _Empty:
    pass


def loads(name):
    """Whether a back end is taken into use: one of the classes above, or an absent one."""
    module = {"right": _Right, "wrong": _Wrong, "empty": _Empty}.get(name)
    if module is None:
        return p256._load(name) is not None
    full_name = "birthkey_p256_" + name
    sys.modules[full_name] = module
    try:
        return p256._load(name) is module
    finally:
        del sys.modules[full_name]


def non_adjacent_form(k):
    """The digits that verification uses, lowest first."""
    return list(p256_python._wnaf(k))


def point_operations(function, *arguments):
    """The row of doublings and additions that a function of the arithmetic makes."""
    row = []
    double, add = p256_python.double, p256_python.add

    def noted_double(point):
        row.append("d")
        return double(point)

    def noted_add(point, x, y):
        row.append("a")
        return add(point, x, y)

    p256_python.double, p256_python.add = noted_double, noted_add
    try:
        getattr(p256_python, function)(*arguments)
    finally:
        p256_python.double, p256_python.add = double, add
    return "".join(row)


def inverse_with(random, value, modulus):
    """The inverse when that is what `urandom` gives, and what Euclid's algorithm ran on."""
    operands = []

    def noted_divmod(larger, smaller):
        operands.append(smaller)
        return divmod(larger, smaller)

    urandom = p256_python.urandom
    p256_python.urandom = lambda size: random[:size]
    p256_python.divmod = noted_divmod
    try:
        return p256_python.invert(value, modulus), operands[0]
    finally:
        p256_python.urandom = urandom
        del p256_python.divmod
