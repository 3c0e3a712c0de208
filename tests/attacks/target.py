"""A board that takes commands, its operator, and whoever sees what goes down to it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from attacks.stage import Board, Stage
from attacks.wire import passed
from birthkey_host import cbor, commands, cose
from birthkey_host.message import Message, Type
from birthkey_host.schema import CommandState

LED = {"led": True}
EXPECTED = {"expected": True}
ONCE = "the command is done once"
DONE = (CommandState.DONE, 1)
UNKNOWN = (CommandState.UNKNOWN, None)


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


def is_command(target: Target, answer: bytes) -> bool:
    """Whether it is a command: whoever has the board's session can tell."""
    [peer] = target.board.device._conversation._session._peers
    message = cbor.loads(opened(answer, peer.down_key, target.board.device_id))
    return isinstance(message, list) and message[0] == Type.COMMAND


def opened(answer: bytes, key: bytes, device_id: bytes) -> bytes:
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


def expect(target: Target, *frames: bytes) -> None:
    """The board gets these frames where it waits for a command, which comes behind them."""
    target.send(EXPECTED)

    def feed(answer: bytes) -> Iterable[bytes]:
        return [*frames, answer] if is_command(target, answer) else [answer]

    target.board.line.down = feed
    target.board.deliver()
    target.board.line.down = passed


def lose_statuses(target: Target) -> None:
    """The server hears no status of the board until the line is passed again."""
    stage, known = target.stage, target.board.device_id

    def lose(frame: bytes) -> Iterable[bytes]:
        signed = cose.SignedFrame.decode(stage.server.open(frame))
        assert signed.kid == known
        return [] if Message.decode(signed.payload).type == Type.STATUS else [frame]

    target.board.line.up = lose
