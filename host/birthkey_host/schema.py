"""The registry's tables. Nothing here is particular to one database; `upgrade` has the steps from
earlier versions."""

from __future__ import annotations

import enum

from sqlalchemy import (
    BigInteger,
    Double,
    Enum,
    Index,
    Integer,
    LargeBinary,
    String,
    UniqueConstraint,
)
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.schema import ForeignKey
from sqlalchemy.types import TypeDecorator

from birthkey_host import origins
from birthkey_host.errors import Unable

VERSION = 4
"""Raised with every change of the tables."""

LABEL = 64
"""Characters of an operator's label, at most."""


class RegistryError(Unable):
    """The registry cannot do it; the text is a sentence for the person who asked."""


class State(enum.StrEnum):
    """Where a device is in its life. `REVOKED` and `CLONED` are for ever."""

    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    DELETED = "deleted"  # was active or suspended; what it sent is erased
    REVOKED = "revoked"
    CLONED = "cloned"


class Proof(enum.StrEnum):
    """What proved that two holders share one key."""

    COUNTER = "counter"  # one counter, two messages
    BOOT = "boot"  # one boot number, two encapsulated keys
    STATUS = "status"  # a board was told of a boot above its own


class Action(enum.StrEnum):
    """What an audit event tells."""

    ENROLLED = "enrolled"
    APPROVED = "approved"
    REPLACED = "replaced"  # another birth key takes its place
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    CLONED = "cloned"
    DELETED = "deleted"
    EXPIRED = "expired"
    PRUNED = "pruned"
    ISSUED = "issued"  # claim codes
    CLAIMED = "claimed"  # it spent a claim code
    REMOVED = "removed"  # claim codes that no board had spent
    BANNED = "banned"  # its key is known to be bad
    COMMANDED = "commanded"


class CommandState(enum.StrEnum):
    """What is known of a command. The last three are final, but a late result ends `UNKNOWN`."""

    QUEUED = "queued"
    SENT = "sent"  # at least once; no status has reported it yet
    DONE = "done"  # its result is there
    EXPIRED = "expired"  # never sent, and it never will be
    UNKNOWN = "outcome unknown"  # it was or may have been sent, and no result came in time


class Unsigned64(TypeDecorator[int]):
    """An integer in 0..2^64-1, kept as 8 big-endian bytes.

    The integers of SQL end at 2^63-1; the bytes of both databases compare in the same order.
    """

    impl = LargeBinary(8)
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> bytes | None:
        return None if value is None else value.to_bytes(8, "big")

    def process_result_value(self, value: bytes | None, dialect: Dialect) -> int | None:
        return None if value is None else int.from_bytes(value, "big")


def _words(kind: type[enum.StrEnum]) -> Enum:
    """A column that holds the words of `kind`, as text."""
    return Enum(
        kind,
        native_enum=False,
        length=16,
        values_callable=lambda kind: [word.value for word in kind],
    )


class Base(DeclarativeBase):
    """Times are Unix seconds. Boot numbers have 32 bits, counters 64."""

    type_annotation_map = {
        bytes: LargeBinary,
        float: Double,
        State: _words(State),
        Proof: _words(Proof),
        Action: _words(Action),
        CommandState: _words(CommandState),
    }


class Meta(Base):
    """One row. Appending to the audit chain or to the log locks it, so that each has one end."""

    __tablename__ = "registry"

    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    position: Mapped[int] = mapped_column(BigInteger, default=0)  # the highest `number` ever given


class Device(Base):
    """A bound key and what is known of its board. `newest`: highest boot seen, 0 for none.

    The row of a deleted device stays, as its tombstone: key, state, `newest`, floors and the last
    command id hold for ever, so that nothing that was sent before can be sent again.
    """

    __tablename__ = "devices"

    device_id: Mapped[bytes] = mapped_column(primary_key=True)
    thumbprint: Mapped[bytes] = mapped_column(unique=True)
    public_key: Mapped[bytes]
    board: Mapped[str] = mapped_column(String(32))
    firmware: Mapped[str] = mapped_column(String(32))
    label: Mapped[str | None] = mapped_column(String(LABEL))  # what the operator calls it
    replaces: Mapped[bytes | None] = mapped_column(unique=True)  # the device whose place it takes
    state: Mapped[State] = mapped_column(index=True)
    created: Mapped[float]
    deleted: Mapped[float | None]
    last_seen: Mapped[float | None]  # when a message was last stored
    newest: Mapped[int] = mapped_column(BigInteger)
    frames: Mapped[int] = mapped_column(BigInteger)  # how many `messages` and `boots` keep
    # Bytes that they and `floors` take, as `sizes` counts them.
    size: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    command_id: Mapped[int] = mapped_column(Unsigned64)  # the last that is taken, 0 for none
    # Of one that waits for approval: where it came from, and when it was heard of after that.
    origin: Mapped[str] = mapped_column(String(origins.LENGTH), default="", server_default="")
    asked: Mapped[float | None]


class Approval(Base):
    """An id that a person approved before the board's first contact; gone once it has enrolled."""

    __tablename__ = "approvals"

    device_id: Mapped[bytes] = mapped_column(primary_key=True)
    label: Mapped[str | None] = mapped_column(String(LABEL))
    replaces: Mapped[bytes | None] = mapped_column(unique=True)
    approved: Mapped[float]


class Claim(Base):
    """A claim code that was issued: its SHA-256, never the code. `device_id`: who spent it."""

    __tablename__ = "claims"

    sha256: Mapped[bytes] = mapped_column(primary_key=True)
    label: Mapped[str | None] = mapped_column(String(LABEL))
    issued: Mapped[float]
    expires: Mapped[float | None]
    spent: Mapped[float | None]
    device_id: Mapped[bytes | None]


class BadKey(Base):
    """The thumbprint of a public key that must not become a device's."""

    __tablename__ = "bad_keys"

    thumbprint: Mapped[bytes] = mapped_column(primary_key=True)
    added: Mapped[float]
    why: Mapped[str]


class Frame:
    """A frame that was accepted, and all that it takes to verify its signature again."""

    boot: Mapped[int] = mapped_column(BigInteger)
    enc: Mapped[bytes]
    server_id: Mapped[bytes]
    signed_frame: Mapped[bytes]
    received: Mapped[float]


class Boot(Frame, Base):
    """The first frame seen of each boot: another `enc` under the same number proves a clone.

    Pruning takes those of earlier boots; frames of such a boot are stale all the same.
    """

    __tablename__ = "boots"
    __table_args__ = (Index("boots_by_time", "received", "device_id", "boot"),)

    device_id: Mapped[bytes] = mapped_column(ForeignKey("devices.device_id"), primary_key=True)
    boot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)


class Floor(Base):
    """What is left of pruned messages: counters of `boot` up to this sequence number are old."""

    __tablename__ = "floors"

    device_id: Mapped[bytes] = mapped_column(ForeignKey("devices.device_id"), primary_key=True)
    boot: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    sequence: Mapped[int] = mapped_column(BigInteger)


class StoredMessage(Frame, Base):
    """The log, which is the replay state too: each counter of a device is here once.

    `number` is the position of a message: it rises in the order of commits, on every database, and
    none comes again after its message was deleted. So who has read up to a position has missed
    nothing before it. `Meta` gives it out, because sequences of databases do not promise either.
    """

    __tablename__ = "messages"
    __table_args__ = (
        UniqueConstraint("device_id", "counter"),
        Index("messages_by_device", "device_id", "number"),
        Index("messages_by_time", "received", "number"),
    )

    number: Mapped[int] = mapped_column(
        BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=False
    )
    device_id: Mapped[bytes] = mapped_column(ForeignKey("devices.device_id"))
    counter: Mapped[int] = mapped_column(Unsigned64)
    type: Mapped[int] = mapped_column(Integer)
    message: Mapped[bytes]
    sha256: Mapped[bytes]


class StoredCommand(Base):
    """A command to a device, in CBOR, and the result that its board reported."""

    __tablename__ = "commands"
    __table_args__ = (
        Index("commands_by_state", "device_id", "state"),
        Index("commands_by_end", "closed"),
    )

    device_id: Mapped[bytes] = mapped_column(ForeignKey("devices.device_id"), primary_key=True)
    id: Mapped[int] = mapped_column(Unsigned64, primary_key=True)
    body: Mapped[bytes]
    state: Mapped[CommandState]
    queued: Mapped[float]
    expires: Mapped[float]
    sent: Mapped[float | None]  # for the first time
    closed: Mapped[float | None]
    result: Mapped[bytes | None]


class Evidence(Frame, Base):
    """The two frames, places 0 and 1, that proved a device cloned."""

    __tablename__ = "evidence"

    device_id: Mapped[bytes] = mapped_column(ForeignKey("devices.device_id"), primary_key=True)
    place: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    proof: Mapped[Proof]


class Event(Base):
    """A link of the audit chain; `birthkey_host.events` says how it is hashed."""

    __tablename__ = "events"
    __table_args__ = (Index("events_by_device", "device_id", "number"),)

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[float]
    who: Mapped[str]
    action: Mapped[Action]
    device_id: Mapped[bytes | None]  # no foreign key: an event outlives its device
    why: Mapped[str]
    hash: Mapped[bytes]
