"""The entropy sources of a Pico, as far as the emulator has them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from device import DeviceError, Interpreter

ON_DEVICE = "firmware.crypto.on_device:"


@pytest.fixture(scope="module")
def pico() -> Iterator[Interpreter]:
    with closing(Interpreter("RPI_PICO")) as interpreter:
        yield interpreter


def test_sources_of_the_board_make_a_key_without_the_processor_s_jitter(pico: Interpreter) -> None:
    sources = pico.get("board:ENTROPY")
    assert [source[2] for source in sources] == [1, 0.125, 0]
    assert sources[2][0] == "timing jitter"
    assert len(pico.call("birthkey.crypto.entropy:collect", sources)) == 32
    assert len(pico.call("birthkey.crypto.entropy:collect", sources[:2])) == 32


def test_jitter_of_clock_and_processor_from_one_crystal_is_periodic(pico: Interpreter) -> None:
    """125 MHz against microseconds: nothing may be claimed for it."""
    samples = pico.call("birthkey.crypto.entropy:timing_jitter", 1024)
    assert len(set(samples)) > 1
    with pytest.raises(DeviceError, match=r"lag test, 272 .*samples are those of 125"):
        pico.call(ON_DEVICE + "collect", [("jitter", samples, 0.125)])
