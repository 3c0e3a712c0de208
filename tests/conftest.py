"""Fixtures that every test may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from device import Interpreter


@pytest.fixture(scope="session", params=["cpython", "micropython"])
def device(request: pytest.FixtureRequest) -> Iterator[Interpreter]:
    """Device code, once under CPython and once under MicroPython's Unix port."""
    interpreter = Interpreter(request.param)
    yield interpreter
    interpreter.close()
