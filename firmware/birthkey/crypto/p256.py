"""P-256: ECDSA (FIPS 186-5) and ECDH (SP 800-56A), as used with SHA-256.

A private key is 32 bytes; a public key is the 64 bytes x || y; a signature is the 64 bytes
r || s; a digest is 32 bytes. Arguments may be bytes, bytearray or memoryview.

Here is what every back end shares. A back end is a module `p256_NAME` with
    base_multiply(k)          -> (x, y)     k * G
    multiply(k, x, y)         -> (x, y)     k * (x, y)
    multiply_add(u, v, x, y)  -> x or None  u * G + v * (x, y), None at infinity
    invert(value, modulus)    -> integer    modulo the curve's P or N
on integers that were checked here. All but multiply_add take secrets.
"""

from birthkey.crypto.hkdf import hmac
from birthkey.crypto.p256_table import B, N, P

# RFC 6979, A.2.5: a private key and its public key.
_TEST_KEY = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
_TEST_POINT = (
    0x60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6,
    0x7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299,
)


def public_key(private):
    """The public key of a private key; ValueError for one not in 1..n-1."""
    return _pair_bytes(_backend.base_multiply(_private_scalar(private)))


def sign(private, digest):
    """A deterministic signature (RFC 6979) with the lower of its two values of s."""
    d = _private_scalar(private)
    e = _integer(digest)
    r = s = 0
    nonces = _nonces(private, digest)
    while not (r and s):
        k = next(nonces)
        r = _backend.base_multiply(k)[0] % N
        s = _backend.invert(k, N) * (e + r * d) % N
    return _pair_bytes((r, min(s, N - s)))


def verify(public, digest, signature):
    """Whether a signature is valid, whatever the bytes of it and of the public key are."""
    e = _integer(digest)
    point = _public_point(public)
    if point is None or not _is_bytes(signature, 64):
        return False
    signature = memoryview(signature)
    r = _integer(signature[:32])
    s = _integer(signature[32:])
    if not (0 < r < N and 0 < s < N):
        return False
    w = _backend.invert(s, N)
    x = _backend.multiply_add(e * w % N, r * w % N, *point)
    return x is not None and x % N == r


def ecdh(private, public):
    """The shared secret: x of private * public; ValueError unless both are keys."""
    k = _private_scalar(private)
    point = _public_point(public)
    if point is None:
        raise ValueError("public key is not on the curve")
    return _backend.multiply(k, *point)[0].to_bytes(32, "big")


def use(name):
    """Compute with the back end of that name from now on."""
    global _backend
    if name not in _backends:
        raise ValueError("unknown back end")
    _backend = _backends[name]


def _is_bytes(value, length):
    return isinstance(value, (bytes, bytearray, memoryview)) and len(value) == length


def _integer(data):
    if not _is_bytes(data, 32):
        raise ValueError("not 32 bytes")
    return int.from_bytes(data, "big")


def _private_scalar(private):
    d = _integer(private)
    if not 0 < d < N:
        raise ValueError("private key out of range")
    return d


def _public_point(public):
    """(x, y), or None if it is not a point of the curve.

    The curve has no cofactor, so every point on it has order n; infinity has no such form.
    """
    if not _is_bytes(public, 64):
        return None
    public = memoryview(public)
    x = _integer(public[:32])
    y = _integer(public[32:])
    if x < P and y < P and (y * y - (x * x - 3) * x - B) % P == 0:
        return x, y
    return None


def _pair_bytes(pair):
    return pair[0].to_bytes(32, "big") + pair[1].to_bytes(32, "big")


def _nonces(private, digest):
    """Yield the candidates for the nonce of a signature: RFC 6979, section 3.2."""
    digest = (int.from_bytes(digest, "big") % N).to_bytes(32, "big")
    key = bytes(32)
    value = b"\x01" * 32
    for separator in (b"\x00", b"\x01"):
        key = hmac(key, value, separator, private, digest)
        value = hmac(key, value)
    while True:
        value = hmac(key, value)
        k = int.from_bytes(value, "big")
        if 0 < k < N:
            yield k
        key = hmac(key, value, b"\x00")
        value = hmac(key, value)


def _load(name):
    """The back end of that name if it runs here and computes rightly, or else None.

    One product with the base point, the cheapest of the operations, passes through all of
    a back end's field arithmetic, its inversion and much of the table.
    """
    try:
        backend = __import__("birthkey.crypto.p256_" + name, None, None, ("invert",))
        return backend if backend.base_multiply(_TEST_KEY) == _TEST_POINT else None
    except MemoryError:
        raise
    except Exception:  # native code is refused with ImportError, SyntaxError or ValueError
        return None


_backends = {}
BACKENDS = ()
for _name in ("python",):  # fastest first
    _backend = _load(_name)
    if _backend:
        _backends[_name] = _backend
        BACKENDS += (_name,)
if not BACKENDS:
    raise ImportError("no back end computes P-256 here")
use(BACKENDS[0])
