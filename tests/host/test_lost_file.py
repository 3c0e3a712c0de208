"""A registry whose file is removed or replaced while servers have it open."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from birthkey_host.message import Message, Reason
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry, RegistryError
from recording import NOW, Server, count, data, refused, stored

SUFFIXES = ("", "-wal", "-shm")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "registry.sqlite3"


@pytest.fixture
def copy(server: Server, enrolled: ReferenceDevice, path: Path, tmp_path: Path) -> Path:
    """What the registry was when the board had enrolled."""
    target = tmp_path / "copy.sqlite3"
    with sqlite3.connect(path) as source, sqlite3.connect(target) as connection:
        source.backup(connection)
        connection.execute("PRAGMA journal_mode = DELETE")
    source.close()
    connection.close()
    server(enrolled, data(enrolled))  # the server has read and written
    return target


def remove(path: Path, copy: Path) -> None:
    for suffix in SUFFIXES:
        os.unlink(f"{path}{suffix}")


def remove_the_file_alone(path: Path, copy: Path) -> None:
    path.unlink()


def move_away(path: Path, copy: Path) -> None:
    path.rename(path.with_name("aside"))


def remove_log(path: Path, copy: Path) -> None:
    os.unlink(f"{path}-wal")


def remove_index(path: Path, copy: Path) -> None:
    os.unlink(f"{path}-shm")


def replace(path: Path, copy: Path) -> None:
    remove(path, copy)
    shutil.copy(copy, path)


def replace_at_once(path: Path, copy: Path) -> None:
    os.replace(shutil.copy(copy, path.with_name("new")), path)


LOSSES = [
    remove,
    remove_the_file_alone,
    move_away,
    remove_log,
    remove_index,
    replace,
    replace_at_once,
]


def busy(server: Server, board: ReferenceDevice, message: Message) -> str:
    """Why the server says so; as long as it can still read the board's key, it does."""
    verdict = server(board, message)
    assert verdict == refused(Reason.BUSY)
    return verdict.fault or ""


@pytest.mark.parametrize("lose", LOSSES)
def test_nothing_is_acknowledged(
    server: Server,
    enrolled: ReferenceDevice,
    path: Path,
    copy: Path,
    lose: Callable[[Path, Path], None],
) -> None:
    lose(path, copy)
    fault = busy(server, enrolled, data(enrolled))
    assert fault.startswith(str(path))
    assert " would be " in fault


@pytest.mark.parametrize("lose", [remove, move_away])
def test_stays_busy_until_a_registry_is_there(
    server: Server,
    enrolled: ReferenceDevice,
    path: Path,
    copy: Path,
    lose: Callable[[Path, Path], None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    message = data(enrolled)
    lose(path, copy)
    assert all(busy(server, enrolled, message) for _ in range(3))
    assert not path.exists()  # an empty one would be in the way
    os.replace(copy, path)
    for suffix in SUFFIXES[1:]:
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    assert server(enrolled, message) == stored(1)
    assert count(server.registry, "messages") == 2
    assert f"there is a registry at {path} again, and it was opened" in caplog.messages


def test_replaced_one_is_opened(
    server: Server, enrolled: ReferenceDevice, path: Path, copy: Path
) -> None:
    message = data(enrolled)
    replace(path, copy)
    assert busy(server, enrolled, message)
    assert server(enrolled, message) == stored(1)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (2,)
    connection.close()


def test_log_of_the_one_before_is_not_mixed_into_the_other(
    server: Server,
    enrolled: ReferenceDevice,
    path: Path,
    copy: Path,
) -> None:
    message = data(enrolled)
    replace_at_once(path, copy)
    for suffix in SUFFIXES[1:]:
        fault = busy(server, enrolled, message)
        assert f"{path}{suffix} beside it belongs to the one before" in fault
        os.unlink(f"{path}{suffix}")
    assert server(enrolled, message) == stored(1)
    assert count(server.registry, "messages") == 2


@pytest.mark.parametrize("lose", [remove_log, remove_index])
def test_without_its_log_nothing_that_was_acknowledged_is_lost(
    server: Server,
    enrolled: ReferenceDevice,
    path: Path,
    copy: Path,
    lose: Callable[[Path, Path], None],
) -> None:
    message = data(enrolled)
    lose(path, copy)
    assert busy(server, enrolled, message)
    assert server(enrolled, message) == stored(1)
    server.registry.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT count(*) FROM messages").fetchone() == (3,)
    connection.close()


def test_moved_back_it_is_whole(
    server: Server, enrolled: ReferenceDevice, path: Path, copy: Path
) -> None:
    message = data(enrolled)
    move_away(path, copy)
    assert busy(server, enrolled, message)
    path.with_name("aside").rename(path)
    assert server(enrolled, message) == stored(1)
    assert count(server.registry, "messages") == 3


def test_anything_else_at_the_path_is_said(
    server: Server, enrolled: ReferenceDevice, path: Path, copy: Path
) -> None:
    remove(path, copy)
    assert busy(server, enrolled, data(enrolled))
    path.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(RegistryError, match="is no birthkey registry"):
            server.registry.lookup(enrolled.device_id)
    os.replace(copy, path)
    assert server(enrolled, data(enrolled)) == stored(1)


def test_new_connection_makes_no_file(url: str, path: Path) -> None:
    with Registry(url) as registry, pytest.raises(RegistryError, match="there is no such file"):
        registry.lookup(bytes(16))
    assert not path.exists()


@pytest.mark.parametrize("lose", LOSSES)
def test_people_are_told_too(
    server: Server,
    enrolled: ReferenceDevice,
    path: Path,
    copy: Path,
    lose: Callable[[Path, Path], None],
) -> None:
    """Who follows the log waits for what never comes; who revokes a device believes that it is."""
    lose(path, copy)
    with pytest.raises(RegistryError, match=" would be "):
        list(server.registry.pages(after=0))


def test_people_change_nothing_in_it(
    server: Server, enrolled: ReferenceDevice, path: Path, copy: Path
) -> None:
    move_away(path, copy)
    with pytest.raises(RegistryError, match="would be lost"):
        server.registry.revoke(enrolled.device_id, who="ada", why="", now=NOW)
    server.registry.close()
    path.with_name("aside").rename(path)
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT state FROM devices").fetchone() == ("active",)
    connection.close()


def test_closing_a_replaced_one_leaves_the_log_of_the_other(
    server: Server, enrolled: ReferenceDevice, path: Path, copy: Path
) -> None:
    """SQLite removes a log by its name when the last connection is closed."""
    replace(path, copy)
    with sqlite3.connect(path) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("UPDATE devices SET label = 'mine'")
        other.commit()
        assert busy(server, enrolled, data(enrolled))
        server.registry.close()
        copied = path.with_name("crashed")  # as a power cut would leave it: no clean end
        for suffix in SUFFIXES[:2]:
            shutil.copy(f"{path}{suffix}", f"{copied}{suffix}")
    other.close()
    with sqlite3.connect(copied) as crashed:
        assert crashed.execute("SELECT label FROM devices").fetchone() == ("mine",)
    crashed.close()
