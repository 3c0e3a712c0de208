"""Deleting and pruning go on in pieces: others get in between, and any end is a safe one."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from birthkey_host import database, erasing, events
from birthkey_host.message import Message, Reason
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry, RegistryError, State
from birthkey_host.schema import Action
from recording import NOW, Server, count, data, refused, state, stored

Boards = Callable[[int], list[ReferenceDevice]]
WHO = {"who": "ada", "now": NOW + 100}


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "PIECE", 2)


class Interrupted(Exception):
    pass


class Stop:
    """Ends the work after some pieces, as Ctrl-C does."""

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces

    def __call__(self, done: int, whole: int) -> None:
        self.pieces -= 1
        if self.pieces == 0:
            raise Interrupted


def frames(registry: Registry, board: ReferenceDevice) -> int:
    device = registry.device(board.device_id)
    assert device is not None
    return device.frames


def kept(registry: Registry, board: ReferenceDevice) -> int:
    """As `frames` should be."""
    return len(registry.messages(board.device_id)) + count(registry, "boots")


def pruned(registry: Registry) -> list[str]:
    rows = registry.events()
    events.verify(rows)
    return [row.why for row in rows if row.action is Action.PRUNED]


@pytest.fixture
def sent(server: Server, enrolled: ReferenceDevice) -> list[Message]:
    """Six readings of two boots, after an enrol."""
    messages = [data(enrolled, number) for number in range(3)]
    for message in messages:
        server(enrolled, message)
    enrolled.start(2)
    later = [data(enrolled, number) for number in range(3)]
    for message in later:
        server(enrolled, message)
    return messages + later


class TestDelete:
    def test_progress(self, server: Server, enrolled: ReferenceDevice, sent: list[Message]) -> None:
        told: list[tuple[int, int]] = []
        server.registry.delete(
            enrolled.device_id, why="", between=lambda *done: told.append(done), **WHO
        )
        assert told == [(2, 7), (4, 7), (6, 7), (7, 7), (7, 7)]  # the last are two boots

    @pytest.mark.parametrize("pieces", range(1, 6))
    def test_device_is_refused_from_the_start_and_nothing_of_it_comes_again(
        self, server: Server, enrolled: ReferenceDevice, sent: list[Message], pieces: int
    ) -> None:
        with pytest.raises(Interrupted):
            server.registry.delete(enrolled.device_id, why="", between=Stop(pieces), **WHO)
        assert state(server.registry, enrolled) is State.DELETED
        assert server(enrolled, data(enrolled)) == refused(Reason.UNKNOWN_DEVICE)
        assert server.enrol(enrolled) == refused(Reason.PENDING, 2)
        assert frames(server.registry, enrolled) == kept(server.registry, enrolled)
        if pieces < 5:
            with pytest.raises(RegistryError, match="it is being deleted, or that was interrupted"):
                server.registry.approve(enrolled.device_id, why="", **WHO)
            server.registry.delete(enrolled.device_id, why="", **WHO)
        with pytest.raises(RegistryError, match="it is deleted already"):
            server.registry.delete(enrolled.device_id, why="", **WHO)
        for table in ("messages", "boots", "evidence"):
            assert count(server.registry, table) == 0
        assert frames(server.registry, enrolled) == 0
        deleted = [row.why for row in server.registry.events() if row.action is Action.DELETED]
        assert deleted == ["messages: 7"]  # once, however often it was asked for
        server.registry.approve(enrolled.device_id, why="", **WHO)
        answers = [server(enrolled, message) for message in sent]
        assert answers == [refused(Reason.OLD, 2)] * 6
        assert server(enrolled, data(enrolled)) == stored(2)

    def test_what_a_device_sends_once_it_is_let_in_again_is_left_alone(
        self, server: Server, enrolled: ReferenceDevice, sent: list[Message]
    ) -> None:
        """Two people delete it; one of them is done and lets it in while the other goes on."""
        again = []

        def meanwhile(done: int, whole: int) -> None:
            if not again:
                again.append(server.registry.delete(enrolled.device_id, why="", **WHO))
                server.registry.approve(enrolled.device_id, why="", **WHO)
                assert server(enrolled, data(enrolled)) == stored(2)

        server.registry.delete(enrolled.device_id, why="", between=meanwhile, **WHO)
        assert again == [5]
        assert len(server.registry.messages(enrolled.device_id)) == 1
        assert frames(server.registry, enrolled) == kept(server.registry, enrolled) == 2


class TestPrune:
    @pytest.mark.parametrize("pieces", range(1, 5))
    def test_interrupted_and_repeated(
        self, server: Server, enrolled: ReferenceDevice, sent: list[Message], pieces: int
    ) -> None:
        with pytest.raises(Interrupted):
            server.registry.prune(None, before=NOW + 1, between=Stop(pieces), **WHO)
        assert frames(server.registry, enrolled) == kept(server.registry, enrolled)
        gone = min(2 * pieces, 7)
        server.registry.prune(None, before=NOW + 1, **WHO)
        assert count(server.registry, "messages") == 0
        assert count(server.registry, "boots") == frames(server.registry, enrolled) == 1
        at = "before 2023-11-14T22:13:21Z"
        rest = [f"messages: {7 - gone}, {at}"] if gone < 7 else []
        assert pruned(server.registry) == [f"messages: 7, {at}", *rest]
        answers = [server(enrolled, message).reason for message in sent]
        assert answers == [Reason.OLD] * 6

    def test_all_devices_are_one_event(self, server: Server, boards: Boards) -> None:
        fleet = boards(5)
        for board in fleet:
            server.enrol(board)
            server(board, data(board), now=NOW + 50)
        assert server.registry.prune(None, before=NOW + 1, **WHO) == 5
        assert pruned(server.registry) == ["messages: 5, before 2023-11-14T22:13:21Z"]
        assert server.registry.events()[-1].device_id is None
        assert [frames(server.registry, board) for board in fleet] == [2] * 5

    def test_whatever_came_in_before_goes_in_whatever_order(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        """A clock that was put back, or two servers that differ."""
        for number, at in enumerate([30, 5, 40, 3, 20, 1, 50]):
            server(enrolled, data(enrolled, number), now=NOW + at)
        assert server.registry.prune(None, before=NOW + 10, **WHO) == 4
        left = [row.received - NOW for row in server.registry.messages()]
        assert left == [30, 40, 20, 50]

    def test_unknown_device(self, server: Server, enrolled: ReferenceDevice) -> None:
        with pytest.raises(RegistryError, match="there is no device 00000000"):
            server.registry.prune(bytes(16), before=NOW + 1, **WHO)
        assert count(server.registry, "messages") == 1


@pytest.mark.parametrize("verb", ["delete", "prune"])
def test_others_write_between_the_pieces(
    server: Server,
    enrolled: ReferenceDevice,
    sent: list[Message],
    boards: Boards,
    tmp_path: Path,
    verb: str,
) -> None:
    [other] = boards(1)
    server.enrol(other)
    written = []

    def write(done: int, whole: int) -> None:
        impatient = sqlite3.connect(tmp_path / "registry.sqlite3", timeout=0)
        impatient.execute("BEGIN IMMEDIATE")
        impatient.close()
        written.append(server(other, data(other), now=NOW + 50))

    if verb == "delete":
        server.registry.delete(enrolled.device_id, why="", between=write, **WHO)
    else:
        server.registry.prune(enrolled.device_id, before=NOW + 1, between=write, **WHO)
    assert written == [stored(1)] * 5
    assert len(server.registry.messages(other.device_id)) == 6
    assert server(other, data(other)) == stored(1)


def test_log_of_the_database_does_not_stay_large(
    server: Server, enrolled: ReferenceDevice, tmp_path: Path
) -> None:
    """Whoever holds a state while much is written makes it grow; it is given back afterwards."""
    log = tmp_path / "registry.sqlite3-wal"
    blob = bytes(3000)
    held = sqlite3.connect(tmp_path / "registry.sqlite3", isolation_level=None)
    held.execute("BEGIN")
    held.execute("SELECT count(*) FROM messages").fetchall()
    filler = sqlite3.connect(tmp_path / "registry.sqlite3")
    filler.execute("CREATE TABLE filler (x)")
    filler.executemany("INSERT INTO filler VALUES (?)", [(blob,)] * 8000)
    filler.commit()
    filler.close()
    assert log.stat().st_size > database.WAL_LIMIT
    held.close()
    for number in range(3):
        server(enrolled, data(enrolled, number))
    assert log.stat().st_size <= database.WAL_LIMIT
