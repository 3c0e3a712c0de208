"""What tests/firmware/crypto/test_p256.py asks of verification and of key agreement, asked of TLS.

In birthkey's firmware the native back end computes mbed TLS's products on P-256.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from board_repl import BoardRepl
from boards.emulated.qemu import Mps2, Mps2ArmV6M
from device import Interpreter
from firmware.crypto.test_p256 import (
    DIGEST,
    EDGE_KEYS,
    KEY,
    PUBLIC,
    N,
    b32,
    openssl_verifies,
    test_bad_public_keys_are_refused,  # noqa: F401
    test_coordinates_that_are_small_are_accepted,  # noqa: F401
    test_ecdh_agrees_with_openssl,  # noqa: F401
    test_ecdh_agrees_with_the_nist_vectors,  # noqa: F401
    test_public_keys_are_judged_as_the_nist_vectors_say,  # noqa: F401
    test_verify_accepts_a_point_whose_x_is_above_n,  # noqa: F401
    test_verify_accepts_the_signatures_of_openssl_with_either_s,  # noqa: F401
    test_verify_agrees_with_the_nist_vectors,  # noqa: F401
    test_verify_refuses_any_changed_bit,  # noqa: F401
    test_verify_refuses_r_and_s_out_of_range,  # noqa: F401
    test_verify_refuses_when_the_point_is_infinite,  # noqa: F401
    test_verify_takes_r_as_a_number_not_modulo_n,  # noqa: F401
    test_verify_takes_s_as_a_number_not_modulo_n,  # noqa: F401
    test_verify_with_every_kind_of_collision,  # noqa: F401
)

BOARDS = {"armv7m": Mps2, "armv6m": Mps2ArmV6M}


class Tls(Interpreter):
    """A board in QEMU whose firmware was compiled for that architecture."""

    def _start(self, folder: Path, uart: str | None, heap: list[str]) -> BoardRepl:
        return BoardRepl(BOARDS[self.name](folder))

    def call(self, target: str, *arguments: Any) -> Any:
        return super().call(target.replace("birthkey.crypto.p256:", MODULE), *arguments)


MODULE = "emulated.p256_mbedtls:"


@pytest.fixture(scope="module", params=BOARDS)
def device(request: pytest.FixtureRequest) -> Iterator[Interpreter]:
    with closing(Tls(request.param)) as interpreter:
        yield interpreter


@pytest.mark.parametrize("private", [0, N, N + 1, 2**256 - 1])
def test_no_key_is_agreed_on_with_a_private_key_out_of_range(
    device: Interpreter, private: int
) -> None:
    with pytest.raises(ValueError, match="out of range"):
        device.call(MODULE + "ecdh", b32(private), PUBLIC)


def test_own_arithmetic_of_mbed_tls_agrees(device: Interpreter) -> None:
    chance = random.Random(4)
    for private in [*EDGE_KEYS, *(chance.randrange(1, N) for _ in range(5))]:
        theirs = ec.derive_private_key(chance.randrange(1, N), ec.SECP256R1()).public_key()
        numbers = theirs.public_numbers()
        public = b32(numbers.x) + b32(numbers.y)
        ours = device.call(MODULE + "ecdh", b32(private), public)
        assert ours == device.call(MODULE + "ecdh", b32(private), public, True)
        own = ec.derive_private_key(private, ec.SECP256R1())
        assert ours == own.exchange(ec.ECDH(), theirs)


def test_it_is_the_native_back_end_that_computes(device: Interpreter) -> None:
    native, own = (device.call(MODULE + "ticks", KEY, PUBLIC, own) for own in (False, True))
    assert native * 4 < own


def test_signatures_of_tls_satisfy_openssl(device: Interpreter) -> None:
    assert openssl_verifies(PUBLIC, DIGEST, device.call(MODULE + "sign", KEY, DIGEST))
