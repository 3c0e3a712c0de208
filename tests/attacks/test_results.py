"""What becomes of commands when something goes wrong; *outcome unknown*: nobody can know it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import Any

import pytest

import birthkey.conversation
from attacks.stage import WAIT_MS, Stage
from attacks.target import (
    DONE,
    LED,
    ONCE,
    UNKNOWN,
    Target,
    catch,
    is_command,
    lose_statuses,
)
from attacks.wire import passed
from birthkey_host.errors import FrameError
from birthkey_host.message import Reason, Status, Type
from birthkey_host.registry import RegistryError
from birthkey_host.schema import CommandState

attack = pytest.mark.attack


@attack("every command is lost", layer="-", result="it is sent until a status reports it; once")
def test_lost_commands(target: Target) -> None:
    target.send()
    for _ in range(3):
        catch(target)
    assert target.states == [(CommandState.SENT, None)]
    target.works(DONE)


@attack("the result is lost, and lost again", layer="-", result="it is sent until it is stored")
def test_lost_results(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(birthkey.conversation, "_ANSWER_MS", 100)
    target.send()
    lose_statuses(target)
    body = {"n": next(target.board.readings)}
    target.board.delivered.append(body)
    assert target.board.device.send(body, 1000)
    assert target.states == [(CommandState.SENT, None)]
    target.board.line.up = passed
    monkeypatch.undo()
    assert target.board.device.deliver(WAIT_MS)
    assert target.done == [LED]
    target.works(DONE)


@attack(
    "power fails before the result is sent", layer="-", result=f"{ONCE}; its result is on flash"
)
def test_power_fails_before_the_result(target: Target) -> None:
    target.send()
    lose_statuses(target)
    body = {"n": next(target.board.readings)}
    target.board.delivered.append(body)
    steps = target.board.device.send_steps(body, WAIT_MS)
    while not target.done:
        next(steps)
    steps.close()
    target.board.line.up = passed
    target.board.start()
    target.listen()
    target.board.deliver()
    assert target.done == [LED]
    target.works(DONE)


@attack("power fails while the command is done", layer="-", result="outcome unknown; done once")
def test_power_fails_within(target: Target) -> None:
    class PowerCut(BaseException):
        pass

    def fail(body: Any) -> None:
        target._do(body)
        raise PowerCut

    target.board.device.on_command(fail)
    target.send()
    body = {"n": next(target.board.readings)}
    target.board.delivered.append(body)
    with pytest.raises(PowerCut):
        target.board.device.send(body, WAIT_MS)
    target.board.start()
    target.listen()
    target.board.deliver()
    assert target.done == [LED]
    target.works(UNKNOWN)


@pytest.mark.parametrize(
    ("since", "state"),
    [
        pytest.param(
            "sent",
            DONE,
            marks=attack(
                "a database restored from before the command was sent",
                layer="board",
                result="not done again; the board still knows its result",
            ),
        ),
        pytest.param(
            "queued",
            UNKNOWN,
            marks=attack(
                "a database restored from before the command, and another under its id",
                layer="board",
                result="outcome unknown; the next command is done",
            ),
        ),
    ],
)
def test_restored_database(target: Target, since: str, state: tuple[CommandState, Any]) -> None:
    server = target.stage.server
    if since == "sent":
        target.send()
    server.stop()
    backup = server.database.with_suffix(".backup")
    shutil.copy(server.database, backup)
    server.start()
    target.board.line.cut()
    if since == "queued":
        target.send()
    delivered = len(target.board.delivered)
    target.board.deliver()
    assert target.done == [LED]
    server.stop()
    for file in server.database.parent.glob(server.database.name + "-*"):
        file.unlink()
    shutil.copy(backup, server.database)
    server.start()
    target.board.line.cut()
    del target.board.delivered[delivered:]  # what was stored since the backup is gone
    if since == "queued":
        assert target.send({"another": True}) == 1
    target.works(state)
    assert target.done == [LED, {"next": True}]


@attack(
    "an old command, after the device was deleted and let in again",
    layer="board",
    result="its ids go on where they were",
)
def test_deleted_and_let_in_again(target: Target) -> None:
    target.send()
    held = catch(target)
    registry = target.stage.server.registry
    registry.delete(target.board.device_id, who="op", why="", now=time.time())
    registry.approve(target.board.device_id, who="op", why="", now=time.time())
    target.board.delivered.clear()
    target.board.line.tell(held)
    target.board.deliver()
    assert target.done == []
    assert target.send() == 2
    target.board.deliver()
    assert target.done == [LED]
    assert target.states == [DONE]


@attack("a replayed frame draws the command", layer="seal", result="only the board opens it; once")
def test_command_drawn_by_a_replay(stage: Stage, target: Target, layer: str) -> None:
    target.board.deliver()
    target.send()
    answers = stage.send(target.board.line.frames[-1])
    assert [is_command(target, answer) for answer in answers] == [False, True]
    for eavesdropper in (stage.stranger(), target.board.thief(boot=1)):
        eavesdropper.frame_number = len(target.board.line.frames)
        with pytest.raises(FrameError) as caught:
            eavesdropper.open(answers[1])
        assert caught.value.layer == layer
    target.works(DONE)


@attack("a thief in an earlier boot asks for the command", layer="replay", result="`stale-boot`")
def test_command_for_a_thief_in_an_earlier_boot(stage: Stage, target: Target, layer: str) -> None:
    target.board.start()  # and nobody hears of this boot
    thief = target.board.thief(boot=target.board.device.boot)
    target.board.start()
    target.listen()
    target.board.deliver()
    target.send()
    [answer] = stage.send(thief.frame(thief.message(Type.DATA, {})))
    assert thief.open(answer).body == {0: 3, 1: Reason.STALE_BOOT}
    assert stage.layers() == [layer]
    target.works(DONE)


@attack(
    "an owner reports the highest id for his board",
    layer="-",
    result="no more commands for that board; nobody else notices",
)
def test_highest_id(stage: Stage, target: Target) -> None:
    owner = stage.owner()
    status = Status(command_result=(2**64 - 1, "on")).body()
    [answer] = stage.send(owner.frame(owner.message(Type.STATUS, status)))
    assert owner.open(answer).type == Type.ACKNOWLEDGE
    with pytest.raises(RegistryError, match="all its command ids are used up"):
        target.send(device_id=owner.device_id)
    target.works()


@attack(
    "an owner reports another board's command, or one that was never sent",
    layer="-",
    result="it settles nothing but his own",
)
def test_results_of_others(stage: Stage, target: Target) -> None:
    owner = stage.owner()
    target.send()
    target.send(device_id=owner.device_id)
    for last in (1, 5):
        status = Status(command_result=(last, "on")).body()
        stage.send(owner.frame(owner.message(Type.STATUS, status)))
    [row] = stage.server.registry.commands(owner.device_id)
    assert (row.state, row.result) == (CommandState.UNKNOWN, None)
    assert target.states == [(CommandState.QUEUED, None)]
    target.works(DONE)


@attack("results that are none", layer="policy", result="`malformed`")
def test_malformed_results(stage: Stage, target: Target, layer: str) -> None:
    owner = stage.owner()
    for result in (b"bytes", [1], ["failed", 2], "x" * 512):
        body = {2: [1, result]}
        [answer] = stage.send(owner.frame(owner.message(Type.STATUS, body)))
        assert owner.open(answer).body == {0: 1, 1: "malformed"}
        assert stage.layers() == [layer]
    target.works()


HANDLERS: dict[str, Callable[[Any], Any]] = {
    "raises": lambda body: 1 / 0,
    "gives bytes": lambda body: b"bytes",
    "gives too much": lambda body: "x" * 5000,
    "nests too deep": lambda body: {"a": [[[[[[1]]]]]]},
}


@attack(
    "a command that the application fails at, in many ways",
    layer="-",
    result="the result says so, and the board goes on",
)
@pytest.mark.parametrize("how", HANDLERS)
def test_failing_handler(target: Target, how: str) -> None:
    target.board.device.on_command(HANDLERS[how])
    target.send()
    target.board.deliver()
    [(state, [failure, sentence])] = target.states
    assert (state, failure) == (CommandState.DONE, "failed")
    target.listen()
    target.board.works()
    assert len(sentence) <= 100
