"""Text of strangers in every place that a command prints: nothing unsafe is seen, ever."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text as sql

from birthkey_host.cli import messages as messages_command
from birthkey_host.message import Status, Type
from birthkey_host.reference_device import ReferenceDevice
from command import Command
from recording import NOW, Server
from safe_text import HOSTILE, unsafe

# What a board can send; a database may hold more than boards can, but no half characters.
TEXT = st.lists(
    st.one_of(
        st.sampled_from([*HOSTILE, *'a \u0301\u20e3\u1161=-"\\', "[red]"]),
        st.text(st.characters(exclude_categories=["Cs"])),
    ),
    max_size=30,
).map("".join)  # fmt: skip

PEOPLE = {"FORCE_COLOR": "1", "COLUMNS": "250"}


def commands(board: ReferenceDevice, frame: bytes) -> list[list[str]]:
    name = board.device_id.hex()
    return [
        ["messages"],
        ["messages", "--json"],
        ["messages", "--follow"],
        ["messages", "--device", name],
        ["devices", "--all"],
        ["devices", "--json"],
        ["show", name],
        ["audit"],
        ["audit", "--json"],
        ["claim", "list"],
        ["bad-key", "list"],
        ["inspect", frame.hex()],
        ["factory", "--port", "/dev/ttyNONE", "--label", "x"],
    ]


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(texts=st.lists(TEXT, min_size=5, max_size=5))
def test_nothing_unsafe_is_ever_seen(
    birthkey: Command, server: Server, enrolled: ReferenceDevice, texts: list[str]
) -> None:
    key, value, sentence, operators, board_said = texts
    said = {key: value, f"{value}{key}": [value, {sentence: key}]}
    message = enrolled.message(Type.DATA, said)
    frame = enrolled.frame(message)
    server.record(server.receive(frame))
    _report(server, enrolled, sentence)
    _write(server, operators, board_said)
    try:
        _look(birthkey, commands(enrolled, message.encode()))
        _look(birthkey, commands(enrolled, frame))
    finally:
        _write(server, "", "")  # the next example begins with whom it needs


def _look(birthkey: Command, lines: list[list[str]]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(messages_command.time, "sleep", _interrupt)
        for arguments in lines:
            for environment in ({}, PEOPLE):
                result = birthkey.run(*arguments, env=environment)
                assert result.exception is None or isinstance(result.exception, SystemExit)
                shown = (
                    re.sub(r"\x1b\[[0-9;]*m", "", result.output) if environment else result.output
                )
                assert unsafe(re.sub("[\n\t]", "", shown)) == [], arguments
                if "--json" in arguments:
                    assert shown.isascii()
                if arguments[0] in ("messages", "audit") and not environment:
                    assert _lines_are_whole(shown)


def _interrupt(_: float) -> None:
    raise KeyboardInterrupt


def _lines_are_whole(shown: str) -> bool:
    """Each line begins as its command has it: none was made by what it shows."""
    begins = r'\{"|\d|number\tat\t|received\t'
    return all(re.match(begins, line) for line in shown.splitlines())


def _report(server: Server, board: ReferenceDevice, sentence: str) -> None:
    """Have the board say why it did not do a command."""
    now = time.time()
    row = server.registry.command(
        board.device_id, {"a": sentence[:20]}, expires=now + 60, who="ada", why="", now=now
    )
    server(board, board.message(Type.DATA, {}), now)
    for result in (["failed", sentence[:60]], {sentence[:60]: 0}):
        status = Status(command_result=(row.id, result)).body()
        server(board, board.message(Type.STATUS, status), now)


def _write(server: Server, operators: str, board_said: str) -> None:
    """Put text where a database has it, of operators and of boards."""
    with server.registry._engine.begin() as connection:
        for statement in (
            "UPDATE devices SET label = :a, board = :b, firmware = :b",
            "UPDATE events SET who = :a, why = :b",
            "UPDATE claims SET label = :a",
            "UPDATE bad_keys SET why = :a",
        ):
            connection.execute(sql(statement), {"a": operators, "b": board_said})


@pytest.fixture(autouse=True)
def rows(birthkey: Command, server: Server) -> None:
    """One of each kind."""
    birthkey("claim", "new", "--label", "spring")
    server.registry.ban(bytes(32), who="ada", why="known", now=NOW)
