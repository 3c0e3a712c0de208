"""HPKE, RFC 9180, Base mode: DHKEM(P-256, HKDF-SHA256), HKDF-SHA256, ChaCha20Poly1305.

A context does not count its messages: the caller gives each its sequence number, and never
gives `seal` one twice, in another context with the same `enc` neither.
"""

from birthkey._port import const
from birthkey.crypto import chacha20poly1305, hkdf, p256

# Sections 4.1 and 5.1, with the identifiers of section 7.
_KEM_SUITE = b"KEM\x00\x10"
_HPKE_SUITE = b"HPKE\x00\x10\x00\x01\x00\x03"

_BASE_MODE = b"\x00"
_UNCOMPRESSED = b"\x04"  # SEC 1, section 2.3.3

_ENC = const(65)
_SECRET = const(32)  # bytes of a private key, a shared secret, a key and an exporter secret
_NONCE = const(12)


def setup_sender(public, info, ikm):
    """(enc, context) for the owner of a public key, x || y.

    `enc` is an ephemeral public key derived from `ikm`, at least 32 secret random bytes; the
    same `ikm` gives the same `enc`. ValueError if the public key is not on the curve.
    """
    if len(ikm) < _SECRET:
        raise ValueError("ikm has at least 32 bytes")
    # Digests are immutable, so nothing can overwrite this key: it is not kept, that is all.
    private = _derive_private_key(ikm)
    enc = _UNCOMPRESSED + p256.public_key(private)
    shared_secret = _shared_secret(p256.ecdh(private, public), enc, public)
    return enc, _Context(shared_secret, info)


def setup_receiver(enc, private, info):
    """The context of a sender's `enc`; ValueError if it is not an uncompressed point."""
    if len(enc) != _ENC or enc[0] != _UNCOMPRESSED[0]:
        raise ValueError("enc is not an uncompressed point")
    dh = p256.ecdh(private, memoryview(enc)[1:])
    return _Context(_shared_secret(dh, enc, p256.public_key(private)), info)


class _Context:
    """Encryption and export with secrets derived once: section 5.1, KeySchedule."""

    def __init__(self, shared_secret, info):
        schedule = (
            _BASE_MODE
            + _labeled_extract(_HPKE_SUITE, b"", b"psk_id_hash", b"")
            + _labeled_extract(_HPKE_SUITE, b"", b"info_hash", info)
        )
        secret = _labeled_extract(_HPKE_SUITE, shared_secret, b"secret", b"")
        self._key = _labeled_expand(_HPKE_SUITE, secret, b"key", schedule, _SECRET)
        self._base_nonce = _labeled_expand(_HPKE_SUITE, secret, b"base_nonce", schedule, _NONCE)
        self._exporter_secret = _labeled_expand(_HPKE_SUITE, secret, b"exp", schedule, _SECRET)

    def seal(self, sequence, plaintext, aad):
        """Encrypt the message of that number, which no other message may have."""
        return chacha20poly1305.seal(self._key, self._nonce(sequence), plaintext, aad)

    def open(self, sequence, sealed, aad):
        """Decrypt the message of that number; ValueError if it is not authentic."""
        return chacha20poly1305.open(self._key, self._nonce(sequence), sealed, aad)

    def export(self, label, length):
        """A secret of `length` bytes for another use: section 5.3."""
        return _labeled_expand(_HPKE_SUITE, self._exporter_secret, b"sec", label, length)

    def _nonce(self, sequence):
        """Section 5.2, ComputeNonce, for numbers of 64 bits."""
        if not 0 <= sequence < 1 << 64:
            raise ValueError("a sequence number is in 0..2^64-1")
        nonce = bytearray(self._base_nonce)
        for i, byte in enumerate(sequence.to_bytes(8, "big")):
            nonce[_NONCE - 8 + i] ^= byte
        return nonce


def _derive_private_key(ikm):
    """Section 7.1.3, DeriveKeyPair: the first candidate that is a private key."""
    prk = _labeled_extract(_KEM_SUITE, b"", b"dkp_prk", ikm)
    for counter in range(256):
        candidate = _labeled_expand(_KEM_SUITE, prk, b"candidate", bytes((counter,)), _SECRET)
        if p256.in_range(candidate):
            return candidate
    raise ValueError("no private key can be derived")


def _shared_secret(dh, enc, public):
    """Section 4.1, ExtractAndExpand over the context of Encap and Decap."""
    prk = _labeled_extract(_KEM_SUITE, b"", b"eae_prk", dh)
    kem_context = bytes(enc) + _UNCOMPRESSED + public
    return _labeled_expand(_KEM_SUITE, prk, b"shared_secret", kem_context, _SECRET)


def _labeled_extract(suite, salt, label, ikm):
    # The parts of the input keying material are hashed where they are, not copied together.
    return hkdf.hmac(salt, b"HPKE-v1", suite, label, ikm)


def _labeled_expand(suite, prk, label, info, length):
    # `expand` refuses a length that two bytes would not hold.
    prefix = bytes((length >> 8 & 0xFF, length & 0xFF)) + b"HPKE-v1" + suite + label
    return hkdf.expand(prk, prefix + info, length)
