"""A copy of a live registry in one file.

Copying the file by other means gives nothing useful: what was committed last is in the write-ahead
log beside it, and a server writes meanwhile.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing, suppress
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from birthkey_host import files
from birthkey_host.database import SUFFIXES, sqlite_file
from birthkey_host.schema import Meta, RegistryError

JOURNAL = "-journal"
"""What the name of SQLite's other log ends in; beside a database in WAL mode, it is deleted."""

PAGES = 2000
"""Pages of 4 KiB that are copied at once."""


class Taken(RegistryError):
    """Another registry is at the target, and was not to be replaced."""


def write(
    connection: Connection,
    target: Path,
    *,
    replace: bool,
    between: Callable[[int, int], None],
    kept: Iterable[Path] = (),
) -> None:
    """Put the registry as it is now into the file `target`, whole and checked, or not at all.

    Servers go on meanwhile. The file is its owner's alone. `kept` are files and folders that the
    target must neither be nor be in, whether they are there or not; the registry's own files are
    always among them. With `replace`, a file is replaced that is a registry, and no other one.
    `between` is called with the pages that are copied, and their number, and once more after the
    check. Raises RegistryError, and Taken before anything is copied.
    """
    path = sqlite_file(connection.engine)
    if path is None:
        raise RegistryError(
            "only a registry in a file of SQLite is copied: for other databases take their own"
            " means, as pg_dump for PostgreSQL"
        )
    try:
        own = path.resolve()
        if _is_among(target, [Path(f"{own}{suffix}") for suffix in (*SUFFIXES, JOURNAL)]):
            raise RegistryError(f"{target} is the registry itself; take another name")
        if _is_among(target, kept):
            raise RegistryError(
                f"{target} is where the server's key, its CA or its registry belongs; take another"
                " name"
            )
        _must_be_free(target, replace=replace)
        with files.making(target, mode=0o600, replace=replace) as temporary:
            try:
                whole = _copy(connection, temporary, between)
                _check(temporary)
            finally:
                _remove_logs(temporary)
            between(whole, whole)
            if replace:
                _must_be_free(target, replace=True)  # still, after a copy that may take minutes
    except FileExistsError:
        raise _taken(target) from None
    except OSError as error:
        raise RegistryError(f"cannot write {target}: {error.strerror}") from error
    except (sqlite3.Error, SQLAlchemyError) as error:
        cause = getattr(error, "orig", None) or error
        raise RegistryError(f"cannot copy {path} to {target}: {cause}") from error


def _taken(target: Path) -> Taken:
    return Taken(f"there is a {target} already; nothing was changed")


def _is_among(target: Path, kept: Iterable[Path]) -> bool:
    """Whether it is one of these or in one of them, by whatever name. Raises OSError."""
    resolved = target.resolve()
    places = (resolved, *resolved.parents)
    return any(_is_same(place, each.resolve()) for each in kept for place in places)


def _is_same(one: Path, other: Path) -> bool:
    """By path, or by device and inode: a hard link, or another case where that is the same."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return one == other or one.samefile(other)
    return False


def _must_be_free(target: Path, *, replace: bool) -> None:
    """Raises RegistryError, with what is in the way of a file there, and OSError."""
    if target.is_symlink():
        raise RegistryError(
            f"{target} is a symbolic link to {os.readlink(target)}, and a copy would take the"
            " link's place: name the file itself"
        )
    if target.is_dir():
        raise RegistryError(f"{target} is a folder; name the file in it that the copy goes into")
    for suffix in (*SUFFIXES[1:], JOURNAL):
        if os.path.lexists(beside := f"{target}{suffix}"):
            raise RegistryError(
                f"{beside} would be mixed into the copy, and a program may be using it: take"
                " another name, or remove it if no program does"
            )
    if not target.exists():
        return
    if not _is_registry(target):
        raise RegistryError(
            f"{target} is there and is no registry, and nothing else is replaced: take another name"
        )
    if not replace:
        raise _taken(target)


def _is_registry(path: Path) -> bool:
    """Of whatever version; nothing is written, nor made beside it."""
    if not path.is_file():
        return False  # what is no file may have its readers wait for ever
    try:
        with closing(_open_as_it_is(path)) as connection:
            connection.execute("SELECT version FROM registry").fetchall()
    except sqlite3.Error:
        return False
    return True


def _open_as_it_is(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)


def _remove_logs(path: Path) -> None:
    """SQLite leaves its log there when a write fails, as on a full disk."""
    for suffix in (*SUFFIXES[1:], JOURNAL):
        with suppress(OSError):
            os.unlink(f"{path}{suffix}")


def _copy(connection: Connection, target: Path, between: Callable[[int, int], None]) -> int:
    """The number of pages."""
    pages = 0
    with closing(sqlite3.connect(target)) as copy:
        # Whoever reads sees one state, and writers go on; without this, each of them would have
        # the copy begin anew. A transaction that writes would have it wait for itself, for ever.
        connection.execute(select(Meta.version)).all()
        source = connection.connection.driver_connection
        assert isinstance(source, sqlite3.Connection)

        def copied(status: int, remaining: int, whole: int) -> None:
            nonlocal pages
            pages = whole
            between(whole - remaining, whole)

        source.backup(copy, pages=PAGES, progress=copied)
        copy.execute("PRAGMA journal_mode = DELETE").close()  # one file is all of it
        connection.commit()  # and whether the registry was lost meanwhile
    return pages


def _check(target: Path) -> None:
    with closing(_open_as_it_is(target)) as copy:
        rows = copy.execute("PRAGMA integrity_check(1)").fetchall()
    if rows != [("ok",)]:
        raise RegistryError(f"the registry is damaged, and no copy was made: {rows[0][0]}")
