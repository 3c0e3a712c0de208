"""Commands on their way down: each is done once or not at all, by the board that it is for."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import replace

import pytest

import birthkey.conversation
from attacks.stage import Stage
from attacks.target import (
    DONE,
    EXPECTED,
    LED,
    ONCE,
    UNKNOWN,
    Target,
    catch,
    expect,
    is_command,
)
from attacks.test_answers import Clock, forged, keys_of
from attacks.wire import passed
from birthkey_host import cose
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Type

attack = pytest.mark.attack


@attack("a command that was recorded, fed to its board again", layer="board", result=ONCE)
def test_recorded_command(target: Target) -> None:
    target.send()
    target.board.deliver()
    recorded = target.board.line.answers[:]
    assert target.done == [LED]
    upcoming = target.board.device.boot << 32 | len(target.board.line.frames)
    renamed = [
        replace(cose.Answer.decode(answer), partial_iv=upcoming.to_bytes(8, "big")).encode()
        for answer in recorded
    ]
    fed = iter([[*recorded, *renamed]])
    target.board.line.down = lambda answer: [*next(fed, []), answer]
    target.board.deliver()
    target.board.line.down = passed
    assert target.board.device.unopened == 2 * len(recorded)
    target.works(DONE)


@attack("a command held back for 31 s", layer="board", result="the next answer brings it; once")
def test_held_command(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(birthkey.conversation, "ticks_ms", clock)
    target.send()
    held = catch(target)
    clock.ahead += 31_000
    target.board.line.tell(held)
    target.works(DONE)
    assert target.done[0] == LED
    assert target.board.device.unopened == 1


@attack("a command of an earlier boot, after the board has started again", layer="board")
def test_command_of_an_earlier_boot(target: Target) -> None:
    target.send()
    held = catch(target)
    with sqlite3.connect(target.stage.server.database) as connection:
        connection.execute("UPDATE commands SET expires = 0")
    connection.close()
    target.board.start()
    target.listen()
    first = (target.board.device.boot << 32).to_bytes(8, "big")
    renamed = replace(cose.Answer.decode(held), partial_iv=first).encode()
    expect(target, held, renamed)
    assert target.done == [EXPECTED]
    assert target.board.device.unopened == 2
    target.works(UNKNOWN, DONE)


@attack("a command before its acknowledgement", layer="board", result="the next answer brings it")
def test_command_before_its_acknowledgement(target: Target) -> None:
    waiting: list[bytes] = []

    def swap(answer: bytes) -> Iterable[bytes]:
        if not waiting and not is_command(target, answer):
            waiting.append(answer)
            return []
        return [answer, *waiting] if len(target.board.line.answers) == known + 1 else [answer]

    target.send()
    known = len(target.board.line.answers)
    target.board.line.down = swap
    target.board.deliver()
    target.board.line.down = passed
    assert target.done == []
    assert target.board.device.unopened == 1
    target.works(DONE)


@attack("a command five times", layer="board", result=ONCE)
def test_command_five_times(target: Target) -> None:
    target.board.line.down = lambda answer: [answer] * (5 if is_command(target, answer) else 1)
    target.send()
    target.board.deliver()
    target.board.deliver()
    assert target.done == [LED]
    assert target.board.device.unopened > 0
    target.board.line.down = passed
    target.works(DONE)


@attack("the command of board A fed to board B", layer="board")
def test_anothers_command(stage: Stage, target: Target) -> None:
    neighbour = stage.board("neighbour")
    other = Target(stage, neighbour)
    other.send({"of": "the neighbour"})
    held = catch(other)
    upcoming = (target.board.device.boot << 32 | len(target.board.line.frames)).to_bytes(8, "big")
    renamed = replace(cose.Answer.decode(held), partial_iv=upcoming).encode()
    expect(target, held, renamed)
    assert target.board.device.unopened == 2
    assert target.done == [EXPECTED]
    target.works(DONE)


@attack("a command with a byte changed, at every position", layer="board")
def test_changed_byte(target: Target) -> None:
    spoilt = []

    def change(answer: bytes) -> Iterable[bytes]:
        if not is_command(target, answer):
            return [answer]
        spoilt.append(len(answer))
        changed = [
            answer[:at] + bytes([answer[at] ^ 1]) + answer[at + 1 :] for at in range(len(answer))
        ]
        target.board.line.down = passed
        return [*changed, answer]

    target.board.line.down = change
    target.send()
    target.board.deliver()
    target.board.deliver()
    assert target.board.device.unopened >= spoilt[0]
    assert target.done == [LED]
    target.works(DONE)


@attack("commands under the fake server's own key, and under none", layer="board")
def test_forged_command(target: Target) -> None:
    fake = ServerKey.generate()
    told = []

    def fool(answer: bytes) -> Iterable[bytes]:
        if not is_command(target, answer):
            return [answer]
        frame = target.board.line.frames[-1]
        message = Message(Type.COMMAND, 99, {0: 1, 1: LED})
        for key in keys_of(fake, frame):
            told.append(forged(frame, key, target.board.device_id, message))
        return [*told, answer]

    target.send(EXPECTED)
    target.board.line.down = fool
    target.board.deliver()
    target.board.line.down = passed
    assert target.board.device.unopened == len(told) > 0
    assert target.done == [EXPECTED]
    target.works(DONE)
