"""The clock of a real port, by MicroPython's own `machine.RTC`."""

from __future__ import annotations

from device import Interpreter


def test_a_pico_takes_the_time_that_it_is_given() -> None:
    pico = Interpreter("RPI_PICO")
    try:
        for seconds in (1_790_000_000, 1_740_000_000):
            assert pico.call("birthkey._port:set_clock", seconds) is True
            assert seconds <= pico.call("time:time") <= seconds + 5
        assert pico.call("time:gmtime")[:3] == [2025, 2, 19]
    finally:
        pico.close()
