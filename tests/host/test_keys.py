"""Server keys in files, and public keys in configuration."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from birthkey_host import cose
from birthkey_host.keys import ServerKey, parse_public


def pem(
    key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey, password: bytes = b""
) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(password)
        if password
        else serialization.NoEncryption(),
    )


def test_a_key_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    key = ServerKey.generate()
    key.save(path)
    again = ServerKey.load(str(path))
    assert (again.public, again.server_id) == (key.public, key.server_id)
    assert again.private.private_numbers() == key.private.private_numbers()
    assert path.read_bytes().startswith(b"-----BEGIN PRIVATE KEY-----")


def test_two_keys_are_two(tmp_path: Path) -> None:
    first, second = ServerKey.generate(), ServerKey.generate()
    assert first.server_id != second.server_id


def test_its_id_is_the_beginning_of_its_thumbprint() -> None:
    key = ServerKey.generate()
    assert len(key.public) == 64
    assert cose.is_point(key.public)
    assert key.server_id == cose.thumbprint(key.public)[:16]


def test_the_file_is_its_owners_only_whatever_the_umask(tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    before = os.umask(0)
    try:
        ServerKey.generate().save(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    path.write_text("precious")
    with pytest.raises(FileExistsError):
        ServerKey.generate().save(path)
    assert path.read_text() == "precious"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "server.pem"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError):
        ServerKey.generate().save(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_file_that_cannot_be_written_whole_is_not_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        ServerKey.generate().save(tmp_path / "server.pem")
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        ServerKey.load(tmp_path / "none.pem")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a key",
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ec.generate_private_key(ec.SECP256K1())),
        pem(ed25519.Ed25519PrivateKey.generate()),
        pem(ec.generate_private_key(ec.SECP256R1()), b"password"),
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo),
    ],
    ids=["empty", "text", "P-384", "secp256k1", "Ed25519", "encrypted", "public"],
)
def test_another_file_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "server.pem"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"server\.pem|P-256"):
        ServerKey.load(path)


def test_the_private_key_is_not_shown() -> None:
    key = ServerKey.generate()
    assert repr(key) == f"ServerKey({key.server_id.hex()})"


def test_a_public_key_is_128_hex_digits() -> None:
    public = ServerKey.generate().public
    assert parse_public(public.hex()) == public
    assert parse_public(public.hex().upper()) == public


@pytest.mark.parametrize(
    "change",
    [
        lambda text: "",
        lambda text: text[:-1],
        lambda text: text[:-2],
        lambda text: "04" + text,
        lambda text: "0x" + text[2:],
        lambda text: text[:-1] + "g",
        lambda text: text + "\n",
        lambda text: " " + text[1:],
        lambda text: text[:-1] + "\u0661",
        lambda text: text[:-1] + ("1" if text[-1] == "0" else "0"),
        lambda text: "0" * 128,
        lambda text: "f" * 128,
    ],
)
def test_other_text_is_refused_with_what_to_do(change: object) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match=r"birthkey server-key|mistyped"):
        parse_public(change(ServerKey.generate().public.hex()))
