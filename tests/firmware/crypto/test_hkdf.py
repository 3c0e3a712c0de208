"""HMAC-SHA256 and HKDF against RFC 5869 and OpenSSL."""

from __future__ import annotations

import hmac
from typing import Any

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from hypothesis import given, settings
from hypothesis import strategies as st

import published_vectors
from device import Interpreter

HMAC = "birthkey.crypto.hkdf:hmac"
EXTRACT = "birthkey.crypto.hkdf:extract"
EXPAND = "birthkey.crypto.hkdf:expand"


@pytest.mark.parametrize(
    "vector", published_vectors.RFC_5869["vectors"], ids=lambda v: v["section"]
)
def test_derives_the_vectors_of_rfc_5869(device: Interpreter, vector: dict[str, Any]) -> None:
    published_vectors.hkdf(device, vector)


@settings(deadline=None, max_examples=60)
@given(
    salt=st.binary(max_size=80),
    ikm=st.binary(max_size=100),
    info=st.binary(max_size=100),
    length=st.integers(1, 200),
)
def test_agrees_with_openssl(
    device: Interpreter, salt: bytes, ikm: bytes, info: bytes, length: int
) -> None:
    prk = device.call(EXTRACT, salt, ikm)
    assert device.call(EXPAND, prk, info, length) == HKDF(SHA256(), length, salt, info).derive(ikm)


@pytest.mark.parametrize("size", [0, 1, 31, 32, 63, 64, 65, 128, 200])
def test_hmac_takes_keys_of_any_length(device: Interpreter, size: int) -> None:
    key = bytes(range(size))
    assert device.call(HMAC, key, b"message") == hmac.digest(key, b"message", "sha256")


@pytest.mark.parametrize("parts", [[], [b""], [b"", b"a"], [b"one ", b"two ", b"", b"three"]])
def test_hmac_parts_are_one_message(device: Interpreter, parts: list[bytes]) -> None:
    assert device.call(HMAC, b"key", *parts) == hmac.digest(b"key", b"".join(parts), "sha256")


def test_expands_to_no_more_than_255_blocks(device: Interpreter) -> None:
    prk = bytes(range(32))
    assert device.call(EXPAND, prk, b"", 255 * 32) == HKDFExpand(SHA256(), 255 * 32, b"").derive(
        prk
    )
    for length in (255 * 32 + 1, 1 << 16, -1):
        with pytest.raises(ValueError, match="at most 8160 bytes"):
            device.call(EXPAND, prk, b"", length)


def test_expands_to_nothing(device: Interpreter) -> None:
    assert device.call(EXPAND, bytes(32), b"info", 0) == b""
