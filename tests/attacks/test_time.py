"""The time: a board that asks believes the answer to its question, once, and in time."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace

import pytest

import birthkey.conversation
import birthkey.device
from attacks.stage import WAIT_MS, Stage
from attacks.target import (
    Target,
    opened,
)
from attacks.test_answers import Clock, forged
from attacks.wire import lost, passed
from birthkey._port import run
from birthkey_host import cbor, cose
from birthkey_host.message import Message, Type

attack = pytest.mark.attack


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the board's clock was set to."""
    settings: list[int] = []
    monkeypatch.setattr(birthkey.device, "set_clock", settings.append)
    return settings


@attack("a time that was recorded, fed to its board when it asks again", layer="board")
def test_recorded_time(target: Target, clock: list[int]) -> None:
    device = target.board.device
    assert device.sync_time(WAIT_MS)
    recorded = target.board.line.answers[-1]
    upcoming = (device.boot << 32 | len(target.board.line.frames)).to_bytes(8, "big")
    renamed = replace(cose.Answer.decode(recorded), partial_iv=upcoming).encode()
    target.board.line.down = lambda answer: [recorded, renamed, answer]
    assert device.sync_time(WAIT_MS)
    target.board.line.down = passed
    assert device.unopened == 2
    assert len(clock) == 2
    assert clock == pytest.approx([time.time()] * 2, abs=10)
    target.works()


@attack("a time held back for 11 s", layer="board", result="the board asks anew")
def test_held_time(target: Target, clock: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Clock()
    monkeypatch.setattr(birthkey.conversation, "ticks_ms", ticks)
    held: list[bytes] = []

    def hold(answer: bytes) -> Iterable[bytes]:
        if not held:
            held.append(answer)
            return []
        return [held[0], answer]

    target.board.line.down = hold
    steps = target.board.device.sync_time_steps(60_000)
    while not held:
        next(steps)
    ticks.ahead += 11_000
    assert run(steps) == clock[0]
    target.board.line.down = passed
    assert target.board.device.unopened == 1
    assert len(clock) == 1
    target.works()


@attack("the time in answer to a reading, by whoever has the server's key", layer="board")
def test_time_that_nobody_asked_for(target: Target, clock: list[int]) -> None:
    def tell(answer: bytes) -> Iterable[bytes]:
        [peer] = target.board.device._conversation._session._peers
        frame = target.board.line.frames[-1]
        counter = cbor.loads(opened(answer, peer.down_key, target.board.device_id))[1]  # type: ignore[index]
        message = Message(Type.TIME, int(counter), {0: 1, 1: 1_790_000_000})  # type: ignore[arg-type]
        target.board.line.down = passed
        return [forged(frame, peer.down_key, target.board.device_id, message)]

    target.board.line.down = tell
    target.board.deliver()
    assert clock == []
    target.works()


@attack("every time is lost", layer="-", result="each question is a new one; the clock is not set")
def test_lost_time(
    target: Target, stage: Stage, clock: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(birthkey.conversation, "_ANSWER_MS", 100)
    target.board.line.down = lost
    assert target.board.device.sync_time(600) is False
    target.board.line.down = passed
    monkeypatch.undo()
    questions = [m for m in stage.messages(target.board.device_id) if m.type == Type.STATUS]
    assert len(questions) > 1
    assert clock == []
    target.works()
