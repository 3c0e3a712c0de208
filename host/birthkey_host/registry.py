"""The registry: devices, their log and their life, in one database that all servers share.

The log is the replay state. `Registry.record` does everything that one frame causes in one
transaction, with the device's row locked, and returns after the commit: an acknowledgement means
stored.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType

from sqlalchemy import URL, func, select
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from birthkey_host import events
from birthkey_host.cose import thumbprint
from birthkey_host.enrolment import Policy
from birthkey_host.message import Enrol, Reason
from birthkey_host.schema import (
    IMMEDIATE,
    VERSION,
    Action,
    Approval,
    Base,
    Boot,
    Device,
    Event,
    Evidence,
    Frame,
    Meta,
    Proof,
    State,
    StoredMessage,
    open_engine,
    sqlite_file,
)
from birthkey_host.verifier import KnownDevice, Outcome, Verdict

__all__ = ["Registry", "RegistryError", "State"]

log = logging.getLogger(__name__)

DAY = 86400.0

REFUSED = {
    State.PENDING: Reason.PENDING,
    State.SUSPENDED: Reason.SUSPENDED,
    State.REVOKED: Reason.REVOKED,
    State.CLONED: Reason.CLONED,
}

PROOFS = {
    Proof.COUNTER: "one counter, two messages",
    Proof.BOOT: "one boot number, two encapsulated keys",
    Proof.STATUS: "the board was told of a boot above its own",
}


class RegistryError(Exception):
    """The registry cannot do it; the text is a sentence for the person who asked."""


class Registry:
    """The database at `url`. Nothing is opened before the first use; use from any thread.

    `pending_limit` caps the devices that wait for approval, and each waits `pending_ttl` seconds.
    `busy_timeout`: seconds to wait for a lock of SQLite. Every method may raise `RegistryError`,
    except `record`, whose verdict then is `busy`.
    """

    def __init__(
        self,
        url: str | URL = "sqlite:///birthkey.sqlite3",
        *,
        pending_limit: int = 1000,
        pending_ttl: float = 30 * DAY,
        busy_timeout: float = 5.0,
    ) -> None:
        try:
            self._engine = open_engine(url, busy_timeout=busy_timeout)
        except (ArgumentError, ImportError) as error:
            raise RegistryError(f"this URL is of no use as a registry: {error}") from error
        self._pending_limit = pending_limit
        self._pending_ttl = pending_ttl
        self._read = sessionmaker(self._engine, expire_on_commit=False)
        writing = self._engine.execution_options(**{IMMEDIATE: True})
        self._write = sessionmaker(writing, expire_on_commit=False)

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

    # The database as a whole.

    def create(self) -> None:
        """Make the tables in an empty database."""
        if (path := sqlite_file(self._engine)) is not None:
            try:
                path.touch(mode=0o600)  # what boards report is nobody else's business
            except OSError as error:
                raise RegistryError(f"cannot write {path}: {error.strerror}") from error
        with self._transaction(self._write) as session:
            connection = session.connection()
            if self._engine.dialect.has_table(connection, Meta.__tablename__):
                raise RegistryError("there is a registry already; it was left as it is")
            Base.metadata.create_all(connection)
            session.add(Meta(number=1, version=VERSION))

    def check(self) -> None:
        """Refuse a database that is missing, damaged or of another version."""
        path = sqlite_file(self._engine)
        if path is not None and not path.is_file():
            raise RegistryError(f"there is no registry at {path}")
        with self._transaction(self._read) as session:
            if not self._engine.dialect.has_table(session.connection(), Meta.__tablename__):
                raise RegistryError(f"{self._engine.url} is no birthkey registry")
            version = session.scalar(select(Meta.version))
        if version != VERSION:
            raise RegistryError(
                f"the registry has version {version}, and this program needs {VERSION}"
            )

    # What servers ask.

    def lookup(self, device_id: bytes) -> KnownDevice | None:
        """The key that is bound to `device_id`, in whatever state; None if there is none."""
        with self._transaction(self._read) as session:
            row = session.execute(
                select(Device.thumbprint, Device.public_key).where(Device.device_id == device_id)
            ).one_or_none()
        return KnownDevice(device_id, row.thumbprint, row.public_key) if row else None

    def record(self, outcome: Outcome, *, policy: Policy, now: float) -> Verdict:
        """Decide about a verified frame, store what it brings, commit, and return the verdict.

        One transaction. `now`: Unix seconds. A verdict without a reason means committed. When the
        database fails, nothing is kept and the verdict is `busy`.
        """
        try:
            if outcome.refusal is not None:
                with self._transaction(self._read) as session:
                    device = session.get(Device, outcome.device_id)
                    return _refused(outcome.refusal, device)
            with self._transaction(self._write) as session:
                return self._record(session, outcome, policy, now)
        except RegistryError as error:
            log.error("not recorded: %s", error)
            return _refused(Reason.BUSY, None)

    def _record(self, session: Session, outcome: Outcome, policy: Policy, now: float) -> Verdict:
        device = session.get(Device, outcome.device_id, with_for_update=True)
        created = False
        if device is None:
            if outcome.enrol is None:  # deleted since the verifier looked it up
                return _refused(Reason.UNKNOWN_DEVICE, None)
            device = self._enrol(session, outcome, policy, now)
            if device is None:
                return _refused(Reason.BUSY, None)
            created = True
        elif outcome.public_key != device.public_key:
            # Another key with the same first 16 bytes of its thumbprint, or one bound meanwhile.
            return _refused(Reason.REVOKED, device)
        elif outcome.enrol is not None and device.state is State.PENDING:
            _describe(device, outcome.enrol)
        if device.state in REFUSED:
            return _refused(REFUSED[device.state], device, created=created)
        return _store(session, device, outcome, now, created=created)

    def _enrol(
        self, session: Session, outcome: Outcome, policy: Policy, now: float
    ) -> Device | None:
        """Bind a new key; None when too many wait for approval."""
        assert outcome.enrol is not None
        approval = session.get(Approval, outcome.device_id)
        if approval is not None:
            session.delete(approval)
            state, who, why = State.ACTIVE, "server", "approved before its first contact"
        else:
            state, who = policy.admit(outcome), f"policy {policy.name}"
            why = f"first contact; {state.value}"
        if state is State.PENDING:
            self._expire(session, now)
            waiting = select(func.count()).where(Device.state == State.PENDING)
            if session.scalars(waiting).one() >= self._pending_limit:
                return None
        device = Device(
            device_id=outcome.device_id,
            thumbprint=thumbprint(outcome.enrol.public_key),
            public_key=outcome.enrol.public_key,
            board=outcome.enrol.board,
            firmware=outcome.enrol.firmware,
            state=state,
            created=now,
            newest=0,
        )
        session.add(device)
        session.flush()
        _event(session, device, Action.ENROLLED, who, why, now)
        return device

    def _expire(self, session: Session, now: float) -> None:
        """Forget those who waited too long; a board that still wants in enrols again."""
        expired = session.scalars(
            select(Device).where(
                Device.state == State.PENDING, Device.created < now - self._pending_ttl
            )
        ).all()
        for device in expired:
            _event(session, device, Action.EXPIRED, "server", "nobody approved it in time", now)
            session.delete(device)
        session.flush()

    # What people ask.

    def devices(self) -> list[Device]:
        """All devices, the oldest first."""
        with self._transaction(self._read) as session:
            return list(session.scalars(select(Device).order_by(Device.created, Device.device_id)))

    def device(self, device_id: bytes) -> Device | None:
        """One device, or None."""
        with self._transaction(self._read) as session:
            return session.get(Device, device_id)

    def approvals(self) -> list[Approval]:
        """The ids that were approved and have not been seen yet."""
        with self._transaction(self._read) as session:
            return list(session.scalars(select(Approval).order_by(Approval.approved)))

    def evidence(self, device_id: bytes) -> list[Evidence]:
        """The pair of frames that proved the device cloned; empty if it is not."""
        with self._transaction(self._read) as session:
            rows = select(Evidence).where(Evidence.device_id == device_id)
            return list(session.scalars(rows.order_by(Evidence.place)))

    def events(self, device_id: bytes | None = None) -> list[Event]:
        """The audit events, in order: all of them, or those about one device."""
        rows = select(Event).order_by(Event.number)
        if device_id is not None:
            rows = rows.where(Event.device_id == device_id)
        with self._transaction(self._read) as session:
            return list(session.scalars(rows))

    def messages(
        self, device_id: bytes | None = None, *, after: int = 0, limit: int | None = None
    ) -> list[StoredMessage]:
        """The newest `limit` messages stored after row number `after`, in the order of storing."""
        rows = select(StoredMessage).where(StoredMessage.number > after)
        if device_id is not None:
            rows = rows.where(StoredMessage.device_id == device_id)
        rows = rows.order_by(StoredMessage.number.desc()).limit(limit)
        with self._transaction(self._read) as session:
            return list(session.scalars(rows))[::-1]

    def approve(self, device_id: bytes, *, who: str, why: str, now: float) -> Device | None:
        """Let a device in; before its first contact too, and then there is no `Device` yet."""
        with self._transaction(self._write) as session:
            device = session.get(Device, device_id, with_for_update=True)
            if device is None:
                if session.get(Approval, device_id) is not None:
                    raise RegistryError("it is approved already, and was not seen yet")
                session.add(Approval(device_id=device_id, approved=now))
            elif device.state is State.PENDING:
                device.state = State.ACTIVE
            else:
                raise RegistryError(f"it is {device.state.value}, and only pending ones wait")
            events.append(
                session, at=now, who=who, action=Action.APPROVED, device_id=device_id, why=why
            )
            return device

    @contextmanager
    def _transaction(self, sessions: sessionmaker[Session]) -> Iterator[Session]:
        """Commits at the end; leaves nothing behind when anything is raised."""
        try:
            with sessions.begin() as session:
                yield session
        except SQLAlchemyError as error:
            cause = getattr(error, "orig", None) or error
            raise RegistryError(f"the registry's database failed: {cause}") from error


def _store(
    session: Session, device: Device, outcome: Outcome, now: float, *, created: bool
) -> Verdict:
    """Replay and clone checks of an active device, then the row in the log."""
    sha256 = hashlib.sha256(outcome.message_bytes).digest()
    boot = session.get(Boot, (device.device_id, outcome.boot))
    seen = session.scalars(
        select(StoredMessage).where(
            StoredMessage.device_id == device.device_id,
            StoredMessage.counter == outcome.message.counter,
        )
    ).one_or_none()

    if seen is not None and seen.sha256 != sha256:
        return _quarantine(session, device, outcome, Proof.COUNTER, seen, now)
    if boot is not None and boot.enc != outcome.enc:
        return _quarantine(session, device, outcome, Proof.BOOT, boot, now)
    if outcome.boot < device.newest:
        if _tells_of_another(outcome, device.newest):
            other = session.get_one(Boot, (device.device_id, device.newest))
            return _quarantine(session, device, outcome, Proof.STATUS, other, now)
        return _refused(Reason.STALE_BOOT, device)

    frame = _frame(outcome)
    if boot is None:
        session.add(Boot(device_id=device.device_id, first_seen=now, **frame))
        device.newest = outcome.boot
    if seen is None:
        session.add(
            StoredMessage(
                device_id=device.device_id,
                counter=outcome.message.counter,
                type=outcome.message.type,
                message=outcome.message_bytes,
                sha256=sha256,
                received=now,
                **frame,
            )
        )
        device.last_seen = now
        if outcome.enrol is not None:
            _describe(device, outcome.enrol)
    return Verdict(reason=None, newest=device.newest, stored=seen is None, device_created=created)


def _describe(device: Device, enrol: Enrol) -> None:
    """What a board says of itself may change with its firmware; its key may not."""
    device.board = enrol.board
    device.firmware = enrol.firmware


def _tells_of_another(outcome: Outcome, newest: int) -> bool:
    """Whether a status says that its board was told of a boot above its own.

    Only numbers up to `newest` were ever told: above it, the status proves nothing.
    """
    told = outcome.status.newest if outcome.status is not None else None
    return told is not None and outcome.boot < told <= newest


def _quarantine(
    session: Session, device: Device, outcome: Outcome, proof: Proof, other: Frame, now: float
) -> Verdict:
    """Two holders of one key: no more is accepted from either, and both frames are kept."""
    earlier = {name: getattr(other, name) for name in _frame(outcome)}
    for place, frame in enumerate((earlier, _frame(outcome))):
        session.add(
            Evidence(device_id=device.device_id, place=place, proof=proof, found=now, **frame)
        )
    device.state = State.CLONED
    _event(session, device, Action.CLONED, "server", PROOFS[proof], now)
    return _refused(Reason.CLONED, device)


def _frame(outcome: Outcome) -> dict[str, int | bytes]:
    """The columns of `Frame`."""
    return {
        "boot": outcome.boot,
        "enc": outcome.enc,
        "server_id": outcome.server_id,
        "signed_frame": outcome.signed_frame,
    }


def _event(
    session: Session, device: Device, action: Action, who: str, why: str, now: float
) -> None:
    events.append(session, at=now, who=who, action=action, device_id=device.device_id, why=why)


def _refused(reason: Reason, device: Device | None, *, created: bool = False) -> Verdict:
    newest = device.newest if device is not None else 0
    return Verdict(reason=reason, newest=newest, stored=False, device_created=created)
