"""The registry: devices, their log and their life, in one database that all servers share.

The log is the replay state. `Registry.record` does everything that one frame causes in one
transaction, with the device's row locked, and returns after the commit: an acknowledgement means
stored. What the transactions do is in `recording` (frames), `life` (people) and `claims`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from types import TracebackType
from typing import Any

from sqlalchemy import URL, ColumnElement, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import InstrumentedAttribute

from birthkey_host import (
    backup,
    claims,
    commands,
    erasing,
    life,
    log,
    paging,
    recording,
    versions,
    waiting,
)
from birthkey_host.database import left_of_a_missing, open_engine, remove, sqlite_file
from birthkey_host.enrolment import Policy
from birthkey_host.message import Reason
from birthkey_host.recording import Terms
from birthkey_host.room import Room, measure
from birthkey_host.schema import (
    VERSION,
    Approval,
    BadKey,
    Base,
    Boot,
    Claim,
    Device,
    Event,
    Evidence,
    Meta,
    RegistryError,
    State,
    StoredCommand,
    StoredMessage,
)
from birthkey_host.transactions import Transactions
from birthkey_host.verifier import KnownDevice, Outcome, Verdict

__all__ = ["Registry", "RegistryError", "State", "Terms"]

DAY = 86400.0
QUOTA = 200_000_000
PIECE = 500

Between = Callable[[int, int], None]
"""Called between the pieces of a long work, with what is done and the whole of it, estimated."""


def _at_once(done: int, whole: int) -> None:
    """Go on without a pause."""


class Registry:
    """The database at `url`. Nothing is opened before the first use; use from any thread.

    `pending_limit` caps the devices that wait for approval, and each waits `pending_ttl` seconds.
    `quota` caps the bytes kept of one device, counted as in `sizes`.
    `busy_timeout`: seconds to wait for a lock of SQLite. Every method may raise `RegistryError`,
    except `record`, whose verdict then is `busy`.

    A file of SQLite that is removed or replaced while it is open is noticed before each commit, and
    nothing is committed. Once a registry is at the path again, it is opened.

    Of what people do, `who` did it and `why` go into the audit events. Times are Unix seconds.
    """

    def __init__(
        self,
        url: str | URL = "sqlite:///birthkey.sqlite3",
        *,
        pending_limit: int = 1000,
        pending_ttl: float = 30 * DAY,
        quota: int = QUOTA,
        busy_timeout: float = 5.0,
    ) -> None:
        try:
            self._engine = open_engine(url, busy_timeout=busy_timeout)
        except (ArgumentError, ImportError) as error:
            raise RegistryError(f"this URL is of no use as a registry: {error}") from error
        self._limits = recording.Limits(pending_limit, pending_ttl, quota)
        self._database = Transactions(self._engine, self.check)

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    @property
    def path(self) -> Path | None:
        """The file that SQLite keeps it in; None for another database."""
        return sqlite_file(self._engine)

    # The database as a whole.

    def create(self) -> None:
        """Make the tables in an empty database.

        A file of SQLite that it made is removed again if that fails, and none is made beside what
        is left of another.
        """
        made = False
        if (path := self.path) is not None:
            if (left := left_of_a_missing(path)) is not None:
                raise RegistryError(left)
            made = not os.path.lexists(path)
            try:
                path.touch(mode=0o600)  # what boards report is nobody else's business
            except OSError as error:
                raise RegistryError(f"cannot write {path}: {error.strerror}") from error
        there_is_one = False
        try:
            with self._database.writing() as session:
                connection = session.connection()
                there_is_one = self._engine.dialect.has_table(connection, Meta.__tablename__)
                if there_is_one:
                    raise RegistryError("there is a registry already; it was left as it is")
                Base.metadata.create_all(connection)
                session.add(Meta(number=1, version=VERSION))
        except BaseException:
            if path is not None and made and not there_is_one:  # another's commit notices it
                self.close()
                remove(path)
            raise

    def exists(self) -> bool:
        """Whether there is a registry, of any version; an empty database is none."""
        if self.path is not None and not os.path.exists(self.path):
            return False
        with self._database.reading() as session:
            return self._engine.dialect.has_table(session.connection(), Meta.__tablename__)

    def check(self) -> None:
        """Refuse a database that is missing, damaged or of another version."""
        if self.path is not None and not os.path.isfile(self.path):
            left = left_of_a_missing(self.path)
            raise RegistryError(left or f"there is no registry at {self.path}")
        with self._database.reading() as session:
            if not self._engine.dialect.has_table(session.connection(), Meta.__tablename__):
                raise RegistryError(
                    f"{self._engine.url} is no birthkey registry; of one in use, `birthkey"
                    " backup` makes a copy, and `cp` does not"
                )
            version = session.scalar(select(Meta.version))
        if version != VERSION:
            raise RegistryError(versions.sentence(version))

    def backup(
        self,
        target: Path,
        *,
        replace: bool,
        between: Between = _at_once,
        kept: Iterable[Path] = (),
    ) -> None:
        """Copy the registry into one file, while servers go on; see `backup.write`."""
        try:
            with self._engine.connect() as connection:
                backup.write(connection, target, replace=replace, between=between, kept=kept)
        except SQLAlchemyError as error:
            raise RegistryError(f"cannot read the registry: {error}") from error

    def upgrade(self, target: Path | None, *, between: Between = _at_once) -> int:
        """Bring it up to this program's version, which nobody else may use; that it had before.

        It is copied into the file `target` first.
        """
        return versions.upgrade(self._engine, target, between)

    # What servers ask.

    def lookup(self, device_id: bytes) -> KnownDevice | None:
        """The key that is bound to `device_id`; None if there is none.

        None for a deleted device too, unless it was revoked or cloned: it has to enrol again. Goes
        on when the file was removed, so that a board can be told `busy`.
        """
        with self._database.peeking() as session:
            row = session.execute(
                select(Device.thumbprint, Device.public_key).where(
                    Device.device_id == device_id, Device.state != State.DELETED
                )
            ).one_or_none()
        return KnownDevice(device_id, row.thumbprint, row.public_key) if row else None

    def record(
        self, outcome: Outcome, *, policy: Policy, now: float, terms: Terms | None = None
    ) -> Verdict:
        """Decide about a verified frame, store what it brings, commit, and return the verdict.

        One transaction. `now`: Unix seconds. `terms`: where the frame came from, and what cannot
        be taken just now. A verdict without a reason means committed. When the
        database fails, nothing is kept, and the verdict is `busy` and says why.
        """
        try:
            if outcome.refusal is Reason.UNKNOWN_DEVICE:  # nobody's signature was verified
                return recording.refused(outcome.refusal, None)
            if outcome.refusal is not None:
                with self._database.reading() as session:
                    device = session.get(Device, outcome.device_id)
                    return recording.refused(outcome.refusal, device)
            with self._database.writing() as session:
                return recording.record(
                    session,
                    outcome,
                    policy=policy,
                    limits=self._limits,
                    terms=terms or Terms(),
                    now=now,
                )
        except RegistryError as error:
            return replace(recording.refused(Reason.BUSY, None), fault=str(error))

    def room(self) -> Room | None:
        """How much room there is for the database; None where that cannot be known."""
        with self._database.reading() as session:
            return measure(session)

    # What people ask.

    def devices(self) -> list[Device]:
        """All devices, tombstones of deleted ones too, the oldest first."""
        with self._database.reading() as session:
            return list(session.scalars(select(Device).order_by(Device.created, Device.device_id)))

    def device(self, device_id: bytes) -> Device | None:
        """One device, or None."""
        with self._database.reading() as session:
            return session.get(Device, device_id)

    def approvals(self) -> list[Approval]:
        """The ids that were approved and have not been seen yet."""
        with self._database.reading() as session:
            return list(session.scalars(select(Approval).order_by(Approval.approved)))

    def evidence(self, device_id: bytes) -> list[Evidence]:
        """The pair of frames that proved the device cloned; empty if it is not."""
        with self._database.reading() as session:
            rows = select(Evidence).where(Evidence.device_id == device_id)
            return list(session.scalars(rows.order_by(Evidence.place)))

    def events(self, device_id: bytes | None = None) -> list[Event]:
        """The audit events, in order: all of them, or those about one device."""
        rows = select(Event).order_by(Event.number)
        if device_id is not None:
            rows = rows.where(Event.device_id == device_id)
        with self._database.reading() as session:
            return list(session.scalars(rows))

    def messages(
        self, device_id: bytes | None = None, *, after: int = 0, limit: int | None = None
    ) -> list[StoredMessage]:
        """The newest `limit` messages stored after a position, in the order of storing."""
        with self._database.reading() as session:
            return log.newest(session, device_id, after=after, limit=limit)

    def pages(
        self, device_id: bytes | None = None, *, after: int, limit: int | None = None
    ) -> Iterator[list[StoredMessage]]:
        """The first `limit` messages after a position, in the order of storing, some at a time.

        Of each there is what a reader needs, without its frame. Nothing is locked and no memory
        held for longer than a page. Ends where the log does; the last position leads on.
        """
        while limit is None or limit > 0:
            with self._database.reading() as session:
                rows = log.page(session, device_id, after=after, limit=limit)
            if not rows:
                return
            after = rows[-1].number
            limit = None if limit is None else limit - len(rows)
            yield rows

    def position(self) -> int:
        """The highest position that a message has or had; 0 at first."""
        with self._database.reading() as session:
            return session.scalars(select(Meta.position)).one()

    def before_last(self, limit: int, device_id: bytes | None = None) -> int:
        """The position after which the newest `limit` messages are."""
        with self._database.reading() as session:
            return log.before_last(session, limit, device_id)

    def commands(self, device_id: bytes) -> list[StoredCommand]:
        """The commands to a device, in the order of their ids; `commands.state` reads them."""
        with self._database.reading() as session:
            rows = select(StoredCommand).where(StoredCommand.device_id == device_id)
            return list(session.scalars(rows.order_by(StoredCommand.id)))

    def claims(self) -> list[Claim]:
        """The claim codes that were issued, the oldest first."""
        return list(self.each_claim())

    def bad_keys(self) -> list[BadKey]:
        """The keys that people put on the list; `bad_keys.PUBLISHED` are on it anyway."""
        return list(self.each_bad_key())

    # The same, as many as there may be: a page at a time, each in a transaction of its own.

    def each_device(self) -> Iterator[Device]:
        """As `devices`."""
        return self._pages(Device, [Device.created, Device.device_id])

    def each_approval(self) -> Iterator[Approval]:
        """As `approvals`."""
        return self._pages(Approval, [Approval.approved, Approval.device_id])

    def each_event(self, device_id: bytes | None = None) -> Iterator[Event]:
        """As `events`."""
        chosen = [] if device_id is None else [Event.device_id == device_id]
        return self._pages(Event, [Event.number], *chosen)

    def each_command(self, device_id: bytes) -> Iterator[StoredCommand]:
        """As `commands`."""
        return self._pages(StoredCommand, [StoredCommand.id], StoredCommand.device_id == device_id)

    def each_claim(self) -> Iterator[Claim]:
        """As `claims`."""
        return self._pages(Claim, [Claim.issued, Claim.sha256])

    def each_bad_key(self) -> Iterator[BadKey]:
        """As `bad_keys`."""
        return self._pages(BadKey, [BadKey.added, BadKey.thumbprint])

    def _pages(
        self,
        kind: type[paging.Row],
        key: Sequence[InstrumentedAttribute[Any]],
        *chosen: ColumnElement[bool],
    ) -> Iterator[paging.Row]:
        return paging.pages(self._database.reading, kind, key, *chosen)

    def replaced_by(self, device_id: bytes) -> bytes | None:
        """The id of the birth key that took this device's place, or will once it is seen."""
        with self._database.reading() as session:
            return life.replaced_by(session, device_id)

    # What people do.

    def approve(
        self,
        device_id: bytes,
        *,
        who: str,
        why: str,
        now: float,
        label: str | None = None,
        replaces: bytes | None = None,
    ) -> Device | None:
        """Let a device in; before its first contact too, and then there is no `Device` yet.

        `replaces`: the revoked or cloned device whose place this birth key takes.
        """
        with self._database.writing() as session:
            return life.approve(
                session, device_id, label=label, replaces=replaces, who=who, why=why, now=now
            )

    def suspend(self, device_id: bytes, *, who: str, why: str, now: float) -> Device:
        """Refuse what an active device sends until it is approved again; the board keeps it."""
        with self._database.writing() as session:
            return life.suspend(session, device_id, who=who, why=why, now=now)

    def revoke(self, device_id: bytes, *, who: str, why: str, now: float) -> Device:
        """Refuse a device for ever."""
        with self._database.writing() as session:
            return life.revoke(session, device_id, who=who, why=why, now=now)

    def delete(
        self, device_id: bytes, *, who: str, why: str, now: float, between: Between = _at_once
    ) -> int:
        """Delete a device's messages, gives their number, and forget it but for its tombstone.

        It is refused from the start; what it sent is erased piece by piece. An erasure that was
        interrupted goes on when this is called again.
        """
        with self._database.writing() as session:
            scope = life.delete(session, device_id, who=who, why=why, now=now)
        return 0 if scope is None else self._erase(scope, self._count(scope), between)

    def delete_waiting(
        self,
        *,
        who: str,
        why: str,
        now: float,
        before: float | None = None,
        network: IPv4Network | IPv6Network | None = None,
    ) -> int:
        """Forget all that wait for approval, gives their number; or those of them that came before
        a time, Unix seconds, or from within a network. One event, before they go in pieces."""
        with self._database.writing() as session:
            ids = life.choose_waiting(
                session, before=before, network=network, who=who, why=why, now=now
            )
        gone = 0
        for first in range(0, len(ids), PIECE):
            with self._database.writing() as session:
                gone += waiting.remove(session, ids[first : first + PIECE])
        return gone

    def command(
        self, device_id: bytes, body: object, *, expires: float, who: str, why: str, now: float
    ) -> StoredCommand:
        """Have an active device told `body`, a map, with the answer to its next message.

        It is not sent any more from `expires` on. Raises ValueError for what cannot be sent.
        """
        with self._database.writing() as session:
            return commands.queue(
                session, device_id, body, expires=expires, who=who, why=why, now=now
            )

    def prune(
        self,
        device_id: bytes | None,
        *,
        before: float,
        who: str,
        now: float,
        between: Between = _at_once,
    ) -> int:
        """Delete messages that came before that time, and gives their number.

        Of one device, or of all for None, piece by piece. It may be interrupted and called again.
        """
        scope = erasing.Scope(device_id, before)
        whole = self._count(scope)  # takes its time, and is in nobody's way here
        with self._database.writing() as session:
            life.prune(session, scope, messages=whole, who=who, now=now)
        return self._erase(scope, whole, between)

    def issue_claims(
        self,
        count: int,
        *,
        who: str,
        now: float,
        label: str | None = None,
        expires: float | None = None,
    ) -> list[bytes]:
        """Make claim codes of 16 bytes, which nobody can ask for again."""
        with self._database.writing() as session:
            return claims.issue(session, count, label=label, expires=expires, who=who, now=now)

    def remove_claims(
        self, chosen: Sequence[bytes], *, who: str, why: str, now: float
    ) -> list[Claim]:
        """Make unspent codes useless, by `claims.name` or the codes themselves; all or none."""
        with self._database.writing() as session:
            return claims.remove(session, chosen, who=who, why=why, now=now)

    def remove_claims_labelled(self, label: str, *, who: str, why: str, now: float) -> int:
        """Make the unspent codes with this label useless; their number."""
        with self._database.writing() as session:
            return claims.remove_label(session, label, who=who, why=why, now=now)

    def remove_claims_expired(self, *, who: str, why: str, now: float) -> int:
        """Remove the codes that expired unspent; their number."""
        with self._database.writing() as session:
            return claims.remove_expired(session, who=who, why=why, now=now)

    def withdraw_claims(self, codes: Sequence[bytes], *, who: str, now: float) -> int:
        """Make those of these codes useless that are not spent: they were not shown; how many."""
        with self._database.writing() as session:
            return claims.withdraw(session, codes, who=who, now=now)

    def ban(self, thumbprint: bytes, *, who: str, why: str, now: float) -> Device | None:
        """Put a key on the list of bad ones, and revoke the device that has it, if one has."""
        with self._database.writing() as session:
            return life.ban(session, thumbprint, who=who, why=why, now=now)

    def newest_boots(self, limit: int) -> list[tuple[bytes, bytes]]:
        """(device id, `enc`) of the newest boot of active devices, the last to store at the end."""
        rows = (
            select(Boot.device_id, Boot.enc)
            .join(Device)
            .where(Device.state == State.ACTIVE, Boot.boot == Device.newest)
            .order_by(Device.last_seen.desc())
            .limit(limit)
        )
        with self._database.reading() as session:
            return [(row.device_id, row.enc) for row in session.execute(rows)][::-1]

    def _count(self, scope: erasing.Scope) -> int:
        with self._database.reading() as session:
            return erasing.Messages(scope).count(session)

    def _erase(self, scope: erasing.Scope, whole: int, between: Between) -> int:
        erased = 0
        for rows in erasing.tables(scope):
            after = None
            while True:
                with self._database.reading() as session:
                    keys = rows.find(session, after)
                if not keys:
                    break
                with self._database.writing() as session:
                    erased += rows.erase(session, keys)
                after = keys[-1]
                between(erased, whole)
        return erased
