"""Rows of which there may be very many, a page at a time, each page in a transaction of its own.

So nobody keeps the registry from tidying up, who reads a long list in a pager.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

from birthkey_host.schema import Base

PAGE = 5000
"""Rows that are read, and kept, at a time."""

Row = TypeVar("Row", bound=Base)


def pages(
    transaction: Callable[[], AbstractContextManager[Session]],
    kind: type[Row],
    key: Sequence[InstrumentedAttribute[Any]],
    *chosen: ColumnElement[bool],
) -> Iterator[Row]:
    """The chosen rows of a table in the order of `key`, which no two of them share.

    What is added or removed meanwhile is seen or not. Raises what `transaction` does.
    """
    query = select(kind).where(*chosen).order_by(*key).limit(PAGE)
    page = query
    while True:
        with transaction() as session:
            rows = list(session.scalars(page))
        yield from rows
        if len(rows) < PAGE:
            return
        last = tuple(getattr(rows[-1], column.key) for column in key)
        page = query.where(tuple_(*key) > last)
