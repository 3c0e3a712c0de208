"""Generators of waiting steps are driven to their end, and let go when nobody waits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from birthkey._port import arun, run, ticks_add, ticks_diff, ticks_ms


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
