"""Generators of waiting steps are driven to their end; what differs is as each port has it."""

from __future__ import annotations

import asyncio
import runpy
import sys
import types
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from birthkey import _port
from birthkey._port import arun, run, ticks_add, ticks_diff, ticks_ms
from device import Handle, Interpreter


def _steps(count: int, log: list[str]) -> Iterator[None]:
    try:
        for _ in range(count):
            yield
    finally:
        log.append("closed")
    return "value"


def test_a_generator_is_run_to_its_value() -> None:
    assert run(_steps(3, [])) == "value"
    assert asyncio.run(arun(_steps(3, []))) == "value"


def test_what_steps_raise_comes_out() -> None:
    def steps() -> Iterator[None]:
        yield
        raise ValueError("here")

    with pytest.raises(ValueError, match="here"):
        run(steps())
    with pytest.raises(ValueError, match="here"):
        asyncio.run(arun(steps()))


def test_a_cancelled_task_closes_its_steps() -> None:
    log: list[str] = []

    async def cancel() -> None:
        task = asyncio.create_task(arun(_steps(1_000_000, log)))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert log == ["closed"]

    asyncio.run(cancel())


def test_ticks_wrap_and_their_difference_does_not() -> None:
    now = ticks_ms()
    for delta in (0, 1, 100_000, (1 << 29) - 1, -1, -100_000):
        assert ticks_diff(ticks_add(now, delta), now) == delta


# Timers


@pytest.fixture
def timer(device: Interpreter, ticks: None) -> Handle:
    made: Handle = device.call("ticks:Timed", "birthkey._port:Timer", 1000)
    return made


def test_a_timer_counts_what_passes_between_its_looks(timer: Handle) -> None:
    for left in (1000, 900, 899, 0, 0):
        assert timer.call("left") == left
        timer.wait({1000: 100, 900: 1}.get(left, 1_000_000))
    timer.call("start", 30)
    assert timer.call("left") == 30
    timer.wait(29)
    assert timer.call("left") == 1
    timer.wait(1)
    assert timer.call("left") == 0


def test_a_timer_does_not_come_to_life_again(timer: Handle) -> None:
    timer.wait(1000)
    for _ in range(100):
        assert timer.call("left") == 0
        timer.wait(1 << 18)


@pytest.mark.parametrize("halves", [1, 1.5, 1.999])
@pytest.mark.parametrize("period", [1 << 20, 1 << 30])
def test_a_pause_that_is_too_long_to_be_told_ends_a_timer(
    device: Interpreter, halves: float, period: int
) -> None:
    device.call("ticks:choose", 5, period)
    timer = device.call("ticks:Timed", "birthkey._port:Timer", period // 2 - 1)
    assert timer.call("left") == period // 2 - 1
    timer.wait(int(halves * period / 2))
    assert timer.call("left") == 0
    device.call("ticks:choose", 0, 1 << 30)


def test_a_timer_without_time_is_over(device: Interpreter) -> None:
    for milliseconds in (0, -1):
        assert device.call("birthkey._port:Timer", milliseconds).left() == 0


@pytest.mark.parametrize(
    ("platform", "collects"),
    [("linux", True), ("darwin", True), ("rp2", False), ("pyboard", False), ("qemu", False)],
)
def test_randomness_is_collected_by_operating_systems_alone(
    monkeypatch: pytest.MonkeyPatch, platform: str, collects: bool
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert runpy.run_path(_port.__file__)["OS_RANDOM"] is collects


FROM_2000 = 946684800


@pytest.mark.parametrize("epoch", [0, FROM_2000], ids=["from 1970", "from 2000"])
@pytest.mark.parametrize(
    ("seconds", "date"),
    [
        (1735689600, [2025, 1, 1, 3, 0, 0, 0, 0]),  # a Wednesday
        (1790000000, [2026, 9, 21, 1, 14, 13, 20, 0]),  # a Monday
        (1835395199, [2028, 2, 28, 1, 23, 59, 59, 0]),
        (1835395200, [2028, 2, 29, 2, 0, 0, 0, 0]),
        (2147483647, [2038, 1, 19, 2, 3, 14, 7, 0]),
        (2147483648, [2038, 1, 19, 2, 3, 14, 8, 0]),
        (2524607999, [2049, 12, 31, 5, 23, 59, 59, 0]),
        (3094502399, [2068, 1, 22, 7, 23, 59, 59, 0]),  # a Sunday
        (3097699200, [2068, 2, 29, 3, 0, 0, 0, 0]),
        (4107542399 - 86400 * 60, [2099, 12, 30, 3, 23, 59, 59, 0]),
        (4102444799, [2099, 12, 31, 4, 23, 59, 59, 0]),
    ],
)
def test_the_clock_is_set_whatever_a_port_counts_from(
    device: Interpreter, seconds: int, date: list[int], epoch: int
) -> None:
    assert device.call("port_clock:set_clock", seconds, epoch, True) == date


def test_the_date_is_right_on_every_day(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[tuple[int, ...]] = []
    machine = types.ModuleType("machine")
    machine.RTC = lambda: types.SimpleNamespace(datetime=said.append)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "machine", machine)
    day = datetime(2000, 1, 1, 12, 34, 56, tzinfo=UTC)
    while day.year < 2100:
        assert _port.set_clock(int(day.timestamp()))
        date = (day.year, day.month, day.day, day.isoweekday(), 12, 34, 56, 0)
        assert said.pop() == date
        day += timedelta(days=1)


def test_a_board_without_a_clock_sets_none(device: Interpreter) -> None:
    assert device.call("port_clock:set_clock", 1790000000, 0, False) is None
