"""ECDSA on P-256 with SHA-256, by either of two libraries that must agree.

`openssl` (the cryptography package) is what a server uses; `ecdsa` (python-ecdsa) is the
reference that it is compared with.
"""

from __future__ import annotations

import hashlib
from typing import Protocol

import ecdsa  # type: ignore[import-untyped]
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from birthkey_host import cose


class Backend(Protocol):
    """A library that makes and checks signatures r || s, 64 bytes."""

    name: str

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Whether the key x || y signed `message`; False for whatever is malformed.

        Plain ECDSA: a high s is accepted here and refused where frames are read.
        """

    def sign(self, private: bytes, message: bytes) -> bytes:
        """Sign with a 32-byte key, deterministically (RFC 6979), with the lower s.

        Raises ValueError when the key is not in 1..n-1.
        """


class OpenSSL:
    """The production back end."""

    name = "openssl"

    _algorithm = ec.ECDSA(hashes.SHA256())
    _deterministic = ec.ECDSA(hashes.SHA256(), deterministic_signing=True)

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """See Backend."""
        if not _in_range(signature):
            return False
        der = utils.encode_dss_signature(*_split(signature))
        try:
            cose.load_public(public).verify(der, message, self._algorithm)
        except (ValueError, InvalidSignature):
            return False
        return True

    def sign(self, private: bytes, message: bytes) -> bytes:
        """See Backend."""
        key = ec.derive_private_key(_scalar(private), ec.SECP256R1())
        return _join(*utils.decode_dss_signature(key.sign(message, self._deterministic)))


class Ecdsa:
    """The reference back end: slow, and not hardened against timing."""

    name = "ecdsa"

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """See Backend."""
        if not _in_range(signature) or not cose.is_point(public):
            return False
        key = ecdsa.VerifyingKey.from_string(public, ecdsa.NIST256p, hashlib.sha256)
        try:
            return bool(key.verify(signature, message))
        except ecdsa.BadSignatureError:
            return False

    def sign(self, private: bytes, message: bytes) -> bytes:
        """See Backend."""
        scalar = _scalar(private)
        key = ecdsa.SigningKey.from_secret_exponent(scalar, ecdsa.NIST256p, hashlib.sha256)
        return _join(*_split(key.sign_deterministic(message)))


_BACKENDS: dict[str, Backend] = {backend.name: backend for backend in (OpenSSL(), Ecdsa())}
BACKENDS = tuple(_BACKENDS)
"""Names, the production one first."""


def backend(name: str) -> Backend:
    """A back end by name. Raises ValueError for a name not in `BACKENDS`."""
    if name not in _BACKENDS:
        raise ValueError(f"no signature back end {name!r}; there are {', '.join(BACKENDS)}")
    return _BACKENDS[name]


def _split(signature: bytes) -> tuple[int, int]:
    return int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")


def _join(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + min(s, cose.N - s).to_bytes(32, "big")


def _in_range(signature: bytes) -> bool:
    return len(signature) == 64 and all(0 < number < cose.N for number in _split(signature))


def _scalar(private: bytes) -> int:
    scalar = int.from_bytes(private, "big")
    if len(private) != 32 or not 0 < scalar < cose.N:
        raise ValueError("a private key is 32 bytes, in 1..n-1")
    return scalar
