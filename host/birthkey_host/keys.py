"""Server keys: made, kept in a file, and named by their thumbprint."""

from __future__ import annotations

import os
import re
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from birthkey_host import cose, files


class ServerKey:
    """A server's P-256 key pair, to which boards seal."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        """Raises ValueError for a key on another curve."""
        if not isinstance(private.curve, ec.SECP256R1):
            raise ValueError(f"the key is on {private.curve.name}; a server key is on P-256")
        self.private = private
        self.public = cose.public_bytes(private.public_key())
        """x || y, 64 bytes: what boards are given."""
        self.server_id = cose.thumbprint(self.public)[:16]

    @classmethod
    def generate(cls) -> ServerKey:
        """Make a new key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> ServerKey:
        """Read an unencrypted PEM file. Raises OSError, or ValueError if it holds no such key."""
        try:
            private = serialization.load_pem_private_key(Path(path).read_bytes(), password=None)
        except (ValueError, TypeError) as error:  # TypeError: it is encrypted
            raise ValueError(f"{path} is not an unencrypted PEM private key: {error}") from None
        if not isinstance(private, ec.EllipticCurvePrivateKey):
            raise ValueError(f"{path} does not hold an elliptic-curve key")
        return cls(private)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the key as PEM (PKCS #8), readable by its owner only, on the disk on return.

        Raises FileExistsError rather than overwrite: a lost server key cuts off every board
        that trusts it. Raises OSError when the file cannot be written.
        """
        data = self.private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        files.write(Path(path), data, replace=False)

    def __repr__(self) -> str:
        return f"ServerKey({self.server_id.hex()})"


def parse_public(text: str) -> bytes:
    """Read a public key as configuration has it: 128 hex digits, x || y; returns 64 bytes.

    Raises ValueError for anything else, and for what is no point of P-256.
    """
    if not re.fullmatch(r"[0-9a-fA-F]{128}", text):
        raise ValueError(
            f"a public key is 128 hex digits (x || y), and this has {len(text)} characters;"
            " `birthkey server-key` prints the server's"
        )
    public = bytes.fromhex(text)
    if not cose.is_point(public):
        raise ValueError("these 128 hex digits are not a point of P-256; one may be mistyped")
    return public
