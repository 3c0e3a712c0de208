"""No command goes through a whole table of what grows, and none sorts it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
from sqlalchemy import Engine, event

from birthkey_host.reference_device import ReferenceDevice
from command import Command
from recording import NOW, Server, data

GROW = ("devices", "messages", "boots", "floors", "commands", "events")
"""With the fleet, and with what it sends."""


@pytest.fixture
def statements() -> Iterator[list[tuple[str, Any]]]:
    """Whatever is asked of a database in this process, with its parameters."""
    seen: list[tuple[str, Any]] = []

    def executed(
        connection: object, cursor: object, statement: str, parameters: Any, *more: object
    ) -> None:
        [*_, many] = more
        seen.append((statement, parameters[0] if many else parameters))

    event.listen(Engine, "before_cursor_execute", executed)
    yield seen
    event.remove(Engine, "before_cursor_execute", executed)


def plans(birthkey: Command, statements: list[tuple[str, Any]]) -> Iterator[tuple[str, str]]:
    """Each step that SQLite takes, and the statement that it is for."""
    with closing(sqlite3.connect(birthkey.home / "registry.sqlite3")) as connection:
        for statement, parameters in statements:
            if statement.startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
                rows = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
                for *_, step in rows.fetchall():
                    yield step, statement


SMALL = ("FROM approvals", "devices.state = ? AND devices.created < ?")
"""Sorted, and few: who was approved and has not come, and who has waited for too long."""


def bad(step: str, statement: str) -> bool:
    if any(words in statement for words in SMALL):
        return False
    if "USE TEMP B-TREE" in step:
        return True
    scanned = re.match(r"SCAN (\w+)", step)
    # The first or last rows of all, in the table's own order, are no scan of it.
    few = "LIMIT" in statement and "WHERE" not in statement
    return scanned is not None and scanned[1] in GROW and not few


@pytest.fixture
def name(
    birthkey: Command,
    server: Server,
    enrolled: ReferenceDevice,
    statements: list[tuple[str, Any]],
) -> str:
    """A device that has sent something, twice; how it came there is not looked at."""
    server(enrolled, data(enrolled))
    enrolled.start(2)
    server(enrolled, data(enrolled))
    birthkey("send", enrolled.device_id.hex(), '{"led": true}')
    statements.clear()
    return enrolled.device_id.hex()


@pytest.mark.parametrize(
    "words",
    [
        "messages",
        "messages --json --limit 2",
        "messages --json --after 1",
        "messages --device ID",
        "messages --device ID --json --after 1",
        "show ID",
        "prune --before 2024-01-01",
        "prune --before 2024-01-01 --device ID",
        "delete ID",
        "approve ID",
        "suspend ID",
        "revoke ID",
        "send ID {}",
    ],
)
def test_people(
    birthkey: Command, statements: list[tuple[str, Any]], name: str, words: str
) -> None:
    birthkey.run(*(name if word == "ID" else word for word in words.split()))
    steps = list(plans(birthkey, statements))
    assert any("messages" in step or "devices" in step for step, _ in steps)
    assert [(step, statement) for step, statement in steps if bad(step, statement)] == []


def test_frames(
    birthkey: Command,
    server: Server,
    enrolled: ReferenceDevice,
    name: str,
    statements: list[tuple[str, Any]],
) -> None:
    message = data(enrolled)
    for _ in range(2):
        server(enrolled, message)
    server(enrolled, enrolled.enrol("pico", "2.0"))
    stranger = ReferenceDevice.generate(enrolled.server_public)
    server.enrol(stranger)
    server.enrol(stranger)
    server(stranger, data(stranger), now=NOW + 1)
    steps = list(plans(birthkey, statements))
    assert len(steps) > 10
    assert [(step, statement) for step, statement in steps if bad(step, statement)] == []
