"""Certificates of boards, against the parser of `cryptography` and against OpenSSL."""

from __future__ import annotations

import base64
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID, SignatureAlgorithmOID
from hypothesis import example, given, settings
from hypothesis import strategies as st

import openssl
from birthkey.crypto import x509 as x509_of_the_board
from certificates import authority, p256
from device import Interpreter

MODULE = "birthkey.crypto.x509:"
ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
# The highest bit of a serial number or of a name's first byte is a matter of its own.
IDENTITIES = [bytes(16), bytes(range(16)), bytes(range(0x80, 0x90)), b"\xff" * 16]
KEYS = [bytes(31) + b"\x01", bytes(range(1, 33)), (ORDER - 1).to_bytes(32, "big")]


def public(private: bytes) -> bytes:
    key = p256(private).public_key()
    point = key.public_bytes(
        serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint
    )
    return point[1:]


def certificate(device: Interpreter, private: bytes, identity: bytes) -> bytes:
    made = device.call(MODULE + "self_signed", private, public(private), identity)
    return bytes(made)


# The board's own certificate


@pytest.mark.parametrize("identity", IDENTITIES, ids=bytes.hex)
@pytest.mark.parametrize("private", KEYS, ids=lambda key: key.hex()[:8])
def test_certificate_says_what_it_should(
    device: Interpreter, private: bytes, identity: bytes
) -> None:
    made = x509.load_der_x509_certificate(certificate(device, private, identity))
    assert made.version is x509.Version.v3
    name = [(NameOID.COMMON_NAME, identity.hex())]
    for side in (made.subject, made.issuer):
        assert [(attribute.oid, attribute.value) for attribute in side] == name
    assert made.serial_number == int.from_bytes(b"\x01" + identity, "big")
    assert made.not_valid_before_utc == datetime(1970, 1, 1, tzinfo=UTC)
    assert made.not_valid_after_utc == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert made.public_key() == p256(private).public_key()
    assert made.signature_algorithm_oid == SignatureAlgorithmOID.ECDSA_WITH_SHA256
    made.verify_directly_issued_by(made)  # the signature


def test_certificate_is_for_clients_that_sign(device: Interpreter) -> None:
    made = x509.load_der_x509_certificate(certificate(device, KEYS[1], IDENTITIES[1]))
    usage, purpose = made.extensions
    assert (usage.oid, usage.critical) == (ExtensionOID.KEY_USAGE, True)
    assert usage.value == x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    assert (purpose.oid, purpose.critical) == (ExtensionOID.EXTENDED_KEY_USAGE, False)
    assert list(purpose.value) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_certificate_is_always_the_same(device: Interpreter) -> None:
    """A server may keep it, and know the board by it."""
    first, second = (certificate(device, KEYS[1], IDENTITIES[1]) for _ in range(2))
    assert first == second
    assert certificate(device, KEYS[1], IDENTITIES[2]) != first


def test_openssl_takes_certificate_and_key(device: Interpreter, tmp_path: Path) -> None:
    """As a client has them; `openssl verify` holds it to all rules."""
    der = certificate(device, KEYS[1], IDENTITIES[2])
    key = bytes(device.call(MODULE + "private_key", KEYS[1], public(KEYS[1])))
    (tmp_path / "board.pem").write_text(ssl.DER_cert_to_PEM_cert(der) + pem("EC PRIVATE KEY", key))
    ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(tmp_path / "board.pem")
    strict = ("-x509_strict", "-purpose", "sslclient", "-check_ss_sig", "-partial_chain")
    shown = openssl.openssl(
        "verify", *strict, "-CAfile", tmp_path / "board.pem", tmp_path / "board.pem"
    )
    assert shown.stdout == f"{tmp_path / 'board.pem'}: OK\n", shown.stderr


@pytest.mark.parametrize("private", KEYS, ids=lambda key: key.hex()[:8])
def test_private_key_is_read_back(device: Interpreter, private: bytes) -> None:
    der = bytes(device.call(MODULE + "private_key", private, public(private)))
    key = serialization.load_der_private_key(der, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.private_numbers() == p256(private).private_numbers()
    assert key.public_key() == p256(private).public_key()


# Signatures


@settings(deadline=None, max_examples=60)
@given(r=st.integers(1, ORDER - 1), s=st.integers(1, ORDER - 1))
@example(r=1, s=ORDER - 1)
@example(r=0x7F, s=0x80)
@example(r=1 << 255, s=(1 << 255) - 1)
@example(r=0xFF << 240, s=0xFF)
def test_signature_is_der(device: Interpreter, r: int, s: int) -> None:
    """The shortest form of each number, with a zero before a high bit (X.690 section 8.3)."""
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    assert device.call(MODULE + "signature", raw) == utils.encode_dss_signature(r, s)


def test_signature_is_what_it_was(device: Interpreter) -> None:
    """Made by the board, in TLS's form: OpenSSL verifies it."""
    digest = bytes(range(32))
    raw = device.call("birthkey.crypto.p256:sign", KEYS[1], digest)
    p256(KEYS[1]).public_key().verify(
        bytes(device.call(MODULE + "signature", raw)),
        digest,
        ec.ECDSA(utils.Prehashed(hashes.SHA256())),
    )


# CA certificates


def pem(label: str, der: bytes) -> str:
    body = base64.encodebytes(der).decode()
    return f"-----BEGIN {label}-----\n{body}-----END {label}-----\n"


def certificates(device: Interpreter, given: Any) -> list[bytes]:
    return [bytes(der) for der in device.call(MODULE + "certificates", given)]


@pytest.fixture(scope="module")
def cas() -> tuple[list[bytes], list[str]]:
    """Two, in DER and in PEM."""
    made = [authority(name) for name in ("one", "two")]
    return [ca.der for ca in made], [ca.certificate_pem.decode() for ca in made]


def test_certificates_in_all_forms(device: Interpreter, cas: tuple[list[bytes], list[str]]) -> None:
    der, text = cas
    assert certificates(device, der[0]) == der[:1]
    assert certificates(device, text[0]) == der[:1]
    assert certificates(device, text[0] + text[1]) == der
    assert certificates(device, [der[0], text[1]]) == der
    assert certificates(device, [text[1] + text[0], der[1]]) == [der[1], der[0], der[1]]
    assert certificates(device, []) == []


def test_pem_may_have_anything_between_certificates(
    device: Interpreter, cas: tuple[list[bytes], list[str]]
) -> None:
    """What OpenSSL prints before them, other line ends, no end of the last line, spaces."""
    der, text = cas
    assert certificates(device, f"subject=CN = one\n{text[0]}\n# and\n{text[1]}") == der
    assert certificates(device, text[0].replace("\n", "\r\n")) == der[:1]
    assert certificates(device, text[0].rstrip("\n")) == der[:1]
    assert certificates(device, text[0].replace("\n", "\n  ")) == der[:1]
    other = pem("X509 CRL", b"list")
    assert certificates(device, other + text[0] + other) == der[:1]


@pytest.mark.parametrize(
    "label", ["PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "EC PRIVATE KEY", "RSA PRIVATE KEY"]
)
def test_private_keys_are_refused(
    device: Interpreter, cas: tuple[list[bytes], list[str]], label: str
) -> None:
    """The CA's own file, current.pem, holds both."""
    key = pem(label, b"secret")
    text = cas[1][0]
    for both in (text + key, key + text, (text + key).encode(), [text, key + text]):
        with pytest.raises(ValueError, match=r"a private key is in it.*ca\.pem"):
            certificates(device, both)


def test_bytes_of_any_kind_are_taken(cas: tuple[list[bytes], list[str]]) -> None:
    der, text = cas
    for kind in (bytes, bytearray, memoryview):
        assert x509_of_the_board.certificates(kind(der[0])) == der[:1]
        assert x509_of_the_board.certificates(kind((text[0] + text[1]).encode())) == der
        assert x509_of_the_board.certificates([kind(der[0]), kind(text[1].encode())]) == der


def test_bytes_of_any_kind_are_taken_on_a_board(
    device: Interpreter, cas: tuple[list[bytes], list[str]]
) -> None:
    der, text = cas
    for kind in ("bytearray", "memoryview"):
        target = "firmware.crypto.on_device:certificates_of_" + kind
        assert device.call(target, der[0]) == der[:1]
        assert device.call(target, (text[0] + text[1]).encode()) == der
        assert device.call(target, b"0 s:CN = one\n" + text[0].encode()) == der[:1]


@pytest.mark.parametrize("given", [b"", b"0", b"\xff\xfe", b"ca.pem", b"\x00" * 100, b"\x80"])
def test_bytes_that_are_neither_are_refused(device: Interpreter, given: bytes) -> None:
    with pytest.raises(ValueError, match="no certificate in it"):
        certificates(device, given)


@pytest.mark.parametrize("given", [None, 1, True, 1.5, {"ca": "x"}])
def test_what_holds_no_certificates_at_all_is_refused(device: Interpreter, given: Any) -> None:
    with pytest.raises(ValueError, match="certificates are PEM, DER bytes, or a list of these"):
        certificates(device, given)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace("-----END CERTIFICATE-----", ""),
        lambda text: text[: len(text) // 2],
        lambda text: text.replace("-----END CERTIFICATE-----", "-----END CERTIFICATE----"),
        lambda text: text[:60] + text[61:],
        lambda text: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n",
        lambda text: text + "-----BEGIN CERTIFICATE-----\n",
        lambda text: "-----BEGIN CERTIFICATE-----\n" + text,
    ],
    ids=["no end", "half", "other end", "a character", "empty", "one more begins", "twice begun"],
)
def test_damaged_pem_is_refused(
    device: Interpreter, cas: tuple[list[bytes], list[str]], damage: Any
) -> None:
    with pytest.raises(ValueError, match="in PEM is damaged or cut short"):
        certificates(device, damage(cas[1][0]))


@pytest.mark.parametrize("text", ["", "ca.pem", pem("X509 CRL", b"x"), "MIIBszCCAVmgAwIBAgIU"])
def test_text_that_is_no_pem_is_refused(device: Interpreter, text: str) -> None:
    with pytest.raises(ValueError, match="PEM text begins with -----BEGIN CERTIFICATE-----"):
        certificates(device, text)
