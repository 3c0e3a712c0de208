"""The certificates of a fleet: its own authority's, and those that the authority signs for servers.

Boards have no clock and trust these authorities alone. So certificates have no well-defined end
(RFC 5280 section 4.1.2.5), and all keys are P-256, all signatures ECDSA with SHA-256.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from birthkey_host.errors import Unable

Name: TypeAlias = x509.DNSName | x509.IPAddress

BEGINS = datetime(1970, 1, 1, tzinfo=UTC)
ENDS = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)

SIZE = 2048
"""Bytes of a server's certificate: small boards take TLS records of 4 KiB, and hold it in RAM."""

PASSWORD = range(12, 1024)
"""Bytes of a password. PKCS #8 hardly slows down who tries them all, and 1023 is the most."""

_AUTHORITY = "birthkey CA "
_COMMON_NAME = 64  # ub-common-name of RFC 5280
_LABEL = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


class CaError(Unable):
    """What the CA cannot do: a sentence for a person, who learns what to do about it."""


@dataclass(frozen=True, slots=True)
class Certified:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    def pem(self, password: bytes | None = None) -> bytes:
        """Both: the key after the certificate, as PKCS #8, encrypted if there is a password.

        Raises CaError for a password that is too short or too long.
        """
        encryption: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            if len(password) not in PASSWORD:
                raise CaError(
                    f"a password for a CA's key has {PASSWORD[0]} to {PASSWORD[-1]} bytes, and this"
                    f" has {len(password)}"
                )
            encryption = serialization.BestAvailableEncryption(password)
        return certificate_pem(self.certificate) + self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption
        )


def make_authority(allowed: Sequence[Name] = ()) -> Certified:
    """A new authority: self-signed, for servers' certificates only, and not for other authorities.

    Its name contains a part of its key's identifier: no two authorities share one. `allowed`: the
    domains and networks in which its servers are, all if it is empty. That extension is not
    critical, because mbed TLS, which boards have, refuses critical ones that it does not know: it
    holds with OpenSSL and others, and a board does not look at it.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    name = _name(_AUTHORITY + identifier.digest[:8].hex())
    builder = (
        _builder(name, name, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(key_cert_sign=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    if allowed:
        builder = builder.add_extension(_constraints(allowed), critical=False)
    return Certified(builder.sign(key, hashes.SHA256()), key)


def make_server(authority: Certified, names: Sequence[Name]) -> Certified:
    """A certificate for a server with these names, and a new key for it.

    Raises CaError for more names than it has room for, and for what the authority may not sign.
    """
    limits = allowed_by(authority.certificate)
    if outside := outside_of(limits, names):
        raise CaError(
            f"this CA signs for {listed(limits)} and what is in there, and {listed(outside)} is"
            " not: `birthkey ca rotate --name NAME` goes to one that does"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    common = str(names[0].value)
    # OpenSSL takes an IPv4 address in there for a host's name, which may be outside of the limits.
    is_fit = len(common) <= _COMMON_NAME and not (limits and isinstance(names[0], x509.IPAddress))
    subject = _name(common if is_fit else "birthkey server")
    issuer = authority.certificate
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    above = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)
    builder = (
        _builder(subject, issuer.subject, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(above, critical=False)
    )
    certificate = builder.sign(authority.key, hashes.SHA256())
    if (size := len(certificate.public_bytes(serialization.Encoding.DER))) > SIZE:
        raise CaError(
            f"with these names the certificate has {size} bytes, and small boards have no room for"
            f" more than {SIZE}: give fewer"
        )
    return Certified(certificate, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey
) -> x509.CertificateBuilder:
    public = key.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGINS)
        .not_valid_after(ENDS)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _usage(*, digital_signature: bool = False, key_cert_sign: bool = False) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _constraints(allowed: Sequence[Name]) -> x509.NameConstraints:
    """RFC 5280 section 4.2.1.10; a kind of name that is not among `allowed` is excluded whole."""
    versions = {name.value.version for name in allowed if isinstance(name, x509.IPAddress)}
    excluded: list[x509.GeneralName] = [
        x509.IPAddress(ipaddress.ip_network(everything))
        for version, everything in ((4, "0.0.0.0/0"), (6, "::/0"))
        if version not in versions
    ]
    if not any(isinstance(name, x509.DNSName) for name in allowed):
        excluded.append(x509.DNSName(""))
    return x509.NameConstraints(list(allowed), excluded or None)


def outside_of(limits: Sequence[Name], names: Sequence[Name]) -> list[Name]:
    """Those of the names that an authority with these limits may not sign for."""
    return [name for name in names if limits and not _is_within(name, limits)]


def _is_within(name: Name, limits: Sequence[Name]) -> bool:
    if isinstance(name, x509.IPAddress):
        networks = [each.value for each in limits if isinstance(each, x509.IPAddress)]
        return any(name.value in network for network in networks)  # type: ignore[operator]
    host = "." + name.value.removeprefix("*.")
    domains = [each.value for each in limits if isinstance(each, x509.DNSName)]
    return any(host.endswith("." + domain) for domain in domains)


def listed(names: Sequence[Name]) -> str:
    """The names in a sentence."""
    return ", ".join(str(name.value) for name in names)


# What certificates say.


def allowed_by(authority: x509.Certificate) -> list[Name]:
    """The domains and networks in which an authority's servers are; empty for all there are."""
    try:
        found = authority.extensions.get_extension_for_class(x509.NameConstraints).value
    except x509.ExtensionNotFound:
        return []
    return [
        name
        for name in found.permitted_subtrees or ()
        if isinstance(name, x509.DNSName | x509.IPAddress)
    ]


def certificate_pem(certificate: x509.Certificate) -> bytes:
    """PEM text of the certificate alone."""
    return certificate.public_bytes(serialization.Encoding.PEM)


def common_name(name: x509.Name) -> str:
    """The common name in a subject or issuer; empty if there is none."""
    return next((str(each.value) for each in name.get_attributes_for_oid(NameOID.COMMON_NAME)), "")


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate, as `openssl x509 -fingerprint -sha256` prints it."""
    return certificate.fingerprint(hashes.SHA256()).hex(":").upper()


def names_of(certificate: x509.Certificate) -> list[Name]:
    """The DNS names and IP addresses that a certificate is for."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):  # ValueError: extensions that are none
        return []
    return [name for name in found if isinstance(name, x509.DNSName | x509.IPAddress)]


def is_from_birthkey(certificate: x509.Certificate) -> bool:
    """Whether some authority of birthkey is named as its issuer, one long gone perhaps."""
    return common_name(certificate.issuer).startswith(_AUTHORITY)


def is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    """Whether that authority signed it."""
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def why_refused(
    certificate: x509.Certificate, authorities: Sequence[x509.Certificate]
) -> str | None:
    """Why who trusts only these authorities would refuse a server's certificate; None if not.

    All of its names are tried, as X.509 (RFC 5280) and the CA/Browser Forum's rules have it.
    """
    names = names_of(certificate)
    if not names:
        return "it is for no name"
    policy = PolicyBuilder().store(Store(list(authorities)))
    for name in names:
        try:
            policy.build_server_verifier(_subject(name)).verify(certificate, [])
        except (VerificationError, ValueError) as error:
            return str(error)
    return None


def _subject(name: Name) -> Name:
    if isinstance(name, x509.DNSName) and name.value.startswith("*."):
        return x509.DNSName("any" + name.value[1:])
    return name


# Names as people type them.


def parse_names(texts: Iterable[str]) -> list[Name]:
    """DNS names and IP addresses for a server, each once, in this order.

    DNS names are in small letters: labels of letters, digits and hyphens (RFC 1123 section 2.1),
    with "*" perhaps as the whole leftmost one (RFC 9525 section 6.3). Raises CaError.
    """
    names = list(dict.fromkeys(_parse(text) for text in texts))
    if not names:
        raise CaError("a server's certificate needs a name: the one that boards connect to")
    return names


def parse_allowed(texts: Iterable[str]) -> list[Name]:
    """Domains and networks for an authority, each once, in this order. Raises CaError.

    A domain, as example.com, is for all names that end with it, and for itself; a network is as in
    192.0.2.0/24, or a single address.
    """
    return list(dict.fromkeys(_parse_allowed(text) for text in texts))


def _parse_allowed(text: str) -> Name:
    try:
        return x509.IPAddress(ipaddress.ip_network(text))
    except ValueError:
        if "/" in text:
            raise CaError(
                f"{_quoted(text)} is no network: give its first address, as in 192.0.2.0/24"
            ) from None
    if text.startswith("*."):
        raise CaError(f"{_quoted(text)}: leave out the *., names below a domain are allowed anyway")
    return x509.DNSName(_dns_name(text))


def _parse(text: str) -> Name:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return x509.DNSName(_dns_name(text))
    if address.is_unspecified or address.is_multicast:
        raise CaError(f"no board can connect to {address}: give the server's own address")
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
        raise CaError(f"{_quoted(text)} has a zone, which certificates do not: leave out the %")
    return x509.IPAddress(address)


def _dns_name(text: str) -> str:
    shown = _quoted(text)
    if not text.isascii():
        raise CaError(
            f"{shown} is not ASCII: give the name as the DNS has it, in labels that begin with xn--"
        )
    if re.search(r"[:/@\[\]]", text):
        raise CaError(
            f"{shown} is no name: give the name or address alone, without scheme, port or path"
        )
    if text.endswith("."):
        raise CaError(f"{shown}: leave out the dot at the end, as boards do")
    name = text.lower()
    labels = name.split(".")
    if labels[0] == "*":
        del labels[0]
        if len(labels) < 2:
            raise CaError(f"{shown}: at least two labels follow a wildcard, as in *.example.com")
    elif "*" in text:
        raise CaError(f"{shown}: a wildcard is the whole leftmost label, as in *.example.com")
    if labels[-1].isdecimal():
        raise CaError(f"{shown} looks like an IP address, and is none")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise CaError(
            f"{shown} is no host name: labels of 1 to 63 letters, digits and hyphens, no hyphen"
            " first or last, with dots between them, 253 characters at most"
        )
    return name


def _quoted(text: str) -> str:
    return repr(text if len(text) <= 80 else text[:77] + "...")
