"""A board's clock that goes when the board sleeps, and a network with a round trip on it.

What is tested with these depends on no wall clock: not on how fast or how busy a machine is.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import birthkey._port
import birthkey.conversation
from birthkey import ModemError
from device_network import Network, Transport

PERIOD = 1 << 30
"""Of MicroPython's ticks, in milliseconds."""


class Clock:
    """`now` in milliseconds, which never wraps; boards see it modulo `period`."""

    def __init__(self, now: int = 0, period: int = PERIOD) -> None:
        self.now, self.period = now, period

    def ticks_ms(self) -> int:
        return self.now % self.period

    def sleep_ms(self, milliseconds: int) -> None:
        self.now += milliseconds

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(birthkey._port, "_PERIOD", self.period)
        for module in (birthkey._port, birthkey.conversation):
            monkeypatch.setattr(module, "ticks_ms", self.ticks_ms)
        monkeypatch.setattr(birthkey._port, "sleep_ms", self.sleep_ms)


class Distant(Transport):
    """Frames take `trip_ms` to the server and back, connections `open_ms`; what fails, fails so.

    A class attribute holds for all that are made; tests set them with monkeypatch.
    """

    clock = Clock()
    trip_ms = 0
    open_ms = 0
    silent = False  # connections open, and nothing comes back
    stuck = False  # they never open

    def __init__(self, link: Network, host: str, port: int) -> None:
        super().__init__(link, host, port)
        self.under_way: list[tuple[int, bytes]] = []

    def open(self) -> Iterator[None]:
        until = self.clock.now + self.open_ms
        while self.stuck or self.clock.now < until:
            yield
        yield from super().open()

    def send(self, frame: bytes) -> Iterator[None]:
        yield
        if not self.link.reachable:
            self.connected = False
            raise ModemError("cannot reach the server")
        for answer in [] if self.silent else self.link.carry(frame):
            self.under_way.append((self.clock.now + self.trip_ms, answer))

    def receive(self, timeout_ms: int) -> Iterator[None]:
        until = self.clock.now + timeout_ms
        while True:
            if self.under_way and self.under_way[0][0] <= self.clock.now:
                return self.under_way.pop(0)[1]
            if self.clock.now >= until:
                return None
            yield

    def close(self) -> Iterator[None]:
        self.under_way.clear()
        yield from super().close()


def waits(monkeypatch: pytest.MonkeyPatch, **milliseconds: Any) -> None:
    """Give the waits of the conversation back their real length, or another."""
    real = {"ANSWER": 10_000, "COMMAND": 5_000, "FIRST_RETRY": 1_000, "MOST_RETRY": 60_000}
    for name, value in {**real, **milliseconds}.items():
        monkeypatch.setattr(birthkey.conversation, f"_{name}_MS", value)
