"""PEM files with a certificate and its key: what is taken, and what is said of the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from birthkey_host.certificates import CaError, Certified, certificate_pem, make_authority
from birthkey_host.key_files import LIMIT, KeyFile, read
from certificates import Key, p384, rsa2048, self_signed

WORD = b"correct horse battery"


@pytest.fixture(scope="module")
def made() -> Certified:
    return make_authority()


def never(path: Path) -> bytes:
    raise AssertionError(f"asked for the password of {path}")


def saved(path: Path, data: bytes) -> KeyFile:
    path.write_bytes(data)
    return KeyFile.load(path)


def key_pem(made: Certified, style: serialization.PrivateFormat, password: bytes = b"") -> bytes:
    return made.key.private_bytes(
        serialization.Encoding.PEM,
        style,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )


def test_a_key_in_the_clear_is_opened_without_a_question(tmp_path: Path, made: Certified) -> None:
    file = saved(tmp_path / "a.pem", made.pem())
    assert not file.encrypted
    opened = file.unlock(never)
    assert opened.certificate == made.certificate
    assert opened.key.private_numbers() == made.key.private_numbers()


def test_an_encrypted_key_needs_its_password(tmp_path: Path, made: Certified) -> None:
    path = tmp_path / "a.pem"
    file = saved(path, made.pem(WORD))
    assert file.encrypted
    assert file.certificate == made.certificate
    asked = []
    opened = file.unlock(lambda where: asked.append(where) or WORD)
    assert opened.key.private_numbers() == made.key.private_numbers()
    assert asked == [path]
    with pytest.raises(CaError, match=r"this password does not open the private key in .*a\.pem"):
        file.unlock(lambda _: WORD + b"x")
    with pytest.raises(CaError, match=r"a\.pem is encrypted, and there is no password"):
        file.unlock(lambda _: None)


@pytest.mark.parametrize("password", [b"", WORD], ids=["clear", "encrypted"])
def test_what_openssl_makes_of_it_is_taken(
    tmp_path: Path, made: Certified, password: bytes
) -> None:
    """The traditional form, the key before the certificate, text around them, CR LF."""
    form = serialization.PrivateFormat.TraditionalOpenSSL
    pem = b"some text\n" + key_pem(made, form, password) + certificate_pem(made.certificate)
    file = saved(tmp_path / "a.pem", pem.replace(b"\n", b"\r\n"))
    assert file.encrypted is bool(password)
    assert file.unlock(lambda _: WORD).key.private_numbers() == made.key.private_numbers()


def test_the_first_certificate_counts(tmp_path: Path, made: Certified) -> None:
    above = certificate_pem(make_authority().certificate)
    assert saved(tmp_path / "a.pem", made.pem() + above).certificate == made.certificate


def test_what_holds_no_certificate_and_key(tmp_path: Path, made: Certified) -> None:
    key = key_pem(made, serialization.PrivateFormat.PKCS8)
    certificate = certificate_pem(made.certificate)
    for data in (
        b"",
        b"text",
        key,
        certificate,
        certificate + key + key,
        certificate + key[:-10],
        certificate[:-10] + key,
        certificate.replace(b"MII", b"MIA", 1) + key,
        certificate[:100] + certificate[165:] + key,
        b"\0" * 1000,
    ):
        with pytest.raises(CaError, match=r"a\.pem does not hold a certificate and one private"):
            saved(tmp_path / "a.pem", data)


def test_a_damaged_key(tmp_path: Path, made: Certified) -> None:
    pem = made.pem()
    at = pem.index(b"BEGIN PRIVATE KEY-----") + 60
    file = saved(tmp_path / "a.pem", pem[:at] + b"AAAAAAAA" + pem[at + 8 :])
    with pytest.raises(CaError, match=r"a\.pem is (damaged|not that of its certificate)"):
        file.unlock(never)
    file = saved(tmp_path / "a.pem", pem[: at - 30] + pem[at - 10 :])
    with pytest.raises(CaError, match=r"a\.pem is damaged: put it back from a copy"):
        file.unlock(never)


def test_a_key_of_another_certificate(tmp_path: Path, made: Certified) -> None:
    other = key_pem(make_authority(), serialization.PrivateFormat.PKCS8)
    file = saved(tmp_path / "a.pem", certificate_pem(made.certificate) + other)
    with pytest.raises(CaError, match=r"a\.pem is not that of its certificate"):
        file.unlock(never)


@pytest.mark.parametrize("make", [rsa2048, p384])
def test_a_key_of_another_kind(tmp_path: Path, make: Callable[[], Key]) -> None:
    file = saved(tmp_path / "a.pem", self_signed(make()).pem)
    with pytest.raises(CaError, match=r"a\.pem is not one of P-256"):
        file.unlock(never)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(CaError, match=r"cannot read .*/none: No such file"):
        read(tmp_path / "none")
    with pytest.raises(CaError, match=r"cannot read .*: Is a directory"):
        read(tmp_path)
    path = tmp_path / "long"
    path.write_bytes(bytes(LIMIT))
    assert read(path) == bytes(LIMIT)
    path.write_bytes(bytes(LIMIT + 1))
    with pytest.raises(CaError, match="has more than 65536 bytes"):
        read(path)
