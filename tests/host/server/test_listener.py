"""Connections are accepted, and what becomes of those that cannot be."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable

import pytest

from birthkey_host.server.listener import Listener, listen
from tcp_clients import run


class Scarce:
    """A listening socket on a system that has open files for so many connections only."""

    def __init__(self, listening: socket.socket, left: int) -> None:
        self._listening = listening
        self.left = left
        self.failures = 0
        for name in ("fileno", "getsockname", "close"):
            setattr(self, name, getattr(listening, name))

    def accept(self) -> tuple[socket.socket, object]:
        if not self.left:
            self.failures += 1
            raise OSError(errno.EMFILE, "Too many open files")
        accepted = self._listening.accept()
        self.left -= 1
        return accepted


class Hall:
    """Takes what a listener accepts."""

    def __init__(self, listening: socket.socket, left: int = 1000) -> None:
        self.scarce = Scarce(listening, left)
        self.accepted: list[socket.socket] = []
        self.errors: list[OSError] = []
        self.listener = Listener(self.scarce, self.take, self.errors.append)  # type: ignore[arg-type]

    def take(self, accepted: socket.socket, address: str) -> None:
        assert address == "127.0.0.1"
        self.accepted.append(accepted)

    async def until(self, count: int) -> None:
        while len(self.accepted) < count:
            await asyncio.sleep(0.002)

    def close(self) -> None:
        self.listener.close()
        for accepted in self.accepted:
            accepted.close()


def in_hall(
    left: int = 1000,
) -> Callable[[Callable[[Hall], Awaitable[None]]], Callable[[], None]]:
    def decorate(test: Callable[[Hall], Awaitable[None]]) -> Callable[[], None]:
        async def steps() -> None:
            [listening] = await listen("127.0.0.1", 0, 16_384)
            hall = Hall(listening, left)
            try:
                await test(hall)
            finally:
                hall.close()

        def test_steps() -> None:
            run(steps())

        test_steps.__name__ = test.__name__
        return test_steps

    return decorate


def clients(hall: Hall, count: int) -> list[socket.socket]:
    return [socket.create_connection(hall.listener.address) for _ in range(count)]


@in_hall()
async def test_all_are_accepted(hall: Hall) -> None:
    came = clients(hall, 200)
    await hall.until(200)
    for client in came:
        client.close()
    assert hall.errors == []


@in_hall(left=3)
async def test_who_cannot_be_accepted_waits_until_he_can(hall: Hall) -> None:
    came = clients(hall, 5)
    await hall.until(3)
    while len(hall.errors) < 3:
        await asyncio.sleep(0.002)
    hall.scarce.left = 10
    await hall.until(5)
    for client in came:
        client.close()


@in_hall(left=0)
async def test_want_of_open_files_keeps_nobody_busy(hall: Hall) -> None:
    """Neither the log, as each failure is one to tell of, nor the processor."""
    [client] = clients(hall, 1)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await asyncio.sleep(0.2)
    assert 1 <= hall.scarce.failures <= 1 + (loop.time() - began) / 0.01
    assert len(hall.errors) == hall.scarce.failures
    client.close()


@in_hall(left=0)
async def test_listener_is_closed_in_its_pause(hall: Hall) -> None:
    [client] = clients(hall, 1)
    while not hall.errors:
        await asyncio.sleep(0.002)
    hall.listener.close()
    hall.scarce.left = 10
    await asyncio.sleep(0.05)
    assert hall.accepted == []
    client.close()


def test_address_that_cannot_be_used() -> None:
    async def fail() -> None:
        [taken] = await listen("127.0.0.1", 0, 16_384)
        with pytest.raises(OSError, match="in use"):
            await listen("127.0.0.1", taken.getsockname()[1], 16_384)
        taken.close()

    run(fail())


def test_each_address_of_a_name_is_listened_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def both() -> None:
        loop = asyncio.get_running_loop()

        async def resolve(*arguments: object, **options: object) -> list[object]:
            kind = socket.SOCK_STREAM
            found = [(socket.AF_INET, kind, 6, "", (f"127.0.0.{n}", 0)) for n in (1, 2, 1)]
            return [(999, kind, 6, "", ("nowhere", 0)), *found]

        monkeypatch.setattr(loop, "getaddrinfo", resolve)
        sockets = await listen("a.name", 0, 16_384)
        assert [each.getsockname()[0] for each in sockets] == ["127.0.0.1", "127.0.0.2"]
        for each in sockets:
            each.close()

    run(both())
