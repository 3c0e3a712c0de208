"""What one verified frame causes in the registry, in the caller's transaction.

The log is the replay state: a counter is in it once. The device's row is locked first, so that two
frames of one device are judged one after the other, by whatever server. Then come the claim code
and the end of the audit chain and of the log, always in this order, so that no two servers wait for
each other. Who has the end of the log keeps it until the commit: positions rise as commits do.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from birthkey_host import bad_keys, claims, commands, events, sizes, waiting
from birthkey_host.cose import thumbprint
from birthkey_host.enrolment import Policy
from birthkey_host.evidence import PROOFS
from birthkey_host.message import Command, Enrol, Reason
from birthkey_host.origins import Network
from birthkey_host.schema import (
    Action,
    Approval,
    Base,
    Boot,
    Device,
    Evidence,
    Floor,
    Frame,
    Meta,
    Proof,
    State,
    StoredMessage,
)
from birthkey_host.verifier import Outcome, Verdict

META = Base.metadata.tables[Meta.__tablename__]
NEXT_POSITION = update(META).values(position=META.c.position + 1).returning(META.c.position)

REFUSED = {
    State.PENDING: Reason.PENDING,
    State.SUSPENDED: Reason.SUSPENDED,
    State.DELETED: Reason.PENDING,  # whatever the policy, only a person lets it in again
    State.REVOKED: Reason.REVOKED,
    State.CLONED: Reason.CLONED,
}


@dataclass(frozen=True, slots=True)
class Limits:
    """What boards may take of the database."""

    pending: int
    """Devices that wait for approval."""
    pending_ttl: float
    """Seconds that each of them waits."""
    size: int
    """Bytes that are kept of one device, counted as in `sizes`."""


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms a frame is taken just now; why not is a sentence, and None is no obstacle."""

    networks: tuple[Network, ...] = ()
    """Where it came from, the narrowest first; empty when that does not matter."""
    no_strangers: str | None = None
    """Why no device is taken that nobody approved or gave a claim code."""
    no_growth: str | None = None
    """Why nothing is stored that was not stored before."""


def record(
    session: Session,
    outcome: Outcome,
    *,
    policy: Policy,
    limits: Limits,
    terms: Terms,
    now: float,
) -> Verdict:
    """Enrol, judge and store; `now` in Unix seconds. The verdict holds once it is committed."""
    device = session.get(Device, outcome.device_id, with_for_update=True)
    created, stranger = device is None, False
    if device is None:
        if outcome.enrol is None:  # deleted since the verifier looked it up
            return refused(Reason.UNKNOWN_DEVICE, None)
        met = _first_contact(session, outcome, outcome.enrol, policy, limits, terms, now)
        if isinstance(met, Verdict):
            return met
        device, stranger = met
    elif outcome.public_key != device.public_key:
        # Another key with the same first 16 bytes of its thumbprint, or one bound meanwhile.
        return refused(Reason.REVOKED, device)
    elif device.state in (State.PENDING, State.DELETED):
        _come_back(session, device, outcome.enrol, policy, terms, now)
    if device.state in REFUSED:
        verdict = refused(REFUSED[device.state], device)
    else:
        verdict = _store(session, device, outcome, limits, terms, now)
    return replace(verdict, device_created=True, stranger=stranger) if created else verdict


def refused(reason: Reason, device: Device | None, detail: str = "") -> Verdict:
    """A refusal that tells the board what the registry knows of its boots."""
    newest = device.newest if device is not None else 0
    return Verdict(reason=reason, newest=newest, stored=False, detail=detail)


def _first_contact(
    session: Session,
    outcome: Outcome,
    enrol: Enrol,
    policy: Policy,
    limits: Limits,
    terms: Terms,
    now: float,
) -> tuple[Device, bool] | Verdict:
    """Bind a new key, and whether it is a stranger's; or say why not."""
    whole = thumbprint(enrol.public_key)
    if bad_keys.is_listed(session, whole):
        return refused(Reason.REVOKED, None)
    if terms.no_growth is not None:  # before a code lets it in that its message would spend
        return refused(Reason.BUSY, None, terms.no_growth)
    claimed = claims.is_valid(session, enrol.claim, now)
    approval = session.get(Approval, outcome.device_id)
    stranger = False
    if approval is not None:
        session.delete(approval)
        state, who, why = State.ACTIVE, "server", "approved before its first contact"
    else:
        admitted = policy.admit(claimed=claimed)
        if admitted is None:
            return refused(Reason.PENDING, None)
        stranger = not claimed or admitted is not State.ACTIVE
        if stranger and terms.no_strangers is not None:
            return refused(Reason.BUSY, None, terms.no_strangers)
        state, who, why = admitted, f"policy {policy.name}", f"first contact; {admitted.value}"
    if state is State.PENDING:
        full = waiting.make_room(
            session, terms.networks, limit=limits.pending, ttl=limits.pending_ttl, now=now
        )
        if full is not None:
            return refused(Reason.BUSY, None, full)
    device = Device(
        device_id=outcome.device_id,
        thumbprint=whole,
        public_key=enrol.public_key,
        board=enrol.board,
        firmware=enrol.firmware,
        label=approval.label if approval else None,
        replaces=approval.replaces if approval else None,
        state=state,
        created=now,
        newest=0,
        frames=0,
        size=0,
        command_id=0,
        origin=terms.networks[0].name if terms.networks and state is State.PENDING else "",
    )
    session.add(device)
    session.flush()
    _event(session, device, Action.ENROLLED, who, why, now)
    return device, stranger


def _come_back(
    session: Session,
    device: Device,
    enrol: Enrol | None,
    policy: Policy,
    terms: Terms,
    now: float,
) -> None:
    """A board is heard of again that waits, or was deleted."""
    if enrol is not None:
        _describe(device, enrol)
    if device.state is not State.PENDING:
        return
    waiting.ask(device, now)
    if enrol is not None and terms.no_growth is None:
        _ask_again(session, device, enrol, policy, now)


def _ask_again(session: Session, device: Device, enrol: Enrol, policy: Policy, now: float) -> None:
    """A board that waits may have been given a claim code, or the server another policy."""
    claimed = claims.is_valid(session, enrol.claim, now)
    if policy.admit(claimed=claimed) is State.ACTIVE:
        device.state = State.ACTIVE
        waiting.leave(device)
        why = "it enrolled again; active"
        _event(session, device, Action.APPROVED, f"policy {policy.name}", why, now)


def _store(
    session: Session,
    device: Device,
    outcome: Outcome,
    limits: Limits,
    terms: Terms,
    now: float,
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
        told = _told_of(session, device, outcome)
        if told is not None:
            return _quarantine(session, device, outcome, Proof.STATUS, told, now)
        return refused(Reason.STALE_BOOT, device)
    if seen is None and _is_old(session, device, outcome.message.counter):
        return refused(Reason.OLD, device)
    size = _size(outcome, boot=boot is None, message=seen is None)
    if size and terms.no_growth is not None:
        return refused(Reason.BUSY, device, terms.no_growth)
    if size and device.size + size > limits.size:
        return refused(Reason.BUSY, device, f"it has used up its {sizes.text(limits.size)}")

    frame = _frame(outcome, now)
    device.size += size
    if boot is None:
        session.add(Boot(device_id=device.device_id, **frame))
        device.newest = outcome.boot
        device.frames += 1
    if seen is None:
        device.last_seen = now
        device.frames += 1
        if outcome.enrol is not None:
            _describe(device, outcome.enrol)
            claims.spend(session, device, outcome.enrol.claim, now)
        if outcome.status is not None and outcome.status.command_result is not None:
            commands.settle(session, device, outcome.status.command_result, now)
        session.add(
            StoredMessage(
                number=_position(session),
                device_id=device.device_id,
                counter=outcome.message.counter,
                type=outcome.message.type,
                message=outcome.message_bytes,
                sha256=sha256,
                **frame,
            )
        )
    return Verdict(
        reason=None,
        newest=device.newest,
        stored=seen is None,
        command=_command(session, device, outcome, now),
        booted=boot is None,
    )


def _size(outcome: Outcome, *, boot: bool, message: bool) -> int:
    """Bytes of the rows that a frame brings: of its boot, of its message, or of both."""
    size = sizes.of_frame(outcome.signed_frame) if boot else 0
    if message:
        size += sizes.of_frame(outcome.signed_frame, outcome.message_bytes)
    return size


def _position(session: Session) -> int:
    """The next position in the log. Nobody else gets one before this transaction has ended."""
    return int(session.connection().scalars(NEXT_POSITION).one())


def _command(session: Session, device: Device, outcome: Outcome, now: float) -> Command | None:
    """What follows the acknowledgement.

    Nothing follows the time. Nothing follows an enrol either: a board sends it before a result that
    waits, which may be about the same id of another database.
    """
    asks_time = outcome.status is not None and outcome.status.wants_time
    if asks_time or outcome.enrol is not None:
        return None
    return commands.due(session, device, now)


def _describe(device: Device, enrol: Enrol) -> None:
    """What a board says of itself may change with its firmware; its key may not."""
    device.board = enrol.board
    device.firmware = enrol.firmware


def _is_old(session: Session, device: Device, counter: int) -> bool:
    """Whether the messages of that time were pruned: this one may have been among them."""
    boot, sequence = divmod(counter, 1 << 32)
    floor = session.get(Floor, (device.device_id, boot))
    return floor is not None and sequence <= floor.sequence


def _told_of(session: Session, device: Device, outcome: Outcome) -> Boot | None:
    """The boot above its own that a status says its board was told of; None if none is known.

    Only boots that were seen are ever told: a number that was not proves nothing.
    """
    told = outcome.status.newest if outcome.status is not None else None
    if told is None or told <= outcome.boot:
        return None
    return session.get(Boot, (device.device_id, told))


def _quarantine(
    session: Session, device: Device, outcome: Outcome, proof: Proof, other: Frame, now: float
) -> Verdict:
    """Two holders of one key: no more is accepted from either, and both frames are kept."""
    later = _frame(outcome, now)
    earlier = {name: getattr(other, name) for name in later}
    for place, frame in enumerate((earlier, later)):
        session.add(Evidence(device_id=device.device_id, place=place, proof=proof, **frame))
    device.state = State.CLONED
    if outcome.enrol is not None:
        claims.spend(session, device, outcome.enrol.claim, now)
    _event(session, device, Action.CLONED, "server", PROOFS[proof], now)
    return refused(Reason.CLONED, device)


def _frame(outcome: Outcome, now: float) -> dict[str, int | float | bytes]:
    """The columns of `Frame`."""
    return {
        "boot": outcome.boot,
        "enc": outcome.enc,
        "server_id": outcome.server_id,
        "signed_frame": outcome.signed_frame,
        "received": now,
    }


def _event(
    session: Session, device: Device, action: Action, who: str, why: str, now: float
) -> None:
    events.append(session, at=now, who=who, action=action, device_id=device.device_id, why=why)
