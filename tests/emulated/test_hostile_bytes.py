"""No bytes that a modem or the network may send cost a board more than is bounded, and little."""

from __future__ import annotations

import pytest

from bench.hostile import count
from boards.emulated.emulator import Emulator
from boards.emulated.qemu import Mps2
from boards.emulated.rp2040 import Rp2040

# (million instructions of a Cortex-M3, million cycles of an RP2040, bytes of heap) for what is
# heard at once: 256 bytes of a UART, one frame, or a whole receive buffer of TLS records.
_MOST = {
    "modem": (3.0, 6.5, 13_000),
    "tcp": (3.6, 7.5, 18_000),
    "serial": (2.5, 5.0, 14_000),
    "tls": (7.0, 20.0, 8_000),
}


@pytest.mark.parametrize("kind", [Mps2, Rp2040])
def test_the_worst_bytes_are_bounded(kind: type[Emulator]) -> None:
    costs = count(kind)
    assert {what.partition(":")[0] for what in costs} == set(_MOST)
    for what, (spent, heap) in costs.items():
        print(f"{what:48} {spent:>12,} {heap:>8,}")
        *most, most_heap = _MOST[what.partition(":")[0]]
        assert spent <= most[kind is Rp2040] * 1e6, what
        assert heap <= most_heap, what
