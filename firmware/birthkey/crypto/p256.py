"""P-256: ECDSA (FIPS 186-5) and ECDH (SP 800-56A), as used with SHA-256.

A private key is 32 bytes; a public key is the 64 bytes x || y; a signature is the 64 bytes
r || s; a digest is 32 bytes. Arguments may be bytes, bytearray or memoryview.

Here is what every back end shares. A back end is a module with
    in_range(scalar)                   whether that is a number in 1..n-1
    reduce(digest)                     the digest modulo n, as 32 bytes
    public_key(private)                the public key
    sign(private, digest, nonce)       a signature with the lower of its two values of s,
                                       or None if the nonce is out of range or gives none
    verify(public, digest, signature)  whether it is valid
    ecdh(private, public)              the shared secret, or None if public is no point
on bytes whose lengths, and private keys whose range, were checked here. That of Python works
everywhere; native ones, firmware/native/p256, for Cortex-M. Those do not put a secret into a
Python integer, nor does anything here.
"""

import sys

from birthkey._port import const
from birthkey.crypto.hkdf import Hmac

# RFC 6979, A.2.5: a private key and its public key.
_TEST_KEY = (
    b"\xc9\xaf\xa9\xd8\x45\xba\x75\x16\x6b\x5c\x21\x57\x67\xb1\xd6\x93"
    b"\x4e\x50\xc3\xdb\x36\xe8\x9b\x12\x7b\x8a\x62\x2b\x12\x0f\x67\x21"
)
_TEST_PUBLIC_KEY = (
    b"\x60\xfe\xd4\xba\x25\x5a\x9d\x31\xc9\x61\xeb\x74\xc6\x35\x6d\x68"
    b"\xc0\x49\xb8\x92\x3b\x61\xfa\x6c\xe6\x69\x62\x2e\x60\xf2\x9f\xb6"
    b"\x79\x03\xfe\x10\x08\xb8\xbc\x99\xa4\x1a\xe9\xe9\x56\x28\xbc\x64"
    b"\xf2\xf1\xb2\x0c\x2d\x7e\x9f\x51\x77\xa3\xc2\x94\xd4\x46\x22\x99"
)

# SP 800-186, section 3.2.1.3: y^2 = x^3 - 3 x + b modulo p.
_P = 0xFFFFFFFF00000001000000000000000000000000FFFFFFFFFFFFFFFFFFFFFFFF
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B

# Architectures of .mpy files: what the firmware was compiled for.
_ARMV6M = const(4)
_ARMV7EMDP = const(8)

_CPUID = const(0xE000ED00)
_ID_ISAR2 = const(0xE000ED68)
_CORTEX_M4 = const(0xC24)
_CORTEX_M7 = const(0xC27)


def in_range(private):
    """Whether 32 bytes are a private key, which is a number in 1..n-1."""
    _check_32(private)
    return _backend.in_range(private)


def check_public(public):
    """ValueError unless x || y is a public key: a point of the curve.

    `verify` and `ecdh` look for themselves; this is for a key that is used later.
    """
    if not _is_bytes(public, 64):
        raise ValueError("a public key has 64 bytes")
    x = int.from_bytes(public[:32], "big")
    y = int.from_bytes(public[32:], "big")
    if x >= _P or y >= _P or (y * y - (x * x - 3) * x - _B) % _P:
        raise ValueError("a public key is no point of P-256: one of its digits may be mistyped")


def public_key(private):
    """The public key of a private key; ValueError for one not in 1..n-1."""
    _check_private(private)
    return _backend.public_key(private)


def sign(private, digest):
    """A deterministic signature (RFC 6979) with the lower of its two values of s."""
    _check_private(private)
    _check_32(digest)
    signature = None
    nonces = _nonces(private, _backend.reduce(digest))
    while not signature:
        signature = _backend.sign(private, digest, next(nonces))
    nonces.close()
    return signature


def verify(public, digest, signature):
    """Whether a signature is valid, whatever the bytes of it and of the public key are."""
    _check_32(digest)
    return (
        _is_bytes(public, 64)
        and _is_bytes(signature, 64)
        and _backend.verify(public, digest, signature)
    )


def ecdh(private, public):
    """The shared secret: x of private * public; ValueError unless both are keys."""
    _check_private(private)
    shared = _backend.ecdh(private, public) if _is_bytes(public, 64) else None
    if shared is None:
        raise ValueError("public key is not on the curve")
    return shared


def use(name):
    """Compute with the back end of that name from now on."""
    global _backend
    if name not in BACKENDS:
        raise ValueError("unknown back end")
    if name not in _backends:
        backend = _load(name)
        if backend is None:
            raise ValueError("the back end computes wrongly")
        _backends[name] = backend
    _backend = _backends[name]


def _is_bytes(value, length):
    return isinstance(value, (bytes, bytearray, memoryview)) and len(value) == length


def _check_32(data):
    if not _is_bytes(data, 32):
        raise ValueError("not 32 bytes")


def _check_private(private):
    if not in_range(private):
        raise ValueError("private key out of range")


def _nonces(private, digest):
    """Yield 32 bytes after 32 bytes, of which the first that is a nonce is that of the signature:
    RFC 6979, section 3.2. The digest is modulo n."""
    # Up to the first, and hardly ever is there a second, 22 blocks of SHA-256: HMACs of 97, 32, 97,
    # 32 and 32 bytes, of 5 and 4 blocks. None is computed before it is needed.
    value = b"\x01" * 32
    mac = Hmac(bytes(32))
    for separator in (b"\x00", b"\x01"):
        key = mac.of(value, separator, private, digest)
        mac.wipe()
        mac = Hmac(key)
        value = mac.of(value)
    try:
        while True:
            value = mac.of(value)
            yield value
            key = mac.of(value, b"\x00")
            mac.wipe()
            mac = Hmac(key)
            value = mac.of(value)
    finally:
        mac.wipe()


def _load(name):
    """The back end of that name if it runs here and computes rightly, or else None.

    One product with the base point, the cheapest of the operations, passes through all of
    a back end's field arithmetic, its inversion and much of the table.
    """
    try:
        if name == "python":
            from birthkey.crypto import p256_python as backend
        else:
            backend = __import__("birthkey_p256_" + name)
        return backend if backend.public_key(_TEST_KEY) == _TEST_PUBLIC_KEY else None
    except MemoryError:
        raise
    except Exception:  # native code is refused with ImportError, or ValueError
        return None


def _native_names():
    """The native back ends that this processor can run, fastest first.

    Code with instructions that a processor lacks would stop it: what is not known is not tried.
    """
    architecture = getattr(sys.implementation, "_mpy", 0) >> 10 & 15
    if sys.platform == "linux" or not _ARMV6M <= architecture <= _ARMV7EMDP:
        return ()
    if architecture == _ARMV6M:
        return ("armv6m",)
    # Firmware for Cortex-M3 says the same as that for Cortex-M4 without floating point.
    return ("armv7em", "armv7m", "armv6m") if _has_umaal() else ("armv7m", "armv6m")


def _has_umaal():
    try:
        from machine import mem32
    except ImportError:
        return False
    part = mem32[_CPUID] >> 4 & 0xFFF
    return part in (_CORTEX_M4, _CORTEX_M7) or (mem32[_ID_ISAR2] >> 20 & 15) >= 2


_backends = {}
BACKENDS = ()
for _name in _native_names():
    _backend = _load(_name)
    if _backend:
        _backends[_name] = _backend
        BACKENDS += (_name,)
BACKENDS += ("python",)  # tested when it is used: that takes longer than a signature
try:
    use(BACKENDS[0])
except ValueError:
    raise ImportError("no back end computes P-256 here")
