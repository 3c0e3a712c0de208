"""Fixtures that every test may use."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("board_vectors", "published_vectors")

from device import Interpreter  # noqa: E402

# A script's background jobs ignore SIGINT, and what they start inherits that: tests, and all the
# programs that tests interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes depends on what else the machine does.
settings.register_profile("birthkey", deadline=None)
settings.load_profile("birthkey")

DEVICES = os.environ.get("BIRTHKEY_DEVICES", "cpython micropython").split()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """More than processors: many a test waits for a board, which waits for a modem or a server."""
    return len(os.sched_getaffinity(0)) * 3 // 2


@pytest.fixture(scope="session", params=DEVICES)
def device(request: pytest.FixtureRequest) -> Iterator[Interpreter]:
    """Device code, once under CPython and once under MicroPython's Unix port.

    BIRTHKEY_DEVICES="UNIX_ARM" runs the same on 32-bit Arm.
    """
    interpreter = Interpreter(request.param)
    yield interpreter
    interpreter.close()
