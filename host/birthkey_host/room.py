"""How much room there is for the registry's database."""

from __future__ import annotations

import os
from dataclasses import dataclass

from sqlalchemy.orm import Session

from birthkey_host.database import sqlite_file


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes."""

    disk: int
    """Free on the disk for whoever asks."""
    file: int
    """Free within the database's file, which does not shrink when something is deleted."""


def measure(session: Session) -> Room | None:
    """The room for SQLite's database; None for any other, which may be on another machine."""
    path = sqlite_file(session.get_bind().engine)
    if path is None:
        return None
    try:
        found = os.statvfs(path.parent)
    except OSError:
        return None
    connection = session.connection()
    pages, size = (
        connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
        for name in ("freelist_count", "page_size")
    )
    return Room(disk=found.f_bavail * found.f_frsize, file=pages * size)
