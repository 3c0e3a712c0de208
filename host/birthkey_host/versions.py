"""What leads from one version of the registry's tables to the next, and what is said of others.

`STEPS[n]` leads from version `n` to `n + 1`: SQL that SQLite and PostgreSQL both understand, one
statement after the other, in one transaction with the new version number.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from sqlalchemy import select, text, update
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from birthkey_host import backup, files
from birthkey_host.database import UNSEEN
from birthkey_host.schema import VERSION, Meta, RegistryError

STEPS: dict[int, tuple[str, ...]] = {
    3: (
        "ALTER TABLE registry ADD COLUMN position BIGINT NOT NULL DEFAULT 0",
        "UPDATE registry SET position = (SELECT coalesce(max(number), 0) FROM messages)",
        "CREATE INDEX messages_by_device ON messages (device_id, number)",
        "CREATE INDEX messages_by_time ON messages (received, number)",
        "CREATE INDEX boots_by_time ON boots (received, device_id, boot)",
        "CREATE INDEX commands_by_end ON commands (closed)",
        "CREATE INDEX events_by_device ON events (device_id, number)",
        "ALTER TABLE devices ADD COLUMN size BIGINT NOT NULL DEFAULT 0",
        "UPDATE devices SET size ="
        " (SELECT coalesce(sum(256 + length(signed_frame) + length(message)), 0)"
        " FROM messages WHERE messages.device_id = devices.device_id)"
        " + (SELECT coalesce(sum(256 + length(signed_frame)), 0)"
        " FROM boots WHERE boots.device_id = devices.device_id)"
        " + (SELECT 100 * count(*) FROM floors WHERE floors.device_id = devices.device_id)",
        "ALTER TABLE devices ADD COLUMN origin VARCHAR(64) NOT NULL DEFAULT ''",
        "ALTER TABLE devices ADD COLUMN asked DOUBLE PRECISION",
    ),
}


def sentence(version: int | None) -> str:
    """Why a registry of another version is not opened, and what to do."""
    if version is None or version not in STEPS:
        hint = "it was made by a newer one" if version and version > VERSION else "nothing leads on"
        return f"the registry has version {version}, and this program needs {VERSION}: {hint}"
    return (
        f"the registry has version {version}, and this program needs {VERSION}: stop the servers"
        " that use it; then `birthkey upgrade` makes a backup and brings it up"
    )


def upgrade(engine: Engine, target: Path | None, between: Callable[[int, int], None]) -> int:
    """Bring a registry of an earlier version up to this program's; the version that it had.

    One transaction, after a copy into the file `target`, if there is one; it is removed again when
    the registry stays as it was. `between` as in `backup.write`, and before each step with those
    that are done, and their number. Of SQLite, nobody else may have the file open. Raises
    RegistryError.
    """
    copied = False
    try:
        with engine.connect().execution_options(**{UNSEEN: True}) as connection:
            if engine.dialect.name == "sqlite":
                _be_alone(connection)
            version = connection.scalar(select(Meta.version))
            connection.rollback()
            if version == VERSION:
                raise RegistryError(f"it has version {VERSION} already; there is nothing to do")
            if version is None or version > VERSION or version not in STEPS:
                raise RegistryError(sentence(version))
            if target is not None:
                backup.write(connection, target, replace=False, between=between)
                copied = True
            try:
                _climb(connection, version, between)
            except BaseException:
                if target is not None and _is_still(connection, version):
                    with suppress(OSError):
                        files.remove(target)
                        copied = False
                raise
    except SQLAlchemyError as error:
        cause = getattr(error, "orig", None) or error
        rest = f"; {target} is a copy of it" if copied else ""
        raise RegistryError(f"the registry was left as it was: {cause}{rest}") from error
    finally:
        engine.dispose()
    return int(version)


def _climb(connection: Connection, version: int, between: Callable[[int, int], None]) -> None:
    statements = [each for step in range(version, VERSION) for each in STEPS[step]]
    for done, statement in enumerate(statements):
        between(done, len(statements))
        connection.execute(text(statement))
    connection.execute(update(Meta).values(version=VERSION))
    between(len(statements), len(statements))  # the last time: nothing stops a commit
    connection.commit()


def _is_still(connection: Connection, version: int) -> bool:
    """Whether it surely has this version: a commit that fails may have been one."""
    try:
        connection.rollback()
        return connection.scalar(select(Meta.version)) == version
    except SQLAlchemyError:
        return False


def _be_alone(connection: Connection) -> None:
    """Until the connection is closed. A server of the earlier version would go on as it is used to.

    SQLite's log, and the file of its index, go away meanwhile.
    """
    driver = connection.connection.driver_connection
    assert isinstance(driver, sqlite3.Connection)
    driver.execute("PRAGMA locking_mode = EXCLUSIVE").close()
    try:
        [mode] = driver.execute("PRAGMA journal_mode = DELETE").fetchone()
    except sqlite3.OperationalError:
        mode = None
    if mode != "delete":
        raise RegistryError("a server or another program has the registry open: stop it first")
