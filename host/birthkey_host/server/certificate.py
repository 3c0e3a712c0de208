"""The server's certificate: one PEM file with its key and its chain, read again when it changes.

Key and chain are in one file so that replacing it is one step. Boards do ECDHE-ECDSA on P-256 and
nothing else, so a certificate that they could not check is refused here, with a sentence, and not
by each of them, without one.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import SignatureAlgorithmOID
from OpenSSL import SSL, crypto

from birthkey_host import modes

log = logging.getLogger(__name__)

_MAKE = "`birthkey ca issue NAME` makes one"
_ECDSA = (
    SignatureAlgorithmOID.ECDSA_WITH_SHA256,
    SignatureAlgorithmOID.ECDSA_WITH_SHA384,
    SignatureAlgorithmOID.ECDSA_WITH_SHA512,
)


class CertificateError(Exception):
    """The file is of no use; the text says which, why, and what to do."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server proves its name with."""

    key: ec.EllipticCurvePrivateKey
    chain: tuple[x509.Certificate, ...]
    """Its own certificate, then whoever issued each; the root may be left out."""


MakeContext = Callable[[Certificate], SSL.Context]


class CertificateFile:
    """A PEM file and the TLS settings made of it, as they are in the file at each moment."""

    def __init__(
        self, path: Path, make_context: MakeContext, *, hint: Callable[[str], str] = str
    ) -> None:
        """Raises `CertificateError` when there is no good certificate to begin with.

        `hint` makes the commands that a sentence quotes fit to be typed, before it is logged.
        """
        self._path = path
        self._make_context = make_context
        self._hint = hint
        self._stamp = _stamp(path)
        self._context = self._load()

    def context(self) -> SSL.Context:
        """Settings for the next connection; from the former file while the new one is bad."""
        if _stamp(self._path) != self._stamp:
            self.read_again()
        return self._context

    def read_again(self) -> None:
        """Read the file now, changed or not; what was in it before is kept while it is bad."""
        # Whatever comes of it: each change is looked at, and logged, once.
        self._stamp = _stamp(self._path)
        try:
            self._context = self._load()
            log.info("took the new TLS certificate in %s", self._path)
        except CertificateError as error:
            log.error("keeps the former TLS certificate: %s", self._hint(str(error)))

    def _load(self) -> SSL.Context:
        path = self._path
        try:
            for warning in modes.check([path]):
                log.warning("%s", warning)
            return self._make_context(read(path))
        except modes.Exposed as error:
            raise CertificateError(str(error)) from None
        except FileNotFoundError:
            raise CertificateError(
                f"there is no {path}; `birthkey ca init` and `birthkey ca issue NAME` make it,"
                " and --certificate FILE says where another one is"
            ) from None
        except OSError as error:
            raise CertificateError(f"cannot read {path}: {error.strerror}") from None
        except (SSL.Error, crypto.Error) as error:
            raise CertificateError(f"OpenSSL cannot use {path}: {error}") from None


def read(path: Path) -> Certificate:
    """Read key and chain. Raises OSError, or `CertificateError` when boards could not use them."""
    data = path.read_bytes()
    try:
        key = serialization.load_pem_private_key(data, password=None)
    except TypeError:
        raise CertificateError(
            f"the key in {path} is encrypted, and there is nobody to ask for its password;"
            " put it there without one"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(
            f"{path} holds no private key in PEM; it needs the key, the certificate and its chain,"
            f" and {_MAKE}"
        ) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not _is_p256(key.public_key()):
        raise CertificateError(f"{path} holds a key that is not on P-256: {_ONLY_P256}; {_MAKE}")
    try:
        chain = tuple(x509.load_pem_x509_certificates(data))
        _check(key, chain)
    except _Unusable as error:
        raise CertificateError(f"{path} {error}; {_MAKE}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"{path} holds no certificate that can be read; {_MAKE}") from None
    return Certificate(key, chain)


class _Unusable(Exception):
    """What is wrong with the certificates in a file."""


_ONLY_P256 = "boards do ECDHE-ECDSA on that curve only"


def _check(key: ec.EllipticCurvePrivateKey, chain: tuple[x509.Certificate, ...]) -> None:
    """Raises `_Unusable`, and ValueError or UnsupportedAlgorithm for what cannot be read."""
    if chain[0].public_key() != key.public_key():
        raise _Unusable("begins with a certificate that is not that of the key in it")
    for certificate in chain:
        if not _is_p256(certificate.public_key()):
            raise _Unusable(f"holds a certificate whose key is not on P-256: {_ONLY_P256}")
        if certificate.signature_algorithm_oid not in _ECDSA:
            raise _Unusable("holds a certificate that is not signed with ECDSA, as boards need it")
    for certificate, issuer in itertools.pairwise(chain):
        try:
            certificate.verify_directly_issued_by(issuer)
        except (InvalidSignature, TypeError, ValueError):
            raise _Unusable(
                "holds certificates of which one did not issue the one before it"
            ) from None


def _is_p256(key: object) -> bool:
    return isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)


def _stamp(path: Path) -> tuple[int, int, int] | None:
    """What tells a file from the one that was there before; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
