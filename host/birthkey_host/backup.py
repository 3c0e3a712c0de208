"""A copy of a live registry in one file.

Copying the file by other means gives nothing useful: what was committed last is in the write-ahead
log beside it, and a server writes meanwhile.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import SQLAlchemyError

from birthkey_host import files
from birthkey_host.database import SUFFIXES, sqlite_file
from birthkey_host.schema import Meta, RegistryError

PAGES = 2000
"""Pages of 4 KiB that are copied at once."""


def write(
    connection: Connection, target: Path, *, replace: bool, between: Callable[[int, int], None]
) -> None:
    """Put the registry as it is now into the file `target`, whole and checked, or not at all.

    Servers go on meanwhile. The file is its owner's alone. Raises RegistryError.
    `between` is called with the pages that are copied, and their number.
    """
    path = sqlite_file(connection.engine)
    if path is None:
        raise RegistryError(
            "only a registry in a file of SQLite is copied: for other databases take their own"
            " means, as pg_dump for PostgreSQL"
        )
    if str(target.resolve()) in {f"{path.resolve()}{suffix}" for suffix in SUFFIXES}:
        raise RegistryError(f"{target} is the registry itself")
    if target.exists() and not replace:
        raise _taken(target)
    try:
        with files.making(target, mode=0o600, replace=replace) as temporary:
            _copy(connection, temporary, between)
            _check(temporary)
    except FileExistsError:
        raise _taken(target) from None
    except OSError as error:
        raise RegistryError(f"cannot write {target}: {error.strerror}") from error
    except (sqlite3.Error, SQLAlchemyError) as error:
        cause = getattr(error, "orig", None) or error
        raise RegistryError(f"cannot copy {path} to {target}: {cause}") from error


def _taken(target: Path) -> RegistryError:
    return RegistryError(f"there is a {target} already; nothing was changed")


def _copy(connection: Connection, target: Path, between: Callable[[int, int], None]) -> None:
    with closing(sqlite3.connect(target)) as copy:
        # Whoever reads sees one state, and writers go on; without this, each of them would have
        # the copy begin anew. A transaction that writes would have it wait for itself, for ever.
        connection.execute(select(Meta.version)).all()
        source = connection.connection.driver_connection
        assert isinstance(source, sqlite3.Connection)

        def copied(status: int, remaining: int, whole: int) -> None:
            between(whole - remaining, whole)

        source.backup(copy, pages=PAGES, progress=copied)
        copy.execute("PRAGMA journal_mode = DELETE").close()  # one file is all of it
        connection.commit()  # and whether the registry was lost meanwhile


def _check(target: Path) -> None:
    uri = f"{target.absolute().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as copy:
        rows = copy.execute("PRAGMA integrity_check(1)").fetchall()
    if rows != [("ok",)]:
        raise RegistryError(f"the registry is damaged, and no copy was made: {rows[0][0]}")
