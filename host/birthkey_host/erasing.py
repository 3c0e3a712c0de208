"""Erasing what devices sent, piece by piece, so that nobody else waits for it.

A piece is found in one transaction, which reads, and erased in another, which has to be short: it
holds what every other writer needs. A message and the floor that refuses it from then on change in
the same transaction, so it does not matter after which piece an erasure ends; another one goes on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    bindparam,
    case,
    delete,
    false,
    func,
    insert,
    select,
    tuple_,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Session

from birthkey_host import sizes
from birthkey_host.schema import Base, Boot, Device, Floor, StoredCommand, StoredMessage

PIECE = 500
"""Rows that are erased in one transaction, at most."""

UNSYNCHRONISED = {"synchronize_session": False}

DEVICES, FLOORS = (Base.metadata.tables[row.__tablename__] for row in (Device, Floor))

Key = tuple[Any, ...]
"""Where a row stands in the order that a table is gone through."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What is erased: of one device or of all, and all of it or what came before a time.

    All that a device sent is only erased while it is deleted; approved again, it sends anew.
    """

    device_id: bytes | None
    before: float | None
    """Unix seconds."""

    def lock(self, session: Session, device_ids: Collection[bytes]) -> Sequence[bytes]:
        """Those of the devices whose rows may be erased, locked in the order of their ids."""
        rows = select(Device.device_id).where(Device.device_id.in_(set(device_ids)))
        if self.before is None:
            rows = rows.where(Device.deleted.is_not(None))
        return session.scalars(rows.order_by(Device.device_id).with_for_update()).all()


class Rows(Protocol):
    """Rows of one table that are to be erased."""

    def find(self, session: Session, after: Key | None) -> Sequence[Key]:
        """The keys of the next piece, in order; empty at the end."""

    def erase(self, session: Session, keys: Sequence[Key]) -> int:
        """Erase a piece; the number of messages that were in it."""


@dataclass(frozen=True, slots=True)
class Messages:
    """Messages; each leaves a floor for the boot that it was made in."""

    scope: Scope

    def _conditions(self) -> list[ColumnElement[bool]]:
        conditions = []
        if self.scope.device_id is not None:
            conditions.append(StoredMessage.device_id == self.scope.device_id)
        if self.scope.before is not None:
            conditions.append(StoredMessage.received < self.scope.before)
        return conditions

    def count(self, session: Session) -> int:
        """How many there are."""
        rows = select(func.count()).select_from(StoredMessage).where(*self._conditions())
        return session.scalars(rows).one()

    def find(self, session: Session, after: Key | None) -> Sequence[Key]:
        """Keys: time of arrival, and number."""
        rows = select(StoredMessage.received, StoredMessage.number).where(*self._conditions())
        if self.scope.device_id is None:
            key = tuple_(StoredMessage.received, StoredMessage.number)
            rows = rows.where(key > after) if after is not None else rows
            rows = rows.order_by(StoredMessage.received, StoredMessage.number)
        else:
            rows = rows.where(StoredMessage.number > after[1]) if after is not None else rows
            rows = rows.order_by(StoredMessage.number)
        return _piece(session, rows)

    def erase(self, session: Session, keys: Sequence[Key]) -> int:
        """Erase them and raise the floors, with the devices locked."""
        numbers = [number for _, number in keys]
        owners = select(StoredMessage.device_id).where(StoredMessage.number.in_(numbers))
        devices = self.scope.lock(session, session.scalars(owners).all())
        gone = session.execute(
            delete(StoredMessage)
            .where(StoredMessage.number.in_(numbers), StoredMessage.device_id.in_(devices))
            .returning(
                StoredMessage.device_id, StoredMessage.counter, sizes.content(StoredMessage)
            ),
            execution_options=UNSYNCHRONISED,
        ).all()
        highest: dict[tuple[bytes, int], int] = {}
        for device_id, counter, _ in gone:
            boot, sequence = divmod(counter, 1 << 32)
            highest[device_id, boot] = max(highest.get((device_id, boot), 0), sequence)
        made = _raise_floors(session, highest)
        freed = Counter({device_id: -sizes.FLOOR * count for device_id, count in made.items()})
        for device_id, _, content in gone:
            freed[device_id] += sizes.ROW + content
        _count_down(session, Counter(device_id for device_id, _, _ in gone), freed)
        return len(gone)


def _raise_floors(session: Session, highest: dict[tuple[bytes, int], int]) -> Counter[bytes]:
    """Have each boot's floor be at least so high; how many each device got that had none.

    In SQL alone: there may be many devices.
    """
    if not highest:
        return Counter()
    rows = select(Floor.device_id, Floor.boot).where(
        *_among(Floor.device_id, Floor.boot, list(highest))
    )
    there = {(device_id, boot) for device_id, boot in session.execute(rows)}
    raised = update(FLOORS).where(
        FLOORS.c.device_id == bindparam("of_device"),
        FLOORS.c.boot == bindparam("of_boot"),
        FLOORS.c.sequence < bindparam("at_least"),
    )
    parameters = [
        {"of_device": device_id, "of_boot": boot, "at_least": highest[device_id, boot]}
        for device_id, boot in there
    ]
    if parameters:
        session.connection().execute(
            raised.values(sequence=bindparam("at_least", type_=BigInteger)), parameters
        )
    missing = [
        {"device_id": device_id, "boot": boot, "sequence": sequence}
        for (device_id, boot), sequence in highest.items()
        if (device_id, boot) not in there
    ]
    if missing:
        session.connection().execute(insert(FLOORS), missing)
    return Counter(device_id for device_id, boot in highest if (device_id, boot) not in there)


def _count_down(session: Session, gone: Counter[bytes], freed: Counter[bytes]) -> None:
    """Of each device: the number of its frames that are gone, and the bytes that they took."""
    if not gone:
        return
    size = DEVICES.c.size - bindparam("freed", type_=BigInteger)
    fewer = update(DEVICES).where(DEVICES.c.device_id == bindparam("of_device"))
    session.connection().execute(
        fewer.values(
            frames=DEVICES.c.frames - bindparam("gone", type_=BigInteger),
            size=case((size > 0, size), else_=0),
        ),
        [
            {"of_device": device_id, "gone": gone[device_id], "freed": freed[device_id]}
            for device_id in sorted(gone)
        ],
    )


@dataclass(frozen=True, slots=True)
class Boots:
    """First frames of boots; of a device that is not deleted, the newest boot's stays."""

    scope: Scope

    def find(self, session: Session, after: Key | None) -> Sequence[Key]:
        """Keys: time of arrival, device and boot."""
        rows = select(Boot.received, Boot.device_id, Boot.boot)
        if self.scope.before is not None:
            rows = rows.join(Device).where(
                Boot.received < self.scope.before, Boot.boot < Device.newest
            )
        if self.scope.device_id is None:
            key = tuple_(Boot.received, Boot.device_id, Boot.boot)
            rows = rows.where(key > after) if after is not None else rows
            rows = rows.order_by(Boot.received, Boot.device_id, Boot.boot)
        else:
            rows = rows.where(Boot.device_id == self.scope.device_id)
            rows = rows.where(Boot.boot > after[2]) if after is not None else rows
            rows = rows.order_by(Boot.boot)
        return _piece(session, rows)

    def erase(self, session: Session, keys: Sequence[Key]) -> int:
        """Erase them, with the devices locked."""
        devices = set(self.scope.lock(session, [device_id for _, device_id, _ in keys]))
        chosen = [(device_id, boot) for _, device_id, boot in keys if device_id in devices]
        gone = session.execute(
            delete(Boot)
            .where(*_among(Boot.device_id, Boot.boot, chosen))
            .returning(Boot.device_id, sizes.content(Boot)),
            execution_options=UNSYNCHRONISED,
        ).all()
        freed: Counter[bytes] = Counter()
        for device_id, content in gone:
            freed[device_id] += sizes.ROW + content
        _count_down(session, Counter(device_id for device_id, _ in gone), freed)
        return 0


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands; of a device that is not deleted, those that were over by then."""

    scope: Scope

    def find(self, session: Session, after: Key | None) -> Sequence[Key]:
        """Keys: device and id."""
        rows = select(StoredCommand.device_id, StoredCommand.id)
        if self.scope.device_id is not None:
            rows = rows.where(StoredCommand.device_id == self.scope.device_id)
        if self.scope.before is not None:
            rows = rows.where(StoredCommand.closed < self.scope.before)
        return _piece(session, rows)

    def erase(self, session: Session, keys: Sequence[Key]) -> int:
        """Erase them, with the devices locked."""
        devices = set(self.scope.lock(session, [device_id for device_id, _ in keys]))
        chosen = [key for key in keys if key[0] in devices]
        session.execute(
            delete(StoredCommand).where(*_among(StoredCommand.device_id, StoredCommand.id, chosen)),
            execution_options=UNSYNCHRONISED,
        )
        return 0


def _among(
    device_id: InstrumentedAttribute[bytes],
    number: InstrumentedAttribute[int],
    chosen: Sequence[Key],
) -> list[ColumnElement[bool]]:
    """Conditions for rows with these pairs. SQLite goes through all the table for the last alone,
    and by the first two it finds where to look."""
    if not chosen:
        return [false()]
    numbers = [each for _, each in chosen]
    return [
        device_id.in_({each for each, _ in chosen}),
        number.between(min(numbers), max(numbers)),
        tuple_(device_id, number).in_(chosen),
    ]


def tables(scope: Scope) -> tuple[Rows, ...]:
    """All that there is to erase, in order."""
    return Messages(scope), Boots(scope), Commands(scope)


def is_left(session: Session, device_id: bytes) -> bool:
    """Whether anything of a device that was deleted is still to be erased."""
    everything = Scope(device_id, None)
    return any(rows.find(session, None) for rows in tables(everything))


def _piece(session: Session, rows: Select[*tuple[Any, ...]]) -> Sequence[Key]:
    return [tuple(row) for row in session.execute(rows.limit(PIECE))]
