"""Devices in this process, and the network that they are on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import birthkey._port
import birthkey.conversation
import birthkey.device
from birthkey import Device
from birthkey_host.keys import ServerKey
from birthkey_host.registry import Registry
from device import Interpreter
from device_network import Network, Transport
from virtual_time import Clock

# Milliseconds from the beginning of a clock to its first wrap, and from one wrap to the next.
TICKS = {
    "ticks from 0": (0, 1 << 30),
    "ticks about to wrap": (700, 1 << 30),
    "ticks of 2^20": (0, 1 << 20),
}


@pytest.fixture(params=TICKS.values(), ids=TICKS)
def ticks(device: Interpreter, request: pytest.FixtureRequest) -> Iterator[None]:
    """The ticks of clocks by hand on the device."""
    device.call("ticks:choose", *request.param)
    yield
    device.call("ticks:choose", 0, 1 << 30)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    with Registry(f"sqlite:///{tmp_path}/registry.sqlite3") as registry:
        registry.create()
        yield registry


@pytest.fixture
def network(registry: Registry) -> Network:
    """Whoever asks may enrol there."""
    return Network(registry, ServerKey.generate())


@pytest.fixture(params=[(5, 1 << 30), (15, 1 << 20)], ids=["ticks of 2^30", "ticks of 2^20"])
def board_clock(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The board's clock, which goes when the board sleeps: no test depends on how fast or how
    busy a machine is. Its ticks wrap soon after the test has begun."""
    before_wrap_ms, period = request.param
    clock = Clock(period - before_wrap_ms, period)
    clock.install(monkeypatch)
    return clock


@pytest.fixture
def start(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, board_clock: Clock
) -> Callable[..., Device]:
    """Starts the board; it is the same one each time. It waits for nothing long."""
    monkeypatch.setattr(birthkey.device, "Tcp", Transport)
    monkeypatch.setattr(birthkey.conversation, "_FIRST_RETRY_MS", 2)
    monkeypatch.setattr(birthkey.conversation, "_MOST_RETRY_MS", 4)
    monkeypatch.setattr(birthkey.conversation, "_ANSWER_MS", 30)
    monkeypatch.setattr(birthkey.conversation, "_COMMAND_MS", 20)

    def start(**options: Any) -> Device:
        options = {"path": str(tmp_path / "board"), "board": "test", **options}
        key = options.pop("server_key", network.key.public.hex())
        return Device(network, server=("server", 7155), server_key=key, **options)

    return start
