"""`Registry.backup`: one file, whole, of a registry that servers go on writing."""

from __future__ import annotations

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from birthkey_host import backup, events
from birthkey_host.keys import ServerKey
from birthkey_host.reference_device import ReferenceDevice
from birthkey_host.registry import Registry, RegistryError
from recording import Server, count, data, stored


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept" / "copy of 5% #1?.sqlite3"


def test_what_was_committed_last_is_in_it(
    server: Server,
    server_key: ServerKey,
    enrolled: ReferenceDevice,
    target: Path,
    tmp_path: Path,
) -> None:
    """It is in the log: the file alone, copied, is no registry."""
    server(enrolled, data(enrolled))
    shutil.copy(tmp_path / "registry.sqlite3", tmp_path / "by-hand")
    with (
        Registry(f"sqlite:///{tmp_path}/by-hand") as copy,
        pytest.raises(RegistryError, match=r"is no birthkey registry; .*`birthkey backup` makes"),
    ):
        copy.check()
    server.registry.backup(target, replace=False)
    assert os.listdir(target.parent) == [target.name]
    assert target.stat().st_mode & 0o777 == 0o600
    target.rename(tmp_path / "back")
    with Registry(f"sqlite:///{tmp_path}/back") as copy:
        copy.check()
        assert count(copy, "messages") == 2
        assert copy.position() == 2
        events.verify(copy.events())
        again = Server(server_key, copy, server.policy)
        assert again(enrolled, data(enrolled)) == stored(1)


@pytest.mark.timeout(60)
def test_servers_go_on_meanwhile(
    server: Server, enrolled: ReferenceDevice, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it ends: it does not begin anew with each of their commits."""
    monkeypatch.setattr(backup, "PAGES", 1)
    for _ in range(5):
        server(enrolled, data(enrolled))
    pieces = []

    def write(done: int, whole: int) -> None:
        pieces.append(whole)
        assert server(enrolled, data(enrolled)) == stored(1)

    server.registry.backup(target, replace=False, between=write)
    assert len(pieces) == pieces[0] + 1 > 10
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT count(*), max(number) FROM messages").fetchone() == (6, 6)
        assert copy.execute("SELECT position FROM registry").fetchone() == (6,)
    assert server.registry.position() == 6 + len(pieces)


def test_nothing_is_overwritten_unasked(
    server: Server, enrolled: ReferenceDevice, target: Path
) -> None:
    server.registry.backup(target, replace=False)
    before = target.read_bytes()
    server(enrolled, data(enrolled))
    with pytest.raises(backup.Taken, match="already; nothing was changed"):
        server.registry.backup(target, replace=False)
    assert target.read_bytes() == before
    server.registry.backup(target, replace=True)
    with closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT count(*) FROM messages").fetchone() == (2,)


def _text(path: Path) -> None:
    path.write_text("mine")


def _empty(path: Path) -> None:
    path.touch()


def _other_database(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE mine (version)")


@pytest.mark.parametrize("make", [_text, _empty, _other_database, os.mkfifo])
@pytest.mark.parametrize("replace", [True, False])
def test_what_is_no_registry_is_never_replaced(
    server: Server,
    enrolled: ReferenceDevice,
    target: Path,
    make: Callable[[Path], None],
    replace: bool,
) -> None:
    make(target)
    before = target.stat()
    with pytest.raises(RegistryError, match="is no registry, and nothing else is replaced"):
        server.registry.backup(target, replace=replace, between=_never)
    assert target.stat() == before
    assert os.listdir(target.parent) == [target.name]


def test_what_comes_meanwhile_is_not_replaced(
    server: Server, enrolled: ReferenceDevice, target: Path
) -> None:
    def take(done: int, whole: int) -> None:
        target.write_text("mine")

    server.registry.backup(target, replace=False)
    with pytest.raises(RegistryError, match="is no registry"):
        server.registry.backup(target, replace=True, between=take)
    assert target.read_text() == "mine"
    assert os.listdir(target.parent) == [target.name]


@pytest.mark.parametrize("replace", [True, False])
def test_folder_and_links_are_said_before_the_copy(
    server: Server, enrolled: ReferenceDevice, target: Path, replace: bool
) -> None:
    with pytest.raises(RegistryError, match="is a folder; name the file"):
        server.registry.backup(target.parent, replace=replace, between=_never)
    with pytest.raises(RegistryError, match="is a folder; name the file"):
        server.registry.backup(Path("."), replace=replace, between=_never)
    target.symlink_to("nowhere")
    with pytest.raises(RegistryError, match=r"is a symbolic link to nowhere.*: name the file"):
        server.registry.backup(target, replace=replace, between=_never)
    other = target.with_name("other")
    server.registry.backup(other, replace=False)
    target.unlink()
    target.symlink_to(other)
    with pytest.raises(RegistryError, match=r"is a symbolic link to .*other.*: name the file"):
        server.registry.backup(target, replace=replace, between=_never)
    assert target.is_symlink()


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
@pytest.mark.parametrize("replace", [True, False])
def test_log_of_another_is_not_mixed_in(
    server: Server, enrolled: ReferenceDevice, target: Path, suffix: str, replace: bool
) -> None:
    """A server has it open, or it was left by a file that was there before."""
    Path(f"{target}{suffix}").write_text("mine")
    with pytest.raises(RegistryError, match=f"{suffix} would be mixed into the copy"):
        server.registry.backup(target, replace=replace, between=_never)
    assert Path(f"{target}{suffix}").read_text() == "mine"
    assert not target.exists()


def test_name_that_no_file_can_have(
    server: Server, enrolled: ReferenceDevice, tmp_path: Path
) -> None:
    with pytest.raises(RegistryError, match=r"cannot write .*: File name too long"):
        server.registry.backup(tmp_path / ("x" * 300), replace=True)


def _never(done: int, whole: int) -> None:
    raise AssertionError("it was copied")


def test_file_that_comes_meanwhile_is_left(
    server: Server, enrolled: ReferenceDevice, target: Path
) -> None:
    def take(done: int, whole: int) -> None:
        target.write_text("mine")

    with pytest.raises(RegistryError, match="already; nothing was changed"):
        server.registry.backup(target, replace=False, between=take)
    assert target.read_text() == "mine"
    assert os.listdir(target.parent) == [target.name]


@pytest.mark.parametrize("suffix", ["", "-wal", "-shm", "-journal"])
def test_registry_itself_is_no_target(
    server: Server, enrolled: ReferenceDevice, tmp_path: Path, suffix: str
) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path)
    with pytest.raises(RegistryError, match="is the registry itself"):
        server.registry.backup(link / f"registry.sqlite3{suffix}", replace=True)
    os.link(tmp_path / "registry.sqlite3", tmp_path / "second")
    with pytest.raises(RegistryError, match="is the registry itself"):
        server.registry.backup(tmp_path / "second", replace=True)
    assert server(enrolled, data(enrolled)) == stored(1)


def test_damaged_registry_is_said(
    server: Server, enrolled: ReferenceDevice, target: Path, tmp_path: Path
) -> None:
    server.registry.close()
    path = tmp_path / "registry.sqlite3"
    with closing(sqlite3.connect(path)) as connection:
        [root] = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'messages_by_time'"
        ).fetchone()
        [size] = connection.execute("PRAGMA page_size").fetchone()
    content = bytearray(path.read_bytes())
    content[root * size - 8 : root * size] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(RegistryError, match="the registry is damaged, and no copy was made: "):
        server.registry.backup(target, replace=False)
    assert os.listdir(target.parent) == []


class TestTrouble:
    @pytest.fixture
    def nothing_left(self, target: Path) -> Iterator[None]:
        yield
        assert os.listdir(target.parent) == []

    def test_folder_that_is_not_there(
        self, server: Server, enrolled: ReferenceDevice, tmp_path: Path
    ) -> None:
        with pytest.raises(RegistryError, match=r"cannot write .*: No such file"):
            server.registry.backup(tmp_path / "none" / "copy", replace=False)

    @pytest.mark.usefixtures("nothing_left")
    def test_no_space(
        self,
        server: Server,
        enrolled: ReferenceDevice,
        target: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        real = sqlite3.connect

        def small(*arguments: object, **options: object) -> sqlite3.Connection:
            connection: sqlite3.Connection = real(*arguments, **options)  # type: ignore[call-overload]
            connection.execute("PRAGMA max_page_count = 3").close()
            return connection

        monkeypatch.setattr(backup.sqlite3, "connect", small)
        with pytest.raises(RegistryError, match=r"cannot copy .*: database or disk is full"):
            server.registry.backup(target, replace=False)

    @pytest.mark.usefixtures("nothing_left")
    def test_log_that_a_failed_write_leaves(
        self,
        server: Server,
        enrolled: ReferenceDevice,
        target: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fail(connection: object, temporary: Path, between: object) -> int:
            Path(f"{temporary}-journal").write_bytes(bytes(512))
            raise sqlite3.OperationalError("database or disk is full")

        monkeypatch.setattr(backup, "_copy", fail)
        with pytest.raises(RegistryError, match=r"cannot copy .*: database or disk is full"):
            server.registry.backup(target, replace=False)

    @pytest.mark.usefixtures("nothing_left")
    def test_interrupted(self, server: Server, enrolled: ReferenceDevice, target: Path) -> None:
        def interrupt(done: int, whole: int) -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            server.registry.backup(target, replace=False, between=interrupt)
        assert server(enrolled, data(enrolled)) == stored(1)

    @pytest.mark.usefixtures("nothing_left")
    def test_registry_that_is_lost_meanwhile(
        self, server: Server, enrolled: ReferenceDevice, target: Path, tmp_path: Path
    ) -> None:
        def lose(done: int, whole: int) -> None:
            (tmp_path / "registry.sqlite3").unlink(missing_ok=True)

        with pytest.raises(RegistryError, match="is gone"):
            server.registry.backup(target, replace=False, between=lose)

    def test_database_in_memory(self, target: Path) -> None:
        with (
            Registry("sqlite://") as registry,
            pytest.raises(RegistryError, match="only a registry in a file of SQLite is copied"),
        ):
            registry.backup(target, replace=False)


@pytest.mark.timeout(60)
def test_writers_of_another_thread_too(
    server: Server, enrolled: ReferenceDevice, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup, "PAGES", 1)
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            server(enrolled, data(enrolled))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        server.registry.backup(target, replace=False, between=lambda *_: stop.wait(0.002))
    finally:
        stop.set()
        writer.join()
    with closing(sqlite3.connect(target)) as copy:
        messages, last = copy.execute("SELECT count(*), max(number) FROM messages").fetchone()
        assert copy.execute("SELECT position FROM registry").fetchone() == (last,)
        assert copy.execute("SELECT frames FROM devices").fetchone() == (messages + 1,)
