"""PEM files that hold a certificate and its private key, as CAs and TLS servers keep them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from birthkey_host.certificates import CaError, Certified

Secret: TypeAlias = Callable[[Path], bytes | None]
"""Gives the password of the key in a file; None for none."""

LIMIT = 1 << 16
"""No file is read that has more bytes."""

_BLOCK = re.compile(rb"^-----BEGIN ([A-Z0-9 ]+)-----\s*$.*?^-----END \1-----", re.DOTALL | re.M)


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A certificate, and its private key as it stands in the PEM file at `path`."""

    path: Path
    certificate: x509.Certificate
    key_pem: bytes

    @classmethod
    def load(cls, path: Path) -> KeyFile:
        """Read a file with one private key and a certificate; others may follow it.

        Raises CaError.
        """
        certificates, keys = [], []
        for match in _BLOCK.finditer(read(path)):
            if match[1] == b"CERTIFICATE":
                certificates.append(match[0])
            elif match[1].endswith(b"PRIVATE KEY"):
                keys.append(match[0])
        try:
            certificate = x509.load_pem_x509_certificate(certificates[0])
            certificate.public_key()
            [key] = keys
        except (ValueError, IndexError, UnsupportedAlgorithm):
            raise CaError(
                f"{path} does not hold a certificate and one private key in PEM: put it back from"
                " a copy"
            ) from None
        return cls(path, certificate, key)

    @property
    def encrypted(self) -> bool:
        """Whether the private key is of no use without a password."""
        return b"ENCRYPTED PRIVATE KEY-" in self.key_pem or b"Proc-Type: 4,ENC" in self.key_pem

    def unlock(self, secret: Secret) -> Certified:
        """The certificate with its key. `secret` is called only for an encrypted one.

        Raises CaError without the right password, and for a key that is not the certificate's.
        """
        password = secret(self.path) if self.encrypted else None
        if self.encrypted and not password:
            raise CaError(f"the private key in {self.path} is encrypted, and there is no password")
        try:
            key = load_pem_private_key(self.key_pem, password)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            if self.encrypted:
                sentence = f"this password does not open the private key in {self.path}"
            else:
                sentence = f"the private key in {self.path} is damaged: put it back from a copy"
            raise CaError(sentence) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != ec.SECP256R1.name:
            raise CaError(f"the private key in {self.path} is not one of P-256")
        if key.public_key() != self.certificate.public_key():
            raise CaError(f"the private key in {self.path} is not that of its certificate")
        return Certified(self.certificate, key)


def read(path: Path) -> bytes:
    """What a small file holds. Raises CaError."""
    try:
        with path.open("rb") as file:
            data = file.read(LIMIT + 1)
    except OSError as error:
        raise CaError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > LIMIT:
        raise CaError(f"{path} is too long: it has more than {LIMIT} bytes")
    return data
