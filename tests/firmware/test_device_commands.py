"""Commands on their whole way: from the registry to a Device's handler, and the result back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import birthkey.conversation
import birthkey.device
from birthkey import Device, Refused
from birthkey_host import cbor, commands
from birthkey_host.message import Message, Type
from birthkey_host.registry import Registry
from birthkey_host.schema import CommandState
from device_network import Network, Transport
from virtual_time import Clock

Start = Callable[..., Device]
LED = {"led": True}


class Operator:
    """Who sends commands, and looks what came of them."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def send(self, device: Device, body: Any = LED) -> int:
        now = time.time()
        row = self.registry.command(
            device.device_id, body, expires=now + 60, who="ada", why="", now=now
        )
        return row.id

    def states(self, device: Device) -> list[tuple[CommandState, Any]]:
        return [
            (
                commands.state(row, time.time()),
                row.result and cbor.loads(row.result),
            )
            for row in self.registry.commands(device.device_id)
        ]


@pytest.fixture
def operator(registry: Registry) -> Operator:
    return Operator(registry)


class Led:
    """A handler that keeps what it was told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def __call__(self, body: Any) -> Any:
        self.told.append(body)
        return {"n": len(self.told)}


@pytest.fixture
def led() -> Led:
    return Led()


@pytest.fixture
def device(start: Start, led: Led) -> Device:
    """Enrolled, with a handler."""
    device = start()
    device.on_command(led)
    assert device.deliver()
    return device


def statuses(registry: Registry) -> list[Any]:
    messages = [Message.decode(row.message) for row in registry.messages()]
    return [message.body for message in messages if message.type == Type.STATUS]


def test_a_command_comes_with_the_next_answer_and_its_result_goes_back(
    device: Device, operator: Operator, led: Led
) -> None:
    assert operator.send(device) == 1
    assert operator.states(device) == [(CommandState.QUEUED, None)]
    assert device.send({"t": 1})
    assert led.told == [LED]
    assert operator.states(device) == [(CommandState.DONE, {"n": 1})]
    assert device.problem is None
    assert device.unopened == 0


def test_all_that_wait_are_carried_out_in_their_order(
    device: Device, operator: Operator, led: Led
) -> None:
    bodies = [{"n": number} for number in range(5)]
    for body in bodies:
        operator.send(device, body)
    assert device.send({"t": 1})
    assert led.told == bodies
    assert operator.states(device) == [(CommandState.DONE, {"n": n}) for n in range(1, 6)]


def test_a_board_without_a_handler_says_so(
    start: Start, operator: Operator, registry: Registry
) -> None:
    device = start()
    device.deliver()
    operator.send(device)
    assert device.send({"t": 1})
    [(state, result)] = operator.states(device)
    assert (state, result[0]) == (CommandState.DONE, "no-handler")


def test_a_handler_that_raises_stops_nothing(
    device: Device, operator: Operator, registry: Registry
) -> None:
    device.on_command(lambda body: body["absent"])
    operator.send(device)
    assert device.send({"t": 1})
    assert operator.states(device) == [(CommandState.DONE, ["failed", "KeyError: 'absent'"])]
    assert device.send({"t": 2})


def test_a_command_that_is_lost_comes_with_the_next_answer(
    device: Device, operator: Operator, network: Network, led: Led
) -> None:
    operator.send(device)
    lost = iter([False, True])  # the acknowledgement comes through
    network.down = lambda answer: None if next(lost) else answer
    assert device.send({"t": 1})
    assert operator.states(device) == [(CommandState.SENT, None)]
    network.down = lambda answer: answer
    assert device.send({"t": 2})
    assert led.told == [LED]
    assert operator.states(device) == [(CommandState.DONE, {"n": 1})]


def lose_statuses(network: Network, device: Device) -> Callable[[bytes], bytes | None]:
    """Readings get through, and what tells of commands does not."""

    def lose(frame: bytes) -> bytes | None:
        outcome = network.pipeline._verifier.receive(frame, source="here", now=0)
        return None if outcome.message.type == Type.STATUS else frame

    return lose


def test_a_result_that_is_lost_is_sent_again(
    device: Device, operator: Operator, network: Network, led: Led
) -> None:
    operator.send(device)
    network.up = lose_statuses(network, device)
    assert device.send({"t": 1}, wait_ms=500)  # the reading is stored
    assert not device.deliver(wait_ms=50)
    assert operator.states(device) == [(CommandState.SENT, None)]
    network.up = lambda frame: frame
    assert device.deliver()
    assert led.told == [LED]
    assert operator.states(device) == [(CommandState.DONE, {"n": 1})]


def test_a_result_outlives_a_reboot(
    device: Device, start: Start, operator: Operator, network: Network, led: Led
) -> None:
    operator.send(device)
    network.up = lose_statuses(network, device)
    steps = device.send_steps({"t": 1}, 60_000)
    while not led.told:
        next(steps)
    steps.close()
    network.up = lambda frame: frame
    again = start()
    again.on_command(led)
    assert again.send({"t": 2})
    assert led.told == [LED]
    assert operator.states(device) == [(CommandState.DONE, {"n": 1})]


def test_power_that_fails_while_a_command_runs_leaves_the_outcome_unknown(
    device: Device, start: Start, operator: Operator, led: Led
) -> None:
    def die(body: Any) -> None:
        led(body)
        raise KeyboardInterrupt

    device.on_command(die)
    operator.send(device)
    with pytest.raises(KeyboardInterrupt):
        device.send({"t": 1})
    again = start()
    again.on_command(led)
    assert again.send({"t": 2})
    assert led.told == [LED]
    assert operator.states(device) == [(CommandState.UNKNOWN, None)]
    operator.send(device)
    assert again.send({"t": 3})
    assert operator.states(device)[1] == (CommandState.DONE, {"n": 2})


def test_the_result_overtakes_readings_that_wait(
    device: Device, operator: Operator, network: Network, registry: Registry
) -> None:
    network.reachable = False
    for number in range(4):
        device.send({"n": number}, wait_ms=0)
    operator.send(device)
    network.reachable = True
    device._conversation._transport.connected = False
    assert device.deliver()
    _, *kinds = [Type(row.type) for row in registry.messages()]
    # The command was behind the first acknowledgement, which the board had not waited for.
    assert kinds == [Type.DATA, Type.DATA, Type.STATUS, Type.DATA, Type.DATA]


def test_a_handler_may_send(
    device: Device, operator: Operator, registry: Registry, led: Led
) -> None:
    def measure(body: Any) -> bool:
        led(body)
        return device.send({"measured": True})

    device.on_command(measure)
    operator.send(device, {"measure": True})
    assert device.send({"t": 1})
    assert led.told == [{"measure": True}]
    assert operator.states(device) == [(CommandState.DONE, True)]
    assert len(registry.messages()) == 4


def test_a_suspended_board_gets_no_command(
    device: Device, operator: Operator, registry: Registry, led: Led
) -> None:
    operator.send(device)
    registry.suspend(device.device_id, who="ada", why="", now=time.time())
    assert not device.send({"t": 1}, wait_ms=50)
    assert led.told == []
    registry.approve(device.device_id, who="ada", why="", now=time.time())
    # With the answer to a frame that was sealed in this call, which the first one need not be.
    assert device.deliver()
    assert device.send({"t": 2})
    assert led.told == [LED]


def test_a_revoked_board_gets_no_command(
    device: Device, operator: Operator, registry: Registry, led: Led
) -> None:
    operator.send(device)
    registry.revoke(device.device_id, who="ada", why="", now=time.time())
    with pytest.raises(Refused, match="revoked"):
        device.send({"t": 1})
    assert led.told == []


def test_a_board_that_was_deleted_and_let_in_again_does_no_old_id(
    device: Device, operator: Operator, registry: Registry, led: Led
) -> None:
    operator.send(device)
    assert device.send({"t": 1})
    registry.delete(device.device_id, who="ada", why="", now=time.time())
    assert registry.commands(device.device_id) == []
    registry.approve(device.device_id, who="ada", why="", now=time.time())
    assert device.send({"t": 2})
    assert operator.send(device) == 2
    assert device.send({"t": 3})
    assert led.told == [LED, LED]


class Slow(Transport):
    """Each frame after the first takes its time."""

    clock = Clock()
    after = 50  # milliseconds
    asked = 0

    def __init__(self, link: Network, host: str, port: int) -> None:
        super().__init__(link, host, port)
        self._due = 0

    def receive(self, timeout_ms: int) -> Iterator[None]:
        yield
        Slow.asked += 1
        if not self.answers or self.clock.now < self._due:
            return None
        self._due = self.clock.now + self.after
        return self.answers.pop(0)

    def send(self, frame: bytes) -> Iterator[None]:
        yield from super().send(frame)
        self._due = 0


@pytest.fixture
def slow(start: Start, board_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Device:
    monkeypatch.setattr(Slow, "clock", board_clock)
    monkeypatch.setattr(birthkey.device, "Tcp", Slow)
    device = start()
    assert device.deliver()
    return device


def test_commands_that_come_in_a_later_call_are_noise(
    slow: Device, operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can tell their age. The next message brings them again."""
    operator.send(slow)
    monkeypatch.setattr(Slow, "after", 60_000)
    for number in range(3):
        assert slow.send({"n": number}, wait_ms=300)
    assert slow.unopened == 2
    assert operator.states(slow) == [(CommandState.SENT, None)]


def test_a_command_that_was_announced_is_waited_for(
    slow: Device, operator: Operator, led: Led, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(birthkey.conversation, "_COMMAND_MS", 5000)
    slow.on_command(led)
    operator.send(slow)
    assert slow.send({"t": 1})
    assert led.told == [LED]
    assert operator.states(slow) == [(CommandState.DONE, {"n": 1})]


def test_without_one_nothing_is_waited_for(slow: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(birthkey.conversation, "_COMMAND_MS", 5000)
    monkeypatch.setattr(Slow, "asked", 0)
    slow.on_command(Led())
    assert slow.send({"t": 1})
    assert Slow.asked == 1


@pytest.mark.parametrize(("command_ms", "wait_ms"), [(20, 60_000), (60_000, 500)])
def test_one_that_never_comes_holds_nobody_up_for_long(
    slow: Device,
    operator: Operator,
    board_clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    command_ms: int,
    wait_ms: int,
) -> None:
    """Nor for longer than the caller wants to wait at all."""
    monkeypatch.setattr(birthkey.conversation, "_COMMAND_MS", command_ms)
    monkeypatch.setattr(Slow, "after", 60_000)
    operator.send(slow)
    began = board_clock.now
    assert slow.send({"t": 1}, wait_ms)
    assert 20 <= board_clock.now - began < 600
    assert slow.problem is None


def test_a_handler_that_sends_does_not_wait_for_its_own_command(
    start: Start,
    operator: Operator,
    network: Network,
    board_clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(birthkey.conversation, "_COMMAND_MS", 60_000)
    device = start()
    answers: list[bytes] = []
    took = []

    def lose_the_second_copy(answer: bytes) -> bytes:
        answers.append(answer)
        return b"" if len(answers) == 4 else answer

    def handler(body: Any) -> None:
        began = board_clock.now
        assert device.send({"inner": True})
        took.append(board_clock.now - began)

    assert device.deliver()
    device.on_command(handler)
    operator.send(device)
    network.down = lose_the_second_copy
    assert device.send({"outer": True})
    assert max(took) < 5_000
    assert operator.states(device) == [(CommandState.DONE, None)]
