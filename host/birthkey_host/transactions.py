"""Transactions of the registry: committed at the end, or nothing was done."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from birthkey_host.database import IMMEDIATE, UNSEEN, FileLost
from birthkey_host.schema import RegistryError

log = logging.getLogger(__name__)


class Transactions:
    """Those of `engine`; `check` raises RegistryError unless a registry is there.

    When SQLite's file is not the one that is open any more, transactions raise `FileLost` and leave
    nothing behind. As soon as there is a file at the path, `check` decides whether it is opened.
    """

    def __init__(self, engine: Engine, check: Callable[[], None]) -> None:
        def sessions(**options: bool) -> sessionmaker[Session]:
            return sessionmaker(engine.execution_options(**options), expire_on_commit=False)

        self._engine = engine
        self._check = check
        self._read = sessions()
        self._write = sessions(**{IMMEDIATE: True})
        self._peek = sessions(**{UNSEEN: True})
        self._lost: FileLost | None = None

    def reading(self) -> AbstractContextManager[Session]:
        """One that changes nothing."""
        return self._transaction(self._read)

    def writing(self) -> AbstractContextManager[Session]:
        """One that changes something; nobody else has one at the same time."""
        return self._transaction(self._write)

    def peeking(self) -> AbstractContextManager[Session]:
        """As `reading`, and in a file that was removed or replaced, too."""
        return self._transaction(self._peek)

    @contextmanager
    def _transaction(self, sessions: sessionmaker[Session]) -> Iterator[Session]:
        """Commits at the end; leaves nothing behind when anything is raised."""
        if self._lost is not None:
            self._reopen(self._lost)
        try:
            with sessions.begin() as session:
                yield session
        except FileLost as error:
            self._lost = error
            raise
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            name = self._engine.url.database or self._engine.url.render_as_string()
            raise RegistryError(f"the registry's database {name} failed: {cause}") from error

    def _reopen(self, lost: FileLost) -> None:
        """Open what is at the path. While nothing is, what is open goes on to be read."""
        if not lost.is_back():
            return
        self._engine.dispose()
        self._lost = None
        try:
            self._check()
        except RegistryError:
            # Nothing is open any more: it is asked for each time, and nothing of it is held.
            self._engine.dispose()
            self._lost = FileLost(lost.path, [None, None, None])
            raise
        log.warning("there is a registry at %s again, and it was opened", lost.path)
