"""Bodies of messages, made readable. They come from boards, and a board may be hostile."""

from __future__ import annotations

import json
import math
import re
import struct

from birthkey_host.cbor import Value
from birthkey_host.legible import quoted
from birthkey_host.message import Type

# RFC 8428 section 6, table 4: CBOR labels.
SENML = {
    -6: "bs",
    -5: "bv",
    -4: "bu",
    -3: "bt",
    -2: "bn",
    -1: "bver",
    0: "n",
    1: "u",
    2: "v",
    3: "vs",
    4: "vb",
    5: "s",
    6: "t",
    7: "ut",
    8: "vd",
}
ENROL = {1: "key", 2: "board", 3: "firmware", 4: "claim"}
STATUS = {1: "newest", 2: "result", 3: "time"}

_BARE = re.compile(r"[A-Za-z_][A-Za-z0-9_.:/-]*")


def named(kind: Type, body: Value) -> Value:
    """`body` with the norm's names instead of its integer labels. A claim code is left out."""
    if kind is Type.DATA and isinstance(body, list):
        return [_rename(record, SENML) for record in body]
    if kind is Type.ENROL and isinstance(body, dict):
        return _rename({key: value for key, value in body.items() if key != 4}, ENROL)
    if kind is Type.STATUS:
        return _rename(body, STATUS)
    return body


def _rename(value: Value, names: dict[int, str]) -> Value:
    if not isinstance(value, dict):
        return value
    renamed = {
        names.get(key, key) if isinstance(key, int) else key: item for key, item in value.items()
    }
    return renamed if len(renamed) == len(value) else value


def text(value: Value) -> str:
    """`value` on one line, in CBOR diagnostic notation with bare words for simple keys."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(key)}: {text(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(text(item) for item in value) + "]"
    if isinstance(value, bytes):
        return f"h'{value.hex()}'"
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, str):
        return quoted(value, None)
    return json.dumps(value)


def _key(key: int | str) -> str:
    return key if isinstance(key, str) and _BARE.fullmatch(key) else text(key)


def _float(value: float) -> str:
    """The shortest digits that mean `value`: as a 32-bit float if it is one, as boards have."""
    if math.isfinite(value) and _as_float32(value) == value:
        for precision in range(6, 10):
            digits = f"{value:.{precision}g}"
            if _as_float32(float(digits)) == value:
                return digits
    return repr(value)


def _as_float32(value: float) -> float:
    try:
        single: float = struct.unpack(">f", struct.pack(">f", value))[0]
    except OverflowError:
        return math.inf
    return single


def plain(value: Value) -> object:
    """`value` as JSON can hold it.

    Bytes become hex digits, and floats that are no numbers become words. A map becomes an object,
    or a list of pairs where 1 and "1" are both keys of it.
    """
    if isinstance(value, dict):
        pairs = [(str(key), plain(item)) for key, item in value.items()]
        members = dict(pairs)
        if len(members) == len(pairs):
            return members
        return [[key, plain(item)] for key, item in value.items()]
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
