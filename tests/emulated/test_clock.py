"""The clock of a real port, by MicroPython's own `machine.RTC`."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from device import Interpreter

# From 2068-03-19 on MicroPython 1.25 takes a clock that is right for one of 1932 when it reads a
# date from it: shared/timeutils counts seconds from 2000-03-01 in 32 bits with a sign.
READS_UNTIL = 951_868_800 + (1 << 31)


@pytest.fixture(scope="module")
def pico() -> Iterator[Interpreter]:
    interpreter = Interpreter("RPI_PICO")
    yield interpreter
    interpreter.close()


@pytest.mark.parametrize(
    "seconds",
    [1_790_000_000, 1_740_000_000, (1 << 31) - 1, 1 << 31, 2_600_000_000, 3_097_699_200]
    + [4_102_444_799 - 60],
)
def test_a_pico_takes_the_time_that_it_is_given(pico: Interpreter, seconds: int) -> None:
    assert pico.call("birthkey._port:set_clock", seconds) is True
    assert 0 <= pico.call("time:time") - seconds <= 5
    if seconds >= READS_UNTIL:
        return
    year, month, day, weekday, *clock, _ = pico.call("machine:RTC").datetime()
    said = datetime(year, month, day, *clock, tzinfo=UTC)
    assert 0 <= said.timestamp() - seconds <= 5
    assert weekday == said.weekday()
