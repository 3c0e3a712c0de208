"""What `make bench` counts on emulated boards is the same in every run."""

from __future__ import annotations

import pytest

from bench import p256
from bench.emulated import COUNTS, count


@pytest.mark.parametrize("name", ["m3", "rp2040"])
def test_counts_repeat_exactly(name: str) -> None:
    first = count(COUNTS[name])
    assert first["p256.sign"] > first["message"] / 10 > 0
    assert count(COUNTS[name]) == first
    if name == "m3":
        assert first["chacha20poly1305.seal_1k"] < 400_000
        assert first["tls.handshake"] < 20_000_000  # 78 and more by mbed TLS's own arithmetic
    else:
        assert first["tls.handshake"] < 60_000_000  # 172 and more


# Millions of instructions that P-256 may take, RFC 6979 and MicroPython around it included.
_MOST = {
    "m3": {"sign": 0.70, "public_key": 0.55, "ecdh": 1.5, "verify": 1.9},
    "m4": {"sign": 0.62, "public_key": 0.50, "ecdh": 1.25, "verify": 1.6},
    "armv6m": {"sign": 1.75, "public_key": 1.5, "ecdh": 5.0, "verify": 5.6},
    "python.m3": {"sign": 12.0},
    "python.m4": {"sign": 12.0},
    "python.armv6m": {"sign": 18.5},
}


def test_p256_is_fast_enough() -> None:
    figures = p256.figures()
    for suffix, most in _MOST.items():
        for operation, millions in most.items():
            assert figures[f"p256.{operation}.{suffix}"] <= millions * 1e6, (operation, suffix)
    assert figures["p256.sign.m3"] * 6 <= figures["mbedtls.sign.m3"]
    assert figures["p256.verify.m3"] * 8 <= figures["mbedtls.verify.m3"]
