"""Messages: `[type, counter, body]`, and what each type's body must hold."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import TypeGuard

from birthkey_host import cbor, cose
from birthkey_host.cbor import Value
from birthkey_host.errors import FrameError
from birthkey_host.legible import quoted

MAX_MESSAGE = 3800
"""Bytes of an encoded message, so that it fits a frame with its signature and its seal."""

MAX_RESULT = 512
"""Bytes of a command's encoded result."""

MAX_COMMAND_ITEMS = 256
"""Values of a command, its maps, arrays and keys counted: a board has so much RAM for them."""

UNKNOWN = "unknown"
FAILURES = ("failed", "no-handler", UNKNOWN)
"""What a board says itself, `[failure, sentence]`, where an application's result would stand."""

_LABEL = re.compile(r"[ -~]{1,32}")


class Type(IntEnum):
    """Message types; those from 16 on go down."""

    ENROL = 0
    DATA = 1
    STATUS = 3
    ACKNOWLEDGE = 16
    COMMAND = 17
    TIME = 18
    REFUSE = 19


class Reason(StrEnum):
    """Why a message was refused, as the board is told."""

    PENDING = "pending"
    BUSY = "busy"
    SUSPENDED = "suspended"
    UNKNOWN_DEVICE = "unknown-device"
    STALE_BOOT = "stale-boot"
    TLS_REQUIRED = "tls-required"
    OLD = "old"
    TYPE = "type"
    MALFORMED = "malformed"
    REVOKED = "revoked"
    CLONED = "cloned"

    @property
    def transient(self) -> bool:
        """Whether the board keeps the message and tries again."""
        return self in (
            Reason.PENDING,
            Reason.BUSY,
            Reason.SUSPENDED,
            Reason.UNKNOWN_DEVICE,
            Reason.STALE_BOOT,
            Reason.TLS_REQUIRED,
        )


@dataclass(frozen=True, slots=True)
class Message:
    """One message, up or down; `counter` is boot << 32 | sequence, or a command's id."""

    type: int
    counter: int
    body: Value

    @property
    def boot(self) -> int:
        """The boot number in which the message was made."""
        return self.counter >> 32

    def encode(self) -> bytes:
        """The message's bytes. Raises ValueError for what cannot be encoded or is too long."""
        data = cbor.dumps([int(self.type), self.counter, self.body])
        if len(data) > MAX_MESSAGE:
            raise ValueError(f"message of {len(data)} bytes; at most {MAX_MESSAGE} fit a frame")
        return data

    @classmethod
    def decode(cls, data: bytes) -> Message:
        """Read any `[uint, uint, body]`, of known type or not.

        Raises CborError for bytes that are not deterministic CBOR, ValueError for another shape.
        """
        value = cbor.loads(data)
        if not isinstance(value, list) or len(value) != 3:
            raise ValueError("a message is an array of three: type, counter, body")
        kind, counter, body = value
        if not _is_uint(kind) or not _is_uint(counter):
            raise ValueError("a message's type and counter are unsigned integers")
        return cls(kind, counter, body)


@dataclass(frozen=True, slots=True)
class Command:
    """What a device is told to do."""

    id: int
    """Rises per device."""
    body: dict[int | str, Value]


@dataclass(frozen=True, slots=True)
class Enrol:
    """The body of an enrol: who asks to be registered, on which board, with which firmware."""

    public_key: bytes
    """x || y, 64 bytes; that it is a point is what the verified signature shows."""
    board: str
    firmware: str
    claim: bytes | None = None

    def body(self) -> Value:
        """The body as it travels."""
        body: dict[int | str, Value] = {
            1: cose.to_cose_key(self.public_key),
            2: self.board,
            3: self.firmware,
        }
        if self.claim is not None:
            body[4] = self.claim
        return body


@dataclass(frozen=True, slots=True)
class Status:
    """The body of a status."""

    newest: int | None = None
    """The boot number above its own that the board has been told of: it has a clone."""
    command_result: tuple[int, Value] | None = None
    """Id of the last command that the board began, and what came of it."""
    wants_time: bool = False

    def body(self) -> Value:
        """The body as it travels."""
        body: dict[int | str, Value] = {}
        if self.newest is not None:
            body[1] = self.newest
        if self.command_result is not None:
            body[2] = list(self.command_result)
        if self.wants_time:
            body[3] = True
        return body


def decode_message(payload: bytes) -> Message:
    """Read the message in a frame or an answer. Raises FrameError of layer cbor or policy.

    Policy is for what is no `[uint, uint, body]`: without a counter it cannot be answered.
    """
    if len(payload) > MAX_MESSAGE:
        raise FrameError("cbor", f"a message of {len(payload)} bytes; at most {MAX_MESSAGE}")
    try:
        return Message.decode(payload)
    except cbor.CborError as error:
        raise FrameError("cbor", f"message, {error}") from None
    except ValueError as error:
        raise FrameError("policy", str(error)) from None


def enrol_key(body: Value) -> bytes | None:
    """The key that an enrol's body carries, x || y, even if the rest is malformed; else None."""
    return cose.from_cose_key(body.get(1)) if isinstance(body, dict) else None


def parse_enrol(body: Value) -> Enrol:
    """Read an enrol's body. Raises ValueError, which names the field."""
    fields = _fields(body, required={1, 2, 3}, optional={4})
    key, claim = cose.from_cose_key(fields[1]), fields.get(4)
    if key is None:
        raise ValueError("field 1 is not a P-256 COSE_Key {1: 2, -1: 1, -2: x, -3: y}")
    if 4 in fields and not (isinstance(claim, bytes) and len(claim) == 16):
        raise ValueError("field 4, the claim code, is not 16 bytes")
    assert claim is None or isinstance(claim, bytes)
    return Enrol(key, _label(fields, 2, "board"), _label(fields, 3, "firmware"), claim)


def parse_status(body: Value) -> Status:
    """Read a status's body. Raises ValueError, which names the field."""
    fields = _fields(body, required=set(), optional={1, 2, 3})
    newest, result = fields.get(1), fields.get(2)
    if 1 in fields:
        _newest(newest, 1)
    if 2 in fields and not (isinstance(result, list) and len(result) == 2 and _is_uint(result[0])):
        raise ValueError("field 2 is not [command id, result]")
    if isinstance(result, list):
        _check_result(result[1])
    if 3 in fields and fields[3] is not True:
        raise ValueError("field 3, the wish for the time, can only be true")
    return Status(
        newest if _is_uint(newest) else None,
        (result[0], result[1]) if isinstance(result, list) and _is_uint(result[0]) else None,
        3 in fields,
    )


def _check_result(result: Value) -> None:
    """What an application may return, or one of `FAILURES` with a sentence."""
    if isinstance(result, bytes):
        raise ValueError("field 2, the result is bytes")
    if isinstance(result, list) and not (
        len(result) == 2 and result[0] in FAILURES and isinstance(result[1], str)
    ):
        raise ValueError("field 2, the result is an array, and no [failure, sentence]")
    if len(cbor.dumps(result)) > MAX_RESULT:
        raise ValueError(f"field 2, the result has more than {MAX_RESULT} bytes")


def check_data(body: Value) -> None:
    """Accept a map, or a SenML pack: an array of one or more maps. Else raises ValueError."""
    if isinstance(body, dict):
        return
    if not isinstance(body, list) or not body or not all(isinstance(r, dict) for r in body):
        raise ValueError("the body is neither a map nor a SenML pack (an array of maps)")


def check_down(message: Message) -> None:
    """Accept a message that goes down, with the body of its type. Else raises ValueError."""
    if message.type not in (Type.ACKNOWLEDGE, Type.COMMAND, Type.TIME, Type.REFUSE):
        raise ValueError(f"type {message.type} is none that a server sends")
    acknowledges = message.type == Type.ACKNOWLEDGE
    required, optional = ({0}, {1}) if acknowledges else ({0, 1}, set())
    fields = _fields(message.body, required=required, optional=optional)
    _newest(fields[0], 0)
    value = fields.get(1, True)
    if acknowledges and value is not True:
        raise ValueError("field 1, that a command follows, is not true")
    if message.type == Type.COMMAND:
        if not isinstance(value, dict):
            raise ValueError("field 1, the command, is not a map")
        if items(value) > MAX_COMMAND_ITEMS:
            raise ValueError(f"field 1, the command, has more than {MAX_COMMAND_ITEMS} items")
    if message.type == Type.TIME and not _is_uint(value):
        raise ValueError("field 1, the time, is not a number of seconds")
    if message.type == Type.REFUSE and not (isinstance(value, str) and value in set(Reason)):
        raise ValueError("field 1 is no reason that is known")


def items(value: object) -> int:
    """How many items a value is in CBOR: itself, and all that is in it, keys included."""
    if isinstance(value, dict):
        return 1 + len(value) + sum(map(items, value.values()))
    if isinstance(value, list | tuple):
        return 1 + sum(map(items, value))
    return 1


def _is_uint(value: Value) -> TypeGuard[int]:
    return type(value) is int and value >= 0


def _newest(value: Value, key: int) -> None:
    if not _is_uint(value) or value >= 1 << 32:
        raise ValueError(f"field {key}, newest, is not a number of 32 bits")


def _fields(body: Value, *, required: set[int], optional: set[int]) -> dict[int | str, Value]:
    if not isinstance(body, dict):
        raise ValueError("the body is not a map")
    if missing := required - body.keys():
        raise ValueError(f"field {min(missing)} is missing")
    if unknown := body.keys() - required - optional:
        key = min(unknown, key=str)
        name = quoted(key) if isinstance(key, str) else str(key)
        raise ValueError(f"field {name} is not known in this message")
    return body


def _label(fields: dict[int | str, Value], key: int, name: str) -> str:
    text = fields[key]
    if not isinstance(text, str) or not _LABEL.fullmatch(text):
        raise ValueError(f"field {key}, {name}, is not 1 to 32 printable ASCII characters")
    return text
