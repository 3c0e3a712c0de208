"""What the vectors are made of: CBOR, keys, signatures and HPKE, on public libraries alone.

Nothing here shares a line with either implementation, so an error would have to be made
three times to stay unseen.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import cbor2
import ecdsa
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

N = ecdsa.NIST256p.order
P = ecdsa.NIST256p.curve.p()


class Raw(bytes):
    """Bytes that stand in an encoding as they are: the way to write what CBOR forbids."""


class Pairs(list):
    """A map whose pairs keep their order and may repeat."""


def head(major: int, argument: int) -> bytes:
    """The first bytes of an item: major type and argument in the shortest form."""
    first, *rest = cbor2.dumps(argument)
    return bytes([major << 5 | first, *rest])


def encode(value: Any) -> bytes:
    """RFC 8949 section 4.2.1; cbor2 encodes the scalars, as it sorts maps length-first."""
    if isinstance(value, Raw):
        return bytes(value)
    if isinstance(value, Pairs):
        return head(5, len(value)) + b"".join(encode(k) + encode(v) for k, v in value)
    if isinstance(value, dict):
        pairs = sorted((encode(key), encode(item)) for key, item in value.items())
        return head(5, len(value)) + b"".join(key + item for key, item in pairs)
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(encode(item) for item in value)
    return cbor2.dumps(value, canonical=True)


def fixed(label: str) -> bytes:
    """32 bytes that look random and are the same in every run."""
    return sha256(b"birthkey vectors: " + label.encode()).digest()


@dataclass(frozen=True)
class Key:
    """A P-256 key pair; `public` is x || y, `id` the device_id or server_id."""

    private: bytes

    @property
    def secret(self) -> ec.EllipticCurvePrivateKey:
        return ec.derive_private_key(int.from_bytes(self.private), ec.SECP256R1())

    @property
    def public(self) -> bytes:
        numbers = self.secret.public_key().public_numbers()
        return numbers.x.to_bytes(32) + numbers.y.to_bytes(32)

    @property
    def thumbprint(self) -> bytes:
        return thumbprint(self.public)

    @property
    def id(self) -> bytes:
        return self.thumbprint[:16]

    def sign(self, message: bytes) -> bytes:
        """ECDSA with SHA-256 after RFC 6979, r || s with the lower s."""
        return ecdsa.SigningKey.from_string(
            self.private, ecdsa.NIST256p, sha256
        ).sign_deterministic(message, sigencode=ecdsa.util.sigencode_string_canonize)

    def shown(self, name: str) -> dict[str, str]:
        return {
            "name": name,
            "private": self.private.hex(),
            "public": self.public.hex(),
            "thumbprint": self.thumbprint.hex(),
            "id": self.id.hex(),
        }


def fixed_key(label: str) -> Key:
    return Key((int.from_bytes(fixed(label)) % (N - 1) + 1).to_bytes(32))


def cose_key(public: bytes) -> dict[int, Any]:
    return {1: 2, -1: 1, -2: public[:32], -3: public[32:]}


def thumbprint(public: bytes) -> bytes:
    """RFC 9679: SHA-256 of the COSE_Key with its required labels only."""
    return sha256(encode(cose_key(public))).digest()


# HPKE Base mode, RFC 9180: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305.

_KEM = b"KEM" + bytes.fromhex("0010")
_HPKE = b"HPKE" + bytes.fromhex("001000010003")


def _extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    """LabeledExtract, section 4."""
    return hmac.digest(salt or bytes(32), b"HPKE-v1" + suite + label + ikm, "sha256")


def _expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """LabeledExpand, section 4; one block of HKDF-Expand is enough for every length here."""
    info = length.to_bytes(2) + b"HPKE-v1" + suite + label + info
    return hmac.digest(prk, info + b"\1", "sha256")[:length]


def derive_key_pair(ikm: bytes) -> Key:
    """DeriveKeyPair, section 7.1.3."""
    prk = _extract(_KEM, b"", b"dkp_prk", ikm)
    for counter in range(256):
        candidate = _expand(_KEM, prk, b"candidate", bytes([counter]), 32)
        if 0 < int.from_bytes(candidate) < N:
            return Key(candidate)
    raise ValueError("no key from this ikm")


@dataclass(frozen=True)
class Context:
    """A sender's HPKE context."""

    enc: bytes
    key: bytes
    base_nonce: bytes
    exporter_secret: bytes

    def nonce(self, sequence: int) -> bytes:
        """ComputeNonce, section 5.2."""
        return (int.from_bytes(self.base_nonce) ^ sequence).to_bytes(12)

    def seal(self, sequence: int, plaintext: bytes, aad: bytes) -> bytes:
        return ChaCha20Poly1305(self.key).encrypt(self.nonce(sequence), plaintext, aad)

    def export(self, label: bytes, length: int) -> bytes:
        """Export, section 5.3."""
        return _expand(_HPKE, self.exporter_secret, b"sec", label, length)


def key_agreement(private: Key, public: bytes) -> bytes:
    """The x coordinate of the shared point."""
    x, y = int.from_bytes(public[:32]), int.from_bytes(public[32:])
    peer = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    return private.secret.exchange(ec.ECDH(), peer)


def hpke_context(enc: bytes, dh: bytes, receiver: bytes, info: bytes) -> Context:
    """ExtractAndExpand, section 4.1, and KeySchedule, section 5.1."""
    eae_prk = _extract(_KEM, b"", b"eae_prk", dh)
    shared_secret = _expand(_KEM, eae_prk, b"shared_secret", enc + b"\4" + receiver, 32)
    psk_id_hash = _extract(_HPKE, b"", b"psk_id_hash", b"")
    schedule = b"\0" + psk_id_hash + _extract(_HPKE, b"", b"info_hash", info)
    secret = _extract(_HPKE, shared_secret, b"secret", b"")
    return Context(
        enc,
        _expand(_HPKE, secret, b"key", schedule, 32),
        _expand(_HPKE, secret, b"base_nonce", schedule, 12),
        _expand(_HPKE, secret, b"exp", schedule, 32),
    )


def setup_sender(receiver: Key, info: bytes, ephemeral: Key) -> Context:
    """SetupBaseS with a given ephemeral key, section 5.1.1."""
    dh = key_agreement(ephemeral, receiver.public)
    return hpke_context(b"\4" + ephemeral.public, dh, receiver.public, info)


def point_with_small_x() -> tuple[int, int]:
    """A point whose x + p still fits 32 bytes."""
    curve = ecdsa.NIST256p.curve
    for x in range(1, 100):
        square = (x**3 + curve.a() * x + curve.b()) % P
        y = pow(square, (P + 1) // 4, P)
        if y * y % P == square:
            return x, y
    raise ValueError("no such point")
