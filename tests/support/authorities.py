"""A CA on disk in any phase of a rotation, and the connections that are possible with it."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509

from birthkey_host.ca import Authority, Phase
from birthkey_host.certificates import parse_names

NAMES = ("iot.example.com", "*.pumps.example.com", "localhost", "127.0.0.1")
WORD = b"correct horse battery"


def no_password(path: Path) -> None:
    """For keys that are not encrypted."""


def password(path: Path) -> bytes:
    """For keys that are."""
    return WORD


def never(path: Path) -> bytes:
    raise AssertionError(f"asked for the password of {path}")


def make(
    home: Path, phase: Phase = Phase.ONE, *, server: bool = True, encrypted: bool = False
) -> Authority:
    """A CA in that phase, with a server's certificate perhaps."""
    secret = password if encrypted else no_password
    ca = Authority(home)
    ca.create(secret)
    with ca:
        if server:
            ca.issue(parse_names(NAMES), secret)
        if phase is not Phase.ONE:
            ca.begin(secret)
        if phase is Phase.SWITCHED:
            ca.switch(secret)
    return ca


def bundle(ca: Authority) -> list[x509.Certificate]:
    """The certificates in ca.pem."""
    return x509.load_pem_x509_certificates(ca.bundle.read_bytes())


def contents(home: Path) -> dict[str, bytes]:
    """All files below a folder."""
    return {
        str(path.relative_to(home)): path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file()
    }
