"""The P-256 back end for any port with big integers: Python's own arithmetic, nothing else.

A point is a tuple (X, Y, Z) in Jacobian coordinates, x = X / Z^2 and y = Y / Z^3, with
Z = 0 for the point at infinity; tables hold affine points (x, y).

Reducing modulo P costs twice what multiplying does, so sums of products are reduced once.
The reductions made for this prime gain nothing in Python, where each step allocates.

Secret scalars are written in a fixed number of signed digits of which none is zero, so
every scalar takes the same row of point operations. That is as far as this goes: the
interpreter's integers do not take the same time for every value.
"""

from array import array
from os import urandom

from birthkey.crypto.p256_table import BLOCKS, COLUMNS, SPACING, TABLE, TEETH, B, N, P

_INFINITY = (1, 1, 0)
_TABLE = memoryview(TABLE)  # slices of bytes would be copies
_BLOCK_SIZE = len(TABLE) // BLOCKS
_LAST_TOOTH = (TEETH - 1) * SPACING


def in_range(scalar):
    """Whether 32 bytes are a number in 1..n-1."""
    return 0 < int.from_bytes(scalar, "big") < N


def reduce(digest):
    """The digest modulo n, as 32 bytes."""
    return (int.from_bytes(digest, "big") % N).to_bytes(32, "big")


def public_key(private):
    """The public key of a private key that is in range."""
    return _pair_bytes(base_multiply(int.from_bytes(private, "big")))


def sign(private, digest, nonce):
    """A signature with the lower of its two values of s, or None if the nonce gives none."""
    k = int.from_bytes(nonce, "big")
    if not 0 < k < N:
        return None
    r = base_multiply(k)[0] % N
    e = int.from_bytes(digest, "big")
    s = invert(k, N) * (e + r * int.from_bytes(private, "big")) % N
    return _pair_bytes((r, min(s, N - s))) if r and s else None


def verify(public, digest, signature):
    """Whether a signature is valid, whatever the bytes of it and of the public key are."""
    r, s = _pair(signature)
    point = _point(public)
    if point is None or not (0 < r < N and 0 < s < N):
        return False
    w = invert(s, N)
    x = multiply_add(int.from_bytes(digest, "big") * w % N, r * w % N, *point)
    return x is not None and x % N == r


def ecdh(private, public):
    """The shared secret, or None if the public key is not on the curve."""
    point = _point(public)
    if point is None:
        return None
    return multiply(int.from_bytes(private, "big"), *point)[0].to_bytes(32, "big")


def base_multiply(k):
    """The affine point k * G, for a secret k in 1..n-1."""
    signs = _comb_signs(k)
    point = _INFINITY
    for column in range(COLUMNS - 1, -1, -1):
        point = _add_column(double(point), signs, column)
    return to_affine((point,))[0]


def multiply(k, x, y):
    """The affine point k * (x, y), for a secret k in 1..n-1."""
    multiples = _odd_multiples(x, y)
    # An odd k is 16^64 + sum(d_i * 16^i) where d_i = 2 * (hex digit i of k >> 1) - 15:
    # sixty-four odd digits from -15 to 15 below a leading one.
    point = (x, y, 1)
    for byte in (_odd(k) >> 1).to_bytes(32, "big"):
        for digit in (byte >> 4, byte & 15):
            point = double(double(double(double(point))))
            index, plus = _fold(digit, 4)
            point = add(point, *_signed(multiples[index], plus))
    return to_affine((point,))[0]


def multiply_add(u, v, x, y):
    """The x of u * G + v * (x, y), or None at infinity. The scalars are public."""
    multiples = _odd_multiples(x, y)
    digits = _wnaf(v)
    signs = _comb_signs(u)
    point = _INFINITY
    for i in range(len(digits) - 1, -1, -1):
        point = double(point)
        digit = digits[i]
        if digit:
            point = add(point, *_signed(multiples[abs(digit) >> 1], digit > 0))
        if i < COLUMNS:  # the comb shares the last doublings
            point = _add_column(point, signs, i)
    return to_affine((point,))[0][0] if point[2] else None


def invert(value, modulus):
    """The inverse of value modulo P or N; 0 for 0.

    Euclid's algorithm is several times faster here than raising to modulus - 2, but its
    steps depend on its operand. Every secret comes here multiplied by a random number,
    so the steps say nothing about it.
    """
    blind = int.from_bytes(urandom(32), "big") % modulus or 1
    larger, smaller = modulus, value * blind % modulus
    before, factor = 0, blind
    while smaller:
        quotient, remainder = divmod(larger, smaller)
        larger, smaller = smaller, remainder
        before, factor = factor, before - quotient * factor
    return before % modulus


def double(point):
    """Twice a point: formulas for a = -3, valid for every point."""
    X, Y, Z = point
    delta = Z * Z % P
    gamma = Y * Y % P
    beta4 = (X * gamma % P) << 2
    alpha = 3 * (X - delta) * (X + delta) % P
    X3 = (alpha * alpha - (beta4 << 1)) % P
    return X3, (alpha * (beta4 - X3) - (gamma * gamma << 3)) % P, (Y * Z << 1) % P


def add(point, x, y):
    """A point plus an affine one, the exceptional cases included."""
    X, Y, Z = point
    if not Z:
        return x, y, 1
    ZZ = Z * Z % P
    H = (x * ZZ - X) % P
    r = (y * (Z * ZZ % P) - Y) % P
    if not H:  # the same x: the same point, or its negative
        return _INFINITY if r else double(point)
    HH = H * H % P
    HHH = H * HH % P
    V = X * HH % P
    X3 = (r * r - HHH - V - V) % P
    return X3, (r * (V - X3) - Y * HHH) % P, Z * H % P


def to_affine(points):
    """The affine forms of points, none of them infinite, for the price of one inversion."""
    # Montgomery's trick: invert the product of all Z, then take off one Z after another.
    products = [1]
    for point in points:
        products.append(products[-1] * point[2] % P)
    inverse = invert(products.pop(), P)
    affine = []
    for X, Y, Z in reversed(points):
        inverse_Z = inverse * products.pop() % P
        inverse = inverse * Z % P
        ZZ = inverse_Z * inverse_Z % P
        affine.append((X * ZZ % P, Y * (inverse_Z * ZZ % P) % P))
    affine.reverse()
    return affine


def _pair(data):
    data = memoryview(data)
    return int.from_bytes(data[:32], "big"), int.from_bytes(data[32:], "big")


def _pair_bytes(pair):
    return pair[0].to_bytes(32, "big") + pair[1].to_bytes(32, "big")


def _point(public):
    """(x, y), or None if it is not a point of the curve.

    The curve has no cofactor, so every point on it has order n; infinity has no such form.
    """
    x, y = _pair(public)
    if x < P and y < P and (y * y - (x * x - 3) * x - B) % P == 0:
        return x, y
    return None


def _odd(k):
    """k or k + n, whichever is odd: signed digits without a zero need an odd scalar."""
    return (k + N, k)[k & 1]  # both made, so that the time does not tell which


def _fold(signs, count):
    """The place in a table, and whether plus, of a row of signs given as bits.

    A table holds the entries whose highest sign is plus; the rest are their negatives.
    """
    plus = signs >> count - 1
    return (signs ^ plus - 1) & (1 << count - 1) - 1, plus


def _signed(affine, plus):
    """An affine point, or its negative unless plus is true."""
    x, y = affine
    return x, (P - y, y)[plus]


def _odd_multiples(x, y):
    """The affine points 1, 3, 5, ... 15 times (x, y)."""
    twice = to_affine((double((x, y, 1)),))[0]
    points = [(x, y, 1)]
    for _ in range(7):
        points.append(add(points[-1], *twice))
    return to_affine(points)


def _comb_signs(k):
    """k as a row of signs, little-endian bits: k = sum(2^i if bit i is set else -2^i)."""
    size = TEETH * SPACING
    return (_odd(k) >> 1 | 1 << size - 1).to_bytes(size >> 3, "little")


def _add_column(point, signs, column):
    """A point plus what one column of the comb contributes."""
    for block in range(BLOCKS):
        picked = 0
        for position in range(_LAST_TOOTH + block * COLUMNS + column, -1, -SPACING):
            picked = picked << 1 | signs[position >> 3] >> (position & 7) & 1
        index, plus = _fold(picked, TEETH)
        start = block * _BLOCK_SIZE + (index << 6)
        entry = _TABLE[start : start + 64]
        y = int.from_bytes(entry[32:], "big")
        point = add(point, int.from_bytes(entry[:32], "big"), (P - y, y)[plus])
    return point


def _wnaf(k):
    """The non-adjacent form of width 5: 257 digits, lowest first, zero or odd in -15..15."""
    digits = array("b", bytes(257))
    i = 0
    while k:
        if k & 1:
            digit = k & 31
            if digit > 15:
                digit -= 32
            digits[i] = digit
            k -= digit
        k >>= 1
        i += 1
    return digits
