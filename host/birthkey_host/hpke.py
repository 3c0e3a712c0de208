"""HPKE Base mode, RFC 9180, in the one suite of the protocol.

DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. The key schedule is written out here
over the cryptography package's primitives, whose own HPKE is single-shot: a context that serves
a whole boot and exports a key for the answers is what the protocol needs.
"""

from __future__ import annotations

import hmac
import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from birthkey_host import cose

_KEM = b"KEM" + (0x0010).to_bytes(2, "big")
_HPKE = b"HPKE" + b"".join(number.to_bytes(2, "big") for number in (0x0010, 0x0001, 0x0003))
_BASE_MODE = b"\x00"
_HASH_LENGTH = 32


class Context:
    """What both ends share (section 5.1): seals and opens by sequence number, and exports."""

    __slots__ = ("_aead", "_base_nonce", "_exporter_secret")

    def __init__(self, shared_secret: bytes, info: bytes) -> None:
        """The key schedule of section 5.1, without a pre-shared key."""
        hashes = (
            _labeled_extract(_HPKE, b"", b"psk_id_hash", b""),
            _labeled_extract(_HPKE, b"", b"info_hash", info),
        )
        context = _BASE_MODE + b"".join(hashes)
        secret = _labeled_extract(_HPKE, shared_secret, b"secret", b"")
        self._aead = ChaCha20Poly1305(_labeled_expand(_HPKE, secret, b"key", context, 32))
        self._base_nonce = int.from_bytes(
            _labeled_expand(_HPKE, secret, b"base_nonce", context, 12), "big"
        )
        self._exporter_secret = _labeled_expand(_HPKE, secret, b"exp", context, _HASH_LENGTH)

    def seal(self, sequence: int, plaintext: bytes, aad: bytes) -> bytes:
        """Encrypt under a sequence number (below 2^96), which must never be used twice."""
        return self._aead.encrypt(self._nonce(sequence), plaintext, aad)

    def open(self, sequence: int, sealed: bytes, aad: bytes) -> bytes:
        """Decrypt. Raises ValueError when it is not authentic."""
        try:
            return self._aead.decrypt(self._nonce(sequence), sealed, aad)
        except InvalidTag:
            raise ValueError("not authentic under this context") from None

    def export(self, label: bytes, length: int) -> bytes:
        """A secret of `length` bytes, at most 8160, bound to `label` (section 5.3)."""
        return _labeled_expand(_HPKE, self._exporter_secret, b"sec", label, length)

    def _nonce(self, sequence: int) -> bytes:
        # ComputeNonce of section 5.2.
        return (self._base_nonce ^ sequence).to_bytes(12, "big")


def setup_sender(public: bytes, info: bytes, ikm: bytes | None = None) -> tuple[bytes, Context]:
    """Begin a context to the holder of `public`, x || y, 64 bytes (SetupBaseS).

    `ikm`, 32 bytes or more, is what the ephemeral key is derived from; fresh randomness without
    it. Returns `enc`, 65 bytes, and the context. Raises ValueError when `public` is no point.
    """
    recipient = cose.load_public(public)
    ephemeral = derive_key_pair(os.urandom(32) if ikm is None else ikm)
    enc = b"\x04" + cose.public_bytes(ephemeral.public_key())
    dh = ephemeral.exchange(ec.ECDH(), recipient)
    return enc, Context(_extract_and_expand(dh, enc + b"\x04" + public), info)


def setup_receiver(enc: bytes, private: ec.EllipticCurvePrivateKey, info: bytes) -> Context:
    """The context that a sender began with `enc`, 65 bytes (SetupBaseR).

    Raises ValueError when `enc` is not an uncompressed point of P-256.
    """
    if enc[:1] != b"\x04":
        raise ValueError("enc does not begin with 04, an uncompressed point")
    dh = private.exchange(ec.ECDH(), cose.load_public(enc[1:]))
    own = b"\x04" + cose.public_bytes(private.public_key())
    return Context(_extract_and_expand(dh, enc + own), info)


def derive_key_pair(ikm: bytes) -> ec.EllipticCurvePrivateKey:
    """DeriveKeyPair of section 7.1.3."""
    prk = _labeled_extract(_KEM, b"", b"dkp_prk", ikm)
    for counter in range(256):
        candidate = _labeled_expand(_KEM, prk, b"candidate", bytes([counter]), 32)
        scalar = int.from_bytes(candidate, "big")
        if 0 < scalar < cose.N:
            return ec.derive_private_key(scalar, ec.SECP256R1())
    raise ValueError("no private key can be derived from this ikm")


def _extract_and_expand(dh: bytes, kem_context: bytes) -> bytes:
    prk = _labeled_extract(_KEM, b"", b"eae_prk", dh)
    return _labeled_expand(_KEM, prk, b"shared_secret", kem_context, 32)


def _labeled_extract(suite: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
    # LabeledExtract of section 4; HKDF-Extract (RFC 5869) is one HMAC.
    return hmac.digest(salt, b"HPKE-v1" + suite + label + ikm, "sha256")


def _labeled_expand(suite: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
    # LabeledExpand of section 4 over HKDF-Expand (RFC 5869 section 2.3).
    if length > 255 * _HASH_LENGTH:
        raise ValueError(f"at most {255 * _HASH_LENGTH} bytes can be derived")
    labeled = length.to_bytes(2, "big") + b"HPKE-v1" + suite + label + info
    output = block = b""
    for counter in range(1, -(-length // _HASH_LENGTH) + 1):
        block = hmac.digest(prk, block + labeled + bytes([counter]), "sha256")
        output += block
    return output[:length]
