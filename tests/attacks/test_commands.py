"""Commands and the time: a board does each command once or not at all, and asks before it believes.

*outcome unknown* is what the operator is told when nobody can know whether the board did it.
"""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

import birthkey.device
from attacks.stage import WAIT_MS, Board, Stage
from attacks.test_answers import Clock, forged, keys_of
from attacks.wire import lost, passed
from birthkey._port import run
from birthkey_host import cbor, commands, cose
from birthkey_host.errors import FrameError
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Reason, Status, Type
from birthkey_host.registry import RegistryError
from birthkey_host.schema import CommandState

attack = pytest.mark.attack

LED = {"led": True}
ONCE = "the command is done once"


class Target:
    """A board that does what it is told, and its operator."""

    def __init__(self, stage: Stage, board: Board) -> None:
        self.stage, self.board = stage, board
        self.done: list[Any] = []
        self.listen()

    def listen(self) -> None:
        self.board.device.on_command(self._do)

    def _do(self, body: Any) -> Any:
        self.done.append(body)
        return len(self.done)

    def send(self, body: Any = LED, device_id: bytes | None = None) -> int:
        registry, now = self.stage.server.registry, time.time()
        device_id = device_id or self.board.device_id
        row = registry.command(device_id, body, expires=now + 60, who="op", why="", now=now)
        return row.id

    @property
    def states(self) -> list[tuple[CommandState, Any]]:
        rows = self.stage.server.registry.commands(self.board.device_id)
        return [
            (commands.state(row, time.time()), row.result and cbor.loads(row.result))
            for row in rows
        ]

    def works(self, *states: tuple[CommandState, Any]) -> None:
        """What became of the commands so far; and the next one is done, once."""
        self.board.works()
        assert self.states == list(states)
        before = len(self.done)
        self.send({"next": True})
        self.board.works()
        assert self.done[before:] == [{"next": True}]
        assert self.states == [*states, (CommandState.DONE, before + 1)]


DONE = (CommandState.DONE, 1)
UNKNOWN = (CommandState.UNKNOWN, None)


@pytest.fixture
def target(stage: Stage, board: Board) -> Target:
    return Target(stage, board)


def is_command(target: Target, answer: bytes) -> bool:
    """Whether it is a command: whoever has the board's session can tell."""
    [peer] = target.board.device._session._peers
    message = cbor.loads(_opened(answer, peer.down_key, target.board.device_id))
    return isinstance(message, list) and message[0] == Type.COMMAND


def _opened(answer: bytes, key: bytes, device_id: bytes) -> bytes:
    decoded = cose.Answer.decode(answer)
    return ChaCha20Poly1305(key).decrypt(decoded.iv, decoded.ciphertext, decoded.aad(device_id))


def catch(target: Target) -> bytes:
    """The next command that goes down, which the board does not get."""
    caught: list[bytes] = []

    def withhold(answer: bytes) -> Iterable[bytes]:
        if not is_command(target, answer):
            return [answer]
        caught.append(answer)
        return []

    target.board.line.down = withhold
    target.board.deliver()
    target.board.line.down = passed
    [command] = caught
    assert target.done == []
    return command


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
    monkeypatch.setattr(birthkey.device, "ticks_ms", clock)
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
    registry = target.stage.server.registry
    with sqlite3.connect(target.stage.server.database) as connection:
        connection.execute("UPDATE commands SET expires = 0")
    connection.close()
    target.board.start()
    target.listen()
    first = (target.board.device.boot << 32).to_bytes(8, "big")
    renamed = replace(cose.Answer.decode(held), partial_iv=first).encode()
    fed = iter([[held, renamed]])
    target.board.line.down = lambda answer: [answer, *next(fed, [])]
    target.board.deliver()
    target.board.line.down = passed
    assert target.done == []
    assert target.board.device.unopened == 2
    assert registry.commands(target.board.device_id)[0].state is CommandState.UNKNOWN
    target.works(UNKNOWN)


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
    fed = iter([[held, renamed]])
    target.board.line.down = lambda answer: [answer, *next(fed, [])]
    target.board.deliver()
    target.board.line.down = passed
    assert target.board.device.unopened == 2
    assert target.done == []
    target.works()


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
        frame = target.board.line.frames[-1]
        message = Message(Type.COMMAND, 99, {0: 1, 1: LED})
        for key in keys_of(fake, frame):
            told.append(forged(frame, key, target.board.device_id, message))
        return [answer, *told[-3:]]

    target.board.line.down = fool
    target.board.deliver()
    target.board.line.down = passed
    target.board.deliver()
    assert target.board.device.unopened == len(told)
    assert target.done == []
    target.works()


@attack("every command is lost", layer="-", result="it is sent until a status reports it; once")
def test_lost_commands(target: Target) -> None:
    target.send()
    for _ in range(3):
        catch(target)
    assert target.states == [(CommandState.SENT, None)]
    target.works(DONE)


def lose_statuses(target: Target) -> None:
    """The server hears no status of the board until the line is passed again."""
    stage, known = target.stage, target.board.device_id

    def lose(frame: bytes) -> Iterable[bytes]:
        signed = cose.SignedFrame.decode(stage.server.open(frame))
        assert signed.kid == known
        return [] if Message.decode(signed.payload).type == Type.STATUS else [frame]

    target.board.line.up = lose


@attack("the result is lost, and lost again", layer="-", result="it is sent until it is stored")
def test_lost_results(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(birthkey.device, "_ANSWER_MS", 100)
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


# The time


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
    monkeypatch.setattr(birthkey.device, "ticks_ms", ticks)
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
        [peer] = target.board.device._session._peers
        frame = target.board.line.frames[-1]
        counter = cbor.loads(_opened(answer, peer.down_key, target.board.device_id))[1]  # type: ignore[index]
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
    monkeypatch.setattr(birthkey.device, "_ANSWER_MS", 100)
    target.board.line.down = lost
    assert target.board.device.sync_time(600) is False
    target.board.line.down = passed
    monkeypatch.undo()
    questions = [m for m in stage.messages(target.board.device_id) if m.type == Type.STATUS]
    assert len(questions) > 1
    assert clock == []
    target.works()
