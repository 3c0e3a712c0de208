"""Messages, `[type, counter, body]`: their types, and the check of what comes down."""

from birthkey import cbor
from birthkey._port import const

ENROL = const(0)
DATA = const(1)
STATUS = const(3)
ACKNOWLEDGE = const(16)
COMMAND = const(17)
TIME = const(18)
REFUSE = const(19)

MAX_SIZE = const(3800)
_ITEMS = const(7 + 256)  # of a message that comes down: what is around a command, and a command

# Why the server refuses, and what that means for a person. It keeps no trace of a message
# that it refused for a transient reason: the board keeps it.
TRANSIENT = {
    "pending": "this board waits for approval: `birthkey approve` with its whole id lets it in",
    "busy": "the server is busy: the board tries again",
    "suspended": "the operator has suspended this board: its readings wait",
    "unknown-device": "the server does not know this board (any more): it enrols again",
    "stale-boot": "the server has seen a later boot of this board: its key was copied, or its "
    "flash was restored from a copy",
    "tls-required": "the server takes readings over TLS only: this board must be set up for it",
}

# A final reason lets the board drop the message.
FINAL = {
    "old": "the server has forgotten the time that the message is from",
    "type": "the server does not know this type of message: its version is older",
    "malformed": "the server cannot read the message",
    "revoked": "the operator has revoked this board for good: it needs a new birth key",
    "cloned": "two boards were heard with this key: both are locked out until the genuine one "
    "gets a new birth key",
}


def encode(kind, counter, body):
    """The message's bytes; ValueError when the body is no CBOR or too large."""
    encoded = cbor.dumps([kind, counter, body])
    if len(encoded) > MAX_SIZE:
        raise ValueError("a message has at most %d bytes, not %d" % (MAX_SIZE, len(encoded)))
    return encoded


def check_data(body):
    """ValueError unless `body` is a map or a SenML pack (a list of maps)."""
    if isinstance(body, dict):
        return
    if isinstance(body, list) and body and all(isinstance(record, dict) for record in body):
        return
    raise ValueError("a reading is a map, or a SenML pack: a list of maps")


def decode_downlink(encoded):
    """(type, counter, body) of a message from the server; ValueError if malformed."""
    value = cbor.loads(encoded, _ITEMS)
    if not isinstance(value, list) or len(value) != 3:
        raise ValueError("a message is [type, counter, body]")
    kind, counter, body = value
    if not is_uint(kind, 8) or not is_uint(counter, 64) or not isinstance(body, dict):
        raise ValueError("a message is [type, counter, body]")
    if not is_uint(body.get(0), 32):
        raise ValueError("an answer lacks the newest boot number")
    if kind == ACKNOWLEDGE:
        good = len(body) == 1 or (len(body) == 2 and body.get(1) is True)
    elif kind == COMMAND:
        good = len(body) == 2 and isinstance(body.get(1), dict)
    elif kind == TIME:
        good = len(body) == 2 and is_uint(body.get(1), 64)
    elif kind == REFUSE:
        reason = body.get(1)
        good = (
            len(body) == 2 and isinstance(reason, str) and (reason in TRANSIENT or reason in FINAL)
        )
    else:
        good = False
    if not good:
        raise ValueError("malformed answer of type %d" % kind)
    return kind, counter, body


def is_uint(value, bits):
    # True and False are integers in CPython, and equal to 1 and 0 everywhere.
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << bits
