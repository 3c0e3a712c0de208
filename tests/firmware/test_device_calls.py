"""Calls of a Device: how long they take, that they go on where the last one stopped, and that
several at once do not get in each other's way."""

from __future__ import annotations

import asyncio
import contextlib
import linecache
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import birthkey.conversation
import birthkey.device
import birthkey.outbox
from birthkey import Device, OutboxFull, Refused
from birthkey._port import run
from birthkey_host import commands
from birthkey_host.message import Message, Type
from birthkey_host.registry import Registry
from birthkey_host.schema import CommandState
from device_network import Network
from virtual_time import PERIOD, Clock, Distant, waits

Start = Callable[..., Device]


# What is done, by which of three tasks, how long it waits, how many steps or how long a pause.
ACTIONS = st.tuples(
    st.sampled_from(["send"] * 4 + ["deliver", "sync_time", "cancel", "network", "pause"]),
    st.integers(0, 2),
    st.sampled_from([0, 5, 50, 5_000]),
    st.sampled_from([1, 2, 5, 20, 20_000, PERIOD // 2 + 5, PERIOD]),
)

TRACED = [module.__file__ for module in (birthkey.device, birthkey.conversation, birthkey.outbox)]


@pytest.fixture
def clock(board_clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Clock:
    monkeypatch.setattr(Distant, "clock", board_clock)
    return board_clock


@pytest.fixture
def begin(start: Start, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts a board far from its server, with the waits that boards really have."""
    monkeypatch.setattr(birthkey.device, "Tcp", Distant)
    waits(monkeypatch)
    return start


@pytest.fixture
def device(begin: Start) -> Device:
    device = begin()
    assert device.deliver()
    return device


def bodies(registry: Registry) -> list[Any]:
    messages = [Message.decode(row.message) for row in registry.messages()]
    return [message.body for message in messages if message.type == Type.DATA]


def told(registry: Registry, device: Device, body: Any, expires: float = 60) -> CommandState:
    """Send a command; give what its state is."""
    now = time.time()
    registry.command(device.device_id, body, expires=now + expires, who="ada", why="", now=now)
    return state(registry, device)


def state(registry: Registry, device: Device) -> CommandState:
    return commands.state(registry.commands(device.device_id)[-1], time.time())


class TestShort:
    """Calls that wait for less than an answer takes."""

    @pytest.mark.parametrize("pause", [0, 60_000, 7 * 86_400_000, 13 * 86_400_000])
    def test_an_answer_that_came_late_counts(
        self,
        device: Device,
        registry: Registry,
        clock: Clock,
        monkeypatch: pytest.MonkeyPatch,
        pause: int,
    ) -> None:
        """Whatever the application does between: a round trip of 400 ms, waits of 300."""
        monkeypatch.setattr(Distant, "trip_ms", 400)
        sends = 12
        for number in range(sends):
            device.send({"n": number}, wait_ms=300)
            clock.now += pause
        stored = bodies(registry)
        assert stored == [{"n": number} for number in range(len(stored))]
        # Back to back there is time for as many trips; with a pause each answer is there before
        # the next call.
        assert len(stored) >= (sends if pause else sends * 300 // 400 - 1)
        assert device.deliver()
        assert bodies(registry) == [{"n": number} for number in range(sends)]

    def test_a_connection_that_takes_long_is_made_all_the_same(
        self, begin: Start, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Distant, "open_ms", 5_000)
        device = begin()
        for _ in range(60):
            if device.deliver(wait_ms=100):
                break
            assert "connecting takes longer" in device.problem
        assert device.enrolled

    def test_no_time_at_all_is_said(self, device: Device) -> None:
        assert not device.send({"n": 1}, wait_ms=0)
        assert "nothing was tried" in device.problem
        assert device.deliver()
        assert device.problem is None

    def test_the_time_comes_in_its_own_call_or_not_at_all(
        self, device: Device, registry: Registry, monkeypatch: pytest.MonkeyPatch, clock: Clock
    ) -> None:
        """Nobody can tell how old it is in a later one."""
        monkeypatch.setattr(birthkey.device, "set_clock", lambda seconds: None)
        monkeypatch.setattr(Distant, "trip_ms", 400)
        for _ in range(4):
            assert device.sync_time(wait_ms=300) is False
            clock.now += 60_000
        assert device.sync_time(wait_ms=500)
        kinds = [Message.decode(row.message) for row in registry.messages()]
        questions = [message.counter for message in kinds if message.body == {3: True}]
        assert len(questions) == len(set(questions)) == 5

    def test_a_question_that_was_cancelled_is_not_asked_again(
        self, device: Device, registry: Registry, network: Network
    ) -> None:
        network.reachable = False
        steps = device.sync_time_steps(10_000)
        for _ in range(5):
            next(steps)
        steps.close()
        network.reachable = True
        assert device.send({"n": 1})
        assert [row.type for row in registry.messages()] == [Type.ENROL, Type.DATA]


class TestBound:
    """`wait_ms` is how long a call takes at most, whatever fails."""

    @pytest.mark.parametrize("wait_ms", [0, 1, 300, 2_000, 15_000])
    @pytest.mark.parametrize(
        "failing", [{"stuck": True}, {"silent": True}, {"open_ms": 20_000}, {"trip_ms": 30_000}]
    )
    @pytest.mark.parametrize("call", ["send", "deliver", "sync_time"])
    def test_a_call_is_back_in_time(
        self,
        device: Device,
        clock: Clock,
        monkeypatch: pytest.MonkeyPatch,
        wait_ms: int,
        failing: dict[str, Any],
        call: str,
    ) -> None:
        for name, value in failing.items():
            monkeypatch.setattr(Distant, name, value)
        run(device._conversation._transport.close())
        for _ in range(3):
            began = clock.now
            body = [{"n": 1}] if call == "send" else []
            getattr(device, call)(*body, wait_ms=wait_ms)
            assert clock.now - began <= wait_ms + 2

    def test_noise_without_end_holds_up_nobody(
        self, device: Device, clock: Clock, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def noise(self: Distant, timeout_ms: int) -> Iterator[None]:
            yield
            return bytes(4096)

        monkeypatch.setattr(Distant, "receive", noise)
        began = clock.now
        assert not device.send({"n": 1}, wait_ms=1_000)
        assert clock.now - began <= 1_002
        assert not device.deliver(wait_ms=15_000)
        assert "is the server's key the right one?" in device.problem


class TestFull:
    """An outbox that an outage has filled."""

    @pytest.mark.parametrize("options", [{"outbox": 200}, {"spool": 200}], ids=["RAM", "flash"])
    def test_it_empties_by_sending_alone(
        self,
        begin: Start,
        registry: Registry,
        network: Network,
        options: dict[str, Any],
    ) -> None:
        """As the application does that ships: it calls nothing but `send`."""
        device = begin(**options)
        assert device.deliver()
        network.reachable = False
        run(device._conversation._transport.close())
        kept = []
        for number in range(30):
            with contextlib.suppress(OutboxFull):
                device.send({"n": number}, wait_ms=1_000)
                kept.append(number)
        assert 0 < len(kept) < 30
        assert device.problem == "cannot reach the server"
        network.reachable = True
        for number in range(30, 40):
            assert device.send({"n": number}, wait_ms=70_000)
        assert [body["n"] for body in bodies(registry)] == [*kept, *range(30, 40)]

    def test_without_time_it_is_said_at_once(
        self, begin: Start, network: Network, clock: Clock
    ) -> None:
        device = begin(outbox=20)
        device.send({"n": 1}, wait_ms=0)
        began = clock.now
        with pytest.raises(OutboxFull, match="1 readings wait"):
            device.send({"n": 2}, wait_ms=0)
        assert clock.now == began

    def test_a_reading_that_never_fits_is_refused_at_once(self, begin: Start, clock: Clock) -> None:
        device = begin(outbox=20)
        began = clock.now
        with pytest.raises(OutboxFull):
            device.send({"text": "x" * 30})
        assert clock.now == began

    def test_memory_that_ran_out_is_a_full_outbox(
        self, device: Device, network: Network, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def none(body: Any) -> None:
            raise MemoryError

        monkeypatch.setattr(device._outbox, "append", none)
        with pytest.raises(OutboxFull, match="memory ran out"):
            device.send({"n": 1}, wait_ms=100)

    def test_a_reading_that_memory_does_not_suffice_for_holds_up_no_other(
        self, device: Device, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seal = device._conversation._session.seal

        def cramped(counter: int, encoded: bytes, now: int) -> bytes:
            if len(encoded) > 100:
                raise MemoryError
            return bytes(seal(counter, encoded, now))

        monkeypatch.setattr(device._conversation._session, "seal", cramped)
        assert not device.send({"text": "x" * 100}, wait_ms=500)
        assert "memory ran out" in device.problem
        assert device.send({"n": 1})
        assert bodies(registry) == [{"n": 1}]
        monkeypatch.undo()
        assert device.deliver(wait_ms=70_000)
        assert len(bodies(registry)) == 2


class TestCommands:
    def test_one_that_was_taken_is_not_begun_by_a_later_call(
        self, device: Device, registry: Registry, network: Network, clock: Clock
    ) -> None:
        """36 s later, without a network: it may have expired. The server sends it again."""
        done = []
        device.on_command(done.append)
        told(registry, device, {"led": True})
        steps = device.send_steps({"n": 1}, 15_000)
        while not device._conversation._taken:
            next(steps)
        steps.close()
        network.reachable = False
        run(device._conversation._transport.close())
        clock.now += 36_000
        assert not device.send({"n": 2}, wait_ms=1_000)
        assert done == []
        network.reachable = True
        assert device.deliver(wait_ms=70_000)
        assert done == [{"led": True}]
        assert state(registry, device) == CommandState.DONE

    def test_one_that_is_lost_holds_up_no_reading(
        self,
        device: Device,
        registry: Registry,
        network: Network,
        clock: Clock,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Its acknowledgement has come, and the command behind it never will."""
        monkeypatch.setattr(Distant, "trip_ms", 50)
        device.on_command(lambda body: None)
        told(registry, device, {"led": True})
        with monkeypatch.context() as patch:
            carry = network.carry
            patch.setattr(network, "carry", lambda frame: carry(frame)[:1])
            assert device.send({"n": 1}, wait_ms=1_000)
        began = clock.now
        assert device.send({"n": 2}, wait_ms=2_000)
        assert clock.now - began < 500

    def test_the_time_that_is_lost_holds_up_no_reading(
        self, device: Device, network: Network, clock: Clock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(network, "carry", lambda frame: [])
            assert device.sync_time(500) is False
        began = clock.now
        assert device.send({"n": 1}, wait_ms=5_000)
        assert clock.now - began < 500

    def test_memory_that_lacks_for_its_result_loses_no_reading(
        self, device: Device, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        done: list[Any] = []
        device.on_command(done.append)
        told(registry, device, {"led": True})
        make = device._outbox.make
        lacks = iter([True])

        def cramped(kind: int, body: Any) -> Any:
            if kind == Type.STATUS and next(lacks, False):
                raise MemoryError
            return make(kind, body)

        monkeypatch.setattr(device._outbox, "make", cramped)
        assert device.send({"n": 1})
        assert device.send({"n": 2})
        assert (done, state(registry, device)) == ([{"led": True}], CommandState.DONE)


class TestRefused:
    def test_each_caller_hears_of_its_own(
        self, device: Device, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("birthkey.message.check_data", lambda body: None)

        async def both() -> list[Any]:
            calls = device.asend({"n": 1}), device.asend(5), device.asend({"n": 2})
            return await asyncio.gather(*calls, return_exceptions=True)

        good, refused, also_good = asyncio.run(both())
        assert (good, also_good) == (True, True)
        assert isinstance(refused, Refused)
        assert (refused.reason, refused.kind) == ("malformed", Type.DATA)
        assert device.dropped == 1

    def test_one_that_nobody_waits_for_is_raised_once(
        self, device: Device, registry: Registry, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("birthkey.message.check_data", lambda body: None)
        device.send(5, wait_ms=0)
        with pytest.raises(Refused, match="malformed"):
            device.send({"n": 1})
        assert device.queued == 1
        assert device.deliver()
        assert bodies(registry) == [{"n": 1}]


class TestInterrupted:
    """Ctrl-C may come between any two lines: what was queued is delivered by the next call."""

    @pytest.mark.parametrize("call", ["send", "deliver", "sync_time"])
    def test_at_each_line(self, device: Device, registry: Registry, call: str) -> None:
        conversation = device._conversation
        enrolled = len(bodies(registry))
        position = 0
        interrupted = True
        while interrupted:
            body = [{"n": position}] if call == "send" else []
            if call == "deliver":
                device.send({"n": position}, wait_ms=0)
            interrupted = _interrupted(position, lambda body=body: getattr(device, call)(*body))
            assert not conversation._delivering and not conversation._asking
            assert conversation.outcomes == {}
            assert device.deliver(), device.problem
            position += 1
        assert position > 50
        stored = [body["n"] for body in bodies(registry)[enrolled:]]
        assert stored == sorted(set(stored))
        if call == "deliver":
            assert len(stored) == position
        elif call == "send":
            assert position - len(stored) < 40  # those whose call had not queued them yet


def _interrupted(position: int, call: Callable[[], object]) -> bool:
    """Whether the call was interrupted before so many lines of the board's code had run."""
    left = position

    def on_line(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        # Not within what cleans up: no language has a way to be interrupted there and clean up.
        if event == "line" and "conversation.end(" not in linecache.getline(
            frame.f_code.co_filename, frame.f_lineno
        ):
            if not left:
                sys.settrace(None)
                raise KeyboardInterrupt
            left -= 1
        return on_line

    def on_call(frame: FrameType, event: str, _: object) -> Any:
        code = frame.f_code
        return on_line if code.co_filename in TRACED and code.co_name != "end" else None

    sys.settrace(on_call)
    try:
        call()
        return False
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)


class TestTasks:
    """Several tasks, which asyncio mixes and cancels as it likes."""

    def test_two_that_send_on_a_good_network(
        self, device: Device, registry: Registry, clock: Clock
    ) -> None:
        async def both() -> list[bool]:
            return await asyncio.gather(*(device.asend({"n": number}) for number in range(6)))

        began = clock.now
        assert asyncio.run(both()) == [True] * 6
        assert sorted(body["n"] for body in bodies(registry)) == list(range(6))
        assert clock.now - began < 1_000
        assert device.problem is None

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    @given(actions=st.lists(ACTIONS, max_size=40))
    def test_any_mix(
        self,
        begin: Start,
        network: Network,
        registry: Registry,
        clock: Clock,
        actions: list[tuple[Any, ...]],
    ) -> None:
        """Three tasks, cancelled anywhere, over a network that comes and goes: in the end each
        reading is stored once, and each task was told the truth of its own."""
        network.reachable = True
        device = begin()
        assert device.deliver(wait_ms=100_000)
        before = len(bodies(registry))
        tasks: dict[int, tuple[Any, int | None]] = {}
        results: dict[int, Any] = {}
        sent = 0
        for action, slot, wait_ms, amount in actions:
            if action == "network":
                network.reachable = not network.reachable
                device._conversation._transport.connected = network.reachable
            elif action == "pause":
                clock.now += amount
            elif action == "cancel":
                if slot in tasks:
                    tasks.pop(slot)[0].close()
            elif slot not in tasks:
                if action == "send":
                    tasks[slot] = device.send_steps({"task": sent}, wait_ms), sent
                    sent += 1
                else:
                    tasks[slot] = getattr(device, f"{action}_steps")(wait_ms), None
            else:
                steps, number = tasks[slot]
                for _ in range(1 + amount % 30):
                    clock.now += 1
                    try:
                        next(steps)
                    except StopIteration as stop:
                        del tasks[slot]
                        if number is not None:
                            results[number] = stop.value, {"task": number} in bodies(registry)
                        break
        for steps, _ in tasks.values():
            steps.close()
        network.reachable = True
        assert device.deliver(wait_ms=200_000), device.problem
        stored = [body["task"] for body in bodies(registry)[before:]]
        assert len(stored) == len(set(stored))
        for number, (told, was_stored) in results.items():
            assert told is True or told is False
            assert was_stored or not told
            assert number in stored
        assert not device._conversation._delivering and not device._conversation._asking
        assert device._conversation.outcomes == {}
        assert device.send({"task": "last"})
