"""AEAD_CHACHA20_POLY1305 against RFC 8439 and OpenSSL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from hypothesis import given, settings
from hypothesis import strategies as st

import published_vectors
from birthkey.crypto import chacha20poly1305_python
from device import Interpreter
from published_vectors import RFC_8439

SEAL = "birthkey.crypto.chacha20poly1305:seal"
OPEN = "birthkey.crypto.chacha20poly1305:open"
KEY = bytes(range(32))
NONCE = bytes(range(100, 112))
AAD = b"header"
PLAINTEXT = b"twenty-one bytes here"
SEALED = ChaCha20Poly1305(KEY).encrypt(NONCE, PLAINTEXT, AAD)

keys = st.binary(min_size=32, max_size=32)
nonces = st.binary(min_size=12, max_size=12)
messages = st.integers(0, 300).flatmap(lambda size: st.binary(min_size=size, max_size=size))


def flips(value: bytes) -> Iterator[bytes]:
    """The value with each of its bits flipped in turn."""
    for bit in range(8 * len(value)):
        yield (int.from_bytes(value) ^ 1 << bit).to_bytes(len(value))


def refused(device: Interpreter, *args: bytes) -> bool:
    try:
        device.call(OPEN, *args)
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("vector", RFC_8439["aead"], ids=lambda v: v["section"])
def test_seals_and_opens_the_vectors_of_rfc_8439(
    device: Interpreter, vector: dict[str, Any]
) -> None:
    published_vectors.aead(device, vector)


@pytest.mark.parametrize("vector", RFC_8439["chacha20"], ids=lambda v: v["section"])
def test_key_stream_is_that_of_rfc_8439(device: Interpreter, vector: dict[str, Any]) -> None:
    published_vectors.chacha20(device, vector)


@pytest.mark.parametrize("vector", RFC_8439["poly1305"], ids=lambda v: v["section"])
def test_poly1305_is_that_of_rfc_8439(device: Interpreter, vector: dict[str, Any]) -> None:
    published_vectors.poly1305(device, vector)


@pytest.mark.parametrize("counter", [0xFFFE, 0xFFFF, 0x1FFFF, 0x7FFFFFFF])
def test_block_counter_carries_between_its_halves(device: Interpreter, counter: int) -> None:
    openssl = Cipher(algorithms.ChaCha20(KEY, counter.to_bytes(4, "little") + NONCE), None)
    expected = openssl.encryptor().update(bytes(200))
    assert device.call("firmware.crypto.on_device:chacha20", KEY, NONCE, counter, bytes(200)) == (
        expected
    )


@settings(deadline=None, max_examples=60)
@given(key=keys, nonce=nonces, plaintext=messages, aad=messages)
def test_agrees_with_openssl(
    device: Interpreter, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes
) -> None:
    sealed = device.call(SEAL, key, nonce, plaintext, aad)
    assert sealed == ChaCha20Poly1305(key).encrypt(nonce, plaintext, aad)
    assert device.call(OPEN, key, nonce, sealed, aad) == plaintext


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 63, 64, 65, 127, 128, 129, 300, 4096])
def test_agrees_with_openssl_at_the_edges_of_blocks(device: Interpreter, size: int) -> None:
    plaintext, aad = bytes(i & 0xFF for i in range(size)), bytes(size % 100)
    sealed = ChaCha20Poly1305(KEY).encrypt(NONCE, plaintext, aad)
    assert device.call(SEAL, KEY, NONCE, plaintext, aad) == sealed
    assert device.call(OPEN, KEY, NONCE, sealed, aad) == plaintext


def test_aad_is_empty_unless_given(device: Interpreter) -> None:
    sealed = device.call(SEAL, KEY, NONCE, PLAINTEXT)
    assert sealed == ChaCha20Poly1305(KEY).encrypt(NONCE, PLAINTEXT, b"")
    assert device.call(OPEN, KEY, NONCE, sealed) == PLAINTEXT


def test_takes_any_kind_of_buffer(device: Interpreter) -> None:
    on_device = "firmware.crypto.on_device:"
    assert device.call(on_device + "seal_buffers", KEY, NONCE, PLAINTEXT, AAD) == SEALED
    assert device.call(on_device + "open_buffers", KEY, NONCE, SEALED, AAD) == PLAINTEXT


def test_refuses_every_flipped_bit(device: Interpreter) -> None:
    assert not refused(device, KEY, NONCE, SEALED, AAD)
    assert all(refused(device, KEY, NONCE, sealed, AAD) for sealed in flips(SEALED))
    assert all(refused(device, KEY, NONCE, SEALED, aad) for aad in flips(AAD))
    assert all(refused(device, KEY, nonce, SEALED, AAD) for nonce in flips(NONCE))
    assert all(refused(device, key, NONCE, SEALED, AAD) for key in flips(KEY))


def test_refuses_what_is_cut_short_or_goes_on(device: Interpreter) -> None:
    assert all(refused(device, KEY, NONCE, SEALED[:end], AAD) for end in range(len(SEALED)))
    assert all(refused(device, KEY, NONCE, SEALED[cut:], AAD) for cut in range(1, len(SEALED)))
    assert refused(device, KEY, NONCE, SEALED + b"\x00", AAD)


def test_aad_and_ciphertext_do_not_run_into_each_other(device: Interpreter) -> None:
    sealed = ChaCha20Poly1305(KEY).encrypt(NONCE, b"", AAD)
    assert refused(device, KEY, NONCE, AAD + sealed, b"")
    assert refused(device, KEY, NONCE, sealed, AAD + b"\x00")


@pytest.mark.parametrize(("key", "nonce"), [(31, 12), (33, 12), (32, 11), (32, 13), (0, 0)])
def test_refuses_keys_and_nonces_of_other_lengths(
    device: Interpreter, key: int, nonce: int
) -> None:
    with pytest.raises(ValueError, match="32 bytes and the nonce 12"):
        device.call(SEAL, bytes(key), bytes(nonce), b"")
    with pytest.raises(ValueError, match="32 bytes and the nonce 12"):
        device.call(OPEN, bytes(key), bytes(nonce), bytes(16))


class SmallInt(int):
    """An integer that may not leave the range of a 32-bit MicroPython's small integers."""

    def __new__(cls, value: int) -> SmallInt:
        assert -(1 << 30) <= value < 1 << 30
        return super().__new__(cls, value)


def _checked(name: str) -> Any:
    return lambda self, other: SmallInt(getattr(int, name)(self, other))


for _name in ("add", "and", "lshift", "or", "rshift", "xor"):
    setattr(SmallInt, f"__{_name}__", _checked(f"__{_name}__"))


def test_rounds_stay_within_the_small_integers_of_32_bit_boards() -> None:
    for filling in (0xFFFF, 0xAAAA, 0x1234):
        low, high = ([SmallInt(filling ^ i) for i in range(16)] for _ in range(2))
        for _ in range(10):
            chacha20poly1305_python._double_round(low, high)
        assert {type(half) for half in low + high} == {SmallInt}


def test_key_stream_leaves_no_garbage() -> None:
    board = Interpreter("micropython")
    try:
        garbage = [
            board.call("firmware.crypto.on_device:chacha20_garbage", blocks) for blocks in (1, 16)
        ]
    finally:
        board.close()
    assert garbage == [0, 0]
