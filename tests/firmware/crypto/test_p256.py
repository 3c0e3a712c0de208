"""P-256 against published vectors, OpenSSL and python-ecdsa."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from pathlib import Path

import cryptography_vectors
import ecdsa
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import (
    Prehashed,
    decode_dss_signature,
    encode_dss_signature,
)
from ecdsa.rfc6979 import generate_k

import make_p256_table
from device import Interpreter

VECTORS = Path(cryptography_vectors.__file__).parent / "asymmetric"
CURVE = ecdsa.NIST256p
G = CURVE.generator
N = int(CURVE.order)
P = int(CURVE.curve.p())
SHA256 = ec.ECDSA(Prehashed(hashes.SHA256()))

# RFC 6979, A.2.5.
KEY = bytes.fromhex("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721")
PUBLIC = bytes.fromhex(
    "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6"
    "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299"
)
DIGEST = hashlib.sha256(b"sample").digest()
NONCE = 0xA6E3C57DD01ABE90086538398355DD4C3B17AA873382B0F24D6129493D8AAD60
SIGNATURES = {
    b"sample": "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
    "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8",
    b"test": "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367"
    "019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083",
}

# A point whose y is so small that y + p fits in 32 bytes too.
LOW_POINT = bytes.fromhex("D7325D7646CD60D80A92738CEB345F844CFFAF35841022CAB176F692DE8DE1D7"), 5

# The ends of the allowed range, and where s or a sign turns over.
EDGE_KEYS = [1, 2, 3, N // 2, N // 2 + 1, N - 3, N - 2, N - 1]


def b32(number: int) -> bytes:
    return number.to_bytes(32, "big")


def point_bytes(point: ecdsa.ellipticcurve.AbstractPoint) -> bytes:
    return b32(int(point.x())) + b32(int(point.y()))


def low(signature: bytes) -> bytes:
    s = int.from_bytes(signature[32:], "big")
    return signature[:32] + b32(min(s, N - s))


def flip_s(signature: bytes) -> bytes:
    return signature[:32] + b32(N - int.from_bytes(signature[32:], "big"))


def lift(x: int) -> int | None:
    """A y of the point with that x, if there is one; P is 3 modulo 4."""
    square = (x**3 - 3 * x + int(CURVE.curve.b())) % P
    y = pow(square, (P + 1) // 4, P)
    return y if y * y % P == square else None


def cavs(name: str, section: str) -> list[dict[str, str]]:
    """The cases of one section of a NIST CAVS file."""
    text = (VECTORS / name).read_text().replace("\r", "")
    body = text.split(f"[{section}]", 1)[1].split("\n[", 1)[0]
    blocks = [dict(_fields(block)) for block in body.split("\n\n")]
    return [block for block in blocks if block]


def _fields(block: str) -> Iterator[tuple[str, str]]:
    for line in block.splitlines():
        if " = " in line:
            name, _, value = line.partition(" = ")
            yield name.strip(), value.strip()


def number_bytes(text: str) -> bytes:
    """A CAVS number in 32 bytes, or in as many as it needs."""
    return bytes.fromhex(text.zfill(max(64, len(text) + len(text) % 2)))


def openssl_verifies(public: bytes, digest: bytes, signature: bytes) -> bool:
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + public)
    r, s = (int.from_bytes(half, "big") for half in (signature[:32], signature[32:]))
    try:
        key.verify(encode_dss_signature(r, s), digest, SHA256)
    except InvalidSignature:
        return False
    return True


def test_comb_table_is_what_its_generator_makes() -> None:
    assert make_p256_table.PATH.read_text() == make_p256_table.render()


# Signing


@pytest.mark.parametrize("message", SIGNATURES)
def test_sign_gives_the_rfc_6979_signature_with_low_s(device: Interpreter, message: bytes) -> None:
    signature = device.call("birthkey.crypto.p256:sign", KEY, hashlib.sha256(message).digest())
    assert signature == low(bytes.fromhex(SIGNATURES[message]))


def test_public_key_of_the_rfc_6979_key(device: Interpreter) -> None:
    assert device.call("birthkey.crypto.p256:public_key", KEY) == PUBLIC


def test_nonces_after_the_first_follow_rfc_6979(device: Interpreter) -> None:
    secret = int.from_bytes(KEY, "big")
    made = [int.from_bytes(k, "big") for k in device.call("p256_probe:nonces", KEY, DIGEST, 3)]
    assert made == [generate_k(N, secret, hashlib.sha256, DIGEST, retry_gen=i) for i in range(3)]
    assert made[0] == NONCE


@pytest.mark.parametrize("candidate", [0, N, 2**256 - 1])
def test_a_nonce_out_of_range_is_passed_over(device: Interpreter, candidate: int) -> None:
    made, expected = device.call("p256_probe:signature_after", KEY, DIGEST, b32(candidate))
    assert made == expected
    assert openssl_verifies(PUBLIC, DIGEST, made)


def test_signatures_equal_those_of_python_ecdsa_and_satisfy_openssl(device: Interpreter) -> None:
    chance = random.Random(1)
    for _ in range(25):
        secret, digest = chance.randrange(1, N), chance.randbytes(32)
        theirs = ecdsa.SigningKey.from_secret_exponent(secret, CURVE)
        public = theirs.verifying_key.to_string()
        signature = device.call("birthkey.crypto.p256:sign", b32(secret), digest)
        assert signature == low(theirs.sign_digest_deterministic(digest, hashlib.sha256))
        assert device.call("birthkey.crypto.p256:public_key", b32(secret)) == public
        assert openssl_verifies(public, digest, signature)


@pytest.mark.parametrize("secret", EDGE_KEYS)
def test_keys_at_the_ends_of_the_range_work(device: Interpreter, secret: int) -> None:
    public = device.call("birthkey.crypto.p256:public_key", b32(secret))
    assert public == point_bytes(G * secret)
    signature = device.call("birthkey.crypto.p256:sign", b32(secret), DIGEST)
    assert openssl_verifies(public, DIGEST, signature)
    assert device.call("birthkey.crypto.p256:verify", public, DIGEST, signature) is True
    assert device.call("birthkey.crypto.p256:ecdh", b32(secret), PUBLIC) == b32(
        int((G * (secret * int.from_bytes(KEY, "big") % N)).x())
    )


@pytest.mark.parametrize("number", [0, 1, N - 1, N, 2**256 - 1])
def test_any_digest_can_be_signed(device: Interpreter, number: int) -> None:
    signature = device.call("birthkey.crypto.p256:sign", KEY, b32(number))
    theirs = ecdsa.SigningKey.from_string(KEY, CURVE)
    assert signature == low(theirs.sign_digest_deterministic(b32(number), hashlib.sha256))
    assert device.call("birthkey.crypto.p256:verify", PUBLIC, b32(number), signature) is True
    assert openssl_verifies(PUBLIC, b32(number), signature)


BAD_KEYS = [b32(0), b32(N), b32(N + 1), b"\xff" * 32, b"", KEY[1:], b"\0" + KEY, None, "k" * 32]


@pytest.mark.parametrize("key", BAD_KEYS)
def test_bad_private_keys_are_refused(device: Interpreter, key: object) -> None:
    with pytest.raises(ValueError, match=r"32 bytes|range"):
        device.call("birthkey.crypto.p256:public_key", key)
    with pytest.raises(ValueError, match=r"32 bytes|range"):
        device.call("birthkey.crypto.p256:sign", key, DIGEST)
    with pytest.raises(ValueError, match=r"32 bytes|range"):
        device.call("birthkey.crypto.p256:ecdh", key, PUBLIC)


@pytest.mark.parametrize("digest", [b"", DIGEST[1:], DIGEST + b"\0", None])
def test_a_digest_of_another_length_is_refused(device: Interpreter, digest: object) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        device.call("birthkey.crypto.p256:sign", KEY, digest)
    with pytest.raises(ValueError, match="32 bytes"):
        device.call("birthkey.crypto.p256:verify", PUBLIC, digest, bytes(64))


# Verifying


def test_verify_agrees_with_the_nist_vectors(device: Interpreter) -> None:
    cases = cavs("ECDSA/FIPS_186-3/SigVer.rsp", "P-256,SHA-256")
    assert len(cases) == 15
    for case in cases:
        digest = hashlib.sha256(bytes.fromhex(case["Msg"])).digest()
        public = number_bytes(case["Qx"]) + number_bytes(case["Qy"])
        signature = number_bytes(case["R"]) + number_bytes(case["S"])
        valid = device.call("birthkey.crypto.p256:verify", public, digest, signature)
        assert valid is case["Result"].startswith("P"), case


def test_verify_accepts_the_signatures_of_openssl_with_either_s(device: Interpreter) -> None:
    chance = random.Random(2)
    for _ in range(15):
        secret, digest = chance.randrange(1, N), chance.randbytes(32)
        key = ec.derive_private_key(secret, ec.SECP256R1())
        numbers = key.public_key().public_numbers()
        public = b32(numbers.x) + b32(numbers.y)
        r, s = decode_dss_signature(key.sign(digest, SHA256))
        signature = b32(r) + b32(s)
        assert device.call("birthkey.crypto.p256:verify", public, digest, signature) is True
        assert device.call("birthkey.crypto.p256:verify", public, digest, flip_s(signature)) is True


def test_verify_refuses_any_changed_bit(device: Interpreter) -> None:
    good = (PUBLIC, DIGEST, bytes.fromhex(SIGNATURES[b"sample"]))
    assert device.call("birthkey.crypto.p256:verify", *good) is True
    for which, value in enumerate(good):
        for bit in range(0, 8 * len(value), 61):
            changed = bytearray(value)
            changed[bit >> 3] ^= 1 << (bit & 7)
            arguments = [*good[:which], bytes(changed), *good[which + 1 :]]
            assert device.call("birthkey.crypto.p256:verify", *arguments) is False


@pytest.mark.parametrize("r", [None, 0, N, 2**256 - 1])
@pytest.mark.parametrize("s", [None, 0, N, 2**256 - 1])
def test_verify_refuses_r_and_s_out_of_range(
    device: Interpreter, r: int | None, s: int | None
) -> None:
    good = bytes.fromhex(SIGNATURES[b"sample"])
    signature = good[:32] if r is None else b32(r)
    signature += good[32:] if s is None else b32(s)
    valid = device.call("birthkey.crypto.p256:verify", PUBLIC, DIGEST, signature)
    assert valid is (r is None and s is None)


def test_verify_takes_r_as_a_number_not_modulo_n(device: Interpreter) -> None:
    public, digest, signature = signature_with_x_above_n()
    r = int.from_bytes(signature[:32], "big")
    lifted = b32(r + N) + signature[32:]
    assert device.call("birthkey.crypto.p256:verify", public, digest, lifted) is False


def test_verify_takes_s_as_a_number_not_modulo_n(device: Interpreter) -> None:
    r, s, k = int((G * 11).x()), 3, 11
    digest = b32((s * k - r * int.from_bytes(KEY, "big")) % N)
    assert device.call("birthkey.crypto.p256:verify", PUBLIC, digest, b32(r) + b32(s)) is True
    assert device.call("birthkey.crypto.p256:verify", PUBLIC, digest, b32(r) + b32(s + N)) is False


def signature_with_x_above_n() -> tuple[bytes, bytes, bytes]:
    """A public key, digest and valid signature whose point R has n <= x < p, so r = x - n."""
    x = next(x for x in range(N + 1, P) if lift(x) is not None)
    R = ecdsa.ellipticcurve.PointJacobi(CURVE.curve, x, lift(x), 1, N)
    u, v = 0x1234567890ABCDEF << 180, 0xFEDCBA9876543210 << 150
    public = (R + -(G * u)) * pow(v, -1, N)
    r = x - N
    s = r * pow(v, -1, N) % N
    return point_bytes(public), b32(u * s % N), b32(r) + b32(s)


def test_verify_accepts_a_point_whose_x_is_above_n(device: Interpreter) -> None:
    public, digest, signature = signature_with_x_above_n()
    assert openssl_verifies(public, digest, signature)
    assert device.call("birthkey.crypto.p256:verify", public, digest, signature) is True


def test_verify_refuses_when_the_point_is_infinite(device: Interpreter) -> None:
    r = s = 7
    digest = b32(-r * int.from_bytes(KEY, "big") % N)  # e + r d = 0
    assert device.call("birthkey.crypto.p256:verify", PUBLIC, digest, b32(r) + b32(s)) is False


@pytest.mark.parametrize("m", [1, 2, N - 1, N // 2])
def test_verify_with_every_kind_of_collision(device: Interpreter, m: int) -> None:
    """In u * G + v * Q, with Q a small multiple of G, the two sums meet and cancel on the way."""
    public = point_bytes(G * m)
    for v in (1, 2, 15, 16, 17, N - 1, N - 2, (N + 1) // 2):
        for u in {0, v, v * m % N, -v * m % N, (1 - v * m) % N}:
            total = (u + v * m) % N
            r = int((G * (total or 1)).x()) % N
            s = r * pow(v, -1, N) % N
            signature, digest = b32(r) + b32(s), b32(u * s % N)
            valid = device.call("birthkey.crypto.p256:verify", public, digest, signature)
            assert valid is (total != 0), (u, v)


def bad_public_keys() -> dict[str, object]:
    x, y = int.from_bytes(PUBLIC[:32], "big"), int.from_bytes(PUBLIC[32:], "big")
    twist = next(x for x in range(1, 100) if lift(x) is None)
    small = next(x for x in range(2**256 - P) if lift(x) is not None)  # small + P fits too
    return {
        "off the curve": b32(x) + b32(y ^ 1),
        "on the twist": b32(twist) + b32(1),
        "zeros": bytes(64),
        "ones": b"\xff" * 64,
        "x not reduced": b32(small + P) + b32(lift(small) or 0),
        "y not reduced": LOW_POINT[0] + b32(LOW_POINT[1] + P),
        "short": PUBLIC[:-1],
        "long": PUBLIC + b"\0",
        "uncompressed": b"\x04" + PUBLIC,
        "compressed": b"\x02" + PUBLIC[:32],
        "empty": b"",
        "none": None,
        "text": "k" * 64,
    }


def test_coordinates_that_are_small_are_accepted(device: Interpreter) -> None:
    x, y = LOW_POINT
    assert device.call("birthkey.crypto.p256:ecdh", b32(1), x + b32(y)) == x


@pytest.mark.parametrize("fault", bad_public_keys())
def test_bad_public_keys_are_refused(device: Interpreter, fault: str) -> None:
    public = bad_public_keys()[fault]
    signature = bytes.fromhex(SIGNATURES[b"sample"])
    assert device.call("birthkey.crypto.p256:verify", public, DIGEST, signature) is False
    with pytest.raises(ValueError, match="not on the curve"):
        device.call("birthkey.crypto.p256:ecdh", KEY, public)


@pytest.mark.parametrize("fault", bad_public_keys())
def test_bad_public_keys_are_found_before_they_are_used(device: Interpreter, fault: str) -> None:
    with pytest.raises(ValueError, match=r"a public key (is no point of P-256|has 64 bytes)"):
        device.call("birthkey.crypto.p256:check_public", bad_public_keys()[fault])


def test_public_keys_are_found_good(device: Interpreter) -> None:
    low = LOW_POINT[0] + b32(LOW_POINT[1])
    for public in (PUBLIC, low, *(public_of(private) for private in EDGE_KEYS)):
        assert device.call("birthkey.crypto.p256:check_public", public) is None
        x, y = public[:32], int.from_bytes(public[32:])
        assert device.call("birthkey.crypto.p256:check_public", x + b32(P - y)) is None


def public_of(private: int) -> bytes:
    point = G * private
    return b32(int(point.x())) + b32(int(point.y()))


@pytest.mark.parametrize("signature", [b"", bytes(63), bytes(65), b"0" * 72, None, "s" * 64])
def test_verify_refuses_signatures_of_another_form(device: Interpreter, signature: object) -> None:
    assert device.call("birthkey.crypto.p256:verify", PUBLIC, DIGEST, signature) is False


# Key agreement


def test_ecdh_agrees_with_the_nist_vectors(device: Interpreter) -> None:
    for role in ("init", "resp"):
        name = f"ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_{role}.fax"
        cases = [case for case in cavs(name, "EC - SHA256") if "Z" in case]
        assert len(cases) == 30
        for case in cases:
            private = number_bytes(case["dsIUT"])
            public = number_bytes(case["QsCAVSx"]) + number_bytes(case["QsCAVSy"])
            if "CAVS's Static public key" in case["Result"]:
                with pytest.raises(ValueError, match="not on the curve"):
                    device.call("birthkey.crypto.p256:ecdh", private, public)
            else:
                shared = device.call("birthkey.crypto.p256:ecdh", private, public)
                assert (shared == number_bytes(case["Z"])) is case["Result"].startswith("P"), case


def test_public_keys_are_judged_as_the_nist_vectors_say(device: Interpreter) -> None:
    cases = [case for case in cavs("ECDSA/FIPS_186-3/PKV.rsp", "P-256") if "Qx" in case]
    assert len(cases) == 12
    for case in cases:
        public = number_bytes(case["Qx"]) + number_bytes(case["Qy"])
        if case["Result"].startswith("P"):
            assert device.call("birthkey.crypto.p256:ecdh", b32(1), public) == public[:32]
        else:
            with pytest.raises(ValueError, match="not on the curve"):
                device.call("birthkey.crypto.p256:ecdh", b32(1), public)


def test_ecdh_agrees_with_openssl(device: Interpreter) -> None:
    chance = random.Random(3)
    for _ in range(10):
        ours, theirs = chance.randrange(1, N), chance.randrange(1, N)
        key = ec.derive_private_key(theirs, ec.SECP256R1())
        numbers = ec.derive_private_key(ours, ec.SECP256R1()).public_key()
        public = key.public_key().public_numbers()
        shared = device.call("birthkey.crypto.p256:ecdh", b32(ours), b32(public.x) + b32(public.y))
        assert shared == key.exchange(ec.ECDH(), numbers)


# Arguments and back ends


@pytest.mark.parametrize("kind", ["bytes", "bytearray", "memoryview"])
def test_arguments_may_be_of_any_bytes_type(device: Interpreter, kind: str) -> None:
    signature = low(bytes.fromhex(SIGNATURES[b"sample"]))
    shared = device.call("birthkey.crypto.p256:ecdh", KEY, PUBLIC)
    results = device.call("p256_probe:results", kind, KEY, PUBLIC, DIGEST, signature)
    assert results == [PUBLIC, signature, True, shared]


def test_every_back_end_can_be_chosen_and_no_other(device: Interpreter) -> None:
    names = device.get("birthkey.crypto.p256:BACKENDS")
    assert names[-1] == "python"
    for name in reversed(names):  # the fastest stays in use
        device.call("birthkey.crypto.p256:use", name)
        assert device.call("birthkey.crypto.p256:public_key", KEY) == PUBLIC
    with pytest.raises(ValueError, match="unknown back end"):
        device.call("birthkey.crypto.p256:use", "abacus")


@pytest.mark.parametrize(
    ("name", "loads"), [("right", True), ("wrong", False), ("empty", False), ("absent", False)]
)
def test_only_back_ends_that_pass_their_self_test_are_offered(
    device: Interpreter, name: str, loads: bool
) -> None:
    assert device.call("p256_probe:loads", name) is loads
