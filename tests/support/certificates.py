"""Certificates for tests: an authority, what it issues to servers, and what boards make themselves.

Made with `cryptography` alone, so that nothing here is what is tested. Everything is an `Issued`:

    ca = authority()
    server = issue(ca, "iot.example.com", "127.0.0.1")
    server.save(tmp_path / "tls.pem")  # key, certificate, and the chain if there is one
    ca.save_certificate(tmp_path / "ca.pem")
    board = self_signed(p256(private32))
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

BEGINS = datetime(2024, 1, 1, tzinfo=UTC)
ENDS = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)  # RFC 5280 4.1.2.5: it has no end
_PEM = serialization.Encoding.PEM


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate, its key, and the authorities between it and the root, nearest first."""

    certificate: x509.Certificate
    key: Key
    chain: tuple[x509.Certificate, ...] = ()

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(_PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)

    @property
    def key_pem(self) -> bytes:
        """PKCS #8, not encrypted."""
        return self.key.private_bytes(
            _PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def key_der(self) -> bytes:
        """ECPrivateKey (RFC 5915) or its like."""
        return self.key.private_bytes(
            serialization.Encoding.DER,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        )

    @property
    def pem(self) -> bytes:
        """Key, certificate and chain, as a server reads them from one file."""
        return self.key_pem + self.certificate_pem + self.chain_pem

    @property
    def chain_pem(self) -> bytes:
        return b"".join(each.public_bytes(_PEM) for each in self.chain)

    def save(self, path: Path) -> Path:
        """Put `pem` in the place of that file in one step."""
        return _replace(path, self.pem)

    def save_certificate(self, path: Path) -> Path:
        return _replace(path, self.certificate_pem)


def p256(private: bytes | None = None) -> ec.EllipticCurvePrivateKey:
    """A key from 32 bytes, as a board has it, or a new one."""
    if private is None:
        return ec.generate_private_key(ec.SECP256R1())
    return ec.derive_private_key(int.from_bytes(private, "big"), ec.SECP256R1())


def p384() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


def rsa2048() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def authority(
    name: str = "birthkey test authority",
    *,
    issuer: Issued | None = None,
    key: Key | None = None,
    begins: datetime = BEGINS,
    ends: datetime = ENDS,
    repeatable: bool = False,
) -> Issued:
    """A root, or an authority below `issuer`; `repeatable`: the same bytes each time."""
    key = key or p256()
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (_usage(certificates=True), True),
    ]
    return _make(name, key, issuer, begins, ends, extensions, repeatable)


def issue(
    issuer: Issued,
    *names: str,
    key: Key | None = None,
    begins: datetime = BEGINS,
    ends: datetime = ENDS,
    repeatable: bool = False,
) -> Issued:
    """A server's certificate for DNS names and IP addresses; the first is its common name too.

    Its chain holds the authorities up to the root, without the root.
    """
    key = key or p256()
    names = names or ("localhost", "127.0.0.1")
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_usage(certificates=False), True),
        (x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName([_alternative(name) for name in names]), False),
    ]
    return _make(names[0], key, issuer, begins, ends, extensions, repeatable)


def self_signed(key: Key, name: str = "birthkey") -> Issued:
    """What a board shows to a server: a name, its own key, and no extension at all."""
    return _make(name, key, None, BEGINS, ENDS, [])


def _make(
    name: str,
    key: Key,
    issuer: Issued | None,
    begins: datetime,
    ends: datetime,
    extensions: list[tuple[x509.ExtensionType, bool]],
    repeatable: bool = False,
) -> Issued:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.certificate.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(1 if repeatable else x509.random_serial_number())
        .not_valid_before(begins)
        .not_valid_after(ends)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    signer = issuer.key if issuer else key
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    certificate = builder.sign(signer, algorithm, ecdsa_deterministic=repeatable or None)
    if issuer is None:
        return Issued(certificate, key)
    is_root = issuer.certificate.subject == issuer.certificate.issuer
    above = () if is_root else (issuer.certificate, *issuer.chain)
    return Issued(certificate, key, above)


def _usage(*, certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificates,
        key_cert_sign=certificates,
        crl_sign=certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _replace(path: Path, data: bytes) -> Path:
    new = path.with_name(path.name + ".new")
    new.write_bytes(data)
    new.chmod(0o600)
    os.replace(new, path)
    return path
