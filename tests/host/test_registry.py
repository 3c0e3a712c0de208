from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import event
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.schema import CreateTable

from birthkey_host import events
from birthkey_host.enrolment import Open
from birthkey_host.keys import ServerKey
from birthkey_host.message import Message, Reason, Type
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry, RegistryError
from birthkey_host.schema import VERSION, Action, Base
from recording import NOW, Server, count, data, execute, refused, stored

Boards = Callable[[int], list[ReferenceDevice]]


class TestTrouble:
    """Whatever the database does, nothing is acknowledged that was not committed."""

    def check_busy(self, server: Server, board: ReferenceDevice, message: Message) -> None:
        outcome = server.receive(board.frame(message))
        assert server.record(outcome) == refused(Reason.BUSY)

    def test_locked(self, server: Server, enrolled: ReferenceDevice, tmp_path: Path) -> None:
        message = data(enrolled)
        holder = sqlite3.connect(tmp_path / "registry.sqlite3", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        self.check_busy(server, enrolled, message)
        holder.execute("ROLLBACK")
        holder.close()
        assert server(enrolled, message) == stored(1)

    def test_readable_while_locked(
        self, server: Server, enrolled: ReferenceDevice, tmp_path: Path
    ) -> None:
        holder = sqlite3.connect(tmp_path / "registry.sqlite3", isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        assert server.registry.lookup(enrolled.device_id) is not None
        holder.close()

    def test_commit_fails(
        self, server: Server, enrolled: ReferenceDevice, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        message = data(enrolled)
        outcome = server.receive(enrolled.frame(message))
        with monkeypatch.context() as patch:

            def fail(connection: object) -> None:
                raise sqlite3.OperationalError("disk I/O error")

            patch.setattr(server.registry._engine.dialect, "do_commit", fail)
            assert server.record(outcome) == refused(Reason.BUSY)
        assert count(server.registry, "messages") == 1
        assert server(enrolled, message) == stored(1)

    def test_full(self, server: Server, enrolled: ReferenceDevice) -> None:
        message = enrolled.message(Type.DATA, {"blob": bytes(3000)})
        self.pragma(server.registry, "max_page_count = 1")  # SQLite takes it as: no more
        for _ in range(2):
            self.check_busy(server, enrolled, message)
        assert count(server.registry, "messages") == 1

    def test_read_only(self, server: Server, enrolled: ReferenceDevice) -> None:
        message = data(enrolled)
        self.pragma(server.registry, "query_only = ON")
        self.check_busy(server, enrolled, message)
        assert count(server.registry, "messages") == 1

    def test_damaged(self, server: Server, enrolled: ReferenceDevice, tmp_path: Path) -> None:
        outcome = server.receive(enrolled.frame(data(enrolled)))
        server.registry.close()
        (tmp_path / "registry.sqlite3").write_bytes(b"not a database, and long enough" * 100)
        assert server.record(outcome) == refused(Reason.BUSY)
        with pytest.raises(RegistryError, match="not a database"):
            server.registry.lookup(enrolled.device_id)

    def pragma(self, registry: Registry, pragma: str) -> None:
        """For every connection from now on."""
        registry.close()

        @event.listens_for(registry._engine, "connect")
        def connected(connection: sqlite3.Connection, record: object) -> None:
            connection.execute(f"PRAGMA {pragma}").close()


class TestConcurrency:
    @pytest.fixture
    def patient(self, server_key: ServerKey, url: str, registry: Registry) -> Iterator[Server]:
        with Registry(url, busy_timeout=10) as registry:
            yield Server(server_key, registry, Open())

    def test_ten_enrol_at_once(self, patient: Server, boards: Boards) -> None:
        with ThreadPoolExecutor(10) as pool:
            verdicts = list(pool.map(patient.enrol, boards(10)))
        assert all(verdict.stored and verdict.device_created for verdict in verdicts)
        assert len(patient.registry.devices()) == 10
        events.verify(patient.registry.events())

    def test_one_board_enrols_ten_times_at_once(
        self, patient: Server, board: ReferenceDevice
    ) -> None:
        outcome = patient.receive(board.frame(board.enrol("pico", "1.0")))
        with ThreadPoolExecutor(10) as pool:
            verdicts = list(pool.map(patient.record, [outcome] * 10))
        assert sorted(verdict.stored for verdict in verdicts) == [False] * 9 + [True]
        assert all(verdict.reason is None for verdict in verdicts)
        assert len(patient.registry.devices()) == 1

    def test_one_message_ten_times_at_once_is_stored_once(
        self, patient: Server, board: ReferenceDevice
    ) -> None:
        patient.enrol(board)
        outcome = patient.receive(board.frame(data(board)))
        with ThreadPoolExecutor(10) as pool:
            verdicts = list(pool.map(patient.record, [outcome] * 10))
        assert sorted(verdict.stored for verdict in verdicts) == [False] * 9 + [True]
        assert count(patient.registry, "messages") == 2

    def test_two_messages_of_one_counter_at_once_prove_a_clone(
        self, patient: Server, board: ReferenceDevice
    ) -> None:
        patient.enrol(board)
        message = data(board, 1)
        outcomes = [
            patient.receive(board.frame(replace(message, body={"n": value}))) for value in range(8)
        ]
        with ThreadPoolExecutor(8) as pool:
            verdicts = list(pool.map(patient.record, outcomes))
        assert sum(verdict.stored for verdict in verdicts) == 1
        assert sum(verdict.reason is Reason.CLONED for verdict in verdicts) == 7
        assert len(patient.registry.evidence(board.device_id)) == 2


class TestQuestions:
    def test_lookup(self, server: Server, enrolled: ReferenceDevice) -> None:
        known = server.registry.lookup(enrolled.device_id)
        assert known is not None
        assert (known.device_id, known.thumbprint) == (enrolled.device_id, enrolled.thumbprint)
        assert known.public_key == enrolled.public
        assert server.registry.lookup(bytes(16)) is None

    def test_messages_are_in_the_order_of_storing(self, server: Server, boards: Boards) -> None:
        one, other = boards(2)
        server.enrol(one)
        server.enrol(other)
        for value in range(3):
            server(one, data(one, value))
        rows = server.registry.messages()
        assert [row.type for row in rows] == [0, 0, 1, 1, 1]
        assert [row.number for row in rows] == sorted(row.number for row in rows)
        assert [row.number for row in server.registry.messages(limit=2)] == [4, 5]
        assert [row.number for row in server.registry.messages(after=3)] == [4, 5]
        assert [row.number for row in server.registry.messages(other.device_id)] == [2]

    def test_events_tell_the_life_of_a_device(self, strict: Server, board: ReferenceDevice) -> None:
        strict.enrol(board)
        strict.registry.approve(board.device_id, who="ada", why="it is mine", now=NOW + 1)
        rows = strict.registry.events(board.device_id)
        assert [(row.who, row.action, row.why, row.at) for row in rows] == [
            ("policy approve", Action.ENROLLED, "first contact; pending", NOW),
            ("ada", Action.APPROVED, "it is mine", NOW + 1),
        ]
        events.verify(strict.registry.events())

    def test_refused_approval_leaves_no_event(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        with pytest.raises(RegistryError):
            server.registry.approve(enrolled.device_id, who="ada", why="", now=NOW)
        assert len(server.registry.events()) == 1


class TestDatabase:
    def test_commits_survive_a_power_cut(self, registry: Registry) -> None:
        with registry._engine.connect() as connection:
            found = {
                name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
                for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
            }
        full = 2
        assert found == {
            "journal_mode": "wal",
            "synchronous": full,
            "foreign_keys": 1,
            "busy_timeout": 200,
        }

    def test_file_is_its_owners_alone(self, registry: Registry, tmp_path: Path) -> None:
        for file in tmp_path.glob("registry.sqlite3*"):
            assert file.stat().st_mode & 0o077 == 0

    def test_registry_is_not_made_twice(self, registry: Registry) -> None:
        with pytest.raises(RegistryError, match="there is a registry already"):
            registry.create()

    def test_missing_registry_is_said_and_not_made(self, url: str, tmp_path: Path) -> None:
        with Registry(url) as registry, pytest.raises(RegistryError, match="there is no registry"):
            registry.check()
        assert list(tmp_path.iterdir()) == []

    def test_folder_that_is_not_there(self, tmp_path: Path) -> None:
        nowhere = Registry(f"sqlite:///{tmp_path}/none/r.sqlite3")
        with nowhere as registry, pytest.raises(RegistryError, match="cannot write"):
            registry.create()

    def test_other_database_is_refused(self, url: str, tmp_path: Path) -> None:
        with sqlite3.connect(tmp_path / "registry.sqlite3") as other:
            other.execute("CREATE TABLE t (x)")
        other.close()
        with Registry(url) as registry, pytest.raises(RegistryError, match="no birthkey registry"):
            registry.check()

    def test_other_version_is_refused(self, registry: Registry) -> None:
        execute(registry, f"UPDATE registry SET version = {VERSION + 1}")
        with pytest.raises(RegistryError, match=f"version {VERSION + 1}"):
            registry.check()

    @pytest.mark.parametrize("url", ["", "registry.sqlite3", "nosuch:///x", "oracle://x/y"])
    def test_url_of_no_use(self, url: str) -> None:
        with pytest.raises(RegistryError, match="of no use"):
            Registry(url)

    def test_counter_is_kept_once_whatever_the_program_does(
        self, server: Server, enrolled: ReferenceDevice
    ) -> None:
        columns = (
            "device_id, counter, type, message, sha256, boot, enc, server_id, signed_frame,"
            " received"
        )
        again = f"INSERT INTO messages ({columns}) SELECT {columns} FROM messages"
        with pytest.raises(IntegrityError, match="UNIQUE"):
            execute(server.registry, again)

    def test_tables_are_fit_for_postgresql(self) -> None:
        for table in Base.metadata.sorted_tables:
            statement = str(CreateTable(table).compile(dialect=postgresql.dialect()))
            assert "BLOB" not in statement
            assert ("counter BYTEA NOT NULL" in statement) == (table.name == "messages")
