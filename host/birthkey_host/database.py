"""How the registry's database is opened, and whether it still is the one that people see.

SQLite keeps its file in WAL mode with `synchronous=FULL`: a commit that returned survives a power
cut. A file that is removed or replaced stays open in the programs that use it, and what they commit
from then on is gone with it; so each commit looks whether the files at the path are those that are
open. A copy over the file in its place cannot be seen in this way.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, create_engine, event
from sqlalchemy.engine import Connection, Engine

from birthkey_host.schema import RegistryError

IMMEDIATE = "birthkey_immediate"
"""Execution option of an engine whose transactions write: SQLite then locks at BEGIN."""

UNSEEN = "birthkey_unseen"
"""Execution option of an engine that reads a file which may have been removed or replaced."""

WAL_LIMIT = 16 << 20
"""Bytes that SQLite's write-ahead log keeps on the disk once what is in it was written back."""

SUFFIXES = ("", "-wal", "-shm")
"""What the names of SQLite's files end in: the database, its write-ahead log, the index of that."""

_BESIDE = ("-wal", "-shm", "-journal")
"""What the names of the files end in that SQLite may have beside a database."""

_Identities = list[tuple[int, int] | None]
"""Device and inode of each of these files."""

_FILES = "birthkey_files"


class FileLost(RegistryError):
    """The files at `path` are not those that are open."""

    def __init__(self, path: Path, opened: _Identities) -> None:
        super().__init__(_what_became_of(path, opened))
        self.path = path
        self._opened = opened

    def is_back(self) -> bool:
        """Whether there is something at the path again, with nothing beside it that is not its."""
        return self.path.is_file() and not _left_over(self.path, self._opened)


def open_engine(url: str | URL, *, busy_timeout: float) -> Engine:
    """An engine for `url`; nothing is connected yet. `busy_timeout`: seconds to wait for a lock.

    Raises `sqlalchemy.exc.ArgumentError` for what is no database URL. Of SQLite, connections raise
    `sqlite3.OperationalError` where there is no file, and their commits `FileLost`.
    """
    # Parameters hold frames: they have no place in an error message.
    engine = create_engine(url, hide_parameters=True)
    if engine.dialect.name == "sqlite":
        _prepare(engine, round(busy_timeout * 1000))
    return engine


def _prepare(engine: Engine, busy_timeout: int) -> None:
    path = sqlite_file(engine)

    @event.listens_for(engine, "do_connect")
    def connect(dialect: Any, record: Any, arguments: Any, options: Any) -> sqlite3.Connection:
        before = None if path is None else _identities(path)[0]
        if path is not None and before is None:
            # SQLite would make an empty one, and that would be in the way of the true one.
            raise sqlite3.OperationalError("there is no such file")
        connection: sqlite3.Connection = dialect.connect(*arguments, **options)
        connection.isolation_level = None  # the driver begins nothing on its own
        for pragma in (
            f"busy_timeout = {busy_timeout}",
            "journal_mode = WAL",
            "synchronous = FULL",
            "foreign_keys = ON",
            f"journal_size_limit = {WAL_LIMIT}",
        ):
            connection.execute(f"PRAGMA {pragma}").close()
        connection.execute("SELECT count(*) FROM sqlite_schema").close()  # opens the log, too
        if path is not None:
            record.info[_FILES] = found = _identities(path)
            if found[0] != before:
                connection.close()
                raise sqlite3.OperationalError("the file was replaced while it was opened")
        return connection

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        # A transaction that reads first and then writes may find itself too late for the
        # lock; one that will write takes it at once. This also is the lock of the device row.
        immediate = connection.get_execution_options().get(IMMEDIATE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    @event.listens_for(engine, "commit")
    def committing(connection: Connection) -> None:
        opened = connection.info.get(_FILES)
        if path is None or opened is None or connection.get_execution_options().get(UNSEEN):
            return
        if opened != _identities(path):
            raise FileLost(path, opened)


def _what_became_of(path: Path, opened: _Identities) -> str:
    """A sentence about files that are open and were removed or replaced."""
    left = _left_over(path, opened)
    if left:
        return (
            f"{path} was replaced, and {left[0]} beside it belongs to the one before and would be"
            " mixed into it: remove that"
        )
    name, what = str(path), "was replaced"
    for suffix, then, now in zip(SUFFIXES, opened, _identities(path), strict=True):
        if then != now:
            name, what = f"{path}{suffix}", "is gone" if now is None else "was replaced"
            break
    return (
        f"{name} {what}, and what is written would be lost: put back the registry, all of its files"
        " or a backup"
    )


def _left_over(path: Path, opened: _Identities) -> list[str]:
    """Files beside another database at the path that still are those of the one before."""
    [main, *others] = _identities(path)
    if main is None or main == opened[0]:
        return []
    pairs = zip(SUFFIXES[1:], opened[1:], others, strict=True)
    return [f"{path}{suffix}" for suffix, then, now in pairs if now is not None and then == now]


def _identities(path: Path) -> _Identities:
    """Of what is at the path; None: nothing is."""
    found: _Identities = []
    for suffix in SUFFIXES:
        try:
            status = os.stat(f"{path}{suffix}")
        except OSError:
            found.append(None)
        else:
            found.append((status.st_dev, status.st_ino))
    return found


def left_of_a_missing(path: Path) -> str | None:
    """What lies beside a database that is not there, in a sentence; None: nothing does.

    It may hold the last that was committed, and SQLite would mix it into what comes to the path.
    """
    left = [f"{path}{suffix}" for suffix in _BESIDE if os.path.lexists(f"{path}{suffix}")]
    if not left or os.path.lexists(path):
        return None
    names = " and ".join(left)
    return (
        f"there is no {path}, and of its files only {names}: put all of the registry's files back;"
        f" or move {names} away, and put a backup in its place"
    )


def remove(path: Path) -> None:
    """Remove a database that nobody has open, and what is beside it, as far as that goes."""
    for suffix in ("", *_BESIDE):
        with contextlib.suppress(OSError):
            os.unlink(f"{path}{suffix}")


def sqlite_file(engine: Engine) -> Path | None:
    """Where SQLite keeps the database; None for other databases and for one in memory."""
    url = engine.url
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    return Path(str(url.database))
