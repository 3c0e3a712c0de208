"""Registries of earlier versions: what is said, and the way up."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import pytest

from birthkey_host import events, files, versions
from birthkey_host.message import Message
from birthkey_host.registry import Registry, RegistryError
from birthkey_host.schema import VERSION
from recording import NOW

DUMP = Path(__file__).with_name("version_3.sql")  # made by the program of that version


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "registry.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(DUMP.read_text())
        connection.execute("PRAGMA journal_mode = WAL")
    return path


@pytest.fixture
def old(path: Path, url: str) -> Iterator[Registry]:
    with Registry(url, busy_timeout=0.1) as registry:
        yield registry


def columns(path: Path) -> set[tuple[object, ...]]:
    """Table, column, type, whether it may be null, and its place in the primary key."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return {
            # PostgreSQL knows a DOUBLE by its whole name alone, and SQLite knows both.
            (table, name, kind.removesuffix(" PRECISION"), required, key)
            for (table,) in tables.fetchall()
            for _, name, kind, required, _, key in connection.execute(f"PRAGMA table_info({table})")
        }


def indexes(path: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'index'")
        return {(name, " ".join((sql or "").split())) for name, sql in rows}


def contents(path: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        return {
            table: connection.execute(f"SELECT * FROM {table}").fetchall()
            for (table,) in tables.fetchall()
        }


def test_what_to_do_is_said(old: Registry) -> None:
    with pytest.raises(RegistryError) as caught:
        old.check()
    assert str(caught.value) == (
        f"the registry has version 3, and this program needs {VERSION}: stop the servers that use"
        " it; then `birthkey upgrade` makes a backup and brings it up"
    )


@pytest.mark.parametrize("version", [VERSION + 1, 2, 0])
def test_no_way_leads_there(old: Registry, path: Path, tmp_path: Path, version: int) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"UPDATE registry SET version = {version}")
        connection.commit()
    before = contents(path)
    with pytest.raises(RegistryError, match=f"has version {version}, and this program needs"):
        old.check()
    with pytest.raises(RegistryError, match=f"has version {version}, and this program needs"):
        old.upgrade(tmp_path / "copy")
    assert contents(path) == before
    assert not (tmp_path / "copy").exists()


def test_tables_are_those_of_a_new_registry(old: Registry, path: Path, tmp_path: Path) -> None:
    assert old.upgrade(None) == 3
    with Registry(f"sqlite:///{tmp_path}/new.sqlite3") as new:
        new.create()
    assert columns(path) == columns(tmp_path / "new.sqlite3")
    assert indexes(path) == indexes(tmp_path / "new.sqlite3")


def test_all_is_there_and_goes_on(old: Registry, path: Path) -> None:
    old.upgrade(None)
    old.check()
    bodies = [Message.decode(row.message).body for row in old.messages()]
    assert bodies[1:] == [{"n": 1}, {"n": 2}]
    assert [row.number for row in old.messages()] == [1, 2, 4]
    assert old.position() == 4
    events.verify(old.events())
    [board] = [device for device in old.devices() if device.deleted is None]
    assert (board.frames, board.newest) == (4, 1)
    assert len(old.commands(board.device_id)) == 1
    assert old.prune(None, before=NOW + 1.5, who="ada", now=NOW + 3) == 2
    assert old.delete(board.device_id, who="ada", why="", now=NOW + 4) == 1


def test_copy_is_what_it_was(old: Registry, path: Path, tmp_path: Path) -> None:
    before = contents(path)
    copy = tmp_path / "copy"
    old.upgrade(copy)
    assert contents(copy) == before
    assert contents(path) != before


def test_copy_that_cannot_be_written(old: Registry, path: Path, tmp_path: Path) -> None:
    before = contents(path)
    with pytest.raises(RegistryError, match="cannot write"):
        old.upgrade(tmp_path / "none" / "copy")
    assert contents(path) == before


def test_is_done_once(old: Registry) -> None:
    old.upgrade(None)
    with pytest.raises(RegistryError, match="there is nothing to do"):
        old.upgrade(None)


@pytest.mark.parametrize("step", range(len(versions.STEPS[3])))
def test_fails_as_a_whole(
    old: Registry, path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    before, structure = contents(path), indexes(path)
    steps = list(versions.STEPS[3])
    steps[step] = "DROP TABLE nowhere"
    monkeypatch.setitem(versions.STEPS, 3, tuple(steps))
    with pytest.raises(RegistryError, match=r"was left as it was: no such table: nowhere$"):
        old.upgrade(path.with_name("copy"))
    assert not path.with_name("copy").exists()
    assert contents(path) == before
    assert indexes(path) == structure
    monkeypatch.undo()
    assert old.upgrade(None) == 3


def test_copy_that_cannot_be_removed_is_named(
    old: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setitem(versions.STEPS, 3, ("DROP TABLE nowhere",))
    monkeypatch.setattr(files, "remove", refuse)
    with pytest.raises(RegistryError, match=r"nowhere; .*/kept is a copy of it$"):
        old.upgrade(tmp_path / "kept")
    assert (tmp_path / "kept").exists()


def test_stopped_at_any_moment_it_is_as_it_was(old: Registry, path: Path, tmp_path: Path) -> None:
    before = contents(path)
    for at in count(1):
        calls = iter(range(1, at))

        def between(done: int, whole: int, calls: Iterator[int] = calls) -> None:
            if next(calls, None) is None:
                raise KeyboardInterrupt

        try:
            old.upgrade(tmp_path / "copy", between=between)
        except KeyboardInterrupt:
            assert contents(path) == before
            assert not list(tmp_path.glob("*copy*"))
        else:
            break
    assert at > len(versions.STEPS[3])
    assert contents(tmp_path / "copy") == before


def test_server_that_runs_is_in_the_way(old: Registry, path: Path) -> None:
    before = contents(path)
    with closing(sqlite3.connect(path)) as server:
        server.execute("SELECT * FROM registry").fetchall()
        with pytest.raises(RegistryError, match="has the registry open: stop it first"):
            old.upgrade(None)
    assert contents(path) == before
    assert old.upgrade(None) == 3
