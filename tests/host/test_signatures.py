"""Both signature back ends: RFC 6979's signatures, and the same answer to everything else."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from birthkey_host import cose, signatures
from birthkey_host.signatures import Backend

N, P = cose.N, cose.P

# RFC 6979 appendix A.2.5, P-256 with SHA-256.
PRIVATE = bytes.fromhex("c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721")
PUBLIC = bytes.fromhex(
    "60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6"
    "7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299"
)
SIGNED = {
    b"sample": (
        0xEFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716,
        0xF7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8,
    ),
    b"test": (
        0xF1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367,
        0x019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083,
    ),
}


def join(r: int, s: int) -> bytes:
    return r.to_bytes(32) + s.to_bytes(32)


R, S = SIGNED[b"test"]
GOOD = join(R, S)


@pytest.fixture(params=signatures.BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return signatures.backend(request.param)


def test_the_production_back_end_is_the_first() -> None:
    assert signatures.BACKENDS == ("openssl", "ecdsa")
    with pytest.raises(ValueError, match="openssl, ecdsa"):
        signatures.backend("other")


@pytest.mark.parametrize("message", SIGNED)
def test_signs_as_in_rfc_6979_with_the_lower_s(backend: Backend, message: bytes) -> None:
    r, s = SIGNED[message]
    assert backend.sign(PRIVATE, message) == join(r, min(s, N - s))


@pytest.mark.parametrize("message", SIGNED)
def test_verifies_rfc_6979_with_either_s(backend: Backend, message: bytes) -> None:
    r, s = SIGNED[message]
    assert backend.verify(PUBLIC, message, join(r, s))
    assert backend.verify(PUBLIC, message, join(r, N - s))


@pytest.mark.parametrize(
    "signature",
    [
        join(0, S),
        join(R, 0),
        join(0, 0),
        join(N, S),
        join(R, N),
        join(N + 1, S),
        join(2**256 - 1, 2**256 - 1),
        join(1, 1),
        join(S, R),
        join(R ^ 1, S),
        join(R, S ^ 1),
        b"",
        GOOD[:63],
        GOOD + b"\0",
        b"\0" + GOOD,
    ],
    ids=lambda signature: f"{len(signature)}-{signature[:4].hex()}-{signature[-4:].hex()}",
)
def test_refuses_other_signatures(backend: Backend, signature: bytes) -> None:
    assert backend.verify(PUBLIC, b"test", GOOD)
    assert not backend.verify(PUBLIC, b"test", signature)


@pytest.mark.parametrize(
    "public",
    {
        "off the curve": PUBLIC[:-1] + bytes([PUBLIC[-1] ^ 1]),
        "negated": PUBLIC[:32] + (P - int.from_bytes(PUBLIC[32:])).to_bytes(32),
        "zero": bytes(64),
        "x of p": P.to_bytes(32) + PUBLIC[32:],
        "ones": b"\xff" * 64,
        "uncompressed": b"\4" + PUBLIC,
        "compressed": b"\3" + PUBLIC[:32],
        "short": PUBLIC[:63],
        "nothing": b"",
    }.values(),
    ids=lambda public: f"{len(public)}-{public[:4].hex()}",
)
def test_refuses_other_keys(backend: Backend, public: bytes) -> None:
    assert not backend.verify(public, b"test", GOOD)


@pytest.mark.parametrize("private", [bytes(32), N.to_bytes(32), b"\xff" * 32, b"\1" * 31, b""])
def test_refuses_to_sign_with_what_is_no_key(backend: Backend, private: bytes) -> None:
    with pytest.raises(ValueError, match="private key"):
        backend.sign(private, b"test")


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=200), st.integers(0, 511))
@settings(max_examples=25, deadline=None)
def test_each_verifies_what_the_other_signs_and_neither_a_flipped_bit(
    private: bytes, message: bytes, bit: int
) -> None:
    both = [signatures.backend(name) for name in signatures.BACKENDS]
    try:
        first, second = (backend.sign(private, message) for backend in both)
    except ValueError:
        return
    assert first == second
    number = int.from_bytes(first)
    flipped = (number ^ 1 << bit).to_bytes(64)
    key = ec.derive_private_key(int.from_bytes(private), ec.SECP256R1())
    public = cose.public_bytes(key.public_key())
    for backend in both:
        assert backend.verify(public, message, first)
        assert not backend.verify(public, message, flipped)
        assert not backend.verify(public, message + b"\0", first)
