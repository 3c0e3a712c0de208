"""What is different on 32 bits: MicroPython's Unix port for Arm, of Debian, under QEMU.

The tests of the firmware run there too, with BIRTHKEY_DEVICES=UNIX_ARM.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from birthkey_host import cbor
from device import Interpreter

SMALL = 1 << 30  # from here on integers are objects, where 64 bits have 1 << 62


@pytest.fixture(scope="module")
def arm() -> Iterator[Interpreter]:
    with closing(Interpreter("UNIX_ARM")) as interpreter:
        yield interpreter


def test_it_is_the_interpreter_that_is_pinned(arm: Interpreter) -> None:
    assert arm.get("sys:maxsize") == (1 << 31) - 1
    assert arm.get("sys:implementation.version") == [1, 25, 0, ""]


@pytest.mark.parametrize("sign", [1, -1])
def test_integers_of_any_size_are_written_and_read(arm: Interpreter, sign: int) -> None:
    edges = {(1 << bits) + offset for bits in range(64) for offset in (-1, 0, 1)}
    for number in sorted(sign * edge for edge in edges):
        encoding = cbor.dumps(number)
        assert arm.call("birthkey.cbor:dumps", number) == encoding
        assert arm.call("birthkey.cbor:loads", encoding) == number


def test_clocks_wrap_after_12_days(arm: Interpreter) -> None:
    late = arm.call("birthkey._port:ticks_add", SMALL - 5, 60_000)
    assert late == 60_000 - 5
    assert arm.call("birthkey._port:ticks_diff", late, SMALL - 5) == 60_000
    assert arm.call("birthkey._port:ticks_diff", SMALL - 5, late) == -60_000


@pytest.mark.parametrize("before_wrap", [0, 1, 2000, SMALL // 2])
def test_waiting_before_the_next_attempt_outlasts_the_wrap(
    arm: Interpreter, before_wrap: int
) -> None:
    arm.call("ticks:choose", before_wrap, SMALL)
    backoff = arm.call("ticks:Timed", "birthkey.outbox:Backoff", 4000, 60_000)
    backoff.call("fail")
    backoff.wait(1900)
    assert not backoff.call("ready")
    backoff.wait(2100)
    assert backoff.call("ready")


def test_a_timer_by_the_clock_of_the_port_runs_out(arm: Interpreter) -> None:
    timer = arm.call("birthkey._port:Timer", 50)
    assert 0 <= timer.left() <= 50
    arm.call("birthkey._port:sleep_ms", 60)
    assert timer.left() == 0
