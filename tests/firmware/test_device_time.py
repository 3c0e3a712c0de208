"""A Device asks for the time, and believes nothing but the answer to its question."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

import birthkey.conversation
import birthkey.device
from birthkey import Device, Refused
from birthkey_host.message import Message, Type
from birthkey_host.registry import Registry
from device_network import Network
from virtual_time import Clock

Start = Callable[..., Device]
NOW = 1_790_000_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the board's clock was set to."""
    settings: list[int] = []
    monkeypatch.setattr(birthkey.device, "set_clock", settings.append)
    return settings


@pytest.fixture
def device(start: Start, network: Network, clock: list[int]) -> Device:
    network.pipeline._clock = lambda: NOW + 0.9
    device = start()
    assert device.deliver()
    return device


def questions(registry: Registry) -> list[Message]:
    messages = [Message.decode(row.message) for row in registry.messages()]
    return [message for message in messages if message.type == Type.STATUS]


def test_the_clock_is_set_to_the_servers_time(
    device: Device, clock: list[int], registry: Registry
) -> None:
    assert device.sync_time() == NOW
    assert clock == [NOW]
    assert [message.body for message in questions(registry)] == [{3: True}]
    assert device.problem is None


def test_asyncio_programs_await_the_time(device: Device, clock: list[int]) -> None:
    assert asyncio.run(device.async_time()) == NOW
    assert clock == [NOW]


def test_readings_that_wait_stay_where_they_are(
    device: Device, registry: Registry, network: Network
) -> None:
    network.reachable = False
    device._conversation._transport.connected = False
    device.send({"n": 1}, wait_ms=0)
    network.reachable = True
    assert device.sync_time() == NOW
    assert device.queued == 1
    assert device.deliver()


def test_a_board_that_is_new_enrols_first(start: Start, clock: list[int]) -> None:
    device = start()
    before = int(time.time())
    assert before <= device.sync_time() <= before + 60
    assert device.enrolled


def test_every_question_is_a_new_one(
    device: Device, registry: Registry, network: Network, clock: list[int]
) -> None:
    lost = iter([None, None])
    network.down = lambda answer: next(lost, answer)
    assert device.sync_time() == NOW
    counters = [message.counter for message in questions(registry)]
    assert len(set(counters)) == 3
    assert clock == [NOW]
    assert device.sync_time() == NOW
    assert len(questions(registry)) == 4


def test_no_answer_is_no_time(device: Device, network: Network, clock: list[int]) -> None:
    network.down = lambda answer: None
    assert device.sync_time(wait_ms=100) is False
    assert "is the server's key the right one?" in device.problem
    network.reachable = False
    device._conversation._transport.connected = False
    assert device.sync_time(wait_ms=30) is False
    assert device.problem == "cannot reach the server"
    assert clock == []


@pytest.mark.parametrize("seconds", [0, 1_735_689_599, 4_102_444_800, 2**40])
def test_a_time_that_cannot_be_is_not_believed(
    device: Device, network: Network, clock: list[int], seconds: int
) -> None:
    network.pipeline._clock = lambda: float(seconds)
    assert device.sync_time(wait_ms=50) is False
    assert device.problem == f"the server's clock is wrong: it says {seconds}"
    assert clock == []


@pytest.mark.parametrize("seconds", [1_735_689_600, 4_102_444_799])
def test_from_2025_to_2099(
    device: Device, network: Network, clock: list[int], seconds: int
) -> None:
    network.pipeline._clock = lambda: float(seconds)
    assert device.sync_time() == seconds


@pytest.mark.parametrize(("late", "believed"), [(9_900, True), (10_100, False)])
def test_an_answer_is_believed_for_ten_seconds(
    device: Device,
    network: Network,
    clock: list[int],
    board_clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    late: int,
    believed: bool,
) -> None:
    monkeypatch.setattr(birthkey.conversation, "_ANSWER_MS", 20_000)

    def hold(answer: bytes) -> bytes:
        board_clock.now += late
        return answer

    network.down = hold
    assert device.sync_time(wait_ms=10_500) == (NOW if believed else False)
    assert clock == ([NOW] if believed else [])
    assert (device.unopened > 0) is not believed


def test_an_answer_that_was_not_asked_for_sets_nothing(
    device: Device, network: Network, registry: Registry, clock: list[int]
) -> None:
    # A server that answers a reading with the time has not acknowledged it.
    real = network.pipeline.frames

    def tell(frame: bytes, source: str) -> list[bytes]:
        outcome = network.pipeline._verifier.receive(frame, source=source, now=0)
        return [outcome.seal(Message(Type.TIME, outcome.message.counter, {0: 1, 1: NOW}))]

    network.pipeline.frames = tell  # type: ignore[method-assign]
    assert not device.send({"n": 1}, wait_ms=50)
    assert device.problem == "the server's answer is of another kind than the question"
    assert device.queued == 1
    assert clock == []
    network.pipeline.frames = real  # type: ignore[method-assign]
    assert device.deliver()


def test_an_acknowledgement_is_no_time(
    device: Device, network: Network, clock: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def acknowledge(frame: bytes, source: str) -> list[bytes]:
        outcome = network.pipeline._verifier.receive(frame, source=source, now=0)
        return [outcome.seal(Message(Type.ACKNOWLEDGE, outcome.message.counter, {0: 1}))]

    monkeypatch.setattr(network.pipeline, "frames", acknowledge)
    assert device.sync_time(wait_ms=50) is False
    assert clock == []


def test_a_revoked_board_is_told_so(device: Device, registry: Registry, clock: list[int]) -> None:
    registry.revoke(device.device_id, who="ada", why="", now=time.time())
    with pytest.raises(Refused, match="revoked"):
        device.sync_time()
    assert clock == []


def test_boot_numbers_and_counters_do_not_depend_on_the_clock(
    device: Device, start: Start, network: Network, registry: Registry, clock: list[int]
) -> None:
    for seconds in (4_000_000_000, 1_740_000_000):
        network.pipeline._clock = lambda now=seconds: float(now)  # type: ignore[misc]
        assert device.sync_time() == seconds
        assert device.send({"at": seconds})
        device = start()
    assert device.boot == 3
    counters: list[Any] = [row.counter for row in registry.messages()]
    assert counters == sorted(counters)
