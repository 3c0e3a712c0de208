"""Nothing that depends on a secret stays on the stack, below what called P-256."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from device import Interpreter
from emulated.test_p256_mbedtls import BOARDS, Tls
from firmware.crypto.test_p256 import DIGEST, KEY, PUBLIC, N, b32

NONCE = b32(N // 3)
ARGUMENTS = {"public_key": (), "sign": (DIGEST, NONCE), "ecdh": (PUBLIC,)}


@pytest.fixture(scope="module", params=BOARDS)
def device(request: pytest.FixtureRequest) -> Iterator[Interpreter]:
    with closing(Tls(request.param)) as interpreter:
        yield interpreter


@pytest.mark.parametrize("operation", ARGUMENTS)
def test_the_stack_is_the_same_after_any_secret(device: Interpreter, operation: str) -> None:
    """But for what was made public."""
    after = "emulated.p256_stack:after"
    one, left = device.call(after, operation, KEY, *ARGUMENTS[operation])
    two, also = device.call(after, operation, b32(N - 5), *ARGUMENTS[operation])
    assert one != two
    allowed = (one if operation in ("public_key", "sign") else b"") + djb2(one)
    for at in range(0, len(left), 4):
        word, other = left[at : at + 4], also[at : at + 4]
        assert word == other or is_no_secret(word) or word in allowed, f"{at}: {word.hex()}"


def djb2(data: bytes) -> bytes:
    """MicroPython's hash of a bytes object, which it computes as it makes one."""
    found = 5381
    for byte in data:
        found = (found * 33 ^ byte) & 0xFFFFFFFF
    return found.to_bytes(4, "little")


def is_no_secret(word: bytes) -> bool:
    """The address of an object on the heap, which may be another one the second time, or a time."""
    return int.from_bytes(word, "little") < 0x80000
