"""Reading the log of messages by position, in the caller's transaction.

Positions rise in the order of commits: what is read up to one is all that there ever will be before
it. So a reader holds no transaction between two pages, and the write-ahead log cannot grow for it.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session, load_only

from birthkey_host.schema import StoredMessage

PAGE = 500
"""Messages that are read at once, at most; each has a few kilobytes."""


def page(
    session: Session, device_id: bytes | None, *, after: int, limit: int | None
) -> list[StoredMessage]:
    """The first messages after a position, without what only proves them."""
    rows = select(StoredMessage).where(*_of(device_id), StoredMessage.number > after)
    rows = rows.order_by(StoredMessage.number)
    rows = rows.limit(PAGE if limit is None else min(PAGE, limit)).options(
        load_only(
            StoredMessage.device_id,
            StoredMessage.counter,
            StoredMessage.message,
            StoredMessage.received,
            raiseload=True,
        )
    )
    return list(session.scalars(rows))


def newest(
    session: Session, device_id: bytes | None, *, after: int, limit: int | None
) -> list[StoredMessage]:
    """The newest messages after a position, whole, the oldest of them first."""
    rows = select(StoredMessage).where(*_of(device_id), StoredMessage.number > after)
    return list(session.scalars(rows.order_by(StoredMessage.number.desc()).limit(limit)))[::-1]


def before_last(session: Session, limit: int, device_id: bytes | None) -> int:
    """The position of the newest message but `limit`, 0 if there are not so many."""
    rows = select(StoredMessage.number).where(*_of(device_id))
    rows = rows.order_by(StoredMessage.number.desc()).offset(limit).limit(1)
    return session.scalars(rows).one_or_none() or 0


def _of(device_id: bytes | None) -> list[ColumnElement[bool]]:
    return [] if device_id is None else [StoredMessage.device_id == device_id]
