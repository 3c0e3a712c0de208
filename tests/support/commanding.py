"""An operator and his devices, for the tests of commands in a registry."""

from __future__ import annotations

from birthkey_host import commands
from birthkey_host.cbor import Value
from birthkey_host.message import Command, Status, Type
from birthkey_host.reference_device import ReferenceDevice
from recording import NOW, Server, data

LED: Value = {"led": True}
END = NOW + 1000
WHO = {"who": "ada", "why": ""}


def queue(server: Server, board: ReferenceDevice, body: object = LED, expires: float = END) -> int:
    return server.registry.command(board.device_id, body, expires=expires, now=NOW, **WHO).id


def hear(server: Server, board: ReferenceDevice, now: float = NOW) -> Command | None:
    """What goes down behind the acknowledgement of a reading."""
    verdict = server(board, data(board), now)
    assert verdict.reason is None
    return verdict.command


def report(
    server: Server, board: ReferenceDevice, last: int, result: Value, now: float = NOW
) -> Command | None:
    """What goes down behind the acknowledgement of a status."""
    body = Status(command_result=(last, result)).body()
    verdict = server(board, board.message(Type.STATUS, body), now)
    assert verdict.reason is None
    return verdict.command


def states(server: Server, board: ReferenceDevice, now: float = NOW) -> list[str]:
    return [commands.state(row, now).value for row in server.registry.commands(board.device_id)]
