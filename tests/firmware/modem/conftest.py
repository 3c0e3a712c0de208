"""Fixtures of the modem tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from device import Handle, Interpreter
from esp_at_script import AT, Make, Script, setup, start


@pytest.fixture
def bench(device: Interpreter, ticks: None) -> Iterator[Make]:
    """Make a bench; at the end its script must have been followed to the end."""
    made: list[Handle] = []

    def make(script: Script, options: dict[str, Any] | None = None, *sizes: int) -> Handle:
        made.append(device.call("modem.scripted:Bench", script, options, *sizes))
        return made[-1]

    yield make
    for each in made:
        assert each.left() == [None, []]


@pytest.fixture
def connected(bench: Make) -> Make:
    """Make a bench with a connection; `script` is what comes then."""

    def make(script: Script, *sizes: int, mode: Any = (), options: Any = None) -> Handle:
        made = bench([AT, *setup(*mode), start()], options, *sizes)
        assert made.connect() == 0
        made.then(script)
        return made

    return make
