"""Steps that are left for any time, closed or dropped at any moment: what comes then is sound.

The modem and the network are simulated, the clock is the test's.
"""

from __future__ import annotations

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from birthkey_host.simulator import ESP_AT_2, ESP_AT_3_3, NONOS_1_7, Firmware
from device import Interpreter
from stepped_modem import FAILED, GIVEN, RUNNING, World, refusals

WAKING = b"AT+RS\r\n "
DAY = 24 * 3600 * 1000
# Half a second, some minutes, over half of a period of 2^20 ms and of 2^30, and over a whole one.
PAUSES = [500, 5 * 60_000, 600_000, 2**20 + 5, 7 * DAY, 10 * DAY, 12 * DAY + 3_000_000, 13 * DAY]

_frames = (random.Random(number).randbytes(20 + number * 397 % 1075) for number in range(10**9))


def frame() -> bytes:
    """One that is like no other."""
    return next(_frames)


def ours(got: bytes, sent: list[bytes]) -> bool:
    """Whether it is one of these; or one that was cut, and filled up by what wakes a modem."""
    return any(
        got == one or (len(got) > cut and got[:cut] == one[:cut] and got[cut:].strip(WAKING) == b"")
        for one in sent
        for cut in range(min(len(got), len(one)) + 1)
    )


def sound(world: World, sent: list[bytes]) -> None:
    """Once everything is well, what is sent arrives, and the server got whole frames only."""
    wanted = frame()
    world.deliver(wanted)
    assert wanted in world.frames
    assert not [got for got in world.frames if not ours(got, [wanted, *sent])]
    assert refusals(world.chunks) == []


@pytest.fixture(params=[ESP_AT_3_3, NONOS_1_7], ids=["passive", "older"])
def world(device: Interpreter, ticks: None, request: pytest.FixtureRequest) -> World:
    return World(device, request.param)


def test_frames_go_there_and_back(world: World) -> None:
    for _ in range(3):
        sound(world, world.frames)


def leave(world: World, how: str, pause: int) -> None:
    """Do that to the steps under way."""
    if how == "close":
        world.board.close()
    elif how == "drop":
        world.board.drop()
    world.wait(pause)
    if how == "leave":
        world.run()


@pytest.mark.parametrize("how", ["leave", "close", "drop"])
@pytest.mark.parametrize("name", ["open", "send", "receive", "close"])
def test_any_step_may_be_the_last(device: Interpreter, ticks: None, name: str, how: str) -> None:
    """Each in turn; then there is a pause, and a delivery."""
    for count in range(1, 10_000):
        world, sent = World(device), [random.Random(count).randbytes(700)]
        if name != "open":
            world.begin("open")
            assert world.run()[0] == GIVEN
        if name == "receive":
            world.begin("send", sent[0])
            assert world.run()[0] == GIVEN
        world.begin(name, *{"send": sent, "receive": [1000]}.get(name, []))
        ended = RUNNING
        for _ in range(count):
            ended, _ = world.step(2)
            if ended != RUNNING:
                break
        if ended != RUNNING:
            break
        leave(world, how, PAUSES[count % len(PAUSES)])
        sound(world, sent)
    assert count > (1 if name == "close" else 5)


def test_a_long_frame_is_sent_whole_or_the_connection_is_over(device: Interpreter) -> None:
    """It takes two sends of the modem, and others may use that between them."""
    for count in range(1, 1000):
        world, sent = World(device, ESP_AT_2), [random.Random(count).randbytes(3900)]
        world.begin("open")
        assert world.run()[0] == GIVEN
        world.begin("send", sent[0])
        if any(world.step(5)[0] != RUNNING for _ in range(count)):
            break
        world.board.drop()
        sound(world, sent)
    assert count > 5


def test_who_was_given_up_takes_no_step_more(device: Interpreter, ticks: None) -> None:
    world = World(device)
    world.begin("open")
    for _ in range(10):
        assert world.step()[0] == RUNNING
    world.board.drop()
    wanted = frame()
    world.deliver(wanted)
    world.board.pick_up()
    ended, sentence = world.run()
    assert (ended, "Others use the modem" in sentence) == (FAILED, True)
    # And it did no harm to those.
    before = len(world.chunks)
    world.begin("send", wanted)
    assert world.run()[0] == GIVEN
    assert not any(b"CIPSTART" in data for from_board, data in world.chunks[before:] if from_board)


EVENTS = ["restart", "lose_network", "close_connections"]
acts = st.one_of(
    st.tuples(st.just("step"), st.integers(1, 60), st.integers(1, 40)),
    st.tuples(st.just("begin"), st.sampled_from(["open", "send", "receive", "close"])),
    st.tuples(st.just("pause"), st.sampled_from(PAUSES)),
    st.tuples(st.sampled_from(["close", "drop", "pick up"])),
    st.tuples(st.sampled_from(EVENTS), st.booleans()),
    st.tuples(st.sampled_from(["server", "network"]), st.booleans()),
)


@settings(
    max_examples=80,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    firmware=st.sampled_from([ESP_AT_3_3, ESP_AT_2, NONOS_1_7]),
    script=st.lists(acts, min_size=1, max_size=25),
)
def test_after_anything_a_frame_is_delivered(
    device: Interpreter, ticks: None, firmware: Firmware, script: list[tuple[object, ...]]
) -> None:
    world, sent = World(device, firmware), list[bytes]()
    running = dropped = False
    for act, *details in script:
        if act == "step":
            for _ in range(details[0] if running else 0):
                running = running and world.step(details[1])[0] == RUNNING
        elif act == "begin":
            if running:
                world.board.drop()
                dropped = True
            if details[0] == "send":
                sent.append(frame())
            arguments = {"send": sent[-1:], "receive": [1000]}.get(details[0], [])
            world.begin(details[0], *arguments)
            running = True
        elif act == "pause":
            world.wait(details[0])
        elif act == "pick up":
            if dropped and not running:
                world.board.pick_up()
                running, dropped = True, False
        elif act in ("close", "drop"):
            if running:
                getattr(world.board, act)()
            dropped = dropped or (running and act == "drop")
            running = False
        elif act in EVENTS:
            world.loses = int(details[0])  # the word of it, on a UART whose buffer is full
            getattr(world, act)()
            world.loses = 0
        elif act == "server":
            world.server_up = details[0]
        else:
            world.network_up = details[0]
            if not details[0]:
                world.lose_network()
    if running:
        world.board.drop()
    world.server_up = world.network_up = True
    sound(world, sent)
